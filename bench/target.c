/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/target.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static enum status refuse(struct target *target, const char *why)
{
    (void)snprintf(target->error, sizeof target->error, "%.200s: %s", target->name, why);
    return INVALID;
}

static enum status resolve_path(struct target *target, const char *path)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&target->address;
    if (strlen(path) >= sizeof address->sun_path) {
        return refuse(target, "the path is too long for a unix socket");
    }
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path) + 1);
    target->address_size = sizeof *address;
    return OK;
}

enum status target_resolve(struct target *target, const char *text)
{
    *target = (struct target){0};
    (void)snprintf(target->name, sizeof target->name, "%s", text);
    if (text[0] == '/') {
        return resolve_path(target, text);
    }
    if (strncmp(text, "unix://", 7) == 0) {
        return resolve_path(target, text + 7);
    }
    char host[sizeof target->name];
    (void)snprintf(host, sizeof host, "%s", text);
    char *colon = strrchr(host, ':');
    if (colon == NULL || colon == host || colon[1] == '\0') {
        return refuse(target, "expected HOST:PORT, /PATH or unix:///PATH");
    }
    *colon = '\0';
    char *name = host;
    if (host[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        name = host + 1;
    }
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(name, colon + 1, &hints, &found);
    if (failure != 0) {
        return refuse(target, gai_strerror(failure));
    }
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    target->address_size = found->ai_addrlen;
    freeaddrinfo(found);
    return OK;
}
