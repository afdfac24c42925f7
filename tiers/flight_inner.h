/* SPDX-License-Identifier: BSD-3-Clause */
/* flight_inner.h -- a question to L2 and who waits for it: what flight.c (joining and landing), flight_ask.c (its words),
 * flight_value.c (the answer as an item), flight_guest.c (readers of other workers) and flight_row.c (those in front of
 * the turnstile) share.
 *
 * Threads: the window's; a guest travels between two. */
#ifndef TERRACE_TIERS_FLIGHT_INNER_H
#define TERRACE_TIERS_FLIGHT_INNER_H

#include "tiers/dictionary_desk.h"
#include "tiers/window.h"

struct flight_guest;

enum {
    FLIGHT_TTL_NO_KEY = -2, /* as Redis says it */
    FLIGHT_TTL_NONE = -3,   /* nothing was said */
    FLIGHT_LOOK_BYTES =
        64 << 10, /* of a value that nobody waits for, before its size is asked for */
};

/* What the value is asked for by. */
enum flight_step {
    FLIGHT_GET,
    FLIGHT_PIECE, /* GETRANGE of its first bytes, `most` and one */
    FLIGHT_SIZE,  /* STRLEN */
    FLIGHT_SCAN,  /* HSCAN */
    FLIGHT_HASH,  /* whole_hash.lua */
};

struct flight {
    struct tiers_window *window;
    const struct link *link; /* that carries the question; of no use when it has landed */
    uint64_t target;         /* of that link, when it landed */
    struct list in_window;
    struct list in_row; /* it has not been asked yet */
    int proto;
    uint64_t token; /* 0: a read without a claim, which nobody can join */
    bool of_hash;
    bool managed;
    enum flight_step step;
    bool in_steps; /* it was not the first question that brought the answer */
    size_t most;   /* of FLIGHT_PIECE: with more it is not whole */
    struct link_request ttl_request;
    struct link_request get_request;
    uint64_t large_size; /* of a managed value of which only the beginning comes */
    enum status refused; /* of the second request, if the link did not take it */
    int64_t issued_at_ms;
    int64_t fence_ms; /* how old the proof of its link may be */
    int64_t pttl_ms;  /* -1: does not expire; below: not known, so the value is not kept */
    /* The answer, while all nodes are waited for; or what it was in its place:. */
    struct item *item;
    struct buf error;
    struct tiers_confirm confirm;
    /* While its dictionary is read; or its beginning, while its size is asked for. */
    struct buf reply;
    struct desk_waiter dictionary;
    struct link_request verdict_request;
    bool judged; /* its value is of this moment, and not for L1 */
    struct tiers_reader *readers;
    struct tiers_reader **last_reader;
    struct flight_guest *guests;
    struct l1_key key; /* bytes in `bytes` */
    char bytes[];
};

/* flight.c. The flight of a claim; NULL: it has landed, or the claim is not of this window. */
struct flight *flight_find(struct tiers_window *window, const struct l1_key *key, uint64_t token);
/* PENDING: the reader will be told. `ret_in_row`: behind others, in the row. */
enum status flight_begin(struct tiers_window *window, const struct ns_key *wanted, int proto,
                         uint64_t token, int64_t fence_ms, struct tiers_reader *reader,
                         bool *ret_in_row) MUST_USE;
/* What it has in `value` is the answer: see flight_land. */
void flight_landed(struct flight *flight, enum status status, struct tiers_value *value);
/* Nobody waits for it but the node itself (revalidate.h). */
bool flight_is_in_background(const struct flight *flight);
/* The answer is here, or why there is none. Its readers are told, or will be; the flight is not the caller's any more. */
void flight_land(struct flight *flight, enum status status, struct slice reply);
/* The answer, or what L1 holds instead if there is none and the reader's contract goes so far. To one in the background
 * what L1 holds is no answer: it is the suspect that was to be read anew. */
void flight_tell_reader(struct tiers_window *window, const struct l1_key *key,
                        struct tiers_reader *reader, enum status status,
                        const struct tiers_value *value);

extern const char whole_hash_script[];

/* flight_ask.c. A new one's question, which is the reader's. */
void flight_prepare(struct flight *flight, const struct tiers_reader *reader);
/* The question goes out; its deadline counts from when it was wanted. Not OK: nothing will come. */
enum status flight_ask(struct flight *flight) MUST_USE;

/* An error that says nothing about the key: Redis is busy with a script, or loads its data. Others: it is no string. */
bool flight_error_is_of_l2(struct slice error);
/* L2 will not run for us what we chose to ask by (HSCAN, GETRANGE ...), which says nothing of what the reader wants. */
bool flight_error_is_of_words(struct slice error);

/* flight_value.c. The reply to GET, or HSCAN, as an item, NULL for nil. AGAIN: a dictionary is needed for it. L2_ERROR: L2's
 * words, of the reply's bytes. */
enum status flight_read_value(struct flight *flight, struct slice reply, struct item **ret_item,
                              struct slice *ret_error) MUST_USE;

/* flight_verdict.c. L2 is asked what the value is worth, which came in `reply` (of a large one its beginning):
 * flight_landed follows, and the item is the flight's. false: there is no need, or it cannot be asked. */
bool flight_ask_verdict(struct flight *flight, struct slice reply, struct item *item);

/* Of a managed one that L1 would not keep, by its beginning: all but its value. NO_MEMORY. */
enum status flight_read_large(struct flight *flight, struct slice beginning,
                              struct item **ret_item) MUST_USE;

/* flight_guest.c. Joins the flight of a claim of another worker: PENDING, NO_MEMORY, or BUSY (its mailbox is full). */
enum status flight_visit(struct tiers_window *window, const struct l1_key *key, int proto,
                         const struct l1_claim *claim, int64_t fence_ms,
                         struct tiers_reader *reader) MUST_USE;
/* All guests go home with the answer. */
void flight_tell_guests(struct flight *flight, enum status status, const struct tiers_value *value);
bool flight_guests_take_large(const struct flight *flight);

/* flight_row.c. While the link is down nobody waits: it says so at once. OK: it may be asked. PENDING: it is in the row.
 * L2_DOWN: the row is full. BUSY: nobody waits for it. */
enum status flight_admit(struct flight *flight, bool in_background) MUST_USE;

#endif
