/* SPDX-License-Identifier: BSD-3-Clause */
/* When keys go. An expiry that is already past removes the key at once, as Redis does. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/node.h"

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
static bool conditions_hold(unsigned conditions, int64_t old_ms, int64_t new_ms)
{
    const bool expires = old_ms != ITEM_NEVER;
    return ((conditions & ONLY_NX) == 0 || !expires) && ((conditions & ONLY_XX) == 0 || expires) &&
           ((conditions & ONLY_GT) == 0 || (expires && new_ms > old_ms)) &&
           ((conditions & ONLY_LT) == 0 || !expires || new_ms < old_ms);
}

static void expire(struct call *call, int64_t base_ms, int64_t unit_ms)
{
    unsigned conditions = 0;
    int64_t at_ms = 0;
    if (!parse_conditions(call, &conditions) || !parse_when(call, base_ms, unit_ms, &at_ms)) {
        return;
    }
    struct update update;
    bool done = false;
    update_open(&update, call, 1, KIND_ANY);
    while (update_next(&update)) {
        done =
            update.old != NULL && conditions_hold(conditions, item_expire_at_ms(update.old), at_ms);
        if (done && at_ms <= call->now_ms) { /* also 0, which would say ITEM_NEVER */
            update_remove(&update);
        } else if (!done || at_ms == item_expire_at_ms(update.old)) {
            update_leave(&update);
        } else {
            update_expire(&update, at_ms);
        }
    }
    if (update_ok(&update)) {
        reply_integer(call->reply, done ? 1 : 0);
    }
    update_close(&update);
}

void cmd_expire(struct call *call)
{
    expire(call, call->now_ms, 1000);
}

void cmd_pexpire(struct call *call)
{
    expire(call, call->now_ms, 1);
}

void cmd_expireat(struct call *call)
{
    expire(call, 0, 1000);
}

void cmd_pexpireat(struct call *call)
{
    expire(call, 0, 1);
}

void cmd_persist(struct call *call)
{
    struct update update;
    bool done = false;
    update_open(&update, call, 1, KIND_ANY);
    while (update_next(&update)) {
        done = update_expire_at_ms(&update) != ITEM_NEVER;
        if (done) {
            update_expire(&update, ITEM_NEVER);
        } else {
            update_leave(&update);
        }
    }
    if (update_ok(&update)) {
        reply_integer(call->reply, done ? 1 : 0);
    }
    update_close(&update);
}

enum {
    NO_EXPIRY = -1,
    NO_KEY = -2
};

static void expire_time(struct call *call, int64_t unit_ms)
{
    const struct ns_key key = call_key(call, 1);
    struct l1_peek peek;
    const bool found = key.at.bytes.size < LIMIT_L1_KEY &&
                       l1_peek(key.ns->l1, &key.at, call->now_ms, 0, &peek) == OK;
    call_count_lookup(call, found);
    if (!found) {
        reply_integer(call->reply, NO_KEY);
    } else if (peek.expire_at_ms == ITEM_NEVER) {
        reply_integer(call->reply, NO_EXPIRY);
    } else {
        /* Rounded to the nearest; in two parts, since the largest time leaves no room to add. */
        const int64_t rest = peek.expire_at_ms % unit_ms;
        reply_integer(call->reply, peek.expire_at_ms / unit_ms + (2 * rest >= unit_ms ? 1 : 0));
    }
}

void cmd_expiretime(struct call *call)
{
    expire_time(call, 1000);
}

void cmd_pexpiretime(struct call *call)
{
    expire_time(call, 1);
}
