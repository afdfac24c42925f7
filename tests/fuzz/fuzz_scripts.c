/* SPDX-License-Identifier: BSD-3-Clause */
/* Texts of scripts: a normal form stays what it is, and is never longer than there is room. */
#include "protocol/check.h"
#include "server/scripts.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char once[SCRIPT_NORMAL_MAX];
    char twice[SCRIPT_NORMAL_MAX];
    const struct slice text = {(const char *)data, size};
    const size_t room = size > 0 ? data[0] * (size_t)2 : 0;
    const size_t used = script_normalise(text, once, room);
    CHECK(used <= room);
    if (used > 0) {
        CHECK(script_normalise((struct slice){once, used}, twice, used) == used);
        CHECK(memcmp(once, twice, used) == 0);
    }
    (void)script_recognise(text);
    return 0;
}
