/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static enum status address_fail(char *why, size_t why_size, const char *text)
{
    (void)snprintf(why, why_size, "%s", text);
    return INVALID;
}

enum status address_parse(struct slice text, struct address *ret_address, char *why,
                          size_t why_size)
{
    static const struct slice scheme = SLICE_LITERAL("tls://");
    char host[64];
    const bool tls = slice_has_prefix(text, scheme);
    if (tls) {
        text = (struct slice){text.data + scheme.size, text.size - scheme.size};
    }
    size_t colon = text.size;
    while (colon > 0 && text.data[colon - 1] != ':') {
        colon--;
    }
    uint64_t port = 0;
    if (colon == 0 ||
        slice_to_u64((struct slice){text.data + colon, text.size - colon}, &port) != OK ||
        port > 65535) {
        return address_fail(why, why_size, "expected HOST:PORT with a port from 0 to 65535");
    }
    struct slice name = {text.data, colon - 1};
    if (name.size >= 2 && name.data[0] == '[' && name.data[name.size - 1] == ']') {
        name = (struct slice){name.data + 1, name.size - 2};
    }
    if (name.size >= sizeof(host)) {
        return address_fail(why, why_size, "the host is too long");
    }
    (void)snprintf(host, sizeof(host), "%.*s", (int)name.size, name.data);
    if (strcmp(host, "localhost") == 0) {
        (void)snprintf(host, sizeof(host), "127.0.0.1");
    } else if (strcmp(host, "*") == 0 || host[0] == '\0') {
        (void)snprintf(host, sizeof(host), "0.0.0.0");
    }
    *ret_address = (struct address){.tls = tls};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&ret_address->storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&ret_address->storage;
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        ret_address->size = sizeof(*in);
    } else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        ret_address->size = sizeof(*in6);
    } else {
        return address_fail(why, why_size, "expected an IP address, localhost or *");
    }
    return OK;
}

bool address_is_loopback(const struct address *address)
{
    if (address->storage.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address->storage;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&address->storage;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) != 0;
}
