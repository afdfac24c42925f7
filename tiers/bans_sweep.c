/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/bans_sweep.h"

#include "protocol/limits.h"
#include "tiers/managed.h"

#include <stdlib.h>

enum {
    SLICE = 64 /* entries of one step of L1's scan */
};

/* Where in all of L1. */
struct place {
    unsigned ns; /* namespaces_next */
    uint8_t db;
    uint64_t cursor;
};

struct walk {
    struct namespaces *spaces;
    const struct bans *bans;
    struct bans_memo *memo;
    int64_t now_ms;
    bool drops;           /* what is dead; else it is only counted */
    struct namespace *ns; /* of the slice */
    unsigned looked;
    unsigned bound;
};

static void visit(void *arg, struct item *item)
{
    struct walk *walk = arg;
    struct managed_value value;
    walk->looked++;
    if (item_is_hash(item) ||
        managed_open(item_value(item), item_expire_at_ms(item), &value) != OK) {
        return;
    }
    const struct l1_key key = namespaces_key(walk->spaces, item_db(item), item_key(item)).at;
    if (bans_check(walk->bans, walk->memo, walk->ns, key.bytes, key.hash, value.version, value.tags,
                   value.tag_count) != BAN_HARD) {
        return;
    }
    walk->bound += walk->drops ? l1_invalidate(walk->ns->l1, &key) : 1;
}

/* The next namespace that is managed, from place->ns on; NULL: no more. */
static struct namespace *managed_at(const struct walk *walk, struct place *place)
{
    unsigned next = place->ns;
    struct namespace *ns = namespaces_next(walk->spaces, &next);
    while (ns != NULL && !ns->managed) {
        ns = namespaces_next(walk->spaces, &next);
    }
    place->ns = ns == NULL ? next : next - 1;
    return ns;
}

/* One slice. False: that was all. */
static bool step(struct walk *walk, struct place *place)
{
    walk->ns = managed_at(walk, place);
    if (walk->ns == NULL) {
        *place = (struct place){0};
        return false;
    }
    if (l1_count(walk->ns->l1, place->db) > 0) {
        place->cursor =
            l1_scan(walk->ns->l1, place->db, place->cursor, SLICE, walk->now_ms, visit, walk);
    } else {
        place->cursor = 0;
    }
    if (place->cursor == 0 && ++place->db == LIMIT_DATABASES) {
        place->db = 0;
        place->ns++;
    }
    return true;
}

/* --- counting -------------------------------------------------------------------------------------------------------- */

/* Bans of these names that are newer than anything. NULL: no memory. */
static struct bans *bans_of(struct slice entries, int64_t now_ms)
{
    struct bans *bans = bans_new();
    struct frame_ban ban;
    size_t position = 0;
    while (bans != NULL && frame_ban_next(entries, 0, &position, &ban) == OK) {
        ban.hard = (UINT64_C(1) << 53) - 1;
        bans_add(bans, &ban, now_ms);
    }
    return bans;
}

size_t bans_count_bound(struct namespaces *spaces, struct slice entries, int64_t now_ms,
                        unsigned looks)
{
    struct bans *bans = bans_of(entries, now_ms);
    struct bans_memo *memo = bans != NULL ? bans_memo_new(bans) : NULL;
    if (memo == NULL) {
        bans_free(bans);
        return SIZE_MAX;
    }
    struct walk walk = {.spaces = spaces, .bans = bans, .memo = memo, .now_ms = now_ms};
    struct place place = {0};
    while (walk.looked < looks && step(&walk, &place)) {
    }
    bans_memo_free(memo);
    bans_free(bans);
    return walk.bound;
}

/* --- sweeping -------------------------------------------------------------------------------------------------------- */

struct bans_sweep {
    struct walk walk;
    struct place place;
    bool under_way;
    uint64_t changes; /* of bans, when the last pass began */
};

struct bans_sweep *bans_sweep_new(struct bans *bans, struct namespaces *spaces)
{
    struct bans_sweep *sweep = calloc(1, sizeof(*sweep));
    struct bans_memo *memo = sweep != NULL ? bans_memo_new(bans) : NULL;
    if (memo == NULL) {
        free(sweep);
        return NULL;
    }
    sweep->walk = (struct walk){.spaces = spaces, .bans = bans, .memo = memo, .drops = true};
    return sweep;
}

void bans_sweep_free(struct bans_sweep *sweep)
{
    if (sweep != NULL) {
        bans_memo_free(sweep->walk.memo);
        free(sweep);
    }
}

unsigned bans_sweep_step(struct bans_sweep *sweep, int64_t now_ms, unsigned looks)
{
    struct walk *walk = &sweep->walk;
    bans_quiet(walk->memo);
    const uint64_t changes = bans_changes(walk->bans);
    if (!sweep->under_way) {
        if (changes == sweep->changes || !bans_is_whole(walk->bans)) {
            return 0;
        }
        sweep->changes = changes;
        sweep->under_way = true;
    }
    walk->now_ms = now_ms;
    walk->looked = 0;
    walk->bound = 0;
    for (unsigned i = 0; i < looks / SLICE && sweep->under_way; i++) {
        sweep->under_way = step(walk, &sweep->place);
    }
    return walk->bound;
}
