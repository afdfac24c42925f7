/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_warm_log.c -- any bytes as an access log, cut into lines. What must hold: no count is more than the lines allow,
 * keys are within their limit, the hottest come first; and (by the sanitizers) no step beyond a line. */
#include "protocol/check.h"
#include "protocol/limits.h"
#include "server/warm_log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    KEYS = 8
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct warm_log *log = warm_log_new(KEYS, 5);
    struct warm_log_row *rows = NULL;
    size_t count = 0;
    CHECK(log != NULL);
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        const size_t length = end == NULL ? size - at : (size_t)(end - data) - at;
        char *line = malloc(length + 1); /* at an address of its own */
        CHECK(line != NULL);
        memcpy(line, data + at, length);
        CHECK(warm_log_line(log, (struct slice){line, length}) == OK);
        free(line);
        at += length + 1;
    }
    CHECK(warm_log_take(log, KEYS, &rows, &count) == OK && count <= KEYS);
    for (size_t i = 0; i < count; i++) {
        CHECK(rows[i].key.size < LIMIT_L1_KEY && rows[i].db < LIMIT_DATABASES);
        CHECK(rows[i].count > 0 && rows[i].count <= size);
        CHECK(i == 0 || rows[i - 1].count >= rows[i].count);
    }
    free(rows);
    warm_log_free(log);
    return 0;
}
