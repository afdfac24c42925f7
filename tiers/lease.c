/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/lease.h"

#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The script's text, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global lease_script\n"
        ".type lease_script, %object\n"
        "lease_script:\n"
        ".incbin \"tiers/scripts/lease.lua\"\n"
        ".byte 0\n"
        ".size lease_script, . - lease_script\n"
        ".popsection\n");

enum {
    WORDS_MAX = 14,
    DIGITS_MAX = 24
};

/* What the script splices at. */
_Static_assert(FRAME_REDIS_WORDS_OFFSET == 16 && FRAME_REDIS_WORDS_SIZE == 24,
               "scripts/lease.lua counts on it");

void lease_token_make(char token[LEASE_TOKEN_SIZE], uint64_t random, bool has_spare)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    token[0] = has_spare ? 's' : 'n';
    for (unsigned i = 1; i < LEASE_TOKEN_OWN_SIZE; i++) {
        token[i] = digits[random & 31];
        random = i == 12 ? random : random >> 5;
    }
    memcpy(token + LEASE_TOKEN_OWN_SIZE, "00", 2);
}

bool lease_is_token(struct slice text)
{
    size_t good = 0;
    while (good < text.size && good <= LEASE_TOKEN_SIZE &&
           ((text.data[good] >= '0' && text.data[good] <= '9') ||
            (text.data[good] >= 'a' && text.data[good] <= 'z'))) {
        good++;
    }
    return good == LEASE_TOKEN_SIZE && text.size == LEASE_TOKEN_SIZE;
}

bool lease_has_spare(const char token[LEASE_TOKEN_SIZE])
{
    return token[0] == 's';
}

/* 0: it is none, and no token of ours. */
static unsigned digit_of(char c)
{
    const int digit = hex_digit(c);
    return digit < 0 ? 0 : (unsigned)digit;
}

unsigned lease_failures(const char token[LEASE_TOKEN_SIZE])
{
    return digit_of(token[LEASE_TOKEN_OWN_SIZE]) * 16 + digit_of(token[LEASE_TOKEN_OWN_SIZE + 1]);
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

/* A request under construction. */
struct words {
    size_t count;
    struct slice at[WORDS_MAX];
    size_t number_count;
    char numbers[WORDS_MAX][DIGITS_MAX];
};

static void word(struct words *words, struct slice text)
{
    CHECK(words->count < WORDS_MAX);
    words->at[words->count++] = text;
}

static void word_number(struct words *words, uint64_t number)
{
    char *digits = words->numbers[words->number_count++];
    const int size = snprintf(digits, DIGITS_MAX, "%" PRIu64, number);
    word(words, (struct slice){.data = digits, .size = (size_t)size});
}

static void word_ms(struct words *words, int64_t ms)
{
    word_number(words, ms > 1 ? (uint64_t)ms : 1);
}

static void words_of_win(struct words *words, const struct lease_request *request)
{
    word(words, (struct slice){.data = request->token, .size = LEASE_TOKEN_OWN_SIZE});
    if (request->seen_any) {
        word(words, (struct slice){0});
    } else {
        word_number(words, request->seen);
    }
    word_ms(words, request->life_ms);
    word(words, request->heeds_idle ? SLICE_LITERAL("!-") : SLICE_LITERAL("!"));
}

static void words_of_end(struct words *words, const struct lease_request *request)
{
    static const char marks[] = {'\0', '!', '-'};
    word(words, (struct slice){.data = request->token, .size = LEASE_TOKEN_SIZE});
    word(words, (struct slice){.data = &marks[request->mark],
                               .size = request->mark == LEASE_FREE ? 0 : 1});
    word_ms(words, request->mark_ms);
    word_ms(words, request->count_ms);
}

static void words_of_verb(struct words *words, const struct lease_request *request)
{
    switch (request->verb) {
    case LEASE_WIN: words_of_win(words, request); return;
    case LEASE_RENEW:
        word(words, (struct slice){.data = request->token, .size = LEASE_TOKEN_SIZE});
        word_ms(words, request->life_ms);
        return;
    case LEASE_END: words_of_end(words, request); return;
    }
}

static enum status frame_of(struct buf *frame, const struct lease_request *request)
{
    struct buf body = {0};
    const bool wakes = request->verb == LEASE_END;
    enum status status =
        wakes ? frame_append_key(&body, request->key->db, request->key->bytes) : OK;
    if (status == OK) {
        status = frame_write(frame, &(struct frame){.type = FRAME_WAKE,
                                                    .count = wakes ? 1 : 0,
                                                    .node = request->node,
                                                    .nonce = request->nonce,
                                                    .body = buf_slice(&body)});
    }
    buf_done(&body);
    return status;
}

enum status lease_write(struct buf *out, const struct lease_request *request)
{
    static const char *const verbs[] = {"WIN", "RENEW", "END"};
    struct buf frame = {0};
    enum status status = frame_of(&frame, request);
    if (status == OK) {
        struct words words = {0};
        char random[sizeof(uint64_t)];
        put_u64le(random, request->epoch.random);
        word(&words, SLICE_LITERAL("EVAL"));
        word(&words, slice_of(lease_script));
        word(&words, SLICE_LITERAL("0"));
        word_number(&words, request->coherence_db);
        word_number(&words, request->epoch.counter);
        word(&words, (struct slice){.data = random, .size = sizeof random});
        word(&words, slice_of(verbs[request->verb]));
        word_number(&words, request->key->db);
        word(&words, request->key->bytes);
        word(&words, buf_slice(&frame));
        words_of_verb(&words, request);
        status = resp_append_request(out, words.count, words.at);
    }
    buf_done(&frame);
    return status;
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static bool kind_of(struct slice name, enum lease_answer_kind *ret_kind)
{
    static const char *const names[] = {"WON",   "BUSY", "FAILED", "IDLE",
                                        "AGAIN", "OK",   "LOST",   "EPOCH"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_is(name, names[i])) {
            *ret_kind = (enum lease_answer_kind)i;
            return true;
        }
    }
    return false;
}

static bool next_is(struct reply_cursor *cursor, enum reply_type type,
                    struct reply_element *ret_element)
{
    return reply_next(cursor, ret_element) == OK && ret_element->type == type;
}

static enum status read_won(struct reply_cursor *cursor, struct lease_answer *answer)
{
    struct reply_element token;
    struct reply_element seq;
    if (!next_is(cursor, REPLY_BULK, &token) || token.text.size != LEASE_TOKEN_SIZE ||
        !next_is(cursor, REPLY_INTEGER, &seq) || seq.number < 0) {
        return MALFORMED;
    }
    memcpy(answer->token, token.text.data, LEASE_TOKEN_SIZE);
    answer->seq = (uint64_t)seq.number;
    return OK;
}

enum status lease_read(struct slice reply, struct lease_answer *ret_answer,
                       char error[LEASE_ERROR_MAX])
{
    struct reply_cursor cursor = {reply};
    struct reply_element first;
    struct reply_element name;
    struct lease_answer answer = {0};
    (void)snprintf(error, LEASE_ERROR_MAX,
                   "the answer of the lease is not what its script returns");
    if (reply_next(&cursor, &first) != OK) {
        return MALFORMED;
    }
    if (first.type == REPLY_ERROR) {
        (void)snprintf(
            error, LEASE_ERROR_MAX, "%.*s",
            (int)(first.text.size < LEASE_ERROR_MAX ? first.text.size : LEASE_ERROR_MAX - 1),
            first.text.data);
        return L2_ERROR;
    }
    if (first.type != REPLY_ARRAY || first.number < 1 || !next_is(&cursor, REPLY_BULK, &name) ||
        !kind_of(name.text, &answer.kind)) {
        return MALFORMED;
    }
    enum status status = OK;
    if (answer.kind == LEASE_WON) {
        status = first.number == 3 ? read_won(&cursor, &answer) : MALFORMED;
    } else if (answer.kind == LEASE_BUSY || answer.kind == LEASE_FAILED ||
               answer.kind == LEASE_IDLE) {
        struct reply_element ms;
        status = next_is(&cursor, REPLY_INTEGER, &ms) ? OK : MALFORMED;
        answer.ms = status == OK ? ms.number : 0;
    }
    if (status == OK) {
        *ret_answer = answer;
    }
    return status;
}
