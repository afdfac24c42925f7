/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_l1 -- L1 in process: time per lookup and insertion, bytes per item, and what changing sizes do to memory.
 *
 *      bench_l1                 everything, up to 5 M keys (2 GB)
 *      bench_l1 1000000         lookups and insertions with so many keys
 *      bench_l1 memory|churn    one part
 *
 * Keys have 16 bytes, values 32 unless said. Each figure comes from a process of its own, so that what is resident is what
 * L1 has; times are CPU time, medians of rounds with their extremes. */
#include "tiers/l1.h"

#include "tiers/base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    KEY_SIZE = 16,
    VALUE_SIZE = 32,
    BATCH = 16,
    ROUNDS = 7,
    ROUND_LOOKUPS = 1 << 20,
};

#define NOW_MS INT64_C(1700000000000)
#define DAY_MS INT64_C(86400000)

/* --- helpers ------------------------------------------------------------------------------------------------------ */

static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1) {
        fprintf(stderr, "bench_l1: cannot read /proc/self/statm\n");
        exit(1);
    }
    (void)fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t cpu_ns(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

struct key_text {
    char bytes[KEY_SIZE + 1];
};

static struct l1_key key_of(const struct l1 *l1, struct key_text *text, uint64_t number)
{
    (void)snprintf(text->bytes, sizeof text->bytes, "key:%012" PRIu64, number);
    return l1_key(l1, 0, (struct slice){text->bytes, KEY_SIZE});
}

struct shape {
    size_t value_size;
    int64_t expire_at_ms;
    int64_t stamped_at_ms;
};

static void put_at(struct l1 *l1, uint64_t number, const struct shape *shape, int64_t now_ms)
{
    struct key_text text;
    const struct l1_key key = key_of(l1, &text, number);
    const struct item_spec spec = {.key = key.bytes,
                                   .value_size = shape->value_size,
                                   .expire_at_ms = shape->expire_at_ms,
                                   .stamped_at_ms = shape->stamped_at_ms};
    struct item *item = l1_item_new(l1, key.hash, &spec);
    if (item == NULL) {
        fprintf(stderr, "bench_l1: no memory\n");
        exit(1);
    }
    memset(item_value_room(item), 'v', shape->value_size);
    const struct l1_change change = {.l1 = l1, .key = key, .seen = L1_ANY, .item = item};
    if (l1_commit(&change, 1, now_ms) != OK) {
        fprintf(stderr, "bench_l1: commit\n");
        exit(1);
    }
    item_release(item);
}

static void put(struct l1 *l1, uint64_t number, const struct shape *shape)
{
    put_at(l1, number, shape, NOW_MS);
}

static struct l1 *l1_of(size_t bytes_max)
{
    struct l1 *l1 = l1_new(&(struct l1_options){.bytes_max = bytes_max, .threads = 1});
    if (l1 == NULL) {
        fprintf(stderr, "bench_l1: no memory\n");
        exit(1);
    }
    return l1;
}

/* Runs a part in a process of its own. */
static void apart(void (*part)(const void *arg), const void *arg)
{
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        part(arg);
        (void)fflush(stdout);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "bench_l1: a part failed\n");
        exit(1);
    }
}

static int by_value(const void *a, const void *b)
{
    const double first = *(const double *)a;
    const double second = *(const double *)b;
    return (first > second) - (first < second);
}

static void print_times(const char *what, uint64_t keys, double times[ROUNDS])
{
    qsort(times, ROUNDS, sizeof times[0], by_value);
    printf("| %-34s | %8" PRIu64 " | %7.1f | %7.1f to %7.1f |\n", what, keys, times[ROUNDS / 2],
           times[0], times[ROUNDS - 1]);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

struct probe {
    struct l1_key key;
    struct key_text text;
};

/* The keys of a round, hashed beforehand for one at a time and for batches alike: what is measured is L1. */
static void probes_draw(const struct l1 *l1, struct probe *probes, uint64_t keys, struct rand *rand)
{
    for (size_t i = 0; i < ROUND_LOOKUPS; i++) {
        probes[i].key = key_of(l1, &probes[i].text, rand_below(rand, keys));
        probes[i].key.bytes.data = probes[i].text.bytes;
    }
}

static void look_up(struct l1 *l1, const struct l1_key *key)
{
    char room[VALUE_SIZE];
    struct l1_value value = {.copy = room, .copy_room = sizeof room};
    if (l1_get(l1, key, NOW_MS, 0, &value) != OK || value.item != NULL) {
        fprintf(stderr, "bench_l1: a key is missing\n");
        exit(1);
    }
}

static double round_single(struct l1 *l1, const struct probe *probes)
{
    const uint64_t began_ns = cpu_ns();
    for (size_t i = 0; i < ROUND_LOOKUPS; i++) {
        look_up(l1, &probes[i].key);
    }
    return (double)(cpu_ns() - began_ns) / ROUND_LOOKUPS;
}

static double round_batched(struct l1 *l1, const struct probe *probes)
{
    const uint64_t began_ns = cpu_ns();
    for (size_t i = 0; i < ROUND_LOOKUPS; i += BATCH) {
        const struct l1_bucket *buckets[BATCH];
        for (size_t k = 0; k < BATCH; k++) {
            buckets[k] = l1_prefetch(l1, probes[i + k].key.hash);
        }
        for (size_t k = 0; k < BATCH; k++) {
            l1_prefetch_item(l1, buckets[k], probes[i + k].key.hash);
        }
        for (size_t k = i; k < i + BATCH; k++) {
            look_up(l1, &probes[k].key);
        }
    }
    return (double)(cpu_ns() - began_ns) / ROUND_LOOKUPS;
}

static double round_mixed(struct l1 *l1, const struct probe *probes, uint64_t keys,
                          struct rand *rand)
{
    const struct shape shape = {.value_size = VALUE_SIZE};
    const uint64_t began_ns = cpu_ns();
    for (size_t i = 0; i < ROUND_LOOKUPS; i++) {
        if (i % 10 == 9) {
            put(l1, rand_below(rand, keys), &shape);
        } else {
            look_up(l1, &probes[i].key);
        }
    }
    return (double)(cpu_ns() - began_ns) / ROUND_LOOKUPS;
}

static void time_part(const void *arg)
{
    const uint64_t keys = *(const uint64_t *)arg;
    const struct shape shape = {.value_size = VALUE_SIZE};
    struct l1 *l1 = l1_of(keys * 160 + (64 << 20));
    uint64_t longest_ns = 0;
    const uint64_t began_ns = cpu_ns();
    uint64_t before_ns = began_ns;
    for (uint64_t n = 0; n < keys; n++) {
        put(l1, n, &shape);
        const uint64_t now_ns = cpu_ns();
        longest_ns = now_ns - before_ns > longest_ns ? now_ns - before_ns : longest_ns;
        before_ns = now_ns;
    }
    printf("| %-34s | %8" PRIu64 " | %7.1f | longest %.0f us |\n", "insert", keys,
           (double)(before_ns - began_ns) / (double)keys, (double)longest_ns / 1000);
    struct rand rand;
    rand_seed(&rand, 1);
    struct probe *probes = malloc(ROUND_LOOKUPS * sizeof *probes);
    double single[ROUNDS];
    double batched[ROUNDS];
    double mixed[ROUNDS];
    if (probes == NULL) {
        exit(1);
    }
    for (int round = 0; round < ROUNDS; round++) {
        probes_draw(l1, probes, keys, &rand);
        single[round] = round_single(l1, probes);
        probes_draw(l1, probes, keys, &rand);
        batched[round] = round_batched(l1, probes);
        probes_draw(l1, probes, keys, &rand);
        mixed[round] = round_mixed(l1, probes, keys, &rand);
    }
    print_times("lookup, one at a time", keys, single);
    print_times("lookup, 16 together", keys, batched);
    print_times("9 lookups, 1 replacement", keys, mixed);
    free(probes);
    l1_free(l1);
}

static void times(uint64_t keys)
{
    apart(time_part, &keys);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

struct memory_case {
    const char *name;
    uint64_t count;
    struct shape shape;
};

static void memory_part(const void *arg)
{
    const struct memory_case *it = arg;
    const size_t before = resident_bytes();
    struct l1 *l1 = l1_of((size_t)8 << 30);
    for (uint64_t n = 0; n < it->count; n++) {
        put(l1, n, &it->shape);
    }
    const size_t grown = resident_bytes() - before;
    struct l1_stats stats;
    l1_stats(l1, &stats);
    const double each = (double)grown / (double)it->count;
    printf("| %-34s | %7.1f | %7.1f | %6.3f |\n", it->name,
           each - (double)(KEY_SIZE + it->shape.value_size),
           (double)stats.bytes_tables / (double)it->count,
           (double)stats.bytes_used / (double)grown);
}

static void memory(void)
{
    const struct memory_case cases[] = {
        {"5 M of 32 B", 5000000, {.value_size = 32}},
        {"5 M of 32 B, TTL", 5000000, {.value_size = 32, .expire_at_ms = NOW_MS + 1000000}},
        {"5 M of 32 B, stamp", 5000000, {.value_size = 32, .stamped_at_ms = NOW_MS}},
        {"5 M of 32 B, TTL and stamp",
         5000000,
         {.value_size = 32, .expire_at_ms = NOW_MS + 1000000, .stamped_at_ms = NOW_MS}},
        {"1 M of 1 KiB", 1000000, {.value_size = 1024}},
        {"100 k of 16 KiB", 100000, {.value_size = 16384}},
    };
    printf("\n| items | overhead, B | of it table | bytes_used / RSS |\n|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        apart(memory_part, &cases[i]);
    }
}

/* --- churn -------------------------------------------------------------------------------------------------------- */

struct phase {
    const char *name;
    size_t least;
    size_t most;
};

static void churn_row(const char *what, const struct l1 *l1, size_t before, size_t data)
{
    struct l1_stats stats;
    l1_stats(l1, &stats);
    const size_t grown = resident_bytes() - before;
    printf("| %-26s | %6.1f | %6.1f | %6.3f | %8" PRIu64 " | %5.3f |\n", what,
           (double)grown / (1 << 20), (double)stats.bytes_used / (1 << 20),
           (double)stats.bytes_used / (double)grown, stats.items,
           (double)data / (double)stats.bytes_used);
}

static void add_size(void *arg, struct item *item)
{
    *(size_t *)arg += item_key(item).size + item_value_size(item);
}

static size_t data_in(struct l1 *l1)
{
    size_t data = 0;
    uint64_t cursor = 0;
    do {
        cursor = l1_scan(l1, 0, cursor, 1000, NOW_MS, add_size, &data);
    } while (cursor != 0);
    return data;
}

/* Fills three times over with values of sizes that change from phase to phase, then lets everything expire. */
static void churn_part(const void *arg)
{
    const struct phase phases[] = {
        {"10 to 100 B", 10, 100},       {"100 to 1000 B", 100, 1000},
        {"10 to 100 B again", 10, 100}, {"1 to 16 KiB", 1 << 10, 16 << 10},
        {"10 B to 4 KiB", 10, 4 << 10}, {"64 to 512 KiB", 64 << 10, 512 << 10},
        {"10 to 200 B", 10, 200},
    };
    const size_t budget = (size_t)256 << 20;
    (void)arg;
    struct rand rand;
    rand_seed(&rand, 1);
    const size_t before = resident_bytes();
    struct l1 *l1 = l1_of(budget);
    uint64_t number = 0;
    for (size_t p = 0; p < sizeof phases / sizeof phases[0]; p++) {
        for (size_t added = 0; added < 3 * budget;) {
            const size_t span = phases[p].most - phases[p].least;
            const struct shape shape = {.value_size = phases[p].least + rand_below(&rand, span),
                                        .expire_at_ms = NOW_MS + DAY_MS};
            put_at(l1, number, &shape, NOW_MS + (int64_t)(number / 100));
            number++;
            added += shape.value_size + KEY_SIZE;
        }
        churn_row(phases[p].name, l1, before, data_in(l1));
    }
    l1_resize(l1, budget / 4, NOW_MS + DAY_MS / 2);
    churn_row("budget a quarter", l1, before, data_in(l1));
    for (int i = 0; i < 4000; i++) {
        (void)l1_sweep(l1, NOW_MS + DAY_MS / 2, 1024);
    }
    churn_row("and swept", l1, before, data_in(l1));
    for (int i = 0; i < 4000; i++) {
        (void)l1_sweep(l1, NOW_MS + 2 * DAY_MS, 1024);
    }
    churn_row("all expired and swept", l1, before, 0);
}

static void churn(void)
{
    printf(
        "\n| sizes, budget 256 MiB | RSS, MiB | bytes_used | used / RSS | items | data / used |\n"
        "|---|---|---|---|---|---|\n");
    apart(churn_part, NULL);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void times_head(void)
{
    printf("| what | keys | ns, median | extremes |\n|---|---|---|---|\n");
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        fprintf(stderr, "usage: bench_l1 [KEYS | memory | churn]\n");
        return 2;
    }
    if (argc == 2 && strcmp(argv[1], "memory") == 0) {
        memory();
    } else if (argc == 2 && strcmp(argv[1], "churn") == 0) {
        churn();
    } else if (argc == 2) {
        const uint64_t keys = strtoull(argv[1], NULL, 10);
        if (keys == 0) {
            fprintf(stderr, "bench_l1: '%s' is no number of keys\n", argv[1]);
            return 2;
        }
        times_head();
        times(keys);
    } else {
        times_head();
        times(100000);
        times(1000000);
        times(5000000);
        memory();
        churn();
    }
    return 0;
}
