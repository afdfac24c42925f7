/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/chronicle.h"

#include <stdarg.h>
#include <stdio.h>

void chronicle_note(struct chronicle *chronicle, int64_t now_ms, const char *address,
                    const char *region, const char *format, ...)
{
    struct cluster_event *event = &chronicle->events[chronicle->count++ % CLUSTER_EVENTS_MAX];
    event->at_ms = now_ms;
    (void)snprintf(event->address, sizeof event->address, "%s", address == NULL ? "" : address);
    (void)snprintf(event->region, sizeof event->region, "%s", region);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(event->what, sizeof event->what, format, arguments);
    va_end(arguments);
}

size_t chronicle_read(const struct chronicle *chronicle, struct cluster_event *events, size_t room)
{
    size_t kept =
        chronicle->count < CLUSTER_EVENTS_MAX ? (size_t)chronicle->count : CLUSTER_EVENTS_MAX;
    for (size_t i = 0; i < kept && i < room; i++) {
        events[i] = chronicle->events[(chronicle->count - 1 - i) % CLUSTER_EVENTS_MAX];
    }
    return kept;
}
