/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/config_names.h"

#include "protocol/check.h"
#include "server/node.h"
#include "tiers/policy.h"

#include <inttypes.h>
#include <string.h>

static const struct config_name names[] = {
#define CONFIG_NAME(name_, value_, type_, kind_) \
    {.name = (name_), .kind = CONFIG_##kind_, .type = OPTION_##type_, .value = (value_)},
#include "server/config_names.def"
};

enum {
    NAME_COUNT = sizeof(names) / sizeof(names[0])
};

static unsigned option_count(void)
{
    unsigned count = 0;
    while (option_at(count) != NULL) {
        count++;
    }
    return count;
}

bool config_name_at(unsigned i, struct config_name *ret_name)
{
    const struct option *option = option_at(i);
    if (option != NULL) {
        *ret_name = (struct config_name){
            .name = option->name, .kind = CONFIG_OPTION, .type = option->type, .option = option};
        return true;
    }
    const unsigned place = i - option_count();
    if (place >= NAME_COUNT) {
        return false;
    }
    CHECK(i < CONFIG_NAMES_MAX);
    *ret_name = names[place];
    return true;
}

bool config_name_find(struct slice name, unsigned *ret_index)
{
    struct config_name candidate;
    for (unsigned i = 0; config_name_at(i, &candidate); i++) {
        if (slice_is_nocase(name, candidate.name)) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static bool is(const struct config_name *name, const char *text)
{
    return strcmp(name->name, text) == 0;
}

bool config_name_is_locked(const struct config_name *name)
{
    switch (name->kind) {
    case CONFIG_OPTION: return name->option->when != OPTION_LIVE;
    case CONFIG_COMPUTED: return is(name, "port") || is(name, "tls-port") || is(name, "bind");
    case CONFIG_LOCKED: return true;
    case CONFIG_DATA:
    case CONFIG_FREE:
    case CONFIG_SAME: return false;
    }
    return true;
}

/* --- values computed from our options --------------------------------------------------------------- */

static enum status append_hosts(const char *listen, struct buf *text)
{
    struct slice rest = slice_of(listen);
    struct option_address address;
    enum status status = OK;
    while (status == OK && options_next_address(&rest, &address) == OK) {
        status = buf_printf(text, "%s%.*s", text->size > 0 ? " " : "", (int)address.host.size,
                            address.host.data);
    }
    return status;
}

static enum status append_computed(const struct node *node, const struct config_name *name,
                                   struct buf *text)
{
    const struct options *options = &node->options;
    if (is(name, "maxmemory")) {
        struct l1_stats stats; /* "memory = 0" has become a number there */
        namespaces_stats(node->namespaces, &stats);
        return buf_printf(text, "%zu", stats.bytes_max);
    }
    if (is(name, "maxmemory-policy")) {
        return buf_append_slice(
            text, slice_of(policy_redis_name(policy_find(slice_of(options->policy)))));
    }
    if (is(name, "bind")) {
        return append_hosts(options->listen, text);
    }
    struct option_address address;
    const enum status found = options_first_address(options, is(name, "tls-port"), &address);
    return buf_printf(text, "%u", found == OK ? address.port : 0);
}

enum status config_name_format(const struct node *node, const struct config_name *name,
                               struct buf *text)
{
    switch (name->kind) {
    case CONFIG_OPTION: return option_format(&node->options, name->option, false, text);
    case CONFIG_COMPUTED: return append_computed(node, name, text);
    case CONFIG_DATA:
    case CONFIG_FREE:
    case CONFIG_SAME:
    case CONFIG_LOCKED: return buf_append_slice(text, slice_of(name->value));
    }
    return INVALID;
}

/* --- changes ------------------------------------------------------------------------------------------ */

static enum status refuse(char reason[OPTION_REASON_MAX], const char *text)
{
    (void)snprintf(reason, OPTION_REASON_MAX, "%s", text);
    return INVALID;
}

static enum status assign_policy(struct options *options, struct slice value,
                                 char reason[OPTION_REASON_MAX])
{
    const struct policy *policy = policy_find(value);
    if (policy != NULL) {
        return option_assign(options, option_find(SLICE_LITERAL("policy")), slice_of(policy->name),
                             reason);
    }
    int used = snprintf(reason, OPTION_REASON_MAX, "argument(s) must be one of the following:");
    for (unsigned i = 0; policy_at(i) != NULL && used < OPTION_REASON_MAX; i++) {
        used += snprintf(reason + used, OPTION_REASON_MAX - (size_t)used, "%s %s", i > 0 ? "," : "",
                         policy_redis_name(policy_at(i)));
    }
    return INVALID;
}

/* A value that will have no effect must at least be one. */
static enum status check_value(enum option_type type, struct slice value,
                               char reason[OPTION_REASON_MAX])
{
    int64_t number = 0;
    switch (type) {
    case OPTION_BOOL:
        return slice_is_nocase(value, "yes") || slice_is_nocase(value, "no")
                   ? OK
                   : refuse(reason, "argument must be 'yes' or 'no'");
    case OPTION_NUMBER:
    case OPTION_TIME:
        return slice_to_i64(value, &number) == OK
                   ? OK
                   : refuse(reason, "argument couldn't be parsed into an integer");
    case OPTION_BYTES:
        return bytes_parse(value, &number) == OK
                   ? OK
                   : refuse(reason, "argument must be a memory value");
    case OPTION_TEXT:
    case OPTION_WORD: return OK;
    }
    return INVALID;
}

static enum status check_same(const struct config_name *name, struct slice value,
                              char reason[OPTION_REASON_MAX])
{
    if (slice_is_nocase(value, name->value)) {
        return OK;
    }
    (void)snprintf(reason, OPTION_REASON_MAX, "this node can do no other than '%s'", name->value);
    return INVALID;
}

enum status config_name_assign(struct options *options, const struct config_name *name,
                               struct slice value, char reason[OPTION_REASON_MAX])
{
    enum status status = INVALID;
    switch (name->kind) {
    case CONFIG_OPTION: return option_assign(options, name->option, value, reason);
    case CONFIG_COMPUTED:
        return is(name, "maxmemory-policy")
                   ? assign_policy(options, value, reason)
                   : option_assign(options, option_find(SLICE_LITERAL("memory")), value, reason);
    case CONFIG_DATA:
    case CONFIG_FREE: return check_value(name->type, value, reason);
    case CONFIG_SAME:
        status = check_value(name->type, value, reason);
        return status == OK ? check_same(name, value, reason) : status;
    case CONFIG_LOCKED: return refuse(reason, "can't set immutable config");
    }
    return status;
}
