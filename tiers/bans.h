/* SPDX-License-Identifier: BSD-3-Clause */
/* bans.h -- what was invalidated by tag, prefix or pattern: compared with a value's version when it is read.
 *
 * A BAN is a name (protocol/frame_ban.h) with two seqs, hard and soft. It binds every value of managed namespaces that fits
 * the name, wherever it is and whenever it comes (L1, L2, a late fill): dead if its version is below the hard seq, stale if
 * below the soft one. So to issue one costs the same whatever it binds, nothing is searched, and no index of tags exists
 * that could leak; a reader pays, once per value and new ban.
 *
 *      version >= the highest seq of all bans                      nothing binds it: one comparison
 *      else the worker's MEMO knows the verdict                    one line of memory
 *      else the TABLE, by hash:  each tag of the value             one look-up each
 *                                each length that some prefix has  one look-up each; the hash rolls on over the key
 *           and the LIST of conjunctions and globs, newest first, as far as they are newer than the value
 *
 * A value without an envelope has version 0 and no tags that anybody knows: prefixes and globs bind it as they fit, and every
 * ban of tags of its namespace does.
 *
 * Hashes only are compared, of 64 bits. Those of tags are the same everywhere (bans_tag_hash), so tags may be made up that
 * collide; those of prefixes hang on a secret of the process. A collision kills what was not meant, and shows nothing.
 *
 * READERS take no lock. Writers change the table where it is: seqs only rise there, and a new slot's hash is stored last. It
 * is replaced when it grows and when rows were removed, and the list with each change. Who still reads a former one:
 *
 *      writer   stores the new pointer, then ERA + 1; what it replaced may go when every memo has seen that era
 *      reader   uses pointers only inside of bans_check, and calls bans_quiet between two: memo.seen := ERA
 *
 * A memo that has seen the era (acquire) has seen the pointer before it, and its next check takes the new one; its former
 * checks came before it said so (release), so what they read may be freed. Each worker is quiet once per batch and at least
 * at its ticks, so nothing waits for a worker that sleeps. (A lock around each check was the other way: a read-modify-write
 * for each value, and a worker that is stopped inside would stop the control loop.)
 *      A verdict is remembered with the count of changes, which rises after each: a ban that comes late with a small seq (from
 * L2's hash) changes verdicts, too.
 *
 * NOTHING IS LOST. When memory or LIMIT_BANS forbid a row, everything below its seq is dead instead (BELOW). While it is not
 * known whether bans were missed (bans_set_whole), the verdict is BAN_UNKNOWN for every value that is not newer than all.
 *
 * A row may go when no value can be left that it binds: when it is older than the longest life of a value (then it had been
 * written before the ban, and has expired), or when a ban of everything is newer (bans_over). It goes when L2 has agreed
 * (bans_remove), which knows the longest life of all nodes. Where values may live for ever, no row grows so old: when
 * one is older than BANS_KEEP_MS and BANS_COVER_MS, all that are older than BANS_KEEP_MS are replaced by one of everything up
 * to the newest of them (bans_aged): once in BANS_COVER_MS at most, since clients that track are told to drop everything. So a
 * value that is older than that, and than a ban of anything, is loaded anew once.
 *
 * Owns:    rows, table, memos' places.
 * Threads: bans_check, bans_check_held, bans_check_known, bans_quiet: the thread of the memo. bans_count, bans_bytes,
 *          bans_reach: any. The rest: one, the control loop.
 * Units:   seqs and versions below 2^53; milliseconds of clock.h.
 * Limits:  LIMIT_BANS rows, of which LIMIT_BAN_LIST in the list; twice as many of the latter from other nodes.
 * Errors:  none; see above. */
#ifndef TERRACE_TIERS_BANS_H
#define TERRACE_TIERS_BANS_H

#include "protocol/frame.h"
#include "protocol/frame_ban.h"
#include "tiers/namespace.h"

enum ban_verdict {
    BAN_NONE,
    BAN_SOFT,
    BAN_HARD,
    BAN_UNKNOWN /* bans may have been missed: the value must not be shown as if it were good */
};

struct bans;
struct bans_memo;

struct bans *bans_new(void);       /* NULL: no memory. Whole, and without rows */
void bans_free(struct bans *bans); /* after all memos */

struct bans_memo *bans_memo_new(struct bans *bans); /* any thread; NULL: no memory */
void bans_memo_free(struct bans_memo *memo); /* any thread, after its last check; NULL is fine */

/* What an item keeps of a tag: the same on all nodes and after restarts. With the name of a namespace: of bans of it only. */
uint64_t bans_tag_hash(struct slice ns_name, struct slice tag);

/* `key_hash` as namespaces_hash; `tags`: tag_count hashes of 8 bytes, unaligned, of bans_tag_hash without a namespace. */
enum ban_verdict bans_check(const struct bans *bans, struct bans_memo *memo,
                            const struct namespace *ns, struct slice key, uint64_t key_hash,
                            uint64_t version, const char *tags, unsigned tag_count);
/* Of a value that this node alone has (behind.h): as bans_check, but the loss of L2's table (ban.lua) ends it not. What the
 * node knew of when it took the value is in its version, and what came later it was told of, or reads from L2. The thread
 * has a memo, which is not asked: for few. */
enum ban_verdict bans_check_held(const struct bans *bans, const struct namespace *ns,
                                 struct slice key, uint64_t version, const char *tags,
                                 unsigned tag_count);
/* Of a value of which L2 said itself that nothing binds it that this node may have missed (verdict.h): as bans_check_held,
 * but by what is known here, whole or not. */
enum ban_verdict bans_check_known(const struct bans *bans, const struct namespace *ns,
                                  struct slice key, uint64_t version, const char *tags,
                                  unsigned tag_count);
/* Up to where all bans are known here: those of this epoch up to this seq. */
struct bans_reach {
    struct epoch epoch; /* counter 0: none; the table was never read */
    uint64_t seq;
};
/* `heard_seq`: the newest that is heard now (coherence_known_seq), read before this is called. */
struct bans_reach bans_reach(const struct bans *bans, uint64_t heard_seq);
/* The check of that key comes soon. */
void bans_prefetch(struct bans_memo *memo, uint64_t key_hash);
void bans_quiet(struct bans_memo *memo);

/* --- the writer --- */

/* A ban that came from somewhere, perhaps again: its seqs rise to these. Its age counts back from now_ms. */
void bans_add(struct bans *bans, const struct frame_ban *ban, int64_t now_ms);
/* All of a frame's body. MALFORMED: what stood in front of the fault was added. */
enum status bans_add_all(struct bans *bans, struct slice body, uint64_t seq,
                         int64_t now_ms) MUST_USE;
/* False: bans may be missed from here on, until it is true again. */
void bans_set_whole(struct bans *bans, bool whole);
bool bans_is_whole(const struct bans *bans); /* any thread */
/* The table is that of this epoch; before it is whole again. And: it is whole up to this seq, but perhaps no further. */
void bans_set_epoch(struct bans *bans, struct epoch epoch);
void bans_set_reach(struct bans *bans, uint64_t seq);
/* Namespaces were made anew: a verdict may be another now. */
void bans_forget_verdicts(struct bans *bans);

/* Whether one more may be issued: false, and which limit. Any thread; nearly exact. */
bool bans_have_room(const struct bans *bans, enum frame_ban_kind kind, unsigned *ret_limit);

/* What this node knows, for a Redis that may have lost it: entries, until `body` is a frame full. *place is SIZE_MAX at first.
 * False: no more. Rows may come and go between two calls; one that stays is told at least once. */
bool bans_tell(const struct bans *bans, size_t *place, int64_t now_ms, struct buf *body);

/* Everything below that seq is dead: what bound it cannot be read. */
void bans_give_up(struct bans *bans, uint64_t seq);

/* Looks at `steps` rows; those that bind nothing any more are appended to `over` as entries, until it is a frame full.
 * life_ms: longest life of any value; 0: values may live for ever. To it BANS_SLACK_MS is added. What was removed leaves the
 * table when all rows have been looked at. */
void bans_over(struct bans *bans, int64_t now_ms, int64_t life_ms, unsigned steps,
               struct buf *over);
/* When all rows have been looked at with a life of 0, and one of them must be replaced: a seq above those of all that are older
 * than BANS_KEEP_MS. Said once. 0: none must. */
uint64_t bans_aged(struct bans *bans);
#define BANS_COVER_MS (INT64_C(24) * 3600 * 1000)
#define BANS_KEEP_MS  (30 * BANS_COVER_MS)
/* Removes these rows, unless their seqs have risen since. */
void bans_remove(struct bans *bans, struct slice over);
enum {
    BANS_SLACK_MS =
        10000 /* Redis' clock may be set by so much; so old may be what a node knows of the longest life */
};
/* Frees what no worker reads any more. */
void bans_reclaim(struct bans *bans);

uint64_t bans_count(const struct bans *bans);   /* rows */
uint64_t bans_bytes(const struct bans *bans);   /* of rows, table and list */
uint64_t bans_changes(const struct bans *bans); /* rises with each change; any thread */

#endif
