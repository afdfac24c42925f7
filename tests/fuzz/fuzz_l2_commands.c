/* SPDX-License-Identifier: BSD-3-Clause */
/* What L2 says to COMMAND: read whole or not at all; what was read can be found by its name. */
#include "protocol/check.h"
#include "tiers/l2_commands.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct l2_commands *commands = NULL;
    const struct slice reply = {(const char *)data, size};
    if (l2_commands_read(reply, &commands) != OK) {
        CHECK(commands == NULL);
        return 0;
    }
    CHECK(l2_commands_count(commands) <= size); /* never more than the bytes can hold */
    CHECK(l2_commands_equal(commands, commands));
    (void)l2_commands_find(commands, SLICE_LITERAL("get"));
    (void)l2_commands_find(commands, reply);
    l2_commands_free(commands);
    return 0;
}
