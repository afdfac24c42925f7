/* SPDX-License-Identifier: BSD-3-Clause */
/* managed_edit.h -- one managed key written by a client's command; where the command's answer hangs on what stands, read
 * first, and written only if the same still stands.
 *
 *      edit_begin                      decide > managed_write_send ~> answer > answer_land
 *      edit_begin, with `reads`        tiers_get (L2 itself) ~> decide > ... as above; another version stands: all again
 *
 * Each time it begins again somebody else's write went through; after EDIT_TRIES_MAX the answer is -BUSY. What was read is
 * not older than the call: L1 is not asked, and no read under way is joined.
 *
 * A key EXISTS for these commands as it does for those that read (managed_read.c): fresh, or stale and still to be served. What
 * may not be served any more is replaced as if it were not there, under the condition of its version.
 *
 * Owns:    an edit owns copies of key and value until its answer has landed.
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_MANAGED_EDIT_H
#define TERRACE_SERVER_MANAGED_EDIT_H

#include "protocol/envelope.h"
#include "server/call.h"
#include "tiers/managed.h"
#include "tiers/managed_write.h"
#include "tiers/tiers.h"

enum {
    EDIT_TRIES_MAX = 16
};
/* No life is longer: what goes through Lua is exact to 2^53, and Redis adds the time of day. */
#define EDIT_LIFE_MAX_MS (INT64_C(1) << 52)

struct edit;
struct upload_value;

struct edit_rule {
    /* What is to be done: edit_put, edit_delete or edit_expire, and true. false: nothing; it is answered in `reply`. */
    bool (*decide)(struct edit *edit, struct reply *reply);
    /* It is done, with this seq. */
    void (*answer)(const struct edit *edit, struct reply *reply, uint64_t seq);
    /* The lease did not stand any more. NULL: the client is answered as if it were done. */
    void (*lost)(const struct edit *edit, struct reply *reply);
};

/* What stands. */
struct edit_found {
    bool exists;
    bool is_other;        /* what exists is no string: its value is empty */
    uint64_t version;     /* of whatever stands, as managed_write.h counts */
    struct item *item;    /* a reference; NULL: nothing is there */
    struct slice value;   /* of one that exists */
    int64_t ttl_ms;       /* of one that exists; MANAGED_NO_END */
    int64_t looked_at_ms; /* clock.h */
};

/* What a put says of itself, where that is not the namespace's choice. */
struct edit_wishes {
    int64_t swr_ms; /* -1: as the namespace says */
    int64_t sie_ms;
    uint32_t load_ms;         /* what its load took; 0: not known */
    const struct slice *tags; /* until decide, of an edit that does not read */
    unsigned tag_count;
};

struct edit {
    struct tiers_reader reader; /* first: it is cast back */
    struct managed_write write;
    struct answer *answer; /* NULL while the call runs */
    struct worker *worker;
    const struct edit_rule *rule;
    bool reads;
    unsigned tries;
    struct edit_found found;
    /* The command's, set before edit_begin: */
    unsigned flags;
    int64_t life_ms; /* from the call on, as the client wishes; may be past */
    bool is_timed;   /* it wishes one */
    bool own_right;  /* it is never taken for the filling of a key that the client was to load */
    bool leased;     /* it fills in what was loaded under `token`, or nothing */
    bool ends_lease; /* of the client, in passing: under `token`, too */
    char token[MANAGED_TOKEN_SIZE];
    struct slice value;
    struct edit_wishes wishes;
    size_t size;  /* with the bytes behind it */
    bool streams; /* its value is on its way (upload.h), and can be written once, or not */
    struct upload_value *upload; /* until it is written */
};

/* Of the key argv[1]; `model` has the rule, `reads`, and what is the command's. Answers now or later. */
void edit_begin(struct call *call, const struct edit *model);

/* For decide. `life_ms`: fresh life, 0: no end. The namespace may write around: then it is a deletion. false: an error is in
 * `reply`. */
bool edit_put(struct edit *edit, struct reply *reply, int64_t life_ms);
/* That there is no such thing, for so long. */
bool edit_put_negative(struct edit *edit, struct reply *reply, int64_t life_ms);
void edit_delete(struct edit *edit);
void edit_expire(struct edit *edit, int64_t life_ms); /* fresh; 0: no end */
/* The fresh life of what is written: the client's wish, or what the namespace gives; 0: no end. */
int64_t edit_life_ms(const struct edit *edit);
/* The same of what shall have no end. */
int64_t edit_endless_ms(const struct edit *edit);

/* --- what managed writes share ------------------------------------------------------------------------------------- */

struct managed_put {
    int64_t life_ms;                  /* fresh; 0: no end */
    const struct edit_wishes *wishes; /* NULL: none */
    bool fills;                       /* what was loaded: not around */
    struct upload_value *upload;      /* in place of `value`; or NULL */
    struct slice value;
};
/* The envelope of a value of so many bytes, as far as its namespace says. */
struct envelope managed_stream_head(const struct namespace *ns, size_t size);
/* The fresh life of a write that asks for so much; 0: nothing. */
int64_t managed_write_life_ms(struct worker *worker, const struct managed_write *write,
                              int64_t asked_ms);
/* Makes `write` a put of the value, with its envelope in `room`, to be freed when it was sent; or a deletion, if the namespace writes
 * around. false: an error is answered. */
bool managed_make_put(struct worker *worker, struct managed_write *write,
                      const struct managed_put *put, struct buf *room, struct reply *reply);
/* Why a managed write was not done, or is not known to be: any status of managed_write.h but OK. */
void managed_refuse_write(struct reply *reply, struct worker *worker,
                          const struct managed_write *write, enum status status,
                          struct slice error);
/* What came of a read in front of a write, judged; the item is the found's. STALE: it is not known what was invalidated. */
enum status edit_look(struct worker *worker, const struct l1_key *key, struct item *item,
                      struct edit_found *ret_found) MUST_USE;
/* Of a read in front of a write; the key may be empty. AGAIN: meanwhile the namespace is not managed any more. */
void edit_refuse_read(struct reply *reply, struct worker *worker, enum status status,
                      struct slice key, struct slice error);
/* A write of the node's is done: clients that keep the key are told. */
void managed_tell_written(struct worker *worker, const struct managed_write *write);

#endif
