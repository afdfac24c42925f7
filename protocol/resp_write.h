/* SPDX-License-Identifier: BSD-3-Clause */
/* resp_write.h -- from values to RESP2 and RESP3 bytes.
 *
 * `resp_head_*` write one short line into memory the caller holds ready (RESP_HEAD_MAX bytes) and return its size: the
 * server puts them into its reply chunks without a copy. `resp_append_*` are the same into a buf, for requests we build.
 *
 * `proto` is 2 or 3. What RESP3 says with its own type and RESP2 says otherwise is decided here and nowhere else. */
#ifndef TERRACE_PROTOCOL_RESP_WRITE_H
#define TERRACE_PROTOCOL_RESP_WRITE_H

#include "protocol/bytes.h"

enum {
    RESP_HEAD_MAX = 48
};

size_t resp_head_bulk_any(char dst[RESP_HEAD_MAX], size_t size);
static inline size_t resp_head_bulk(char dst[RESP_HEAD_MAX],
                                    size_t size) /* "$n\r\n"; the bytes and CRLF follow */
{
    if (size < 10 || size > 99) {
        return resp_head_bulk_any(dst, size);
    }
    dst[0] = '$'; /* most values are so long: in place */
    dst[1] = (char)('0' + size / 10);
    dst[2] = (char)('0' + size % 10);
    dst[3] = '\r';
    dst[4] = '\n';
    return 5;
}
size_t resp_head_array(char dst[RESP_HEAD_MAX], size_t count);
size_t resp_head_map(char dst[RESP_HEAD_MAX], int proto, size_t pairs);  /* RESP2: an array of 2n */
size_t resp_head_set(char dst[RESP_HEAD_MAX], int proto, size_t count);  /* RESP2: an array */
size_t resp_head_push(char dst[RESP_HEAD_MAX], int proto, size_t count); /* RESP2: an array */
size_t resp_head_verbatim(char dst[RESP_HEAD_MAX], int proto,
                          size_t size); /* "=n\r\ntxt:" or "$n\r\n" */
size_t resp_integer(char dst[RESP_HEAD_MAX], int64_t number);
size_t resp_null(char dst[RESP_HEAD_MAX], int proto);                /* "_\r\n" or "$-1\r\n" */
size_t resp_null_array(char dst[RESP_HEAD_MAX], int proto);          /* "_\r\n" or "*-1\r\n" */
size_t resp_boolean(char dst[RESP_HEAD_MAX], int proto, bool value); /* RESP2: an integer */

enum status resp_append_bulk(struct buf *out, struct slice bytes) MUST_USE;
/* A request as an array of bulk strings. */
enum status resp_append_request(struct buf *out, size_t argc, const struct slice *argv) MUST_USE;

#endif
