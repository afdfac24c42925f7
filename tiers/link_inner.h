/* SPDX-License-Identifier: BSD-3-Clause */
/* link_inner.h -- the inside of a link, for link.c (its states, what comes in), link_out.c (what goes out),
 * link_greeting.c (what is said first), link_fence.c (whether a read is good), link_deadline.c (what is overdue),
 * link_large.c (replies that are not gathered) and link_doom.c (writes that were lost). */
#ifndef TERRACE_TIERS_LINK_INNER_H
#define TERRACE_TIERS_LINK_INNER_H

#include "tiers/link.h"
#include "tiers/link_fifo.h"

enum {
    LINK_MAGIC = 0x4c494e4b,
    LINK_WHY_MAX = BEAT_ERROR_MAX,
    LINK_SELECT_MAX = 40,          /* bytes of a SELECT request */
    LINK_BEATS_MAX = 4,            /* checks that were not answered yet */
    LINK_BUFFER_KEPT = 256 * 1024, /* an empty buffer larger than this is given back */
};
#define LINK_NEVER_MS (INT64_MIN / 2) /* longer ago than any bound */

/* The replies of a greeting, in order. */
enum greeting_step {
    GREET_AUTH,
    GREET_HELLO,
    GREET_CLIENT_ID,
    GREET_BEAT,
    GREET_SELECT,
    GREET_KILL
};

struct link_fence {
    uint64_t target;    /* of the newest beat that succeeded on this connection; 0: none did */
    uint64_t reign;     /* of the newest beat that was answered (beat.h); 0: none */
    struct epoch epoch; /* the newest that this connection saw */
    int64_t proved_ms;  /* send time of the newest beat that succeeded */
    int64_t beat_at_ms; /* send time of the newest beat */
    int64_t beats_ms[LINK_BEATS_MAX]; /* send times of those under way */
    unsigned beat_count;
    int64_t doubt_since_ms; /* since then checks find another epoch and another reign; 0: not so */
    int64_t bound_ms;       /* of the last fenced request: how long that may go on */
    struct link_fifo kept;  /* their replies are in `bytes` */
    struct buf bytes;
};

/* Writes that one lost connection may or may not have brought to Redis. */
struct link_doomed {
    struct link_doomed *next; /* the one lost later */
    uint64_t client_id;       /* of the connection, */
    uint64_t run;             /* at this process, */
    const struct l2_url *url; /* reached at this address, */
    uint64_t epoch;           /* in this epoch or a later one */
    int64_t until_ms;
    bool asked;    /* its CLIENT KILL is in the present greeting */
    bool given_up; /* its writes have ended; it is still to be killed */
    struct link_fifo writes;
};

/* A large reply, the first of `sent`. */
struct link_large {
    uint64_t left; /* bytes still to come; 0: there is none */
    bool gathers;  /* the reply that is coming has been looked at, and is gathered */
    bool held;
};

struct link {
    unsigned magic;
    struct link_options options;
    void *socket; /* the roof's */
    struct rand rand;
    enum link_state state;
    bool down;
    bool freed;         /* link_free is at work */
    unsigned callbacks; /* how many are on the stack: the link must not be freed then */
    unsigned failures;  /* in a row */
    int64_t retry_at_ms;
    int64_t overdue_at_ms; /* of CONNECTING and GREETING */
    uint64_t connection;   /* changes with every loss, so that a loop around callbacks notices */
    char why[LINK_WHY_MAX];

    /* of the present connection */
    enum greeting_step step;
    int select_next; /* database that GREET_SELECT waits for */
    struct beat_answer greeting;
    int64_t greeted_at_ms; /* its send time */
    struct link_fence fence;
    struct link_doomed *doomed; /* of connections before; oldest first */
    uint64_t client_id;
    int selected;
    uint32_t databases;      /* bit per database that SELECT accepted */
    int64_t silent_since_ms; /* a read expired and no byte came since; 0: not so */

    struct link_fifo sent;
    struct link_fifo waiting; /* their bytes are in `held` */
    struct buf held;
    int64_t earliest_ms; /* no deadline passes before; 0: look */

    struct buf out;
    size_t out_head;  /* bytes of `out` that are written */
    uint64_t written; /* bytes of all connections: the position of out_head in the stream */
    bool poured;      /* the output ends in the middle of a request */

    struct buf in;
    size_t in_head;
    struct reply_framer framer;
    struct link_large large;
    bool reading;
};

/* link.c: */
void link_become_ready(struct link *link); /* tells on_ready, sends what waited */
void link_explain(struct link *link,
                  const char *why); /* what link_why_down says of a request that ends now */
void link_end_request(struct link *link, struct link_request *request, enum status status,
                      struct slice reply); /* the one place that calls on_reply */
void link_count(struct link *link, enum metric id);

/* link_out.c: */
void link_out_announce(struct link *link,
                       size_t size_before); /* bytes were put behind the first `size_before` */
enum status link_out_beat(struct link *link,
                          struct slice check) MUST_USE; /* to the output, with its slot */
void link_out_waiting(struct link *link);               /* sends what waited, in order */

/* link_fence.c: */
void link_fence_greeted(struct link *link);
void link_fence_lost(struct link *link);
/* A fenced request is about to be sent, or to wait for the link: puts a check in front of it if there must be one. */
void link_fence_ask(struct link *link, const struct link_request *request);
void link_fence_take_beat(struct link *link, struct slice reply, int64_t now_ms);
void link_fence_keep(struct link *link, struct link_request *request, struct slice reply,
                     enum status status, int64_t now_ms); /* until the next beat, then `status` */
void link_fence_end_kept(struct link *link);              /* with L2_DOWN */
void link_fence_tick(struct link *link, int64_t now_ms);

/* link_deadline.c: */
void link_deadline_note(struct link *link,
                        const struct link_request *request); /* it is among the link's now */
/* Ends what is overdue. A write without an answer may still run: it costs the connection. */
void link_deadline_tick(struct link *link, int64_t now_ms);

/* link_large.c: */
/* For a reply of which only a beginning is in `input`: whether it comes as a large one from here on. */
bool link_large_begin(struct link *link, struct slice input, int64_t now_ms);
/* The next bytes of it; how many of `input` they are. */
size_t link_large_take(struct link *link, struct slice input);

/* link_doom.c: */
/* Takes the written writes out of what was sent, if somebody is to wait for their end. */
void link_doom(struct link *link, struct link_fifo *sent, uint64_t written, int64_t now_ms);
void link_doom_lost(struct link *link);
void link_doom_free(struct link *link);
void link_doom_tick(struct link *link, int64_t now_ms);
void link_doom_greeted(
    struct link *link); /* the beat was answered: appends what is to be killed; may lose the link */
bool link_doom_waits(const struct link *link); /* for the answer of a CLIENT KILL */
void link_doom_take_kill(struct link *link,
                         bool is_number); /* the oldest one's; may lose the link */

bool link_fence_is_newest(const struct link *link); /* link_options.is_newest */
/* Whether a reply that comes now may be handed over. */
static inline bool link_fence_is_open(const struct link *link, const struct link_request *request,
                                      int64_t now_ms)
{
    return request->fence_ms == 0 || (now_ms - link->fence.proved_ms <= request->fence_ms &&
                                      link->fence.kept.count == 0 && link_fence_is_newest(link));
}

/* link_greeting.c: */
enum status link_greeting_append(struct link *link,
                                 int64_t now_ms) MUST_USE; /* all of it, to the output */
void link_greeting_take(struct link *link, struct slice reply,
                        int64_t now_ms); /* each reply, in order */
/* "SELECT n" as bytes; returns how many. */
size_t link_select_write(char dst[LINK_SELECT_MAX], int db);

#endif
