/* SPDX-License-Identifier: BSD-3-Clause */
/* managed_write_inner.h -- the inside of managed_write.h, for managed_write.c (what is asked and sent, in what order) and
 * managed_answer.c (what became of it). */
#ifndef TERRACE_TIERS_MANAGED_WRITE_INNER_H
#define TERRACE_TIERS_MANAGED_WRITE_INNER_H

#include "protocol/frame.h"
#include "tiers/managed_write.h"
#include "tiers/window.h"

enum {
    MANAGED_NAME_SIZE = 40
};

/* What goes out together. Of the writes that wait for all nodes, after the reply, only those are left in it. */
struct managed_group {
    /* In managed_writes.queue, .refused or .under_way; in none while it waits for all nodes. */
    struct list link;
    struct managed_writes *owner;
    struct list writes;
    size_t count;
    struct buf args; /* of all commands, as bulk strings, */
    size_t words;    /* so many */
    struct buf body; /* of the frame */
    bool closed;     /* nothing is added any more */
    int64_t deadline_ms;
    bool alone;    /* sent as EVALSHA */
    bool streamed; /* its value has gone ahead */
    struct link_request request;
    struct tiers_confirm confirm;
    uint64_t seq;
    struct buf kept; /* the reply, while all nodes are waited for: errors point into it */
};

/* A window's. */
struct managed_writes {
    struct tiers_window *window;
    /* Sent, and not done; in the order in which they were asked: before all of `queue`. */
    struct list refused;
    struct list queue;     /* not sent yet; the last one may be open */
    struct list under_way; /* sent */
    size_t queued_bytes;   /* of both of the first two */
    struct epoch epoch;    /* that those under way name, or the refused ones named */
    int64_t retry_at_ms;   /* of the refused, if the node knows no other epoch */
    uint64_t known_at;     /* the connection (its client id) whose Redis has the script; 0: none */
    char name[MANAGED_NAME_SIZE]; /* of the script, for EVALSHA, as Redis says; zeros: not known */
};

static inline size_t group_bytes(const struct managed_group *group)
{
    return sizeof *group + group->args.size + group->body.size;
}

/* managed_answer.c: */
void group_free(struct managed_group *group);
void group_end_keys(struct managed_group *group); /* T1 */
/* All end alike, nothing was done; the group is gone. */
void group_fail(struct managed_group *group, enum status status);
void group_on_reply(struct link_request *request, enum status status, struct slice reply);

/* As managed_writes_send, past the table of write-behind (behind_desk.h). */
enum status managed_writes_pass(struct tiers_window *window, struct managed_write *const *writes,
                                size_t count, bool all_or_none) MUST_USE;

#endif
