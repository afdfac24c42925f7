/* SPDX-License-Identifier: BSD-3-Clause */
/* envelope.c -- what the envelopes of managed values save, and what they cost: `make bench-envelope`.
 *
 * Compression: values of several kinds are made from a seed. For each kind a dictionary is trained from the first ones, as a
 * node does, and others are compressed and decompressed: bytes left, nanoseconds per value.
 * Tags: bytes in L2 and in L1, nanoseconds to write an envelope and to make an item of it, by their number. */
#include "protocol/envelope.h"

#include "bench/rng.h"
#include "protocol/check.h"
#include "protocol/codec.h"
#include "tiers/base/clock.h"
#include "tiers/dictionary.h"
#include "tiers/item.h"
#include "tiers/managed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEARN = 1200, /* values written before the figures, of which samples are full */
    COUNT = 4000,
    REPEATS = 5,
    DICTIONARY_NUMBER = 8, /* bytes of metadata */
};

static const char *const words[] = {
    "the",     "cache", "of",      "a",       "node",   "and",    "value",   "is",
    "read",    "from",  "memory",  "when",    "it",     "was",    "written", "by",
    "another", "which", "then",    "tells",   "every",  "reader", "that",    "stands",
    "in",      "front", "request", "query",   "answer", "model",  "token",   "system",
    "user",    "asked", "for",     "summary", "long",   "text",   "with",    "some"};

static const char *word(struct rng *rng)
{
    return words[rng_below(rng, sizeof words / sizeof *words)];
}

static void add_sentence(struct buf *out, struct rng *rng, size_t size)
{
    while (out->size < size) {
        CHECK(buf_printf(out, "%s ", word(rng)) == OK);
    }
    out->size = size;
}

/* 137 bytes, as an application keeps a session or a small row. */
static void json_small(struct buf *out, struct rng *rng)
{
    CHECK(buf_printf(out,
                     "{\"id\":%08" PRIu64 ",\"name\":\"%-8s\",\"email\":\"u%07" PRIu64
                     "@example.com\",\"active\":true,\"role\":\"%s\",\"score\":%04" PRIu64
                     ",\"created\":\"2026-%02" PRIu64 "-%02" PRIu64 "\"}",
                     rng_below(rng, 100000000), word(rng), rng_below(rng, 10000000),
                     rng_below(rng, 3) == 0 ? "writer" : "reader", rng_below(rng, 10000),
                     1 + rng_below(rng, 12), 1 + rng_below(rng, 28)) == OK);
}

/* What an application keeps of a user's rights: one number, and choices. */
static void json_choices(struct buf *out, struct rng *rng)
{
    static const char *const plans[] = {"free", "standard", "company"};
    CHECK(
        buf_printf(
            out,
            "{\"user\":%07" PRIu64 ",\"plan\":\"%s\",\"rights\":{\"read\":true,\"write\":%s,"
            "\"admin\":false},\"language\":\"%s\",\"theme\":\"dark\",\"beta\":%s,\"verified\":true}",
            rng_below(rng, 10000000), plans[rng_below(rng, 3)],
            rng_below(rng, 2) ? "true" : "false", rng_below(rng, 2) ? "en" : "pt",
            rng_below(rng, 5) ? "false" : "true") == OK);
}

static void json_large(struct buf *out, struct rng *rng)
{
    CHECK(buf_append(out, "{\"items\":[", 10) == OK);
    while (out->size < 2000) {
        json_small(out, rng);
        CHECK(buf_append(out, ",", 1) == OK);
    }
}

static void text(struct buf *out, struct rng *rng)
{
    add_sentence(out, rng, 4096);
}

static void noise(struct buf *out, struct rng *rng)
{
    CHECK(buf_reserve(out, 1024) == OK);
    for (; out->size < 1024; out->size += 8) {
        put_u64le(out->data + out->size, rng_next(rng));
    }
}

/* 768 floats between -1 and 1, as an embedding comes from a model: the bytes of a mantissa are noise. */
static void embedding(struct buf *out, struct rng *rng)
{
    for (unsigned i = 0; i < 768; i++) {
        const float number = (float)rng_below(rng, 1 << 24) / (float)(1 << 23) - 1.0f;
        CHECK(buf_append(out, &number, sizeof number) == OK);
    }
}

/* The same as JSON, as many applications keep it. */
static void embedding_text(struct buf *out, struct rng *rng)
{
    CHECK(buf_append(out, "[", 1) == OK);
    for (unsigned i = 0; i < 768; i++) {
        const double number = (double)rng_below(rng, 1 << 24) / (1 << 23) - 1.0;
        CHECK(buf_printf(out, "%.8f,", number) == OK);
    }
}

static const struct kind {
    const char *name;
    void (*make)(struct buf *out, struct rng *rng);
} kinds[] = {{"JSON, numbers and names", json_small},
             {"JSON, choices", json_choices},
             {"JSON, a list", json_large},
             {"text", text},
             {"random", noise},
             {"embedding, floats", embedding},
             {"embedding, JSON", embedding_text}};

struct values {
    struct buf bytes;
    uint32_t ends[COUNT];
};

static void make_values(struct values *values, const struct kind *kind, struct rng *rng,
                        unsigned count)
{
    values->bytes.size = 0;
    for (unsigned i = 0; i < count; i++) {
        struct buf one = {0};
        kind->make(&one, rng);
        CHECK(buf_append_slice(&values->bytes, buf_slice(&one)) == OK);
        values->ends[i] = (uint32_t)values->bytes.size;
        buf_done(&one);
    }
}

static struct slice value_at(const struct values *values, unsigned i)
{
    const uint32_t begin = i == 0 ? 0 : values->ends[i - 1];
    return (struct slice){values->bytes.data + begin, values->ends[i] - begin};
}

struct figures {
    double ratio;         /* of the values to what is left */
    double stored_ratio;  /* ... with the head of the envelope */
    double compress_ns;   /* per value */
    double decompress_ns; /* per value that was compressed */
};

static struct figures measure(const struct values *values, const struct codec_dictionary *codec)
{
    struct figures best = {.compress_ns = 1e18, .decompress_ns = 1e18};
    struct buf block = {0};
    char *dst = malloc(1 << 20);
    CHECK(dst != NULL);
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t plain = 0, left = 0, heads = 0, compress_ns = 0, decompress_ns = 0, saved = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            const struct slice value = value_at(values, i);
            bool used = false;
            block.size = 0;
            const uint64_t begin = clock_monotonic_ns();
            const enum status status = codec_compress(&block, value, codec, &used);
            const uint64_t between = clock_monotonic_ns();
            compress_ns += between - begin;
            plain += value.size;
            left += status == OK ? block.size : value.size;
            heads += (uint64_t)ENVELOPE_HEAD_SIZE +
                     (status == OK && used ? (uint64_t)DICTIONARY_NUMBER : 0);
            if (status == OK) {
                CHECK(codec_decompress(dst, value.size, buf_slice(&block), used ? codec : NULL) ==
                      OK);
                decompress_ns += clock_monotonic_ns() - between;
                saved++;
            }
        }
        const double per_value = (double)compress_ns / COUNT;
        const double back = saved == 0 ? 0 : (double)decompress_ns / (double)saved;
        best.ratio = (double)plain / (double)left;
        best.stored_ratio = (double)plain / (double)(left + heads);
        best.compress_ns = per_value < best.compress_ns ? per_value : best.compress_ns;
        best.decompress_ns = back < best.decompress_ns ? back : best.decompress_ns;
    }
    free(dst);
    buf_done(&block);
    return best;
}

static void print_row(const struct kind *kind, const char *how, const struct values *values,
                      const struct figures *figures)
{
    printf("| %s | %zu | %s | %.2f | %.2f | %.0f | %.0f |\n", kind->name,
           values->bytes.size / COUNT, how, figures->ratio, figures->stored_ratio,
           figures->compress_ns, figures->decompress_ns);
}

static void run(const struct kind *kind, struct values *values)
{
    struct rng rng;
    rng_init(&rng, 7);
    struct dictionaries *dictionaries = dictionaries_new();
    CHECK(dictionaries != NULL);
    struct dictionary_space *space = dictionaries_at(dictionaries, SLICE_LITERAL("bench"));
    make_values(values, kind, &rng, LEARN);
    for (unsigned i = 0; i < LEARN; i++) {
        dictionary_sample(space, value_at(values, i));
    }
    struct buf bytes = {0};
    const uint64_t begin = clock_monotonic_ns();
    const enum status status = dictionary_train(space, &bytes);
    const double train_ms = (double)(clock_monotonic_ns() - begin) / 1e6;
    make_values(values, kind, &rng, COUNT);
    const struct figures alone = measure(values, NULL);
    print_row(kind, "LZ4", values, &alone);
    if (status == OK) {
        struct codec_dictionary *codec = codec_dictionary_new(buf_slice(&bytes));
        CHECK(codec != NULL);
        const struct figures with = measure(values, codec);
        char how[64];
        (void)snprintf(how, sizeof how, "dictionary of %zu (%.1f ms)", bytes.size, train_ms);
        print_row(kind, how, values, &with);
        codec_dictionary_free(codec);
    } else {
        printf("| %s | | no dictionary is better (%.1f ms) | | | | |\n", kind->name, train_ms);
    }
    buf_done(&bytes);
    dictionaries_free(dictionaries);
}

/* --- tags ------------------------------------------------------------------------------------------------------------ */

static void measure_tags(unsigned count)
{
    enum {
        TURNS = 20000
    };
    char names[ENVELOPE_TAGS_MAX][16];
    struct slice tags[ENVELOPE_TAGS_MAX];
    for (unsigned i = 0; i < count; i++) {
        const int size = snprintf(names[i], sizeof names[i], "product:%05u", i);
        tags[i] = (struct slice){names[i], (size_t)size};
    }
    static const char value[100];
    const struct envelope envelope = {.fresh_ms = 60000,
                                      .value_size = sizeof value,
                                      .tag_count = count,
                                      .body = {value, sizeof value}};
    struct buf out = {0};
    uint64_t write_ns = UINT64_MAX;
    uint64_t read_ns = UINT64_MAX;
    size_t footprint = 0;
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        const uint64_t begin = clock_monotonic_ns();
        for (unsigned i = 0; i < TURNS; i++) {
            out.size = 0;
            CHECK(envelope_write(&out, &envelope, tags) == OK);
        }
        const uint64_t between = clock_monotonic_ns();
        for (unsigned i = 0; i < TURNS; i++) {
            const struct managed_read read = {.key = {.bytes = SLICE_LITERAL("a key")},
                                              .bytes = buf_slice(&out),
                                              .pttl_ms = 60000};
            struct item *item = NULL;
            CHECK(managed_decode(&read, &item) == OK);
            footprint = item_footprint(item);
            item_release(item);
        }
        const uint64_t end = clock_monotonic_ns();
        write_ns = between - begin < write_ns ? between - begin : write_ns;
        read_ns = end - between < read_ns ? end - between : read_ns;
    }
    printf("| %u | %zu | %zu | %.0f | %.0f |\n", count, out.size - sizeof value, footprint,
           (double)write_ns / TURNS, (double)read_ns / TURNS);
    buf_done(&out);
}

int main(void)
{
    struct values *values = calloc(1, sizeof *values);
    CHECK(values != NULL);
    printf(
        "| value | bytes | how | times smaller | with its envelope | ns to compress | ns to decompress |\n"
        "|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        run(&kinds[i], values);
    }
    buf_done(&values->bytes);
    free(values);
    printf(
        "\n| tags of 13 bytes | bytes in L2 beyond the value | bytes of the item in L1, value of 100 | ns to write | ns "
        "to make an item |\n|---|---|---|---|---|\n");
    static const unsigned counts[] = {0, 1, 4, 16, 64};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        measure_tags(counts[i]);
    }
    return 0;
}
