/* SPDX-License-Identifier: BSD-3-Clause */
/* load_inner.h -- what the files of load.h share: load.c (loads: who waits, and for what), load_wait.c (one who waits),
 * load_gate.c (who asks for several keys), load_lease.c (the script's calls), load_tick.c (time).
 *
 * Threads: the window's. */
#ifndef TERRACE_TIERS_LOAD_INNER_H
#define TERRACE_TIERS_LOAD_INNER_H

#include "tiers/base/map.h"
#include "tiers/base/rand.h"
#include "tiers/load.h"
#include "tiers/wakes.h"
#include "tiers/window.h"

enum {
    LOAD_EPOCH_MS = 50, /* until the node may know the epoch that Redis has */
    /* A failure is told for so long, where nothing may be served: to all who wait, on all nodes. */
    LOAD_ECHO_MS = 100,
    LOAD_RENEW_MS = LEASE_LIFE_MS / 3
};

/* One asker, from the first PENDING on. */
struct load_wait {
    struct tiers_reader reader; /* first: it is cast back */
    struct loads *loads;
    struct load_ask ask;
    struct list in_all;
    struct list in_load; /* of the load it waits for; alone while L2 is read for it */
    struct item *item;   /* what could be served, with a reference; or NULL */
    int64_t soft_at_ms;
    int64_t hard_at_ms;
    int64_t last_at_ms; /* the same of one that is not hurried */
    unsigned rounds;
    bool flies;   /* the tiers have its reader */
    bool comes;   /* counted by its gate */
    bool is_told; /* it is here only because it flies */
    size_t key_room;
    struct l1_key key; /* bytes in `bytes`, once it waits */
    char bytes[];
};

enum load_state {
    LOAD_LEASING,
    LOAD_HELD,
    LOAD_WAITING
};

/* Why nobody loads: of LOAD_WAITING. */
enum load_mark {
    LOAD_UNMARKED, /* somebody else does */
    LOAD_THROTTLED,
    LOAD_IDLE
};

/* What is known of a key that is not fresh. */
struct load_facts {
    uint64_t seen;  /* the version in L2 */
    bool seen_any;  /* that does not matter any more */
    bool has_spare; /* something may be served if the load fails */
};

struct load {
    struct map_node by_key;
    struct list in_due; /* HELD: of `held`. Or of a walk */
    struct loads *loads;
    enum load_state state;
    enum load_mark mark;
    struct list waits;
    char token[LEASE_TOKEN_SIZE]; /* asked for, or held */
    bool plain;                   /* whoever holds it knows no tokens */
    bool woken;                   /* while the script was asked */
    bool in_vain;                 /* a plain client has waited for as long as it may */
    struct load_facts facts;
    int64_t renew_at_ms;
    int64_t until_ms; /* HELD: the loader has so long. WAITING: then all ask again */
    struct l1_key key;
    char bytes[];
};

struct loads {
    struct tiers_window *window;
    struct map by_key;
    struct list waits;
    struct list held; /* the first is to be renewed first */
    size_t held_count;
    size_t wait_count;
    int64_t due_ms; /* the first budget that ends */
    int64_t walk_at_ms;
    struct rand rand;
    struct wakes_seat seat;
};

struct loads *loads_of(struct tiers_window *window); /* from its first use on. NULL: no memory */
struct load *load_find(const struct loads *loads, const struct l1_key *key); /* NULL: none */

bool load_is_token(const struct load *load, const char *token); /* the load is held with it */
/* Nobody loads, for this reason, and the time of that is not over. */
bool load_is_marked(const struct load *load, enum load_mark mark);
/* The wait is in it from now on. Nobody is told from inside. NO_MEMORY. */
enum status load_join(struct load *load, struct load_wait *wait,
                      const struct load_facts *facts) MUST_USE;
enum status load_begin(struct loads *loads, struct load_wait *wait,
                       const struct load_facts *facts) MUST_USE;

/* It is over, and all who wait for it look anew. */
void load_dissolve(struct load *load);
/* Of one that is held. Its loader had his time: */
void load_time_out(struct load *load);
void load_renew(struct load *load);

/* load_wait.c: of waits that are in no load any more. How an asker stands to what he has: */
enum load_worth {
    WORTH_ENOUGH,     /* it is fresh */
    WORTH_REFRESHING, /* he may have it at once; it should be loaded anew */
    WORTH_WAITING,    /* it should be loaded; if that takes long he may have it */
    WORTH_NOTHING     /* he may not have it */
};
enum load_worth load_worth(const struct load_wait *wait);
void load_offer(const struct load_wait *wait, struct load_result *ret); /* that, or MISSED */
/* Its asker is told, and it is over. */
void load_tell(struct load_wait *wait, enum status status, const struct load_result *result);
bool load_tell_spare(struct load_wait *wait); /* what he has; false: he may have nothing of it */
void load_tell_or(struct load_wait *wait, enum load_outcome outcome);
void load_give_up(struct load_wait *wait); /* too many, too long: what he has, or MISSED, or BUSY */
void load_ask_again(struct load_wait *wait);
void load_decide(struct load_wait *wait);    /* anew, by what it has */
void load_wait_park(struct load_wait *wait); /* it waits for the load of its key; nobody is told */

/* load_gate.c. L2 is asked for its value. */
void load_gate_expect(struct load_wait *wait);
/* What it has must be loaded. true: it waits at its gate. */
bool load_gate_parks(struct load_wait *wait);
/* It is about to be told. The gate, if others are there; else that may be gone when it was told. */
struct load_gate *load_gate_leave(struct load_wait *wait);
/* It was told. `won`: to load. */
void load_gate_look(struct load_gate *gate, bool won);

/* load_lease.c. Fills in what the window knows of the request. The answer goes to the load of that key and token, if it
 * still wants it. NULL: it was not sent. */
struct lease_call *load_ask_lease(struct loads *loads, const struct l1_key *key,
                                  struct lease_request *request);
/* Who is told of it otherwise. */
void load_call_on_ended(struct lease_call *call, load_ended_fn *on_ended);
/* The answers; not from inside. They may end the load. `error`: of L2_ERROR. */
void load_on_win(struct load *load, enum status status, const struct lease_answer *answer,
                 struct slice error);
void load_on_renewed(struct load *load, enum status status, const struct lease_answer *answer);

#endif
