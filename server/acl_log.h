/* SPDX-License-Identifier: BSD-3-Clause */
/* acl_log.h -- ACL LOG: who was refused what, newest first. Refusals that are alike within a minute are one entry with a
 * count.
 *
 * Threads: any; one lock.
 * Limits:  as many entries as the caller says with each (acllog-max-len); LIMIT_ACL_LOG_WORD of each of their words. */
#ifndef TERRACE_SERVER_ACL_LOG_H
#define TERRACE_SERVER_ACL_LOG_H

#include "server/acl_check.h"

struct acl_log;

struct acl_event {
    enum acl_verdict reason;
    bool in_multi;
    struct slice object; /* the command, key or channel */
    struct slice username;
    struct slice client; /* a line of CLIENT LIST */
    int64_t at_ms;
    uint64_t count; /* set by the log */
};

struct acl_log *acl_log_new(void); /* NULL: no memory */
void acl_log_free(struct acl_log *log);
/* Without memory it is lost. true: worth a line in the node's log: nothing like it within a minute, and not the eleventh of
 * its second. */
bool acl_log_note(struct acl_log *log, const struct acl_event *event, size_t length_max);
void acl_log_reset(struct acl_log *log);

struct acl_log_visitor {
    void (*begin)(void *arg, size_t count);
    void (*each)(void *arg, const struct acl_event *event);
    void *arg;
};
void acl_log_visit(struct acl_log *log, size_t count_max, const struct acl_log_visitor *visitor);

#endif
