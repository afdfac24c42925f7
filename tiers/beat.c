/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/beat.h"

#include "protocol/check.h"
#include "protocol/hash.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The script's text, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global beat_script\n"
        ".type beat_script, %object\n"
        "beat_script:\n"
        ".incbin \"tiers/scripts/beat.lua\"\n"
        ".byte 0\n"
        ".size beat_script, . - beat_script\n"
        ".popsection\n");

enum {
    BEAT_ANSWER_FIELDS = 6,
    BEAT_WORDS = 9,
    EPOCH_RANDOM_SIZE = 8,
    ID_MAX = 128
};

/* What the script splices at. */
_Static_assert(FRAME_REDIS_WORDS_OFFSET == 16 && FRAME_REDIS_WORDS_SIZE == 24,
               "scripts/beat.lua counts on it");

static enum status request_append(struct buf *out, size_t argc, const char *const *argv,
                                  const size_t *sizes)
{
    char *text = NULL;
    /* The cast is hiredis' missing const. */
    const int size = redisFormatCommandArgv(&text, (int)argc, (const char **)argv, sizes);
    if (size < 0) {
        return NO_MEMORY;
    }
    const enum status status = buf_append(out, text, (size_t)size);
    redisFreeCommand(text);
    return status;
}

enum status beat_write(struct buf *out, const struct beat_request *request)
{
    CHECK(request->known_epoch <= EPOCH_COUNTER_MAX);
    CHECK(request->publish == (request->frame != NULL));
    struct buf frame = {0};
    if (request->publish) {
        const enum status status = frame_write(&frame, request->frame);
        if (status != OK) {
            buf_done(&frame);
            return status;
        }
    }
    char db[12];
    char known[24];
    char random[EPOCH_RANDOM_SIZE];
    char node[24];
    char deadline[24];
    const int db_size = snprintf(db, sizeof db, "%u", request->coherence_db);
    const int known_size = snprintf(known, sizeof known, "%" PRIu64, request->known_epoch);
    const int node_size = snprintf(node, sizeof node, "%" PRIu64, request->node);
    const int deadline_size = snprintf(deadline, sizeof deadline, "%" PRId64, request->deadline_ms);
    put_u64le(random, request->fresh_random);
    const char *argv[BEAT_WORDS + BEAT_COMMAND_WORDS_MAX] = {
        "EVAL", beat_script, "0",
        db,     known,       random,
        node,   deadline,    frame.size > 0 ? frame.data : ""};
    size_t sizes[BEAT_WORDS + BEAT_COMMAND_WORDS_MAX] = {4,
                                                         strlen(beat_script),
                                                         1,
                                                         (size_t)db_size,
                                                         (size_t)known_size,
                                                         sizeof random,
                                                         (size_t)node_size,
                                                         (size_t)deadline_size,
                                                         frame.size};
    CHECK(request->command_words <= BEAT_COMMAND_WORDS_MAX);
    for (size_t i = 0; i < request->command_words; i++) {
        argv[BEAT_WORDS + i] = request->command[i].data;
        sizes[BEAT_WORDS + i] = request->command[i].size;
    }
    const enum status status =
        request_append(out, BEAT_WORDS + request->command_words, argv, sizes);
    buf_done(&frame);
    return status;
}

enum status beat_write_check(struct buf *out, unsigned coherence_db, struct epoch epoch)
{
    CHECK(epoch.counter <= EPOCH_COUNTER_MAX);
    char db[12];
    char counter[24];
    char random[EPOCH_RANDOM_SIZE];
    const int db_size = snprintf(db, sizeof db, "%u", coherence_db);
    const int counter_size = snprintf(counter, sizeof counter, "%" PRIu64, epoch.counter);
    put_u64le(random, epoch.random);
    const char *argv[BEAT_WORDS] = {"EVAL", beat_script, "0", db, counter, random, "", "", "CHECK"};
    const size_t sizes[BEAT_WORDS] = {
        4, strlen(beat_script), 1, (size_t)db_size, (size_t)counter_size, sizeof random, 0,
        0, sizeof "CHECK" - 1};
    return request_append(out, BEAT_WORDS, argv, sizes);
}

/* The server's text without what Redis adds about the script, and without anything that could break a log line. */
static void error_copy(char error[BEAT_ERROR_MAX], const char *text, size_t size)
{
    static const char about_script[] = " script: ";
    const char *end = memmem(text, size, about_script, sizeof about_script - 1);
    size = end != NULL ? (size_t)(end - text) : size;
    slice_to_text((struct slice){text, size}, ' ', error, BEAT_ERROR_MAX);
}

static bool is_integer(const redisReply *reply, long long minimum, long long maximum)
{
    return reply->type == REDIS_REPLY_INTEGER && reply->integer >= minimum &&
           reply->integer <= maximum;
}

static uint64_t hash_of_words(const uint64_t *words, size_t count)
{
    char bytes[3 * sizeof(uint64_t)];
    for (size_t i = 0; i < count; i++) {
        put_u64le(bytes + i * sizeof(uint64_t), words[i]);
    }
    const uint64_t hash =
        hash_checksum((struct slice){.data = bytes, .size = count * sizeof(uint64_t)});
    return hash != 0 ? hash : 1;
}

/* A run_id or a replication id. 0: it is none. */
static uint64_t id_read(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING && reply->len > 0 && reply->len <= ID_MAX
               ? hash_checksum((struct slice){.data = reply->str, .size = reply->len})
               : 0;
}

static enum status epoch_read(const redisReply *reply, struct beat_answer *answer)
{
    const redisReply *counter = reply->element[0];
    const redisReply *random = reply->element[1];
    const redisReply *seq = reply->element[2];
    const redisReply *began = reply->element[3];
    if (!is_integer(counter, 1, EPOCH_COUNTER_MAX) || random->type != REDIS_REPLY_STRING ||
        random->len != EPOCH_RANDOM_SIZE || !is_integer(seq, 0, INT64_MAX) ||
        !is_integer(began, 0, 1)) {
        return MALFORMED;
    }
    answer->epoch =
        (struct epoch){.counter = (uint64_t)counter->integer, .random = get_u64le(random->str)};
    answer->seq = (uint64_t)seq->integer;
    answer->began = began->integer == 1;
    answer->target = hash_of_words(
        (const uint64_t[]){answer->epoch.counter, answer->epoch.random, answer->run}, 3);
    return OK;
}

static enum status answer_read(const redisReply *reply, struct beat_answer *ret_answer,
                               char error[BEAT_ERROR_MAX])
{
    if (reply->type == REDIS_REPLY_ERROR) {
        error_copy(error, reply->str, reply->len);
        return L2_ERROR;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != BEAT_ANSWER_FIELDS) {
        return MALFORMED;
    }
    struct beat_answer answer = {.run = id_read(reply->element[4])};
    const uint64_t history = id_read(reply->element[5]);
    if (answer.run == 0 || history == 0) {
        return MALFORMED;
    }
    answer.reign = hash_of_words((const uint64_t[]){answer.run, history}, 2);
    const redisReply *why = reply->element[1];
    enum status status = OK;
    if (is_integer(reply->element[0], 0, 0) && why->type == REDIS_REPLY_STRING) {
        error_copy(error, why->str, why->len);
        status = MISS;
    } else {
        status = epoch_read(reply, &answer);
    }
    if (status != MALFORMED) {
        *ret_answer = answer;
    }
    return status;
}

enum status beat_read(struct slice reply, struct beat_answer *ret_answer,
                      char error[BEAT_ERROR_MAX])
{
    (void)snprintf(error, BEAT_ERROR_MAX, "the answer of the beat is not what its script returns");
    redisReader *reader = redisReaderCreate();
    if (reader == NULL) {
        return NO_MEMORY;
    }
    enum status status = MALFORMED;
    void *read = NULL;
    if (reply.size > 0 && redisReaderFeed(reader, reply.data, reply.size) == REDIS_OK &&
        redisReaderGetReply(reader, &read) == REDIS_OK && read != NULL) {
        status = answer_read(read, ret_answer, error);
    }
    if (read != NULL) {
        freeReplyObject(read);
    }
    redisReaderFree(reader);
    return status;
}
