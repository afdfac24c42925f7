/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_memcached.c -- any bytes as the answers of a memcached.
 *
 * The first byte chooses the sizes of the pieces in which the rest arrives. What must hold: answers are taken the same as
 * when all arrives at once; what is not whole is left as it was; what is taken is one whole RESP reply; and (by the
 * sanitizers, the bytes at an address of their own) no step beyond the input. */
#include "bench/memcached.h"
#include "protocol/check.h"
#include "protocol/hash.h"
#include "protocol/resp_read.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    REPLIES_MAX = 4096
};

struct outcome {
    uint64_t hash; /* over every reply and what it took */
    uint64_t replies;
    size_t consumed;
    enum status status;
};

static void check_reply(struct slice reply)
{
    struct reply_framer framer = {0};
    size_t size = 0;
    CHECK(reply_frame(&framer, reply, &size) == OK && size == reply.size);
}

static void take_arrived(const struct slice stream, size_t arrived, struct outcome *outcome)
{
    do {
        const struct slice here = {stream.data + outcome->consumed, arrived - outcome->consumed};
        char *copy = malloc(here.size > 0 ? here.size : 1);
        CHECK(copy != NULL);
        memcpy(copy, here.data, here.size);
        size_t used = 0;
        struct slice reply = {0};
        outcome->status = memcached_take_reply(copy, here.size, &used, &reply);
        if (outcome->status == OK) {
            CHECK(used > 0 && used <= here.size);
            check_reply(reply);
            const uint64_t words[] = {outcome->hash, used, hash_checksum(reply)};
            outcome->hash = hash_checksum((struct slice){(const char *)words, sizeof words});
            outcome->replies++;
            outcome->consumed += used;
        } else {
            CHECK(outcome->status == AGAIN || outcome->status == MALFORMED);
            CHECK(memcmp(copy, here.data, here.size) == 0);
        }
        free(copy);
    } while (outcome->status == OK && outcome->replies < REPLIES_MAX);
}

static struct outcome take_stream(struct slice stream, uint8_t how, bool at_once)
{
    struct outcome outcome = {.status = AGAIN};
    const size_t shortest = 1 + stream.size / 512; /* keeps a run short */
    uint32_t seed = how;
    size_t arrived = 0;
    while (arrived < stream.size && outcome.status == AGAIN) {
        seed = seed * 1664525 + 1013904223;
        const size_t piece = at_once ? stream.size : shortest + (seed >> 24) % (1u << (how >> 5));
        arrived = piece < stream.size - arrived ? arrived + piece : stream.size;
        take_arrived(stream, arrived, &outcome);
    }
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const struct slice stream = {.data = (const char *)data + 1, .size = size - 1};
    const struct outcome whole = take_stream(stream, data[0], true);
    if (whole.replies == REPLIES_MAX) {
        return 0;
    }
    const struct outcome pieces = take_stream(stream, data[0], false);
    CHECK(whole.replies == pieces.replies);
    CHECK(whole.consumed == pieces.consumed);
    CHECK(whole.hash == pieces.hash);
    CHECK(whole.status == pieces.status);
    return 0;
}
