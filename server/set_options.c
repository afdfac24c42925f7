/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/set_options.h"

#include "tiers/item.h"

/* A word is refused after one that it contradicts. The same word twice is fine, and the last time counts: as Redis. */
static const struct set_word {
    const char *name;
    unsigned flag;
    unsigned contradicts;
} set_words[] = {
    {"NX", SET_NX, SET_XX},
    {"XX", SET_XX, SET_NX},
    {"GET", SET_GET, 0},
    {"KEEPTTL", SET_KEEPTTL, SET_TIMES | SET_PERSIST},
    {"PERSIST", SET_PERSIST, SET_TIMES | SET_KEEPTTL},
    {"EX", SET_EX, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~(unsigned)SET_EX)},
    {"PX", SET_PX, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~(unsigned)SET_PX)},
    {"EXAT", SET_EXAT, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~(unsigned)SET_EXAT)},
    {"PXAT", SET_PXAT, SET_KEEPTTL | SET_PERSIST | (SET_TIMES & ~(unsigned)SET_PXAT)},
};

static const struct set_word *find_word(struct slice text, unsigned allowed)
{
    for (size_t i = 0; i < sizeof set_words / sizeof set_words[0]; i++) {
        if ((set_words[i].flag & allowed) != 0 && slice_is_nocase(text, set_words[i].name)) {
            return &set_words[i];
        }
    }
    return NULL;
}

bool set_options_parse(struct call *call, uint32_t first, unsigned allowed,
                       struct set_options *options)
{
    for (uint32_t i = first; i < call->argc; i++) {
        const struct set_word *word = find_word(call->argv[i], allowed);
        const bool timed = word != NULL && (word->flag & SET_TIMES) != 0;
        if (word == NULL || (word->contradicts & options->flags) != 0 ||
            (timed && i + 1 == call->argc)) {
            reply_syntax_error(call->reply);
            return false;
        }
        options->flags |= word->flag;
        if (timed) {
            options->time = call->argv[++i];
        }
    }
    return true;
}

bool set_options_decide(const struct call *call)
{
    for (uint32_t i = 3; i < call->argc; i++) {
        const struct set_word *word = find_word(call->argv[i], OF_SET);
        if (word != NULL && (word->flag & SET_LOOKS) != 0) {
            return true;
        }
        i += word != NULL && (word->flag & SET_TIMES) != 0;
    }
    return false;
}

bool set_options_time(struct reply *reply, const struct command *command, int64_t now_ms,
                      const struct set_options *options, int64_t *ret_at_ms)
{
    *ret_at_ms = ITEM_NEVER;
    if ((options->flags & SET_TIMES) == 0) {
        return true;
    }
    int64_t at_ms = 0;
    if (slice_to_i64(options->time, &at_ms) != OK) {
        reply_not_integer(reply);
        return false;
    }
    const int64_t unit_ms = (options->flags & SET_SECONDS) != 0 ? 1000 : 1;
    const int64_t base_ms = (options->flags & SET_RELATIVE) != 0 ? now_ms : 0;
    if (at_ms <= 0 || __builtin_mul_overflow(at_ms, unit_ms, &at_ms) ||
        __builtin_add_overflow(at_ms, base_ms, &at_ms)) {
        reply_errorf(reply, "ERR invalid expire time in '%s' command", command->full_name);
        return false;
    }
    *ret_at_ms = at_ms;
    return true;
}
