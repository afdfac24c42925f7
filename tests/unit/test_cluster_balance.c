/* SPDX-License-Identifier: BSD-3-Clause */
/* Which endpoint is asked, by each strategy. */
#include "client/backoff.h"
#include "protocol/hash.h"
#include "tests/unit/cluster_help.h"

#include <math.h>
#include <stdio.h>

enum {
    MANY = 20,
    KEYS = 20000
};

/* h0:1, h1:1 ... */
static struct cluster_endpoint_spec specs[MANY];
static char names[MANY][16];

static void name_them(void)
{
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "h%d:1", i);
        specs[i] = (struct cluster_endpoint_spec){.address = names[i], .weight = 1};
    }
}

static struct cluster *open_many(enum cluster_strategy strategy, size_t count)
{
    return help_cluster(&(struct cluster_options){.strategy = strategy, .seed = help_seed()}, specs,
                        count);
}

static uint64_t key_hash(unsigned key)
{
    char text[32];
    int size = snprintf(text, sizeof text, "key:%u", key);
    return hash_checksum((struct slice){text, (size_t)size});
}

static struct cluster_endpoint *choose(struct cluster *cluster, uint64_t hash, int64_t now_ms)
{
    int64_t wait_ms = 0;
    struct cluster_endpoint *one = cluster_choose(cluster, hash, NULL, now_ms, &wait_ms);
    assert_non_null(one);
    return one;
}

static int number_of(const struct cluster_endpoint *one)
{
    return atoi(cluster_endpoint_address(one) + 1);
}

/* --- in turn --------------------------------------------------------------------------------------------------------- */

static void round_robin_is_strictly_in_turn_whatever_the_weights(void **state)
{
    (void)state;
    name_them();
    specs[1].weight = 7;
    struct cluster *cluster = open_many(CLUSTER_ROUND_ROBIN, 3);
    int first = number_of(choose(cluster, 0, 0));
    for (int i = 1; i < 30; i++) {
        assert_int_equal(number_of(choose(cluster, 0, 0)), (first + i) % 3);
    }
    cluster_free(cluster);
}

static void weighted_is_exact_over_a_round_and_smooth_within_it(void **state)
{
    (void)state;
    name_them();
    specs[0].weight = 5;
    struct cluster *cluster = open_many(CLUSTER_WEIGHTED, 3);
    char said[8] = "";
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 7; i++) {
            said[i] = (char)('a' + number_of(choose(cluster, 0, 0)));
        }
        assert_string_equal(said, "aabacaa");
    }
    cluster_free(cluster);
}

/* The largest difference from the shares over many choices that are answered at once. */
static void shares_are_obeyed(enum cluster_strategy strategy, double tolerance)
{
    name_them();
    specs[0].weight = 4;
    specs[1].weight = 2;
    specs[2].weight = 1;
    specs[3].weight = 2;
    specs[3].warmth = 0.5;
    struct cluster *cluster = open_many(strategy, 4);
    static const double shares[] = {4.0 / 8, 2.0 / 8, 1.0 / 8, 1.0 / 8};
    unsigned counts[4] = {0};
    struct cluster_endpoint *open[40] = {NULL};
    uint64_t random = help_seed();
    for (unsigned i = 0; i < KEYS; i++) {
        struct cluster_endpoint **slot = &open[chance_below(&random, 40)];
        if (*slot != NULL) {
            cluster_on_answered(cluster, *slot, 500, i);
        }
        *slot = choose(cluster, key_hash(i), i);
        cluster_on_sent(cluster, *slot, i);
        counts[number_of(*slot)]++;
    }
    for (int i = 0; i < 4; i++) {
        double share = (double)counts[i] / KEYS;
        if (fabs(share - shares[i]) > tolerance) {
            fail_msg("strategy %d: endpoint %d has %.3f, not %.3f", (int)strategy, i, share,
                     shares[i]);
        }
    }
    cluster_free(cluster);
}

static void weights_and_warmth_are_obeyed_by_each_strategy_that_knows_weights(void **state)
{
    (void)state;
    shares_are_obeyed(CLUSTER_WEIGHTED, 0.001);
    shares_are_obeyed(CLUSTER_LEAST_CONNECTIONS, 0.05);
    shares_are_obeyed(CLUSTER_STICKY, 0.001);
    shares_are_obeyed(CLUSTER_HASH, 0.05);
}

static void one_that_warms_up_gets_its_part_in_round_robin_too(void **state)
{
    (void)state;
    name_them();
    specs[2].warmth = 0.1;
    struct cluster *cluster = open_many(CLUSTER_ROUND_ROBIN, 3);
    unsigned counts[3] = {0};
    for (int i = 0; i < 2100; i++) {
        counts[number_of(choose(cluster, 0, 0))]++;
    }
    assert_in_range(counts[2], 99, 101);
    assert_in_range(counts[0], 999, 1001);
    cluster_free(cluster);
}

static void one_that_drains_is_asked_only_if_no_other_may_be(void **state)
{
    (void)state;
    for (int strategy = CLUSTER_ROUND_ROBIN; strategy <= (int)CLUSTER_STICKY; strategy++) {
        name_them();
        struct cluster *cluster = open_many((enum cluster_strategy)strategy, 3);
        specs[0].weight = 0;
        assert_int_equal(cluster_update(cluster, specs, 3, 0), OK);
        for (unsigned i = 0; i < 100; i++) {
            assert_int_not_equal(number_of(choose(cluster, key_hash(i), 0)), 0);
        }
        help_fails(cluster, names[1], 3, 0);
        help_fails(cluster, names[2], 3, 0);
        assert_int_equal(number_of(choose(cluster, 0, 0)), 0);
        cluster_free(cluster);
    }
}

/* --- least, latency ---------------------------------------------------------------------------------------------------- */

static void least_connections_evens_out_what_is_under_way(void **state)
{
    (void)state;
    name_them();
    struct cluster *cluster = open_many(CLUSTER_LEAST_CONNECTIONS, 5);
    for (int i = 0; i < 50; i++) {
        cluster_on_sent(cluster, choose(cluster, 0, 0), 0);
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(help_describe(cluster, names[i]).inflight, 10);
    }
    cluster_on_answered(cluster, help_find(cluster, names[3]), 1, 0);
    assert_int_equal(number_of(choose(cluster, 0, 0)), 3);
    cluster_free(cluster);
}

static unsigned share_of_the_slow_one(struct cluster *cluster, int64_t *now_ms, unsigned rounds)
{
    unsigned slow = 0;
    for (unsigned i = 0; i < rounds; i++) {
        struct cluster_endpoint *one = choose(cluster, 0, *now_ms);
        cluster_on_sent(cluster, one, *now_ms);
        slow += number_of(one) == 0;
        cluster_on_answered(cluster, one, number_of(one) == 0 ? 20000 : 1000, *now_ms);
        *now_ms += 1;
    }
    return slow;
}

static void by_latency_the_slow_one_is_asked_rarely_and_tried_again_when_that_is_long_ago(
    void **state)
{
    (void)state;
    name_them();
    struct cluster *cluster = open_many(CLUSTER_LATENCY, 3);
    int64_t now_ms = 0;
    (void)share_of_the_slow_one(cluster, &now_ms, 50);
    unsigned slow = share_of_the_slow_one(cluster, &now_ms, 20000);
    assert_in_range(slow, 0, 20); /* the peak falls by 1/e in 10 s: from 20 ms to 1 ms in 30 s */
    assert_true(help_describe(cluster, names[0]).latency_us > 10000);
    slow = share_of_the_slow_one(cluster, &now_ms, 60000);
    assert_in_range(slow, 1, 60);
    cluster_free(cluster);
}

static void by_latency_one_that_stalls_is_seen_by_what_piles_up_there(void **state)
{
    (void)state;
    name_them();
    struct cluster *cluster = open_many(CLUSTER_LATENCY, 4);
    for (int i = 0; i < 4; i++) {
        help_answers(cluster, names[i], 0);
    }
    unsigned stalled = 0;
    for (int i = 0; i < 1000; i++) {
        struct cluster_endpoint *one = choose(cluster, 0, 0);
        cluster_on_sent(cluster, one, 0);
        if (number_of(one) == 0) {
            stalled++;
        } else {
            cluster_on_answered(cluster, one, 100, 0);
        }
    }
    assert_in_range(stalled, 1, 2);
    cluster_free(cluster);
}

/* --- hash ------------------------------------------------------------------------------------------------------------ */

static void when_one_of_n_leaves_its_keys_move_and_no_others(void **state)
{
    (void)state;
    name_them();
    enum {
        N = 10
    };
    struct cluster *cluster = open_many(CLUSTER_HASH, N);
    static int before[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        before[i] = number_of(choose(cluster, key_hash(i), 0));
    }
    assert_int_equal(cluster_update(cluster, specs, N - 1, 0), OK);
    unsigned moved = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        int now = number_of(choose(cluster, key_hash(i), 0));
        assert_true(now == before[i] || before[i] == N - 1);
        moved += now != before[i];
    }
    assert_in_range(moved, KEYS / N * 3 / 4, KEYS / N * 5 / 4);
    assert_int_equal(cluster_update(cluster, specs, N, 0), OK);
    help_fails(cluster, names[3], 3, 0); /* down is as gone */
    for (unsigned i = 0; i < KEYS; i++) {
        int now = number_of(choose(cluster, key_hash(i), 0));
        assert_true(now == before[i] || before[i] == 3);
    }
    cluster_free(cluster);
}

static void all_clients_agree_where_a_key_is_whatever_their_seed_and_the_order_of_the_list(
    void **state)
{
    (void)state;
    name_them();
    struct cluster *one = open_many(CLUSTER_HASH, 7);
    struct cluster_endpoint_spec turned[7];
    for (int i = 0; i < 7; i++) {
        turned[i] = specs[6 - i];
    }
    struct cluster *other =
        help_cluster(&(struct cluster_options){.strategy = CLUSTER_HASH, .seed = 99}, turned, 7);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(number_of(choose(one, key_hash(i), 0)),
                         number_of(choose(other, key_hash(i), 0)));
    }
    cluster_free(other);
    cluster_free(one);
}

/* As ring.h and docs/decisions/021-endpoints-and-regions.md tell it to writers of other clients. */
static void the_ring_is_the_documented_one(void **state)
{
    (void)state;
    name_them();
    struct cluster *cluster = open_many(CLUSTER_HASH, 5);
    for (unsigned key = 0; key < 500; key++) {
        uint64_t hash = key_hash(key);
        uint64_t nearest = UINT64_MAX;
        int owner = -1;
        for (int i = 0; i < 5; i++) {
            for (int point = 0; point < 160; point++) {
                char text[32];
                int size = snprintf(text, sizeof text, "h%d:1#%d", i, point);
                uint64_t way = hash_checksum((struct slice){text, (size_t)size}) - hash;
                owner = way < nearest ? i : owner;
                nearest = way < nearest ? way : nearest;
            }
        }
        assert_int_equal(number_of(choose(cluster, hash, 0)), owner);
    }
    cluster_free(cluster);
}

static void a_hot_key_spills_over_at_the_bound_and_comes_home(void **state)
{
    (void)state;
    name_them();
    struct cluster *cluster = open_many(CLUSTER_HASH, 4);
    uint64_t hash = key_hash(7);
    int home = number_of(choose(cluster, hash, 0));
    struct cluster_endpoint *sent[100];
    unsigned counts[4] = {0};
    for (int i = 0; i < 100; i++) {
        sent[i] = choose(cluster, hash, 0);
        cluster_on_sent(cluster, sent[i], 0);
        counts[number_of(sent[i])]++;
        for (int j = 0; j < 4; j++) {
            assert_true(counts[j] <= ceil(1.25 * (i + 1) / 4));
        }
    }
    assert_int_equal(counts[home], 32); /* ceil(1.25 * 100 / 4) */
    for (int i = 0; i < 100; i++) {
        cluster_on_answered(cluster, sent[i], 1, 0);
    }
    assert_int_equal(number_of(choose(cluster, hash, 0)), home);
    cluster_free(cluster);
}

static void keys_of_one_that_warms_up_come_to_it_one_after_the_other_and_stay(void **state)
{
    (void)state;
    name_them();
    struct cluster *cluster = open_many(CLUSTER_HASH, 4);
    static bool is_home[KEYS];
    static bool was_home[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        is_home[i] = number_of(choose(cluster, key_hash(i), 0)) == 2;
        was_home[i] = false;
    }
    for (int tenth = 1; tenth <= 10; tenth++) {
        specs[2].warmth = tenth / 10.0;
        assert_int_equal(cluster_update(cluster, specs, 4, 0), OK);
        unsigned home = 0;
        unsigned all = 0;
        for (unsigned i = 0; i < KEYS; i++) {
            bool here = number_of(choose(cluster, key_hash(i), 0)) == 2;
            assert_true(here || !was_home[i]);
            assert_true(is_home[i] || !here);
            was_home[i] = here;
            home += here;
            all += is_home[i];
        }
        assert_in_range(home * 100 / all, tenth * 10 - 3, tenth * 10 + 3);
    }
    cluster_free(cluster);
}

/* --- sticky ---------------------------------------------------------------------------------------------------------- */

static void an_affinity_stays_for_its_ttl_after_its_last_request(void **state)
{
    (void)state;
    name_them();
    struct cluster *cluster = help_cluster(
        &(struct cluster_options){.strategy = CLUSTER_STICKY, .sticky_ttl_ms = 1000}, specs, 5);
    struct cluster_endpoint *home = choose(cluster, 42, 0);
    for (int64_t now_ms = 0; now_ms < 10000; now_ms += 999) {
        assert_ptr_not_equal(choose(cluster, (uint64_t)now_ms + 100, now_ms), NULL);
        assert_ptr_equal(choose(cluster, 42, now_ms), home);
    }
    /* The last was at 9990. After the ttl it is as a new one: in turn, and so not always home. */
    unsigned elsewhere = 0;
    for (int64_t now_ms = 10990; now_ms < 20000; now_ms += 1000) {
        elsewhere += choose(cluster, 42, now_ms) != home;
    }
    assert_in_range(elsewhere, 7, 9);
    cluster_free(cluster);
}

static void an_affinity_moves_when_its_endpoint_may_not_be_asked_and_not_for_one_retry(void **state)
{
    (void)state;
    name_them();
    struct cluster *cluster = open_many(CLUSTER_STICKY, 4);
    struct cluster_endpoint *home = choose(cluster, 42, 0);
    int64_t wait_ms = 0;
    assert_ptr_not_equal(cluster_choose(cluster, 42, home, 0, &wait_ms), home);
    assert_ptr_equal(choose(cluster, 42, 0), home);
    help_fails(cluster, cluster_endpoint_address(home), 3, 0);
    struct cluster_endpoint *other = choose(cluster, 42, 0);
    assert_ptr_not_equal(other, home);
    help_probes(cluster, "", 600);
    assert_ptr_equal(choose(cluster, 42, 600), other);
    cluster_free(cluster);
}

static void the_table_of_affinities_is_bounded_and_the_oldest_goes(void **state)
{
    (void)state;
    name_them();
    enum {
        MOST = 100
    };
    struct cluster *cluster = help_cluster(
        &(struct cluster_options){.strategy = CLUSTER_STICKY, .sticky_max = MOST}, specs, MANY);
    static struct cluster_endpoint *home[10 * MOST];
    for (unsigned i = 0; i < 10 * MOST; i++) {
        home[i] = choose(cluster, key_hash(i), 0);
        assert_ptr_equal(choose(cluster, key_hash(0), 0), home[0]); /* asked for always */
    }
    for (unsigned i = 10 * MOST - MOST + 1; i < 10 * MOST; i++) {
        assert_ptr_equal(choose(cluster, key_hash(i), 0), home[i]);
    }
    unsigned moved = 0;
    for (unsigned i = 1; i < MOST; i++) {
        moved += choose(cluster, key_hash(i), 0) != home[i];
    }
    assert_true(moved > MOST / 2);
    cluster_free(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_is_strictly_in_turn_whatever_the_weights),
        cmocka_unit_test(weighted_is_exact_over_a_round_and_smooth_within_it),
        cmocka_unit_test(weights_and_warmth_are_obeyed_by_each_strategy_that_knows_weights),
        cmocka_unit_test(one_that_warms_up_gets_its_part_in_round_robin_too),
        cmocka_unit_test(one_that_drains_is_asked_only_if_no_other_may_be),
        cmocka_unit_test(least_connections_evens_out_what_is_under_way),
        cmocka_unit_test(
            by_latency_the_slow_one_is_asked_rarely_and_tried_again_when_that_is_long_ago),
        cmocka_unit_test(by_latency_one_that_stalls_is_seen_by_what_piles_up_there),
        cmocka_unit_test(when_one_of_n_leaves_its_keys_move_and_no_others),
        cmocka_unit_test(
            all_clients_agree_where_a_key_is_whatever_their_seed_and_the_order_of_the_list),
        cmocka_unit_test(the_ring_is_the_documented_one),
        cmocka_unit_test(a_hot_key_spills_over_at_the_bound_and_comes_home),
        cmocka_unit_test(keys_of_one_that_warms_up_come_to_it_one_after_the_other_and_stay),
        cmocka_unit_test(an_affinity_stays_for_its_ttl_after_its_last_request),
        cmocka_unit_test(
            an_affinity_moves_when_its_endpoint_may_not_be_asked_and_not_for_one_retry),
        cmocka_unit_test(the_table_of_affinities_is_bounded_and_the_oldest_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
