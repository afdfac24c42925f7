/* SPDX-License-Identifier: BSD-3-Clause */
/* Want of memory at every moment there is: one story over the whole of L1 is told again and again, and each time another
 * allocation fails, of the system's (malloc, mmap) or of an arena's. Whatever is answered then: what was said to stand
 * stands whole, what was refused has changed nothing, counters agree with a walk, and all comes back in the end.
 *
 * The linker puts the functions below in the place of those (see the Makefile). */
#include "tests/unit/l1_help.h"
#include "tiers/arena_inner.h"
#include "tiers/l1_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

enum {
    T0 = 1000000,
    KEYS = 48,
    LARGE = (2 << 20) + 1,
};

/* --- allocations that fail ------------------------------------------------------------------------------------------ */

/* File-level, as malloc has no argument for it; tests run on one thread. */
static uint64_t asked;    /* allocations of this telling so far */
static uint64_t fails_at; /* the first one that fails; 0: none */
static bool fails_on;     /* and all later ones */

static bool fails(void)
{
    asked++;
    return fails_at != 0 && (fails_on ? asked >= fails_at : asked == fails_at);
}

#define REFUSABLE(type, name, parameters, arguments)     \
    __typeof__(name) __real_##name, __wrap_##name;       \
    type __wrap_##name parameters                        \
    {                                                    \
        return fails() ? NULL : __real_##name arguments; \
    }
REFUSABLE(void *, malloc, (size_t size), (size))
REFUSABLE(void *, calloc, (size_t count, size_t size), (count, size))
REFUSABLE(void *, aligned_alloc, (size_t to, size_t size), (to, size))
REFUSABLE(void *, arena_alloc, (struct arena * arena, size_t size), (arena, size))
REFUSABLE(void *, arena_alloc_line, (struct arena * arena), (arena))
REFUSABLE(void *, arena_alloc_pages, (struct arena * arena, size_t size), (arena, size))
REFUSABLE(char *, arena_run_new, (struct arena * arena, unsigned *pages, unsigned least),
          (arena, pages, least))

void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, size, protection, flags, file, offset);
}

/* --- the story ------------------------------------------------------------------------------------------------------ */

/* What stands for a key as far as answers told. */
struct known {
    size_t size;
    int64_t expire_at_ms;
    char fill;
    bool stands;
};

struct story {
    struct namespaces *spaces;
    struct known known[2][KEYS]; /* keys of `default`, and of the named one */
    unsigned refused;
    int64_t now_ms;
};

static const size_t sizes[] = {0, 1, 30, 200, 255, 256, 3000, 40000, 100, 20, 90};

static struct slice name_of(char room[32], unsigned side, unsigned k)
{
    int size = snprintf(room, 32, "%s%u", side == 0 ? "k:" : "ns:", k);
    return (struct slice){room, (size_t)size};
}

static struct ns_key key_of(const struct story *story, char room[32], unsigned side, unsigned k)
{
    return namespaces_key(story->spaces, 0, name_of(room, side, k));
}

static enum status refusal(struct story *story, enum status status)
{
    assert_true(status == OK || status == NO_MEMORY);
    story->refused += status == NO_MEMORY;
    return status;
}

/* An item as its L1 makes it; or of malloc, as whoever does not know the home. NULL: no memory. */
static struct item *item_make(const struct ns_key *key, const struct known *like, bool is_loose)
{
    const struct item_spec spec = {
        .key = key->at.bytes, .value_size = like->size, .expire_at_ms = like->expire_at_ms};
    struct item *item = is_loose ? item_new(&spec) : l1_item_new(key->ns->l1, key->at.hash, &spec);
    if (item != NULL) {
        memset(item_value_room(item), like->fill, like->size);
    }
    return item;
}

static void set(struct story *story, unsigned side, unsigned k, size_t size, int64_t expire_at_ms,
                bool is_loose)
{
    char room[32];
    const struct ns_key key = key_of(story, room, side, k);
    const struct known next = {
        .size = size, .expire_at_ms = expire_at_ms, .fill = (char)('a' + k % 26), .stands = true};
    struct item *item = item_make(&key, &next, is_loose);
    enum status status = NO_MEMORY;
    if (item != NULL) {
        status = l1_commit(
            &(struct l1_change){.l1 = key.ns->l1, .key = key.at, .seen = L1_ANY, .item = item}, 1,
            story->now_ms);
    }
    if (refusal(story, status) == OK) {
        story->known[side][k] = next;
    }
    item_release(item);
}

/* RENAME to the other namespace: two keys, two L1s, all or nothing. */
static void rename_over(struct story *story, unsigned side, unsigned k)
{
    char rooms[2][32];
    const struct ns_key from = key_of(story, rooms[0], side, k);
    const struct ns_key to = key_of(story, rooms[1], 1 - side, k);
    struct item *seen = l1_hold(from.ns->l1, &from.at, story->now_ms);
    if (seen == NULL) {
        assert_false(story->known[side][k].stands);
        return;
    }
    struct item *item = item_make(&to, &story->known[side][k], k % 2 == 0);
    const struct l1_change changes[2] = {
        {.l1 = from.ns->l1, .key = from.at, .seen = seen, .item = NULL},
        {.l1 = to.ns->l1, .key = to.at, .seen = L1_ANY, .item = item},
    };
    enum status status = item == NULL ? NO_MEMORY : l1_commit(changes, 2, story->now_ms);
    if (refusal(story, status) == OK) {
        story->known[1 - side][k] = story->known[side][k];
        story->known[side][k].stands = false;
    }
    item_release(item);
    item_release(seen);
}

/* MSET of all keys of a side, half of them loose. */
static void set_all(struct story *story, unsigned side, size_t size)
{
    char rooms[KEYS][32];
    struct l1_change changes[KEYS];
    const struct known next = {.size = size, .fill = 'm', .stands = true};
    enum status status = OK;
    for (unsigned k = 0; k < KEYS; k++) {
        const struct ns_key key = key_of(story, rooms[k], side, k);
        struct item *item = item_make(&key, &next, k % 2 == 0);
        changes[k] = (struct l1_change){key.ns->l1, key.at, L1_ANY, item};
        status = item == NULL ? NO_MEMORY : status;
    }
    status = status == OK ? l1_commit(changes, KEYS, story->now_ms) : status;
    if (refusal(story, status) == OK) {
        for (unsigned k = 0; k < KEYS; k++) {
            story->known[side][k] = next;
        }
    }
    for (unsigned k = 0; k < KEYS; k++) {
        item_release(changes[k].item);
    }
}

/* Reading through: claim, fill; what was suspect is asked for anew, and put back or dropped. */
static void read_through(struct story *story, unsigned k)
{
    char room[32];
    const struct ns_key key = key_of(story, room, 0, k);
    struct known *known = &story->known[0][k];
    struct l1_ask ask = {
        .now_ms = story->now_ms, .floor_ms = INT64_MAX, .generation = 1, .join_ms = 10};
    struct l1_value value = {0};
    struct l1_claim claim;
    struct item *suspect = NULL;
    ask.claims_known_only = k % 4 == 3;
    enum status status = k % 4 == 3 ? l1_claim_unasked(key.ns->l1, &key.at, &ask, &suspect, &claim)
                                    : l1_ask(key.ns->l1, &key.at, &ask, &value, &claim);
    item_release(suspect);
    if (status != CLAIMED) { /* what stood stands */
        assert_true(status == NO_MEMORY || (status == MISS && !known->stands));
        story->refused += status == NO_MEMORY;
        return;
    }
    const struct known next = {.size = 100 + k, .fill = 'f', .stands = true};
    struct item *item = item_make(&key, &next, k % 2 == 0);
    struct l1_landing landing = {
        .token = claim.token, .generation = 1, .install = true, .now_ms = story->now_ms};
    if (item == NULL || k % 4 == 0) {
        l1_unclaim(key.ns->l1, &key.at, claim.token);
    } else if (l1_fill(key.ns->l1, &key.at, &landing, item) == OK) {
        *known = next;
    } else { /* no memory for a copy: as refused */
        known->stands = false;
        story->refused++;
    }
    item_release(item);
}

/* Reads of keys that are not there, all under way at once, so that chains overflow; then all land with nothing. */
static void ask_many(struct story *story)
{
    enum {
        ASKED = 130
    };
    struct l1 *l1 = namespaces_default(story->spaces)->l1;
    char room[32];
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned k = 0; k < ASKED; k++) {
            const struct l1_key key = l1_key(l1, 5, name_of(room, 0, k));
            const struct l1_ask ask = {.now_ms = story->now_ms, .generation = 1, .join_ms = 10};
            struct l1_value value = {0};
            struct l1_claim claim;
            if (pass == 1) {
                l1_land(l1, &key);
            } else {
                const enum status status = l1_ask(l1, &key, &ask, &value, &claim);
                (void)refusal(story, status == CLAIMED ? OK : status);
            }
        }
    }
}

static void see(void *arg, struct item *item)
{
    (void)item;
    ++*(uint64_t *)arg;
}

/* Everything that is known to stand does, is whole, and is all there is. */
static void check(struct story *story, bool is_exact)
{
    uint64_t stands = 0;
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned k = 0; k < KEYS; k++) {
            struct known *known = &story->known[side][k];
            char room[32];
            const struct ns_key key = key_of(story, room, side, k);
            struct l1_value value = {0};
            enum status status = l1_get(key.ns->l1, &key.at, story->now_ms, 0, &value);
            if (known->expire_at_ms != 0 && known->expire_at_ms <= story->now_ms) {
                known->stands = false;
            }
            assert_true(is_exact ? (status == OK) == known->stands : status != OK || known->stands);
            known->stands = status == OK;
            if (status == OK) {
                assert_int_equal(value.bytes.size, known->size);
                assert_int_equal(value.expire_at_ms, known->expire_at_ms);
                for (size_t i = 0; i < known->size; i += i < 100 ? 1 : 997) {
                    assert_int_equal(value.bytes.data[i], known->fill);
                }
                stands++;
                item_release(value.item);
            }
        }
    }
    struct l1_stats stats;
    namespaces_stats(story->spaces, &stats);
    assert_int_equal(stats.items, stands);
    assert_int_equal(stats.claims, 0);
    assert_int_equal(namespaces_count(story->spaces, 0).entries, stands);
    uint64_t visited = 0;
    uint64_t cursor = 0;
    unsigned steps = 0;
    do {
        cursor = namespaces_scan(story->spaces, 0, cursor, 50, story->now_ms, see, &visited);
    } while (cursor != 0 && ++steps < 10000);
    assert_true(cursor == 0 && visited >= stands);
}

/* What the shards have counted is what their arenas have. */
static void check_bytes(const struct story *story)
{
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(story->spaces, &at)) != NULL;) {
        struct l1_stats stats;
        l1_stats(ns->l1, &stats);
        assert_int_equal(stats.bytes_used, atomic_load(&ns->l1->bytes_used));
        assert_true(stats.bytes_live <= stats.bytes_used);
        assert_true(stats.bytes_tables <= stats.bytes_live);
    }
}

static const struct namespace_spec specs[] = {
    {.name = SLICE_LITERAL("default"),
     .settings = {.mode = {.bound_ms = 1000}, .memory = 16 << 20, .policy = &policy_lru}},
    {.name = SLICE_LITERAL("named"),
     .prefix = SLICE_LITERAL("ns:"),
     .settings = {.mode = {.bound_ms = 1000}, .memory = 16 << 20, .policy = &policy_ttl}},
};

static void tell_writes(struct story *story)
{
    for (unsigned k = 0; k < KEYS; k++) {
        const int64_t expire_at_ms = k % 3 == 0 ? 0 : story->now_ms + 10 + k;
        set(story, k & 1, k, sizes[k % (sizeof sizes / sizeof sizes[0])], expire_at_ms, k % 5 == 0);
    }
    check(story, true);
    for (unsigned k = 0; k < KEYS; k++) {
        set(story, 0, k, sizes[(k + 3) % (sizeof sizes / sizeof sizes[0])], 0, false);
        rename_over(story, k & 1, k);
    }
    set(story, 0, 7, LARGE, 0, false);
    set(story, 1, 7, LARGE, 0, true);
    check(story, true);
    set_all(story, 1, 50);
    for (unsigned k = 0; k < KEYS; k++) {
        read_through(story, k);
    }
    ask_many(story);
    check(story, true);
    check_bytes(story);
}

/* Budgets, policies, namespaces and databases change. */
static void tell_changes(struct story *story)
{
    struct namespaces *spaces = story->spaces;
    struct l1 *l1 = namespaces_default(spaces)->l1;
    l1_set_policy(l1, &policy_lfu, T0);
    namespaces_swap(spaces, 0, 3, 0);
    assert_int_equal(namespaces_count(spaces, 0).entries, 0);
    namespaces_swap(spaces, 0, 3, 0);
    check(story, true);
    l1_resize(l1, 1 << 20, story->now_ms);
    check(story, false);
    l1_resize(l1, 16 << 20, story->now_ms);
    story->now_ms += 30; /* most of what expires has */
    for (int i = 0; i < 40; i++) {
        (void)namespaces_sweep(spaces, story->now_ms, 64);
    }
    check(story, true);
    item_release(namespaces_random(spaces, 0, 1, story->now_ms));
    /* The named one goes and comes again: keys change their home, and such as find no memory there, end. */
    enum status status = namespaces_rebuild(spaces, specs, 1, true, story->now_ms);
    const bool is_refused = refusal(story, status) != OK;
    assert_int_equal(spaces->named, is_refused ? 1 : 0);
    check(story, is_refused || fails_at == 0);
    status = namespaces_rebuild(spaces, specs, 2, true, story->now_ms);
    assert_int_equal(spaces->named, refusal(story, status) == OK || is_refused ? 1 : 0);
    check(story, fails_at == 0);
    check_bytes(story);
}

static size_t live_bytes(const struct namespaces *spaces)
{
    struct l1_stats stats;
    namespaces_stats(spaces, &stats);
    return stats.bytes_live;
}

/* Memory is back: all goes on as ever, and when nothing stands, nothing is left. */
static void tell_end(struct story *story, size_t empty_bytes)
{
    set_all(story, 0, 80);
    check(story, true);
    namespaces_flush_all(story->spaces);
    memset(story->known, 0, sizeof story->known);
    for (int i = 0; i < 40; i++) {
        (void)namespaces_sweep(story->spaces, story->now_ms + 2000 + i * 2000, 64);
    }
    check(story, true);
    check_bytes(story);
    assert_int_equal(live_bytes(story->spaces), empty_bytes / 2 * (story->spaces->named + 1));
    set_all(story, 1, 80);
}

/* Returns whether anything was refused. */
static bool tell(void)
{
    struct story story = {.now_ms = T0};
    asked = 0;
    story.spaces = namespaces_new(specs, 2, 1);
    if (story.spaces == NULL) {
        return true;
    }
    const size_t empty_bytes = live_bytes(story.spaces);
    tell_writes(&story);
    tell_changes(&story);
    const uint64_t fails_later = fails_at;
    fails_at = 0;
    tell_end(&story, empty_bytes);
    /* Held over the end of everything: the arena goes with it. */
    char room[32];
    const struct ns_key key = key_of(&story, room, 1, 7);
    struct item *held = l1_hold(key.ns->l1, &key.at, story.now_ms);
    assert_non_null(held);
    namespaces_free(story.spaces);
    assert_int_equal(item_value(held).size, 80);
    item_release(held);
    fails_at = fails_later;
    return story.refused > 0;
}

static void whichever_allocation_fails_nothing_breaks(void **state)
{
    (void)state;
    fails_at = 0;
    assert_false(tell());
    const uint64_t all = asked;
    unsigned noticed = 0;
    for (fails_at = 1; fails_at <= all; fails_at++) {
        noticed += tell();
    }
    fails_at = 0;
    print_message("%llu allocations, %u refusals\n", (unsigned long long)all, noticed);
    assert_true(all > 300);
    assert_true(noticed >
                all / 4); /* the others are growth that was put off, or another page that served */
}

static void from_whichever_allocation_on_all_fail_nothing_breaks(void **state)
{
    (void)state;
    fails_at = 0;
    assert_false(tell());
    const uint64_t all = asked;
    fails_on = true;
    for (uint64_t at = 1; at <= all; at += 3) {
        fails_at = at;
        (void)tell();
    }
    fails_at = 0;
    fails_on = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whichever_allocation_fails_nothing_breaks),
        cmocka_unit_test(from_whichever_allocation_on_all_fail_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
