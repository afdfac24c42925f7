/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_request.c -- any bytes as a client's requests.
 *
 * The first byte chooses the sizes of the pieces in which the rest arrives, and whether the client is before AUTH. What
 * must hold: an argument may lie elsewhere; what is taken at once (request_take_plain) is what a reader reads; the same
 * requests, in the same order, ending in the same way, as when all arrives at once; memory in
 * proportion to what arrived; and (by the sanitizers, each piece at an address of its own) no step beyond the input. */
#include "protocol/check.h"
#include "protocol/hash.h"
#include "protocol/limits.h"
#include "protocol/resp_read.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    REQUESTS_MAX = 4096
};

/* How a stream was understood. */
struct outcome {
    uint64_t hash; /* over every argument of every request */
    uint64_t requests;
    size_t consumed;
    enum status status;
    char error[80];
};

static void mix(struct outcome *outcome, struct slice bytes)
{
    const uint64_t words[] = {outcome->hash, bytes.size, hash_checksum(bytes)};
    outcome->hash = hash_checksum((struct slice){(const char *)words, sizeof words});
}

/* The same request without the bytes of one of its arguments, which lies elsewhere. */
static void check_elsewhere(const struct request_reader *reader, struct slice input, uint32_t arg)
{
    const struct slice left_out = request_arg(reader, input, arg);
    const size_t before = (size_t)(left_out.data - input.data);
    const size_t behind = reader->used - before - left_out.size;
    char *rest = malloc(before + behind);
    CHECK(rest != NULL);
    memcpy(rest, input.data, before);
    memcpy(rest + before, left_out.data + left_out.size, behind);
    const struct slice shorter = {.data = rest, .size = before + behind};
    struct request_reader other;
    request_reader_init(&other);
    other.limit_args = reader->limit_args;
    other.limit_bulk = reader->limit_bulk;
    request_elsewhere(&other, arg);
    CHECK(request_read(&other, shorter) == OK);
    CHECK(other.argc == reader->argc && other.used == shorter.size);
    for (uint32_t i = 0; i < other.argc; i++) {
        const struct slice want = i == arg ? (struct slice){0} : request_arg(reader, input, i);
        CHECK(slice_equal(request_arg(&other, shorter, i), want));
    }
    request_reader_done(&other);
    free(rest);
}

static void check_request(const struct request_reader *reader, struct slice input,
                          struct outcome *outcome)
{
    CHECK(reader->used > 0 && reader->used <= input.size);
    CHECK(reader->error[0] == '\0');
    size_t args_size = 0;
    mix(outcome, (struct slice){(const char *)&reader->argc, sizeof reader->argc});
    for (uint32_t i = 0; i < reader->argc; i++) {
        const struct slice arg = request_arg(reader, input, i);
        args_size += arg.size;
        mix(outcome, arg);
    }
    CHECK(args_size <= reader->used);
    CHECK(reader->is_inline || reader->argc <= reader->limit_args);
    if (!reader->is_inline && reader->argc > 1) {
        check_elsewhere(reader, input, 1 + (uint32_t)(outcome->hash % (reader->argc - 1)));
    }
    outcome->requests++;
    outcome->consumed += reader->used;
}

static void check_refusal(const struct request_reader *reader)
{
    const struct slice error = slice_of(reader->error);
    CHECK(error.size > 16 && memcmp(error.data, "Protocol error: ", 16) == 0);
    CHECK(memchr(error.data, '\r', error.size) == NULL);
    CHECK(memchr(error.data, '\n', error.size) == NULL);
}

/* What is taken at once is what a reader says of it. */
struct plain {
    size_t used; /* 0: nothing */
    uint32_t argc;
    struct slice argv[64];
};

static struct plain plain_of(const struct request_reader *reader, struct slice input)
{
    struct plain plain = {0};
    plain.used = request_take_plain(reader, input, plain.argv, 64, &plain.argc);
    return plain;
}

static void check_plain(const struct plain *plain, enum status status,
                        const struct request_reader *reader, struct slice input)
{
    CHECK(status == OK && !reader->is_inline);
    CHECK(plain->used == reader->used && plain->argc == reader->argc);
    for (uint32_t i = 0; i < plain->argc; i++) {
        const struct slice want = request_arg(reader, input, i);
        CHECK(plain->argv[i].data == want.data && plain->argv[i].size == want.size);
    }
}

/* Reads requests from the first `arrived` bytes until one is not whole. */
static void read_arrived(struct request_reader *reader, struct slice stream, size_t arrived,
                         struct outcome *outcome)
{
    do {
        const size_t here = arrived - outcome->consumed;
        char *copy = malloc(here > 0 ? here : 1);
        CHECK(copy != NULL);
        memcpy(copy, stream.data + outcome->consumed, here);
        const struct slice input = {.data = copy, .size = here};
        const struct plain plain = plain_of(reader, input);
        outcome->status = request_read(reader, input);
        if (plain.used > 0) {
            check_plain(&plain, outcome->status, reader, input);
        }
        CHECK(reader->span_capacity <= 16 + arrived);
        CHECK(reader->unquoted.capacity <= 64 + 2 * arrived);
        if (outcome->status == OK) {
            check_request(reader, input, outcome);
            request_reader_reset(reader);
        } else if (outcome->status == AGAIN) {
            CHECK(request_missing(reader, input) >= 1);
        } else if (outcome->status == MALFORMED) {
            check_refusal(reader);
        } else {
            CHECK(outcome->status == CLOSE);
        }
        free(copy);
    } while (outcome->status == OK && outcome->requests < REQUESTS_MAX);
}

static struct outcome read_stream(struct slice stream, uint8_t how, bool at_once)
{
    struct outcome outcome = {.status = AGAIN};
    struct request_reader reader;
    request_reader_init(&reader);
    if ((how & 1) != 0) {
        reader.limit_args = LIMIT_UNAUTH_ARGS;
        reader.limit_bulk = LIMIT_UNAUTH_BULK;
    }
    const size_t shortest = 1 + stream.size / 512; /* keeps a run short */
    uint32_t seed = how;
    size_t arrived = 0;
    while (arrived < stream.size && outcome.status == AGAIN) {
        seed = seed * 1664525 + 1013904223;
        const size_t piece = at_once ? stream.size : shortest + (seed >> 24) % (1u << (how >> 5));
        arrived = piece < stream.size - arrived ? arrived + piece : stream.size;
        read_arrived(&reader, stream, arrived, &outcome);
    }
    memcpy(outcome.error, reader.error, sizeof outcome.error);
    request_reader_done(&reader);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const struct slice stream = {.data = (const char *)data + 1, .size = size - 1};
    const struct outcome whole = read_stream(stream, data[0], true);
    if (whole.requests == REQUESTS_MAX) {
        return 0;
    }
    const struct outcome pieces = read_stream(stream, data[0], false);
    CHECK(whole.requests == pieces.requests);
    CHECK(whole.consumed == pieces.consumed);
    CHECK(whole.hash == pieces.hash);
    CHECK(whole.status == pieces.status);
    CHECK(strcmp(whole.error, pieces.error) == 0);
    return 0;
}
