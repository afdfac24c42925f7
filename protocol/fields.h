/* SPDX-License-Identifier: BSD-3-Clause */
/* fields.h -- the fields of a hash with their values, packed into one run of bytes.
 *
 * Entries stand in the order in which they came. Few of them are searched one by one; from FIELDS_FEW, or FIELDS_SMALL
 * bytes, on an index of offsets stands at the end, at most three quarters full:
 *
 *      few:    head  entry entry ...                         count
 *      many:   head  entry entry (gone) entry  ...room...  index     count, slots, filled, gone, used
 *
 *      entry:  field size, value size, field, value          sizes of 1 byte below SIZE_GONE, else of 5
 *
 * Where there are few, a value that changes stays in its place, and what is removed leaves no gap. Where there are many, a
 * value of another size moves to the end and leaves a gap behind; when gaps are a third of all, they are closed. So one
 * change costs the same in a large hash as in a small one, but for the copy that a draft begins with.
 *
 * The index is ordered by the hash of the field, from whose upper bits its slot comes: a walk by hash (fields_scan) goes
 * on where it was, however the index has grown meanwhile.
 *
 * Owns:    a draft owns its bytes until fields_close; slices borrow.
 * Threads: pure. The secret must be the same for all who touch the same bytes.
 * Limits:  FIELDS_BYTES_MAX in all.
 * Errors:  TOO_BIG, NO_MEMORY; the draft is as it was before. */
#ifndef TERRACE_PROTOCOL_FIELDS_H
#define TERRACE_PROTOCOL_FIELDS_H

#include "protocol/hash.h"
#include "protocol/limits.h"

enum {
    FIELDS_FEW = 512,        /* as Redis' listpacks */
    FIELDS_SMALL = 64 << 10, /* bytes that may be moved for one change */
};
#define FIELDS_BYTES_MAX LIMIT_BULK

struct fields_pair {
    struct slice field;
    struct slice value;
};

/* --- reading; the bytes are those of a draft --- */

size_t fields_count(struct slice bytes);
/* The pair at `*at`, which begins with 0, in the order of the entries. false: no more. */
bool fields_next(struct slice bytes, size_t *at, struct fields_pair *ret_pair);
/* MISS: no such field. */
enum status fields_find(struct slice bytes, const struct hash_secret *secret, struct slice field,
                        struct slice *ret_value) MUST_USE;

/* One step of a walk by hash: about `count` pairs from `cursor` on, which begins and ends with 0. A field that was there
 * from the first to the last step is visited at least once. Few fields are all visited at once, whatever the cursor. */
typedef void fields_visit_fn(void *arg, const struct fields_pair *pair);
uint64_t fields_scan(struct slice bytes, const struct hash_secret *secret, uint64_t cursor,
                     size_t count, fields_visit_fn *visit, void *arg);

/* A pair that a random number leads to, each as likely as any other. false: to none; try another number. */
bool fields_pick(struct slice bytes, uint64_t random, struct fields_pair *ret_pair) MUST_USE;

/* --- writing --- */

struct fields_draft {
    struct buf bytes;
    const struct hash_secret *secret; /* borrowed */
};

/* `bytes` empty: no fields. `more`: how many bytes of fields and values will come, about. */
enum status fields_open(struct fields_draft *draft, const struct hash_secret *secret,
                        struct slice bytes, size_t more) MUST_USE;
void fields_close(struct fields_draft *draft);
struct slice fields_bytes(const struct fields_draft *draft);
/* The slices must not lie in the draft. */
enum status fields_set(struct fields_draft *draft, struct slice field, struct slice value,
                       bool *ret_is_new) MUST_USE;
bool fields_remove(struct fields_draft *draft, struct slice field); /* false: no such field */

/* What Redis answers to `HSCAN key 0 COUNT n`, into an open draft: all of the hash, or TOO_BIG: it goes on. MISS: no such
 * key. MALFORMED, NO_MEMORY. */
enum status fields_read_scan(struct fields_draft *draft, struct slice reply) MUST_USE;

#endif
