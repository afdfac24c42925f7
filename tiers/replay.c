/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/replay.h"

#include "protocol/check.h"
#include "protocol/resp_write.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

__asm__(".pushsection .rodata\n"
        ".global replay_script\n"
        ".type replay_script, %object\n"
        "replay_script:\n"
        ".incbin \"tiers/scripts/replay.lua\"\n"
        ".byte 0\n"
        ".size replay_script, . - replay_script\n"
        ".popsection\n");

enum {
    ANSWER_FIELDS = 4, /* in front of the frames */
    EPOCH_RANDOM_SIZE = 8
};
#define SEQ_MAX (UINT64_C(1) << 53)

enum status replay_write(struct buf *out, unsigned coherence_db, struct epoch epoch, uint64_t from)
{
    char db[12];
    char counter[24];
    char random[EPOCH_RANDOM_SIZE];
    char first[24];
    char entries[12];
    (void)snprintf(db, sizeof db, "%u", coherence_db);
    (void)snprintf(counter, sizeof counter, "%" PRIu64, epoch.counter);
    (void)snprintf(first, sizeof first, "%" PRIu64, from);
    (void)snprintf(entries, sizeof entries, "%d", (int)REPLAY_PAGE);
    put_u64le(random, epoch.random);
    const struct slice words[] = {
        SLICE_LITERAL("EVAL"), slice_of(replay_script), SLICE_LITERAL("0"), slice_of(db),
        slice_of(counter),     {random, sizeof random}, slice_of(first),    slice_of(entries)};
    return resp_append_request(out, sizeof words / sizeof words[0], words);
}

static struct slice text_of(const redisReply *reply)
{
    return (struct slice){.data = reply->str, .size = reply->len};
}

static bool seq_read(const redisReply *reply, uint64_t *ret)
{
    return reply->type == REDIS_REPLY_STRING && slice_to_u64(text_of(reply), ret) == OK &&
           *ret < SEQ_MAX;
}

/* A log without entries has no oldest one: then all of it may have been cut off. */
static bool oldest_read(const redisReply *reply, uint64_t *ret)
{
    *ret = UINT64_MAX;
    return (reply->type == REDIS_REPLY_STRING && slice_is(text_of(reply), "-1")) ||
           seq_read(reply, ret);
}

static enum status page_read(const redisReply *reply, uint64_t from, struct replay_page *page)
{
    uint64_t oldest = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER) {
        return MALFORMED;
    }
    if (reply->element[0]->integer == 0 && reply->elements == 1) {
        return MISS;
    }
    if (reply->element[0]->integer != 1 || reply->elements < ANSWER_FIELDS ||
        reply->elements > ANSWER_FIELDS + REPLAY_PAGE || !seq_read(reply->element[1], &page->now) ||
        !oldest_read(reply->element[2], &oldest) || !seq_read(reply->element[3], &page->through)) {
        return MALFORMED;
    }
    for (size_t i = ANSWER_FIELDS; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            return MALFORMED;
        }
    }
    /* What is behind the current seq was not numbered by it: then one of both is not ours. */
    if (page->through > page->now || page->through + 1 < from) {
        return MALFORMED;
    }
    page->is_whole = oldest <= from;
    page->count = reply->elements - ANSWER_FIELDS;
    return OK;
}

enum status replay_read(struct slice reply, uint64_t from, struct replay_page *ret_page,
                        char error[REPLAY_ERROR_MAX])
{
    *ret_page = (struct replay_page){0};
    struct replay_page page = {0};
    enum status status = MALFORMED;
    void *parsed = NULL;
    redisReader *reader = redisReaderCreate();
    slice_to_text(SLICE_LITERAL("the answer about the log is not what its script returns"), ' ',
                  error, REPLAY_ERROR_MAX);
    if (reader == NULL) {
        return NO_MEMORY;
    }
    if (reply.size > 0 && redisReaderFeed(reader, reply.data, reply.size) == REDIS_OK &&
        redisReaderGetReply(reader, &parsed) == REDIS_OK && parsed != NULL) {
        const redisReply *read = parsed;
        if (read->type == REDIS_REPLY_ERROR) {
            slice_to_text(text_of(read), ' ', error, REPLAY_ERROR_MAX);
            status = L2_ERROR;
        } else {
            status = page_read(read, from, &page);
        }
    }
    redisReaderFree(reader);
    if (status == OK) {
        page.parsed = parsed;
        *ret_page = page;
    } else if (parsed != NULL) {
        freeReplyObject(parsed);
    }
    if (status == MISS) {
        slice_to_text(SLICE_LITERAL("the log is of another epoch"), ' ', error, REPLAY_ERROR_MAX);
    }
    return status;
}

struct slice replay_frame(const struct replay_page *page, size_t i)
{
    CHECK(i < page->count);
    const redisReply *array = page->parsed;
    return text_of(array->element[ANSWER_FIELDS + i]);
}

void replay_done(struct replay_page *page)
{
    if (page->parsed != NULL) {
        freeReplyObject(page->parsed);
    }
    *page = (struct replay_page){0};
}
