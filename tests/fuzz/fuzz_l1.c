/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_l1.c -- any sequence of operations on the L1s of a node, beside a naive map (tests/unit/l1_ops.h). */
#include "tests/unit/l1_ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum {
        INPUT_MAX = 1 << 16
    };
    (void)l1_ops_run(data, size < INPUT_MAX ? size : INPUT_MAX);
    return 0;
}
