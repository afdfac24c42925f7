/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_common.h -- one key read, decided about and written back: what the native write commands share.
 *
 * Without an L2 the node itself decides, while other workers do the same. A command therefore takes turns: a turn
 * holds what stands, decides, and commits against what it held. If another worker was faster the commit answers AGAIN
 * and the next turn decides anew; each AGAIN means that somebody else's change went through.
 *
 *      update_open(&update, call, 1, KIND_STRING);
 *      while (update_next(&update)) {     // update.old is what stands; NULL: no such key
 *          ...                            // exactly one of update_store / _expire / _remove / _leave / _refuse
 *      }
 *      if (update_ok(&update)) {
 *          reply_...                      // update.old is what the change was made from
 *      }
 *      update_close(&update);             // answers for want of memory, lets go
 *
 * Owns:    an update holds one reference to `old` and `item` until the next turn or update_close.
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_CMD_COMMON_H
#define TERRACE_SERVER_CMD_COMMON_H

#include "server/call.h"
#include "tiers/item.h"

/* Redis' proto-max-bulk-len message, of whatever makes a value longer. */
extern const char text_string_too_long[];
extern const char text_wrong_type[];

/* What a command is about. */
enum value_kind {
    KIND_ANY,
    KIND_STRING,
    KIND_HASH
};
/* Whether the item is of that kind, or NULL: no such key. */
static inline bool item_is_kind(const struct item *item, enum value_kind kind)
{
    return item == NULL || kind == KIND_ANY || item_is_hash(item) == (kind == KIND_HASH);
}

/* Whether L1 can keep the key; if not, the error is answered. */
bool call_key_fits(struct call *call, struct slice key);
/* What stands for the key, with a reference; NULL: no such key. */
struct item *call_hold(const struct call *call, const struct ns_key *key);
/* A read lookup, as Redis counts keyspace_hits and keyspace_misses. */
void call_count_lookup(const struct call *call, bool hit);
void call_count_lookups(const struct call *call, uint64_t hits, uint64_t misses);
/* The value of `item`, or null if it is NULL. */
void call_reply_item(struct call *call, struct item *item);
/* An integer argument; false: "value is not an integer or out of range" is answered. */
bool call_integer(struct call *call, uint32_t i, int64_t *ret_number);
/* The same for what Redis keeps in an int. `text` is answered instead of its usual words, unless NULL. */
bool call_int(struct call *call, uint32_t i, const char *text, int64_t *ret_number);
/* What SCAN and HSCAN begin with; false: "invalid cursor" is answered. */
bool call_cursor(struct call *call, uint32_t i, uint64_t *ret_cursor);
/* false: "DB index is out of range" is answered. */
bool call_database(struct call *call, int64_t number, uint8_t *ret_db);

/* All arguments as keys, looked at in one step (l1_get_several); the caller lets go of the items and frees the array. NULL: no
 * memory, which is answered. */
struct l1_several *call_get_several(struct call *call, bool uses);
/* Answers how many of them are there. */
void call_reply_count(struct call *call, bool uses);

/* Deletes the keys argv[first] up to argv[end - 1], all at once. OK, or no memory. */
enum status call_delete(struct call *call, uint32_t first, uint32_t end,
                        size_t *ret_count) MUST_USE;

struct update {
    struct call *call;
    struct ns_key key;
    struct item *old;
    struct item *item; /* built by update_room */
    bool blind;        /* whatever stands is replaced; old stays NULL */
    enum value_kind kind;
    enum status status;
};

/* A turn that finds a value of another kind is over, and WRONGTYPE answered. */
void update_open(struct update *update, struct call *call, uint32_t key_arg, enum value_kind kind);
void update_open_blind(struct update *update, struct call *call, uint32_t key_arg);
bool update_next(struct update *update);

struct slice update_value(const struct update *update); /* of `old`; empty if there is none */
int64_t update_expire_at_ms(
    const struct update *update); /* of `old`; ITEM_NEVER if there is none */
/* Room for the new value. NULL: the turn is over, an error is (or will be) answered. */
char *update_room(struct update *update, size_t size, int64_t expire_at_ms, enum item_look look);
void update_store(struct update *update); /* what update_room gave; removes if its expiry is past */
void update_put(
    struct update *update, struct slice value,
    int64_t expire_at_ms); /* room, copy, store; or store what the value lies in already */
void update_put_as(struct update *update, struct slice value, int64_t expire_at_ms,
                   enum item_look look); /* room, copy, store */
void update_expire(struct update *update,
                   int64_t expire_at_ms);  /* the same value under another expiry */
void update_remove(struct update *update); /* fine if there is nothing */
void update_leave(struct update *update);  /* nothing is to change */
void update_fail(struct update *update);   /* an error is answered already */
void update_refuse(struct update *update, const char *text); /* answers the error */

bool update_ok(const struct update *update); /* the last turn went through */
void update_close(struct update *update);

#endif
