/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_reply.c -- any bytes as replies of L2.
 *
 * The first byte chooses the sizes of the pieces in which the rest arrives. What must hold: replies are framed the same
 * as when all arrives at once; what a framer passes, a cursor can walk to its end, and skips in one step; and (by the
 * sanitizers, each piece at an address of its own) no step beyond the input. Each reply is read as one of the lease script's
 * (tiers/lease.h), too. */
#include "protocol/check.h"
#include "protocol/hash.h"
#include "protocol/resp_read.h"
#include "tiers/lease.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    REPLIES_MAX = 4096
};

struct outcome {
    uint64_t hash; /* over the size of every reply */
    uint64_t replies;
    size_t consumed;
    enum status status;
};

static void check_text(struct slice text, struct slice reply)
{
    if (text.size > 0) {
        CHECK(text.data >= reply.data && text.data + text.size <= reply.data + reply.size);
    }
}

static void check_lease(struct slice reply)
{
    struct lease_answer answer = {.ms = -1};
    char error[LEASE_ERROR_MAX];
    const enum status status = lease_read(reply, &answer, error);
    CHECK(status == OK || status == MALFORMED || status == L2_ERROR);
    CHECK(strlen(error) < LEASE_ERROR_MAX);
    CHECK(status == OK || answer.ms == -1);
}

static void check_reply(struct slice reply)
{
    struct reply_cursor cursor = {.rest = reply};
    struct reply_element element;
    enum status status = OK;
    int64_t open = 1;
    while ((status = reply_next(&cursor, &element)) == OK) {
        check_text(element.text, reply);
        const bool holds_more = strchr("*%~>|", (int)element.type) != NULL;
        CHECK(!holds_more || element.number >= 0);
        open += (holds_more ? element.number : 0) - (element.type == REPLY_ATTRIBUTE ? 0 : 1);
    }
    CHECK(status == AGAIN && open == 0);
    cursor.rest = reply;
    CHECK(reply_skip(&cursor) == OK);
    CHECK(cursor.rest.size == 0);
    check_lease(reply);
}

static void frame_arrived(struct reply_framer *framer, struct slice stream, size_t arrived,
                          struct outcome *outcome)
{
    do {
        const size_t here = arrived - outcome->consumed;
        char *copy = malloc(here > 0 ? here : 1);
        CHECK(copy != NULL);
        memcpy(copy, stream.data + outcome->consumed, here);
        size_t size = 0;
        outcome->status = reply_frame(framer, (struct slice){copy, here}, &size);
        if (outcome->status == OK) {
            CHECK(size > 0 && size <= here);
            check_reply((struct slice){copy, size});
            const uint64_t words[] = {outcome->hash, size};
            outcome->hash = hash_checksum((struct slice){(const char *)words, sizeof words});
            outcome->replies++;
            outcome->consumed += size;
        } else {
            CHECK(outcome->status == AGAIN || outcome->status == MALFORMED);
            CHECK(framer->at <= here);
        }
        free(copy);
    } while (outcome->status == OK && outcome->replies < REPLIES_MAX);
}

static struct outcome frame_stream(struct slice stream, uint8_t how, bool at_once)
{
    struct outcome outcome = {.status = AGAIN};
    struct reply_framer framer = {0};
    const size_t shortest = 1 + stream.size / 512; /* keeps a run short */
    uint32_t seed = how;
    size_t arrived = 0;
    while (arrived < stream.size && outcome.status == AGAIN) {
        seed = seed * 1664525 + 1013904223;
        const size_t piece = at_once ? stream.size : shortest + (seed >> 24) % (1u << (how >> 5));
        arrived = piece < stream.size - arrived ? arrived + piece : stream.size;
        frame_arrived(&framer, stream, arrived, &outcome);
    }
    return outcome;
}

/* The cursor alone, on bytes that no framer has passed. */
static void walk_unframed(struct slice stream)
{
    char *copy = malloc(stream.size > 0 ? stream.size : 1);
    CHECK(copy != NULL);
    memcpy(copy, stream.data, stream.size);
    struct reply_cursor cursor = {.rest = {copy, stream.size}};
    struct reply_element element;
    while (reply_next(&cursor, &element) == OK) {
        check_text(element.text, (struct slice){copy, stream.size});
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const struct slice stream = {.data = (const char *)data + 1, .size = size - 1};
    walk_unframed(stream);
    const struct outcome whole = frame_stream(stream, data[0], true);
    if (whole.replies == REPLIES_MAX) {
        return 0;
    }
    const struct outcome pieces = frame_stream(stream, data[0], false);
    CHECK(whole.replies == pieces.replies);
    CHECK(whole.consumed == pieces.consumed);
    CHECK(whole.hash == pieces.hash);
    CHECK(whole.status == pieces.status);
    return 0;
}
