/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/expire_options.h"

#include "server/cmd_common.h"

enum {
    ONLY_NX = 1,
    ONLY_XX = 2,
    ONLY_GT = 4,
    ONLY_LT = 8
};

static unsigned condition_of(struct slice word)
{
    static const struct {
        const char *name;
        unsigned flag;
    } words[] = {{"NX", ONLY_NX}, {"XX", ONLY_XX}, {"GT", ONLY_GT}, {"LT", ONLY_LT}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_is_nocase(word, words[i].name)) {
            return words[i].flag;
        }
    }
    return 0;
}

/* false: an error is answered. */
static bool parse_conditions(struct call *call, unsigned *ret_conditions)
{
    unsigned conditions = 0;
    for (uint32_t i = 3; i < call->argc; i++) {
        const struct slice word = call->argv[i];
        const unsigned flag = condition_of(word);
        if (flag == 0) {
            const int size =
                word.size < 1024 ? (int)word.size : 1024; /* the reply cuts it anyway */
            reply_errorf(call->reply, "ERR Unsupported option %.*s", size, word.data);
            return false;
        }
        conditions |= flag;
    }
    if ((conditions & ONLY_NX) != 0 && conditions != ONLY_NX) {
        reply_error(call->reply,
                    "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((conditions & ONLY_GT) != 0 && (conditions & ONLY_LT) != 0) {
        reply_error(call->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    *ret_conditions = conditions;
    return true;
}

/* The time of argv[2]; may be past or negative. false: an error is answered. */
static bool parse_when(struct call *call, int64_t base_ms, int64_t unit_ms, int64_t *ret_at_ms)
{
    int64_t at_ms = 0;
    if (!call_integer(call, 2, &at_ms)) {
        return false;
    }
    if (__builtin_mul_overflow(at_ms, unit_ms, &at_ms) ||
        __builtin_add_overflow(at_ms, base_ms, &at_ms)) {
        reply_errorf(call->reply, "ERR invalid expire time in '%s' command",
                     call->command->full_name);
        return false;
    }
    *ret_at_ms = at_ms;
    return true;
}

/* A key that does not expire counts as expiring last of all: LT always holds, GT never. */
bool expire_options_hold(const struct expire_options *options, int64_t old_ms)
{
    const unsigned conditions = options->conditions;
    const int64_t new_ms = options->at_ms;
    const bool expires = old_ms != ITEM_NEVER;
    return ((conditions & ONLY_NX) == 0 || !expires) && ((conditions & ONLY_XX) == 0 || expires) &&
           ((conditions & ONLY_GT) == 0 || (expires && new_ms > old_ms)) &&
           ((conditions & ONLY_LT) == 0 || !expires || new_ms < old_ms);
}

bool expire_options_parse(struct call *call, int64_t base_ms, int64_t unit_ms,
                          struct expire_options *ret_options)
{
    return parse_conditions(call, &ret_options->conditions) &&
           parse_when(call, base_ms, unit_ms, &ret_options->at_ms);
}
