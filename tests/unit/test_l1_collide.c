/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys that somebody chose to collide: with what everybody knows, a million of them cost what any million costs; who knew
 * the secret would get no further than one chain, whose length is bounded. All is counted in lines of the table that are
 * read, not in time.
 *
 * For keys of 8 bytes XXH3 is a bijection, so whoever knows the secret can compute the key of any hash. */
#include "tests/unit/l1_help.h"
#include "tiers/l1_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL /* shows its secret */
#include <xxhash.h>

#include <cmocka.h>

enum {
    T0 = 1000000,
    KEY_SIZE = 8,
    VALUE_SIZE = 8
};

/* --- keys by hash --------------------------------------------------------------------------------------------------- */

static uint64_t rotated(uint64_t word, unsigned by)
{
    return word << by | word >> (64 - by);
}

/* The other way round what XXH3_rrmxmx of xxhash.h does. */
static uint64_t unmixed(uint64_t hash)
{
    const uint64_t prime_inverse = 0x2ab9c720d1024ad; /* of 0x9FB21C651E98DF25, modulo 2^64 */
    uint64_t word = hash ^ hash >> 28 ^ hash >> 56;
    word *= prime_inverse;
    word ^= (word >> 35) + KEY_SIZE;
    word *= prime_inverse;
    /* w ^ w<<<49 ^ w<<<24 is a polynomial in rotations whose 64th power is 1: 63 times more is its inverse. */
    for (int i = 0; i < 63; i++) {
        word ^= rotated(word, 49) ^ rotated(word, 24);
    }
    return word;
}

static uint64_t word_at(const struct hash_secret *secret, size_t at)
{
    uint64_t word;
    memcpy(&word, secret->bytes + at, sizeof word);
    return word;
}

static struct slice key_of(const struct hash_secret *secret, uint64_t hash, char room[KEY_SIZE])
{
    const uint64_t both = unmixed(hash) ^ word_at(secret, 8) ^ word_at(secret, 16);
    const uint64_t key = rotated(both, 32);
    memcpy(room, &key, sizeof key);
    return (struct slice){room, KEY_SIZE};
}

static enum status put(struct l1 *l1, struct slice name)
{
    struct l1_key key = l1_key(l1, 0, name);
    struct item *item =
        l1_item_new(l1, key.hash, &(struct item_spec){.key = key.bytes, .value_size = VALUE_SIZE});
    assert_non_null(item);
    memset(item_value_room(item), 'v', VALUE_SIZE);
    enum status status =
        l1_commit(&(struct l1_change){.l1 = l1, .key = key, .seen = L1_ANY, .item = item}, 1, T0);
    item_release(item);
    return status;
}

static bool has(struct l1 *l1, struct slice name)
{
    struct l1_key key = l1_key(l1, 0, name);
    struct l1_peek peek;
    return l1_peek(l1, &key, T0, 0, &peek) == OK;
}

struct lines {
    uint64_t sum; /* that finding every entry once would read */
    uint64_t most;
};

static struct lines lines_to_find_all(struct l1 *l1)
{
    struct lines lines = {0, 0};
    for (unsigned s = 0; s < l1->shard_count; s++) {
        const struct l1_table *table = &l1->shards[s].table;
        for (uint64_t b = 0; b < l1_table_buckets(table); b++) {
            uint64_t depth = 0;
            const struct l1_bucket *node = NULL;
            for (struct l1_place place = l1_table_bucket(table, b); l1_place_item(&place) != NULL;
                 l1_place_next(&place)) {
                depth += place.node != node;
                node = place.node;
                lines.sum += depth;
                lines.most = depth > lines.most ? depth : lines.most;
            }
        }
    }
    return lines;
}

/* --- tests ---------------------------------------------------------------------------------------------------------- */

static void a_key_is_computed_from_its_hash(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 1);
    struct rand rand;
    rand_seed(&rand, 1);
    for (int i = 0; i < 1000; i++) {
        char room[KEY_SIZE];
        const uint64_t hash = rand_next(&rand);
        assert_int_equal(l1_hash(l1, key_of(&l1->secret, hash, room)), hash);
    }
    l1_free(l1);
}

/* One chain under the secret that is in everybody's xxhash.h, and every key of it with the same tag and shard. */
static void a_million_colliding_keys_cost_less_than_twice_as_much(void **state)
{
    (void)state;
    enum {
        KEYS = 1 << 20,
        COUNT_BITS = 20
    };
    struct hash_secret known;
    hash_secret_init(&known, XXH3_kSecret);
    struct lines lines[2];
    for (int chosen = 0; chosen < 2; chosen++) {
        struct l1 *l1 = help_new(256 << 20, NULL, 4);
        struct rand rand;
        rand_seed(&rand, 7);
        for (uint64_t n = 0; n < KEYS; n++) {
            char room[KEY_SIZE];
            const uint64_t alike = n << (64 - COUNT_BITS) | 0x123456789ab;
            const struct slice name = key_of(&known, chosen == 1 ? alike : rand_next(&rand), room);
            assert_true(chosen == 0 || hash_key(&known, name) == alike);
            assert_int_equal(put(l1, name), OK);
        }
        assert_int_equal(l1_count(l1, 0), KEYS);
        lines[chosen] = lines_to_find_all(l1);
        print_message("%s: %.3f lines a lookup, %llu at most\n", chosen ? "chosen" : "random",
                      (double)lines[chosen].sum / KEYS, (unsigned long long)lines[chosen].most);
        l1_free(l1);
    }
    assert_true(lines[1].sum * 20 < lines[0].sum * 21);
    assert_true(lines[1].most <= lines[0].most + 2);
    assert_true(lines[0].sum < (uint64_t)KEYS * 5 / 4);
}

/* Who knows the secret fills one chain, and is refused then; all others go on as if nothing were. */
static void one_chain_takes_so_many_and_no_more(void **state)
{
    (void)state;
    enum {
        OTHERS = 20000,
        ATTACKS = 20000
    };
    struct l1 *l1 = help_new(64 << 20, NULL, 1);
    char room[KEY_SIZE];
    unsigned taken = 0;
    for (uint64_t n = 0; n < OTHERS; n++) {
        assert_int_equal(put(l1, key_of(&l1->secret, n * 0x9e3779b97f4a7c15, room)), OK);
    }
    const struct lines before = lines_to_find_all(l1);
    for (uint64_t n = 0; n < ATTACKS; n++) {
        const enum status status = put(l1, key_of(&l1->secret, n << 44 | 77, room));
        assert_true(status == OK || status == NO_MEMORY);
        taken += status == OK;
    }
    const struct lines after = lines_to_find_all(l1);
    print_message("%u of %u taken, %llu lines at most\n", taken, (unsigned)ATTACKS,
                  (unsigned long long)after.most);
    assert_in_range(taken, 100, 300);
    assert_true(before.most < 8);
    assert_true(after.most <= 40);
    assert_int_equal(l1_count(l1, 0), OTHERS + taken);
    for (uint64_t n = 0; n < OTHERS; n++) {
        assert_true(has(l1, key_of(&l1->secret, n * 0x9e3779b97f4a7c15, room)));
    }
    for (uint64_t n = 0; n < ATTACKS; n++) { /* those that were taken are there, to the last */
        taken -= has(l1, key_of(&l1->secret, n << 44 | 77, room));
    }
    assert_int_equal(taken, 0);
    l1_flush_all(l1);
    assert_int_equal(put(l1, key_of(&l1->secret, 77, room)), OK);
    l1_free(l1);
}

/* The same under a budget that is spent, with claims, and with commits of many. */
static void a_full_chain_refuses_claims_and_commits_whole(void **state)
{
    (void)state;
    enum {
        MANY = 1000
    };
    struct l1 *l1 = help_new(1 << 20, NULL, 1);
    static char rooms[MANY][KEY_SIZE];
    static struct l1_change changes[MANY];
    for (uint64_t n = 0; n < MANY; n++) {
        struct l1_key key = l1_key(l1, 0, key_of(&l1->secret, n << 44 | 77, rooms[n]));
        changes[n] = (struct l1_change){l1, key, L1_ANY, help_item_in(l1, &key, "v", 0, 0)};
    }
    assert_int_equal(l1_commit(changes, MANY, T0), NO_MEMORY);
    assert_int_equal(l1_count(l1, 0), 0);
    assert_int_equal(l1_commit(changes, 100, T0), OK);
    assert_int_equal(l1_count(l1, 0), 100);
    unsigned claimed = 0;
    struct l1_value value = {0};
    struct l1_claim claim;
    struct l1_ask ask = {.now_ms = T0, .join_ms = 10};
    for (unsigned n = 100; n < MANY; n++) {
        const enum status status = l1_ask(l1, &changes[n].key, &ask, &value, &claim);
        assert_true(status == CLAIMED || status == NO_MEMORY);
        claimed += status == CLAIMED;
    }
    assert_in_range(claimed, 1, 300);
    assert_int_equal(help_stats(l1).claims, claimed);
    /* A key that goes and comes back in one commit finds its place again, full or not. */
    struct l1_change to_and_fro[3] = {changes[0], changes[0], changes[1]};
    to_and_fro[0].item = NULL;
    struct item *again = help_item_in(l1, &changes[0].key, "w", 0, 0);
    to_and_fro[1].item = again;
    assert_int_equal(l1_commit(to_and_fro, 3, T0), OK);
    item_release(again);
    assert_int_equal(l1_count(l1, 0), 100);
    for (unsigned n = 0; n < MANY; n++) {
        l1_land(l1, &changes[n].key);
        item_release(changes[n].item);
    }
    assert_int_equal(l1_count(l1, 0), 0);
    assert_int_equal(help_stats(l1).claims, 0);
    l1_free(l1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_computed_from_its_hash),
        cmocka_unit_test(a_million_colliding_keys_cost_less_than_twice_as_much),
        cmocka_unit_test(one_chain_takes_so_many_and_no_more),
        cmocka_unit_test(a_full_chain_refuses_claims_and_commits_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
