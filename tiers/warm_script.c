/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/warm_script.h"

#include "protocol/check.h"
#include "protocol/limits.h"

#include <inttypes.h>
#include <string.h>

/* The script's text, in two files, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global warm_script\n"
        ".type warm_script, %object\n"
        "warm_script:\n"
        ".incbin \"tiers/scripts/warm.lua\"\n"
        ".incbin \"tiers/scripts/warm_verbs.lua\"\n"
        ".byte 0\n"
        ".size warm_script, . - warm_script\n"
        ".popsection\n");

void warm_word(struct warm_words *words, struct slice text)
{
    CHECK(words->count < WARM_WORDS_MAX);
    words->at[words->count++] = text;
}

void warm_word_number(struct warm_words *words, int64_t number)
{
    CHECK(words->number_count < WARM_NUMBERS_MAX);
    char *digits = words->numbers[words->number_count++];
    warm_word(words, (struct slice){digits, i64_format(digits, number)});
}

void warm_words_begin(struct warm_words *words, unsigned coherence_db, const char *verb,
                      struct slice born, struct slice node)
{
    words->count = WARM_HEAD_WORDS;
    words->number_count = 0;
    warm_word(words, SLICE_LITERAL("0"));
    warm_word_number(words, (int64_t)coherence_db);
    warm_word(words, slice_of(verb));
    warm_word(words, born);
    warm_word(words, node);
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

enum status warm_answer_read(struct slice reply, struct warm_answer *ret_answer)
{
    struct reply_element element;
    *ret_answer = (struct warm_answer){.rest = {reply}};
    if (reply_next(&ret_answer->rest, &element) != OK) {
        return MALFORMED;
    }
    if (element.type == REPLY_ERROR) {
        ret_answer->word = element.text;
        return L2_ERROR;
    }
    if (element.type != REPLY_ARRAY || element.number < 1) {
        return MALFORMED;
    }
    ret_answer->count = (size_t)element.number;
    ret_answer->word = warm_answer_text(ret_answer);
    return ret_answer->word.size > 0 ? OK : MALFORMED;
}

int64_t warm_answer_number(struct warm_answer *answer)
{
    struct reply_cursor before = answer->rest;
    struct reply_element element;
    if (answer->count == 0 || reply_next(&answer->rest, &element) != OK) {
        return 0;
    }
    answer->count--;
    if (element.type == REPLY_INTEGER) {
        return element.number;
    }
    answer->rest = before;
    int64_t number = 0;
    if (element.type == REPLY_BULK && slice_to_i64(element.text, &number) != OK) {
        number = 0;
    }
    return reply_skip(&answer->rest) == OK ? number : 0;
}

uint64_t warm_answer_count(struct warm_answer *answer)
{
    const int64_t number = warm_answer_number(answer);
    return number > 0 ? (uint64_t)number : 0;
}

int64_t warm_answer_ms(struct warm_answer *answer)
{
    const int64_t ms = warm_answer_number(answer);
    return ms > 0 && ms <= WARM_MS_MAX ? ms : 0;
}

struct slice warm_answer_text(struct warm_answer *answer)
{
    const struct reply_cursor before = answer->rest;
    struct reply_element element;
    if (answer->count == 0 || reply_next(&answer->rest, &element) != OK) {
        return (struct slice){0};
    }
    answer->count--;
    if (element.type == REPLY_BULK || element.type == REPLY_STATUS) {
        return element.text;
    }
    answer->rest = before;
    if (reply_skip(&answer->rest) != OK) {
        answer->count = 0;
    }
    return (struct slice){0};
}

bool warm_answer_array(struct warm_answer *answer, struct warm_answer *ret_inner)
{
    struct reply_element element;
    struct reply_cursor inner = answer->rest;
    if (answer->count == 0) {
        return false;
    }
    answer->count--;
    const bool is_array = reply_next(&inner, &element) == OK && element.type == REPLY_ARRAY;
    if (reply_skip(&answer->rest) != OK) {
        answer->count = 0;
    }
    *ret_inner = (struct warm_answer){
        .rest = inner, .count = is_array && element.number > 0 ? (size_t)element.number : 0};
    return is_array;
}

/* --- chunks ---------------------------------------------------------------------------------------------------------- */

enum status warm_chunk_append(struct buf *chunk, const struct warm_chunk_key *key)
{
    char head[WARM_KEY_HEAD];
    put_u32le(head, (uint32_t)key->key.size);
    head[4] = (char)key->db;
    head[5] = (char)key->heat;
    const enum status status = buf_reserve(chunk, sizeof(head) + key->key.size);
    return status == OK && (buf_append(chunk, head, sizeof(head)) != OK ||
                            buf_append_slice(chunk, key->key) != OK)
               ? NO_MEMORY
               : status;
}

enum status warm_chunk_next(struct slice chunk, size_t *at, struct warm_chunk_key *ret_key)
{
    const size_t left = chunk.size - *at;
    if (left == 0) {
        return MISS;
    }
    if (left < WARM_KEY_HEAD) {
        return MALFORMED;
    }
    const char *head = chunk.data + *at;
    const size_t size = get_u32le(head);
    const uint8_t db = (uint8_t)head[4];
    if (size >= LIMIT_L1_KEY || size > left - WARM_KEY_HEAD || db >= LIMIT_DATABASES) {
        return MALFORMED;
    }
    *ret_key = (struct warm_chunk_key){
        .key = {head + WARM_KEY_HEAD, size}, .db = db, .heat = (uint8_t)head[5]};
    *at += WARM_KEY_HEAD + size;
    return OK;
}
