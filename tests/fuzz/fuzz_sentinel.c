/* SPDX-License-Identifier: BSD-3-Clause */
/* What a sentinel says: an address that is whole, or none. */
#include "protocol/check.h"
#include "tiers/sentinel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(struct slice input, const struct sentinel_address *address)
{
    CHECK(address->port > 0 && address->port <= 65535);
    CHECK(address->host.size > 0 && address->host.data >= input.data &&
          address->host.data + address->host.size <= input.data + input.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice input = {(const char *)data, size};
    struct sentinel_address address;
    if (sentinel_address_read(input, &address) == OK) {
        check_address(input, &address);
    }
    if (sentinel_switch_read(input, "m", &address) == OK) {
        check_address(input, &address);
    }
    return 0;
}
