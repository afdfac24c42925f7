/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    WATCHDOG_PARTS = 4,
    EXTEND_EVERY_MS = 15000,
    MESSAGE_MAX = NOTIFY_STATUS_MAX + 96,
};
#define EXTEND "EXTEND_TIMEOUT_USEC=60000000\n"

struct notify {
    int fd;
    struct sockaddr_un address;
    socklen_t address_size;
    int64_t watchdog_ms; /* 0: none */
    int64_t watched_at_ms;
    int64_t extended_at_ms;  /* 0: not looked at yet */
    _Atomic bool told_ready; /* cleared by a reload */
    bool told_stopping;
    char told_status[NOTIFY_STATUS_MAX];
};

/* --- life ---------------------------------------------------------------------------------------------------------------- */

static bool address_of(const char *name, struct sockaddr_un *ret, socklen_t *ret_size)
{
    const size_t size = strlen(name);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((name[0] != '/' && name[0] != '@') || size >= sizeof(ret->sun_path)) {
        return false;
    }
    memcpy(ret->sun_path, name, size);
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    if (name[0] == '@') {
        ret->sun_path[0] = '\0';
    } else {
        (*ret_size)++; /* the zero behind a path */
    }
    return true;
}

/* 0: none, or another process'. */
static int64_t watchdog_of(const struct notify_place *place)
{
    if (place->watchdog_us == NULL ||
        (place->watchdog_pid != NULL && strtoll(place->watchdog_pid, NULL, 10) != getpid())) {
        return 0;
    }
    const long long us = strtoll(place->watchdog_us, NULL, 10);
    return us >= 1000 ? us / 1000 : 0;
}

struct notify *notify_new(const struct notify_place *place)
{
    struct sockaddr_un address;
    socklen_t size = 0;
    if (place->socket == NULL || !address_of(place->socket, &address, &size)) {
        return NULL;
    }
    struct notify *notify = calloc(1, sizeof(*notify));
    if (notify == NULL) {
        return NULL;
    }
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    notify->address = address;
    notify->address_size = size;
    notify->watchdog_ms = watchdog_of(place);
    if (notify->fd < 0) {
        free(notify);
        return NULL;
    }
    return notify;
}

void notify_free(struct notify *notify)
{
    if (notify != NULL) {
        (void)close(notify->fd);
        free(notify);
    }
}

/* --- saying -------------------------------------------------------------------------------------------------------------- */

static bool say(struct notify *notify, const char *message, size_t size)
{
    return sendto(notify->fd, message, size, MSG_NOSIGNAL,
                  (const struct sockaddr *)&notify->address, notify->address_size) == (ssize_t)size;
}

/* Several lines as one, cut to what fits. */
static void one_line(struct slice lines, char ret[NOTIFY_STATUS_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < lines.size && used + 3 < NOTIFY_STATUS_MAX; i++) {
        const bool last = i + 1 == lines.size;
        if (lines.data[i] != '\n') {
            ret[used++] = lines.data[i];
        } else if (!last) {
            ret[used++] = ';';
            ret[used++] = ' ';
        }
    }
    ret[used] = '\0';
}

static bool watchdog_is_due(const struct notify *notify, const struct notify_seen *seen,
                            int64_t now_ms)
{
    return notify->watchdog_ms > 0 &&
           now_ms - notify->watched_at_ms >= notify->watchdog_ms / WATCHDOG_PARTS &&
           seen->turned_at_ms > notify->watched_at_ms;
}

/* The first tick is within the time that the unit gives. */
static bool time_is_short(struct notify *notify, const struct notify_seen *seen, int64_t now_ms)
{
    if (notify->extended_at_ms == 0) {
        notify->extended_at_ms = now_ms;
    }
    return (seen->stopping || !atomic_load(&notify->told_ready)) &&
           now_ms - notify->extended_at_ms >= EXTEND_EVERY_MS;
}

void notify_tick(struct notify *notify, const struct notify_seen *seen, int64_t now_ms)
{
    char status[NOTIFY_STATUS_MAX];
    char message[MESSAGE_MAX];
    one_line(seen->status, status);
    const bool ready = seen->ready && !atomic_load(&notify->told_ready);
    const bool stopping = seen->stopping && !notify->told_stopping;
    const bool changed = strcmp(status, notify->told_status) != 0;
    const bool watched = watchdog_is_due(notify, seen, now_ms);
    const bool extends = time_is_short(notify, seen, now_ms);
    if (!ready && !stopping && !changed && !watched && !extends) {
        return;
    }
    const int size = snprintf(message, sizeof(message), "%s%s%s%s%s%s%s", ready ? "READY=1\n" : "",
                              stopping ? "STOPPING=1\n" : "", extends ? EXTEND : "",
                              watched ? "WATCHDOG=1\n" : "", changed ? "STATUS=" : "",
                              changed ? status : "", changed ? "\n" : "");
    if (!say(notify, message, (size_t)size)) {
        return;
    }
    if (ready) {
        atomic_store(&notify->told_ready, true);
    }
    notify->told_stopping = notify->told_stopping || stopping;
    notify->watched_at_ms = watched ? now_ms : notify->watched_at_ms;
    notify->extended_at_ms = extends ? now_ms : notify->extended_at_ms;
    memcpy(notify->told_status, status, sizeof(status));
}

void notify_reload(struct notify *notify, int64_t monotonic_us)
{
    char message[MESSAGE_MAX];
    if (atomic_load(&notify->told_ready)) {
        const int size = snprintf(message, sizeof(message),
                                  "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", monotonic_us);
        (void)!say(notify, message, (size_t)size);
    }
}

void notify_reloaded(struct notify *notify)
{
    atomic_store(&notify->told_ready, false);
}
