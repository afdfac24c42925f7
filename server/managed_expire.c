/* SPDX-License-Identifier: BSD-3-Clause */
/* When managed keys go: their fresh life. What their envelope allows after it is added by the script. An end that is past
 * deletes the key at once, as Redis does. */
#include "server/expire_options.h"
#include "server/managed.h"
#include "server/managed_edit.h"

static void expire_answer(const struct edit *edit, struct reply *reply, uint64_t seq)
{
    (void)edit;
    (void)seq;
    reply_integer(reply, 1);
}

/* When the key ends now, as conditions are told it: counted from now on. */
static int64_t end_of(const struct edit_found *found)
{
    if (found->ttl_ms == MANAGED_NO_END) {
        return ITEM_NEVER;
    }
    return found->ttl_ms == 0 ? 1 : found->ttl_ms; /* 0 would say ITEM_NEVER */
}

static bool expire_decide(struct edit *edit, struct reply *reply)
{
    const struct edit_found *found = &edit->found;
    const struct expire_options options = {.conditions = edit->flags, .at_ms = edit->life_ms};
    if (!found->exists || !expire_options_hold(&options, end_of(found))) {
        reply_integer(reply, 0);
        return false;
    }
    if (edit->life_ms <= 0) {
        edit_delete(edit);
    } else {
        edit_expire(edit, edit_life_ms(edit));
    }
    return true;
}

static void expire(struct call *call, int64_t base_ms, int64_t unit_ms)
{
    static const struct edit_rule rule = {.decide = expire_decide, .answer = expire_answer};
    struct expire_options options;
    if (expire_options_parse(call, base_ms, unit_ms, &options)) {
        int64_t life_ms = 0;
        if (__builtin_sub_overflow(options.at_ms, call->now_ms, &life_ms)) {
            life_ms = 0; /* long past */
        }
        const struct edit model = {.rule = &rule,
                                   .reads = true,
                                   .flags = options.conditions,
                                   .is_timed = true,
                                   .life_ms = life_ms};
        edit_begin(call, &model);
    }
}

void managed_expire(struct call *call)
{
    expire(call, call->now_ms, 1000);
}

void managed_pexpire(struct call *call)
{
    expire(call, call->now_ms, 1);
}

void managed_expireat(struct call *call)
{
    expire(call, 0, 1000);
}

void managed_pexpireat(struct call *call)
{
    expire(call, 0, 1);
}

static bool persist_decide(struct edit *edit, struct reply *reply)
{
    if (!edit->found.exists || edit->found.ttl_ms == MANAGED_NO_END) {
        reply_integer(reply, 0);
        return false;
    }
    edit_expire(edit, edit_endless_ms(edit));
    return true;
}

void managed_persist(struct call *call)
{
    static const struct edit_rule rule = {.decide = persist_decide, .answer = expire_answer};
    const struct edit model = {.rule = &rule, .reads = true};
    edit_begin(call, &model);
}
