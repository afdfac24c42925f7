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
    struct l2_urls urls;
    char error[L2_URL_ERROR_MAX] = "";
    if (l2_urls_parse(text, &urls, error) == OK) {
        CHECK(urls.count > 0 && urls.count <= L2_URLS_MAX);
        for (size_t i = 0; i < urls.count; i++) {
            const struct l2_url *url = &urls.urls[i];
            char address[L2_URL_ADDRESS_MAX];
            l2_url_address(url, address);
            CHECK(url->host != NULL && url->host[0] != '\0' && address[0] != '\0');
            CHECK(url->is_unix || (url->port > 0 && url->port <= 65535));
            CHECK(i == 0 || urls.urls[i - 1].priority <= url->priority);
        }
        l2_urls_done(&urls);
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
