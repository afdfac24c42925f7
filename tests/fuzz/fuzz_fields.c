/* SPDX-License-Identifier: BSD-3-Clause */
/* The fields of a hash: any sequence of changes beside a naive list, and any answer of L2 to HSCAN, which is read whole or
 * not at all. */
#include "tests/unit/fields_ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum {
        INPUT_MAX = 1 << 12
    };
    if (size > 0 && data[0] != '*') {
        fields_ops_run(data, size < INPUT_MAX ? size : INPUT_MAX);
        return 0;
    }
    const struct hash_secret secret = ops_secret();
    struct fields_draft draft;
    CHECK(fields_open(&draft, &secret, (struct slice){0}, 0) == OK);
    if (fields_read_scan(&draft, (struct slice){(const char *)data, size}) == OK) {
        CHECK(fields_count(fields_bytes(&draft)) <= size);
    }
    ops_check_whole(&draft);
    fields_close(&draft);
    return 0;
}
