/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fault/trouble.h"

#include "protocol/check.h"
#include "protocol/resp_read.h"

#include <stdio.h>
#include <string.h>

static const char *const action_names[ACTIONS] = {
    [ACTION_DROP] = "drop",       [ACTION_DUPLICATE] = "duplicate", [ACTION_DELAY] = "delay",
    [ACTION_REORDER] = "reorder", [ACTION_FLIP] = "flip",
};

/* Those that have done what they were for make room. */
static void forget_spent_rules(struct trouble *trouble)
{
    size_t kept = 0;
    for (size_t i = 0; i < trouble->rule_count; i++) {
        if (trouble->rules[i].left > 0) {
            trouble->rules[kept++] = trouble->rules[i];
        } else {
            buf_done(&trouble->rules[i].contains);
        }
    }
    trouble->rule_count = kept;
}

void trouble_init(struct trouble *trouble)
{
    *trouble = (struct trouble){0};
    rand_seed(&trouble->rand, 1);
}

static void forget_rules(struct trouble *trouble)
{
    while (trouble->rule_count > 0) {
        buf_done(&trouble->rules[--trouble->rule_count].contains);
    }
}

void trouble_heal(struct trouble *trouble)
{
    memset(trouble->faults, 0, sizeof trouble->faults);
    forget_rules(trouble);
}

void trouble_done(struct trouble *trouble)
{
    forget_rules(trouble);
}

/* --- words ------------------------------------------------------------------------------------------------------- */

enum status word_number(const char *word, uint64_t *ret_number)
{
    return slice_to_u64(slice_of(word), ret_number) == OK ? OK : INVALID;
}

bool word_direction(const char *word, bool ret_is[DIRECTIONS])
{
    const bool both = strcmp(word, "both") == 0;
    ret_is[UP] = both || strcmp(word, "up") == 0;
    ret_is[DOWN] = both || strcmp(word, "down") == 0;
    return ret_is[UP] || ret_is[DOWN];
}

bool word_kind(const char *word, bool ret_is[KINDS])
{
    const bool all = strcmp(word, "all") == 0;
    ret_is[PLAIN] = all || strcmp(word, "plain") == 0;
    ret_is[BUS] = all || strcmp(word, "bus") == 0;
    return ret_is[PLAIN] || ret_is[BUS];
}

enum status word_bytes(const char *hex, struct buf *ret_bytes)
{
    for (; hex[0] != '\0' && strcmp(hex, "-") != 0; hex += 2) {
        const int high = hex_digit(hex[0]);
        const int low = high < 0 ? -1 : hex_digit(hex[1]);
        if (low < 0) {
            buf_done(ret_bytes);
            return INVALID;
        }
        const char byte = (char)(high << 4 | low);
        CHECK(buf_append(ret_bytes, &byte, 1) == OK);
    }
    return OK;
}

static enum status refuse(char answer[ANSWER_MAX], const char *what, const char *word)
{
    (void)snprintf(answer, ANSWER_MAX, "error %s, not '%s'", what, word);
    return INVALID;
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

static enum status set_field(struct faults *faults, const struct words *words,
                             char answer[ANSWER_MAX])
{
    const char *field = words->at[3];
    if (strcmp(field, "mode") == 0) {
        static const char *const names[] = {[PASS] = "pass", [FREEZE] = "freeze", [HOLE] = "hole"};
        for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
            if (strcmp(words->at[4], names[i]) == 0) {
                faults->mode = (enum mode)i;
                return OK;
            }
        }
        return refuse(answer, "a mode is pass, freeze or hole", words->at[4]);
    }
    uint64_t number = 0;
    if (word_number(words->at[4], &number) != OK) {
        return refuse(answer, "a number was expected", words->at[4]);
    }
    if (strcmp(field, "delay") == 0) {
        faults->delay_ms = number;
        faults->jitter_ms = 0;
        return words->count < 6 || word_number(words->at[5], &faults->jitter_ms) == OK
                   ? OK
                   : refuse(answer, "jitter is a number of ms", words->at[5]);
    }
    if (strcmp(field, "slice") == 0) {
        faults->slice_bytes = number;
    } else if (strcmp(field, "rate") == 0) {
        faults->rate_bytes = number;
    } else if (strcmp(field, "flip") == 0) {
        faults->flip_one_in = number;
    } else {
        return refuse(answer, "a fault is mode, delay, slice, rate or flip", field);
    }
    return OK;
}

static enum status command_set(struct trouble *trouble, const struct words *words,
                               char answer[ANSWER_MAX])
{
    bool kinds[KINDS];
    bool directions[DIRECTIONS];
    if (words->count < 5) {
        return refuse(answer, "set wants WHO DIRECTION FAULT VALUE", "fewer");
    }
    if (!word_kind(words->at[1], kinds)) {
        return refuse(answer, "WHO is all, plain or bus", words->at[1]);
    }
    if (!word_direction(words->at[2], directions)) {
        return refuse(answer, "a direction is up, down or both", words->at[2]);
    }
    enum status status = OK;
    for (unsigned k = 0; k < KINDS; k++) {
        for (unsigned d = 0; d < DIRECTIONS; d++) {
            if (kinds[k] && directions[d] && status == OK) {
                status = set_field(&trouble->faults[k][d], words, answer);
            }
        }
    }
    return status;
}

static enum status command_rule(struct trouble *trouble, const struct words *words,
                                char answer[ANSWER_MAX])
{
    forget_spent_rules(trouble);
    if (words->count != 7 || trouble->rule_count == RULES_MAX) {
        return refuse(answer, "a rule is ACTION KIND ONE_IN COUNT MS HEX, and there are at most 16",
                      "this");
    }
    struct rule rule = {0};
    for (unsigned i = ACTION_DROP; i < ACTIONS; i++) {
        if (strcmp(words->at[1], action_names[i]) == 0) {
            rule.action = (enum action)i;
        }
    }
    if (rule.action == ACTION_NONE) {
        return refuse(answer, "an action is drop, duplicate, delay, reorder or flip", words->at[1]);
    }
    static const char *const kinds[] = {
        [MESSAGE_KEYS] = "keys", [MESSAGE_FRAME] = "frames", [MESSAGE_OTHER] = "any"};
    unsigned kind = 0;
    while (kind < MESSAGE_KINDS && strcmp(words->at[2], kinds[kind]) != 0) {
        kind++;
    }
    if (kind == MESSAGE_KINDS) {
        return refuse(answer, "a kind is keys, frames or any", words->at[2]);
    }
    rule.kind = (enum message_kind)kind;
    if (word_number(words->at[3], &rule.one_in) != OK || rule.one_in == 0 ||
        word_number(words->at[4], &rule.left) != OK ||
        word_number(words->at[5], &rule.delay_ms) != OK ||
        word_bytes(words->at[6], &rule.contains) != OK) {
        return refuse(answer, "ONE_IN (at least 1), COUNT and MS are numbers, HEX is hex",
                      words->at[3]);
    }
    if (rule.left == 0) {
        rule.left = UINT64_MAX;
    }
    trouble->rules[trouble->rule_count++] = rule;
    return OK;
}

enum status trouble_command(struct trouble *trouble, const struct words *words,
                            char answer[ANSWER_MAX])
{
    const char *name = words->at[0];
    if (strcmp(name, "set") == 0) {
        return command_set(trouble, words, answer);
    }
    if (strcmp(name, "rule") == 0) {
        return command_rule(trouble, words, answer);
    }
    if (strcmp(name, "norules") == 0) {
        forget_rules(trouble);
        return OK;
    }
    if (strcmp(name, "seed") == 0 && words->count == 2) {
        uint64_t seed = 0;
        if (word_number(words->at[1], &seed) != OK) {
            return refuse(answer, "a seed is a number", words->at[1]);
        }
        rand_seed(&trouble->rand, seed);
        return OK;
    }
    return MISS;
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

static enum message_kind kind_of(struct slice message)
{
    static const struct slice keys =
        SLICE_LITERAL("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n");
    static const struct slice frame =
        SLICE_LITERAL("*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n");
    if (slice_has_prefix(message, keys)) {
        return MESSAGE_KEYS;
    }
    return slice_has_prefix(message, frame) ? MESSAGE_FRAME : MESSAGE_OTHER;
}

static bool rule_fits(struct trouble *trouble, const struct rule *rule, enum message_kind kind,
                      struct slice message)
{
    return rule->left > 0 && (rule->kind == kind || rule->kind == MESSAGE_OTHER) &&
           (rule->contains.size == 0 ||
            memmem(message.data, message.size, rule->contains.data, rule->contains.size) != NULL) &&
           rand_below(&trouble->rand, rule->one_in) == 0;
}

const struct rule *trouble_judge(struct trouble *trouble, struct slice message)
{
    static const struct rule nothing = {.action = ACTION_NONE};
    const enum message_kind kind = kind_of(message);
    trouble->count.messages[kind]++;
    for (size_t i = 0; i < trouble->rule_count && kind != MESSAGE_OTHER; i++) {
        struct rule *rule = &trouble->rules[i];
        if (rule_fits(trouble, rule, kind, message)) {
            rule->left--;
            trouble->count.actions[rule->action][kind]++;
            return rule;
        }
    }
    return &nothing;
}

bool trouble_flip_payload(struct trouble *trouble, char *message, size_t size)
{
    struct reply_cursor cursor = {.rest = {.data = message, .size = size}};
    struct reply_element element;
    size_t offset = 0;
    size_t length = 0;
    unsigned place = 0;
    while (reply_next(&cursor, &element) == OK) {
        /* 0 the array, 1 "message", 2 the channel, then the payload; of several keys any */
        if (place++ > 2 && element.type == REPLY_BULK && element.text.size > 0 &&
            (length == 0 || rand_below(&trouble->rand, 2) == 0)) {
            offset = (size_t)(element.text.data - message);
            length = element.text.size;
        }
    }
    if (length == 0) {
        return false;
    }
    message[offset + rand_below(&trouble->rand, length)] ^=
        (char)(1 << rand_below(&trouble->rand, 8));
    return true;
}
