/* SPDX-License-Identifier: BSD-3-Clause */
/* answer_json.h -- what commands answer, as JSON: so the HTTP side has the figures and the names of RESP, and none of its own.
 *
 *      RESP3                       JSON
 *      map                         object
 *      array, set, push            array
 *      bulk, status, verbatim      string; bytes that are no UTF-8: {"base64": "..."}
 *      integer, boolean, null      the same
 *      double                      number; inf and nan: null
 *      big number                  string of its digits
 *
 * INFO is text: its sections become objects, named as INFO's sections in lower case. Of a line, a value that is a decimal
 * number as JSON writes it is a number; one in which each part between commas is `name=value` is an object; all else is a
 * string.
 *
 * Owns:    *ret is the caller's (json_decref).
 * Threads: pure.
 * Limits:  ANSWER_JSON_DEPTH levels.
 * Errors:  MALFORMED (no whole answer, an error, deeper, the name of a field is no UTF-8 or has a NUL), NO_MEMORY. */
#ifndef TERRACE_SERVER_ANSWER_JSON_H
#define TERRACE_SERVER_ANSWER_JSON_H

#include "protocol/bytes.h"

#include <jansson.h>

enum {
    ANSWER_JSON_DEPTH = 16
};

/* NULL: no memory. */
json_t *answer_json_text(struct slice bytes);
enum status answer_json(struct slice resp3, json_t **ret) MUST_USE;
enum status answer_json_info(struct slice info, json_t **ret) MUST_USE;
/* As one line, the line end added. */
enum status answer_json_write(const json_t *json, struct buf *to) MUST_USE;

#endif
