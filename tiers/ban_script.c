/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/ban_script.h"

#include "protocol/frame_ban.h"
#include "protocol/resp_write.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The script's text, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global ban_script\n"
        ".type ban_script, %object\n"
        "ban_script:\n"
        ".incbin \"tiers/scripts/ban.lua\"\n"
        ".byte 0\n"
        ".size ban_script, . - ban_script\n"
        ".popsection\n");

enum {
    PAGE_FIELDS = 5,
    EPOCH_RANDOM_SIZE = 8,
    NUMBER_MAX = 24
};

/* A life without end, as the script keeps it. */
#define ENDLESS_MS ((INT64_C(1) << 53) - 1)

/* --- requests ---------------------------------------------------------------------------------------------------- */

static enum status frame_of(struct buf *out, const struct ban_call *call, struct slice body)
{
    struct frame_ban ban;
    size_t position = 0;
    const bool of_tags = frame_ban_next(body, 0, &position, &ban) == OK &&
                         (ban.kind == FRAME_BAN_TAG || ban.kind == FRAME_BAN_ALL_TAGS);
    const struct frame frame = {
        .type = of_tags ? FRAME_TAG : FRAME_PREFIX,
        .count = 1,
        .node = call->node,
        .body = body,
    };
    return frame_write(out, &frame);
}

static enum status frame_of_lost(struct buf *out, const struct ban_call *call)
{
    struct buf name = {0};
    struct buf body = {0};
    const struct slice none = {.data = "", .size = 0};
    enum status status = frame_ban_name(&name, FRAME_BAN_LOST, none, none);
    if (status == OK) {
        status = frame_ban_append_own(&body, buf_slice(&name), false);
    }
    if (status == OK) {
        status = frame_of(out, call, buf_slice(&body));
    }
    buf_done(&name);
    buf_done(&body);
    return status;
}

static enum status write_call(struct buf *out, const struct ban_call *call, const char *what,
                              struct slice argument, int64_t life_ms)
{
    char life[NUMBER_MAX];
    char db[NUMBER_MAX];
    char length[NUMBER_MAX];
    struct buf lost = {0};
    (void)snprintf(db, sizeof db, "%u", call->coherence_db);
    (void)snprintf(life, sizeof life, "%" PRId64, life_ms);
    (void)snprintf(length, sizeof length, "%" PRIu64, call->log_length);
    enum status status = frame_of_lost(&lost, call);
    if (status == OK) {
        const struct slice words[] = {
            SLICE_LITERAL("EVAL"), slice_of(ban_script), SLICE_LITERAL("0"), slice_of(db),
            slice_of(what),        slice_of(length),     buf_slice(&lost),   argument,
            slice_of(life)};
        status = resp_append_request(out, sizeof words / sizeof words[0], words);
    }
    buf_done(&lost);
    return status;
}

static enum status write_frame(struct buf *out, const struct ban_call *call, const char *what,
                               struct slice body)
{
    struct buf frame = {0};
    enum status status = frame_of(&frame, call, body);
    if (status == OK) {
        status = write_call(out, call, what, buf_slice(&frame), 0);
    }
    buf_done(&frame);
    return status;
}

enum status ban_write_issue(struct buf *out, const struct ban_call *call, struct slice body)
{
    return write_frame(out, call, "ISSUE", body);
}

enum status ban_write_know(struct buf *out, const struct ban_call *call, struct slice body)
{
    return write_frame(out, call, "KNOW", body);
}

enum status ban_write_clean(struct buf *out, const struct ban_call *call, struct slice body,
                            int64_t life_ms)
{
    return write_call(out, call, "CLEAN", body, life_ms);
}

enum status ban_write_load(struct buf *out, const struct ban_call *call, uint64_t cursor,
                           int64_t life_ms)
{
    char text[NUMBER_MAX];
    (void)snprintf(text, sizeof text, "%" PRIu64, cursor);
    return write_call(out, call, "LOAD", slice_of(text), life_ms);
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static enum status number_of(const redisReply *reply, uint64_t *ret_number)
{
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0) {
        return MALFORMED;
    }
    *ret_number = (uint64_t)reply->integer;
    return OK;
}

static int64_t life_of(int64_t said_ms)
{
    return said_ms < ENDLESS_MS ? said_ms : 0;
}

static enum status page_of(const redisReply *reply, struct ban_page *ret_page)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != PAGE_FIELDS) {
        return MALFORMED;
    }
    const redisReply *cursor = reply->element[0];
    const redisReply *entries = reply->element[1];
    const redisReply *counter = reply->element[2];
    const redisReply *random = reply->element[3];
    const redisReply *life = reply->element[4];
    struct ban_page page = {0};
    if (cursor->type != REDIS_REPLY_STRING || entries->type != REDIS_REPLY_STRING ||
        slice_to_u64((struct slice){cursor->str, cursor->len}, &page.cursor) != OK ||
        counter->type != REDIS_REPLY_INTEGER || counter->integer <= 0 ||
        random->type != REDIS_REPLY_STRING || random->len != EPOCH_RANDOM_SIZE ||
        life->type != REDIS_REPLY_INTEGER || life->integer <= 0) {
        return MALFORMED;
    }
    page.life_ms = life_of(life->integer);
    page.epoch =
        (struct epoch){.counter = (uint64_t)counter->integer, .random = get_u64le(random->str)};
    const enum status status = buf_append(&page.entries, entries->str, entries->len);
    if (status == OK) {
        *ret_page = page;
    }
    return status;
}

/* What the answer is in the first place; `number` or `page` is NULL. */
static enum status answer_of(const redisReply *reply, uint64_t *number, struct ban_page *page,
                             char error[BAN_ERROR_MAX])
{
    if (reply->type == REDIS_REPLY_ERROR) {
        slice_to_text((struct slice){reply->str, reply->len}, ' ', error, BAN_ERROR_MAX);
        return L2_ERROR;
    }
    if (reply->type == REDIS_REPLY_STATUS &&
        slice_is((struct slice){reply->str, reply->len}, "EPOCH")) {
        return AGAIN;
    }
    return number != NULL ? number_of(reply, number) : page_of(reply, page);
}

static enum status read_answer(struct slice bytes, uint64_t *number, struct ban_page *page,
                               char error[BAN_ERROR_MAX])
{
    (void)snprintf(error, BAN_ERROR_MAX, "the answer is not what the script of bans returns");
    redisReader *reader = redisReaderCreate();
    if (reader == NULL) {
        return NO_MEMORY;
    }
    enum status status = MALFORMED;
    void *read = NULL;
    if (bytes.size > 0 && redisReaderFeed(reader, bytes.data, bytes.size) == REDIS_OK &&
        redisReaderGetReply(reader, &read) == REDIS_OK && read != NULL) {
        status = answer_of(read, number, page, error);
    }
    if (read != NULL) {
        freeReplyObject(read);
    }
    redisReaderFree(reader);
    return status;
}

enum status ban_read_number(struct slice reply, uint64_t *ret_number, char error[BAN_ERROR_MAX])
{
    return read_answer(reply, ret_number, NULL, error);
}

enum status ban_read_life(struct slice reply, int64_t *ret_life_ms, char error[BAN_ERROR_MAX])
{
    uint64_t number = 0;
    const enum status status = read_answer(reply, &number, NULL, error);
    if (status == OK) {
        *ret_life_ms = life_of((int64_t)number);
    }
    return status;
}

enum status ban_read_page(struct slice reply, struct ban_page *ret_page, char error[BAN_ERROR_MAX])
{
    return read_answer(reply, NULL, ret_page, error);
}
