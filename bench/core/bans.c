/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_bans: what a check of bans takes (tiers/bans.h), and what one takes in memory.
 *
 *      bench_bans [KEYS]
 *
 * KEYS values (100,000) of 24-byte keys with no, one and eight tags, all older than all bans, so that nothing spares the
 * look-ups but the memo; in turn, and with "hot" one in a hundred of them. With none, 1,000 and 100,000 live bans: prefixes of
 * eight lengths, or tags; none of them binds anything. Prints nanoseconds per check (the best of several runs) and bytes. */
#include "tiers/bans.h"

#include "protocol/check.h"
#include "protocol/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEYS = 100000,
    KEY_SIZE = 24,
    TAGS = 8,
    RUNS = 7,
    CHECKS = 1000000,
    LENGTHS = 8,
    HOT = 100
};

struct value {
    char key[KEY_SIZE];
    uint64_t hash;
    char tags[TAGS * sizeof(uint64_t)];
};

static const struct slice none = {.data = "", .size = 0};

static struct value *make_values(size_t count)
{
    struct value *values = malloc(count * sizeof(*values));
    CHECK(values != NULL);
    for (size_t i = 0; i < count; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "m:user:%08zu:profile", i);
        memcpy(values[i].key, text, KEY_SIZE);
        values[i].hash = hash_checksum((struct slice){values[i].key, KEY_SIZE});
        for (unsigned tag = 0; tag < TAGS; tag++) {
            char name[32];
            (void)snprintf(name, sizeof name, "tag:%u:%zu", tag, i % 1000);
            put_u64le(values[i].tags + tag * sizeof(uint64_t), bans_tag_hash(none, slice_of(name)));
        }
    }
    return values;
}

static void make_bans(struct bans *bans, enum frame_ban_kind kind, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[64];
        struct buf name = {0};
        struct frame_ban ban;
        (void)snprintf(text, sizeof text, "m:gone:%06zu%.*s", i, (int)(i % LENGTHS), ":profile");
        CHECK(frame_ban_name(&name, kind, none, slice_of(text)) == OK);
        CHECK(frame_ban_read_name(buf_slice(&name), &ban) == OK);
        ban.hard = 1000 + i;
        bans_add(bans, &ban, 0);
        buf_done(&name);
    }
}

static double now_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The best of several runs: whatever else the machine does can only add. */
static double check_ns(const struct bans *bans, const struct value *values, size_t keys,
                       unsigned tags)
{
    struct bans_memo *memo = bans_memo_new((struct bans *)bans);
    static const struct namespace ns = {.name = "pages"};
    double best = 1e18;
    CHECK(memo != NULL);
    for (unsigned run = 0; run < RUNS; run++) {
        unsigned bound = 0;
        const double began_ns = now_ns();
        for (size_t i = 0; i < CHECKS; i++) {
            const struct value *value = &values[i * 7919 % keys];
            bound += bans_check(bans, memo, &ns, (struct slice){value->key, KEY_SIZE}, value->hash,
                                1, value->tags, tags) != BAN_NONE;
        }
        const double took_ns = (now_ns() - began_ns) / CHECKS;
        best = took_ns < best ? took_ns : best;
        CHECK(bound == 0);
    }
    bans_memo_free(memo);
    return best;
}

static void measure(const struct value *values, size_t keys, enum frame_ban_kind kind, size_t count)
{
    struct bans *bans = bans_new();
    CHECK(bans != NULL);
    const uint64_t empty = bans_bytes(bans);
    make_bans(bans, kind, count);
    printf("| %zu %s |", count, kind == FRAME_BAN_TAG ? "tags" : "prefixes");
    static const unsigned tags[] = {0, 1, TAGS};
    for (unsigned i = 0; i < 3; i++) {
        printf(" %.1f | %.1f |", check_ns(bans, values, keys, tags[i]),
               check_ns(bans, values, keys / HOT, tags[i]));
    }
    printf(" %.0f |\n", count > 0 ? (double)(bans_bytes(bans) - empty) / (double)count : 0.0);
    bans_free(bans);
}

int main(int argc, char **argv)
{
    const size_t keys = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : KEYS;
    CHECK(keys >= HOT);
    struct value *values = make_values(keys);
    printf("| live | no tags | hot | one tag | hot | %d tags | hot | bytes per ban |\n", TAGS);
    printf("|---|---|---|---|---|---|---|---|\n");
    static const size_t counts[] = {0, 1000, 100000};
    for (unsigned i = 0; i < 3; i++) {
        measure(values, keys, FRAME_BAN_PREFIX, counts[i]);
    }
    for (unsigned i = 1; i < 3; i++) {
        measure(values, keys, FRAME_BAN_TAG, counts[i]);
    }
    free(values);
    return 0;
}
