/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_behind_log.c -- any bytes as a log of write-behind.
 *
 * A random checksum is never right, so the bytes are read twice: as they are, and with the sums of what looks like records
 * made right. What must hold: what is read is written again as the same bytes, the reader moves on with each record and
 * never past the end, and (by the sanitizers, the log at an address of its own) nothing beyond it is looked at. */
#include "protocol/check.h"
#include "protocol/hash.h"
#include "tiers/behind_log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct slice file)
{
    struct behind_log_reader reader;
    struct behind_record record;
    enum status status = behind_log_open(&reader, file);
    size_t before = reader.offset;
    while (status == OK && (status = behind_log_next(&reader, &record)) == OK) {
        struct buf again = {0};
        CHECK(reader.offset > before && reader.offset <= file.size);
        CHECK(behind_log_append(&again, &record) == OK);
        CHECK(slice_equal(buf_slice(&again),
                          (struct slice){file.data + before, reader.offset - before}));
        buf_done(&again);
        before = reader.offset;
    }
    CHECK(reader.offset == before);
    CHECK(status == MISS || status == AGAIN || status == MALFORMED);
}

static void seal(char *bytes, size_t size)
{
    size_t at = BEHIND_LOG_MAGIC_SIZE;
    while (at + BEHIND_RECORD_HEAD <= size) {
        const uint32_t body = get_u32le(bytes + at) % 128;
        put_u32le(bytes + at, body);
        put_u32le(bytes + at + 4, ~body);
        if (body > size - at - BEHIND_RECORD_HEAD) {
            return;
        }
        put_u64le(bytes + at + 8,
                  hash_checksum((struct slice){bytes + at + BEHIND_RECORD_HEAD, body}));
        at += BEHIND_RECORD_HEAD + body;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    read_all((struct slice){copy, size});
    seal(copy, size);
    read_all((struct slice){copy, size});
    free(copy);
    return 0;
}
