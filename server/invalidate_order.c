/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.INVALIDATE KEY|TAG|PREFIX|PATTERN|ALL arg... [ANY|ALL] [NS name] [SOFT] [SYNC ms] [DRYRUN] */
#include "protocol/frame.h"
#include "server/cmd_cache.h"
#include "server/invalidate.h"
#include "server/managed.h"
#include "server/node.h"

#include <string.h>

enum {
    SHOWN_MAX = 64 /* of a word in an error */
};

/* --- words --------------------------------------------------------------------------------------------------------- */

static const char *const subjects[] = {"key", "tag", "prefix", "pattern", "all"};

static bool find_subject(struct slice word, enum invalidate_subject *ret_subject)
{
    for (unsigned i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        if (slice_is_nocase(word, subjects[i])) {
            *ret_subject = (enum invalidate_subject)i;
            return true;
        }
    }
    return false;
}

static uint32_t least_end(enum invalidate_subject subject)
{
    return subject == INVALIDATE_ALL ? INVALIDATE_FIRST_ARG : INVALIDATE_FIRST_ARG + 1;
}

enum invalidate_option {
    OPTION_NONE,
    OPTION_SOFT,
    OPTION_DRYRUN,
    OPTION_ANY,
    OPTION_ALL,
    OPTION_NS,
    OPTION_SYNC
};

/* The option that ends with the word in front of argv[end]. */
static enum invalidate_option option_before(const struct slice *argv,
                                            enum invalidate_subject subject, uint32_t end)
{
    const uint32_t least = least_end(subject);
    if (end <= least) {
        return OPTION_NONE;
    }
    if (end >= least + 2 && slice_is_nocase(argv[end - 2], "sync")) {
        return OPTION_SYNC;
    }
    if (end >= least + 2 && slice_is_nocase(argv[end - 2], "ns")) {
        return OPTION_NS;
    }
    const struct slice word = argv[end - 1];
    if (slice_is_nocase(word, "soft")) {
        return OPTION_SOFT;
    }
    if (slice_is_nocase(word, "dryrun")) {
        return OPTION_DRYRUN;
    }
    if (subject == INVALIDATE_TAG && slice_is_nocase(word, "any")) {
        return OPTION_ANY;
    }
    return subject == INVALIDATE_TAG && slice_is_nocase(word, "all") ? OPTION_ALL : OPTION_NONE;
}

static uint32_t option_words(enum invalidate_option option)
{
    return option == OPTION_NS || option == OPTION_SYNC ? 2 : 1;
}

uint32_t invalidate_args_end(const struct slice *argv, uint32_t argc)
{
    enum invalidate_subject subject = INVALIDATE_KEY;
    enum invalidate_option option = OPTION_NONE;
    if (argc <= INVALIDATE_SUBJECT_ARG || !find_subject(argv[INVALIDATE_SUBJECT_ARG], &subject)) {
        return argc;
    }
    uint32_t end = argc;
    while ((option = option_before(argv, subject, end)) != OPTION_NONE) {
        end -= option_words(option);
    }
    return end;
}

/* --- the order ----------------------------------------------------------------------------------------------------- */

static int shown_size(struct slice word)
{
    return word.size < SHOWN_MAX ? (int)word.size : SHOWN_MAX;
}

static bool find_namespace(struct call *call, struct slice name, struct invalidate_order *order)
{
    order->ns = namespaces_find(call->node->namespaces, name);
    if (order->ns == NULL) {
        reply_errorf(call->reply, "ERR no such namespace '%.*s'",
                     name.size < FRAME_FLUSH_NAME_MAX ? (int)name.size : FRAME_FLUSH_NAME_MAX,
                     name.data);
    }
    return order->ns != NULL;
}

static bool take_option(struct call *call, enum invalidate_option option, uint32_t end,
                        struct invalidate_order *order)
{
    switch (option) {
    case OPTION_NONE:
    case OPTION_ANY: return true;
    case OPTION_ALL: order->all_tags = true; return true;
    case OPTION_SOFT: order->soft = true; return true;
    case OPTION_DRYRUN: order->dry = true; return true;
    case OPTION_NS: return find_namespace(call, call->argv[end - 1], order);
    case OPTION_SYNC: return cache_ms(call, end - 1, &order->sync_ms);
    }
    return true;
}

/* Each once, and of ANY and ALL one. */
static bool take_options(struct call *call, uint32_t args_end, struct invalidate_order *order)
{
    unsigned seen = 0;
    for (uint32_t end = call->argc; end > args_end;) {
        const enum invalidate_option option = option_before(call->argv, order->subject, end);
        const struct slice word = call->argv[end - option_words(option)];
        const unsigned bit = 1u << (option == OPTION_ALL ? OPTION_ANY : option);
        if ((seen & bit) != 0) {
            reply_errorf(call->reply, "ERR CACHE.INVALIDATE takes %s once",
                         bit == 1u << OPTION_ANY       ? "ANY or ALL"
                         : slice_is_nocase(word, "ns") ? "NS"
                         : option == OPTION_SYNC       ? "SYNC"
                         : option == OPTION_SOFT       ? "SOFT"
                                                       : "DRYRUN");
            return false;
        }
        seen |= bit;
        if (!take_option(call, option, end, order)) {
            return false;
        }
        end -= option_words(option);
    }
    return true;
}

static bool is_option_word(struct slice word, enum invalidate_subject subject)
{
    static const char *const words[] = {"soft", "dryrun", "sync", "ns", "any", "all"};
    const size_t count = subject == INVALIDATE_TAG ? 6 : 4;
    for (size_t i = 0; i < count; i++) {
        if (slice_is_nocase(word, words[i])) {
            return true;
        }
    }
    return false;
}

/* An option that is not at the end, or lacks its value, would be taken for a name, and the order carried out without it. */
static bool names_are_no_options(struct call *call, const struct invalidate_order *order)
{
    for (uint32_t i = 0; i < order->arg_count && order->arg_count > 1; i++) {
        const struct slice word = order->args[i];
        if (is_option_word(word, order->subject)) {
            const bool is_last = i + 1 == order->arg_count;
            reply_errorf(call->reply,
                         "ERR CACHE.INVALIDATE takes '%.*s' for an option behind the last name; %s",
                         shown_size(word), word.data,
                         is_last && slice_is_nocase(word, "sync")
                             ? "milliseconds are missing behind it"
                         : is_last && slice_is_nocase(word, "ns")
                             ? "the name of a namespace is missing behind it"
                             : "something that is called so must be named alone");
            return false;
        }
    }
    return true;
}

static bool take_args(struct call *call, uint32_t args_end, struct invalidate_order *order)
{
    if (args_end < least_end(order->subject)) {
        reply_wrong_arity(call->reply, call->command->full_name);
        return false;
    }
    order->args = call->argv + INVALIDATE_FIRST_ARG;
    order->arg_count = args_end - INVALIDATE_FIRST_ARG;
    if (order->subject == INVALIDATE_ALL && order->arg_count > 0) {
        reply_errorf(call->reply, "ERR CACHE.INVALIDATE ALL takes options only, not '%.*s'",
                     shown_size(order->args[0]), order->args[0].data);
        return false;
    }
    return names_are_no_options(call, order);
}

static bool reach_keys(struct call *call, struct invalidate_order *order)
{
    struct slice managed = {0};
    struct slice plain = {0};
    for (uint32_t i = 0; i < order->arg_count; i++) {
        const struct namespace *ns = namespace_of(call->node->namespaces, order->args[i]);
        if (order->ns != NULL && ns != order->ns) {
            reply_errorf(call->reply, "ERR a key is not in namespace '%s': '%.*s' is of '%s'",
                         order->ns->name, shown_size(order->args[i]), order->args[i].data,
                         ns->name);
            return false;
        }
        order->reaches_managed = order->reaches_managed || ns->managed;
        order->reaches_plain = order->reaches_plain || !ns->managed;
        managed = ns->managed ? order->args[i] : managed;
        plain = ns->managed ? plain : order->args[i];
    }
    if (order->reaches_managed && order->reaches_plain) {
        managed_refuse_mixture(call, managed, plain);
        return false;
    }
    return true;
}

static bool reach_tags(struct call *call, struct invalidate_order *order)
{
    order->reaches_managed = true;
    if (order->ns != NULL && !order->ns->managed) {
        reply_errorf(call->reply,
                     "ERR CACHE.INVALIDATE TAG is for managed namespaces, '%s' is plain",
                     order->ns->name);
        return false;
    }
    if (call->node->namespaces->managed == 0) {
        reply_error(call->reply,
                    "ERR CACHE.INVALIDATE TAG is for managed namespaces, here is none");
        return false;
    }
    return true;
}

/* Whether a plain namespace can have keys that begin so: the one that keys are in which are just that, or a deeper one. */
static bool prefix_reaches_plain(const struct namespaces *spaces, struct slice prefix)
{
    bool reaches = !namespace_of(spaces, prefix)->managed;
    const struct namespace *ns = NULL;
    for (unsigned at = 0; !reaches && (ns = namespaces_next(spaces, &at)) != NULL;) {
        reaches = !ns->managed && ns->prefix.size > prefix.size &&
                  (prefix.size == 0 || memcmp(ns->prefix.data, prefix.data, prefix.size) == 0);
    }
    return reaches;
}

static void reach_prefixes(const struct call *call, struct invalidate_order *order)
{
    for (uint32_t i = 0; i < order->arg_count; i++) {
        order->reaches_plain =
            order->reaches_plain || prefix_reaches_plain(call->node->namespaces, order->args[i]);
    }
    order->reaches_managed = call->node->namespaces->managed > 0;
}

static bool reach(struct call *call, struct invalidate_order *order)
{
    if (order->subject == INVALIDATE_KEY) {
        return reach_keys(call, order);
    }
    if (order->subject == INVALIDATE_TAG) {
        return reach_tags(call, order);
    }
    if (order->subject == INVALIDATE_PREFIX && order->ns == NULL) {
        reach_prefixes(call, order);
        return true;
    }
    order->reaches_plain = order->ns == NULL || !order->ns->managed;
    order->reaches_managed =
        order->ns == NULL ? call->node->namespaces->managed > 0 : order->ns->managed;
    return true;
}

bool invalidate_parse(struct call *call, struct invalidate_order *ret_order)
{
    const struct slice word = call->argv[INVALIDATE_SUBJECT_ARG];
    *ret_order = (struct invalidate_order){.sync_ms = -1};
    if (!find_subject(word, &ret_order->subject)) {
        reply_errorf(call->reply,
                     "ERR CACHE.INVALIDATE takes KEY, TAG, PREFIX, PATTERN or ALL, not '%.*s'",
                     shown_size(word), word.data);
        return false;
    }
    const uint32_t args_end = invalidate_args_end(call->argv, call->argc);
    return take_args(call, args_end, ret_order) && take_options(call, args_end, ret_order) &&
           reach(call, ret_order);
}
