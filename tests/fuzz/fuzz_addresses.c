/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands behind `l2` and `listen`: accepted whole, or refused with a reason. */
#include "protocol/check.h"
#include "server/address.h"
#include "tiers/l2_url.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice text = {(const char *)data, size};
    struct l2_url url;
    char error[L2_URL_ERROR_MAX] = "";
    if (l2_url_parse(text, &url, error) == OK) {
        CHECK(url.host != NULL && url.host[0] != '\0');
        CHECK(url.is_unix || (url.port > 0 && url.port <= 65535));
        l2_url_done(&url);
    } else {
        CHECK(strnlen(error, sizeof(error)) > 0 && strnlen(error, sizeof(error)) < sizeof(error));
    }
    struct address address;
    char why[64] = "";
    if (address_parse(text, &address, why, sizeof(why)) == OK) {
        CHECK(address.size > 0);
        (void)address_is_loopback(&address);
    } else {
        CHECK(why[0] != '\0');
    }
    return 0;
}
