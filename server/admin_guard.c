/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/admin_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

enum {
    ALLOWED = 0,
    UNAUTHORIZED = 401,
    FORBIDDEN = 403
};

static bool is_loopback(const struct sockaddr *client)
{
    if (client == NULL) {
        return false;
    }
    if (client->sa_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const void *)client;
        return ntohl(ipv4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (client->sa_family != AF_INET6) {
        return false;
    }
    const struct in6_addr *ipv6 = &((const struct sockaddr_in6 *)(const void *)client)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(ipv6) ||
           (IN6_IS_ADDR_V4MAPPED(ipv6) && ipv6->s6_addr[12] == IN_LOOPBACKNET);
}

static bool same_token(struct slice shown, struct slice token)
{
    unsigned char left[SHA256_DIGEST_LENGTH];
    unsigned char right[SHA256_DIGEST_LENGTH];
    (void)SHA256((const unsigned char *)shown.data, shown.size, left);
    (void)SHA256((const unsigned char *)token.data, token.size, right);
    return CRYPTO_memcmp(left, right, sizeof(left)) == 0;
}

static bool shows_token(const struct admin_ask *ask)
{
    struct slice shown = ask->authorization;
    const struct slice scheme = slice_next_word(&shown, " ");
    if (ask->token.size == 0 || !slice_is_nocase(scheme, "bearer") || shown.size < 2) {
        return false;
    }
    shown.data++;
    shown.size--;
    return same_token(shown, ask->token);
}

/* HOST, HOST:PORT, [HOST], [HOST]:PORT. */
static struct slice without_port(struct slice host)
{
    if (host.size > 0 && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.size);
        return end == NULL ? (struct slice){0}
                           : (struct slice){host.data + 1, (size_t)(end - host.data) - 1};
    }
    const char *colon = host.size == 0 ? NULL : memchr(host.data, ':', host.size);
    return colon == NULL ? host : (struct slice){host.data, (size_t)(colon - host.data)};
}

static bool is_address(struct slice host)
{
    char text[INET6_ADDRSTRLEN] = "";
    unsigned char bytes[sizeof(struct in6_addr)];
    if (host.size == 0 || host.size >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.data, host.size);
    return strlen(text) == host.size &&
           (inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1);
}

static bool is_ours(const struct admin_ask *ask)
{
    const struct slice host = without_port(ask->host);
    return ask->host.size == 0 || is_address(host) || slice_is_nocase(host, "localhost") ||
           (ask->own_host.size > 0 && slice_equal_nocase(host, ask->own_host));
}

unsigned admin_guard(const struct admin_ask *ask, const char **ret_why)
{
    if (shows_token(ask)) {
        return ALLOWED;
    }
    if (ask->authorization.size > 0 && ask->token.size > 0) {
        *ret_why = "this is not the token of admin-token";
        return UNAUTHORIZED;
    }
    const bool near = is_loopback(ask->client);
    if (ask->changes || !near) {
        if (ask->token.size > 0) {
            *ret_why = "show the token: Authorization: Bearer TOKEN, as admin-token has it";
            return UNAUTHORIZED;
        }
        *ret_why = ask->changes ? "what changes state needs a token: set admin-token, and send "
                                  "Authorization: Bearer TOKEN"
                                : "clients beyond loopback need a token: set admin-token, and send "
                                  "Authorization: Bearer TOKEN";
        return FORBIDDEN;
    }
    if (!is_ours(ask)) {
        *ret_why = "the Host is no address of this machine: ask 127.0.0.1 or localhost, or show "
                   "the token of admin-token";
        return FORBIDDEN;
    }
    return ALLOWED;
}
