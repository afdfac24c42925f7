/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/config_names.h"

#include "protocol/check.h"
#include "server/node.h"
#include "tiers/policy.h"

#include <stdlib.h>
#include <string.h>

static const struct config_name names[] = {
#define NAME(name_, road_, type_, value_, minimum_, maximum_, words_, why_) \
    {.name = (name_),                                                       \
     .road = CONFIG_##road_,                                                \
     .type = CONFIG_##type_,                                                \
     .value = (value_),                                                     \
     .minimum = (minimum_),                                                 \
     .maximum = (maximum_),                                                 \
     .words = (words_)},
#define ALIAS(name_, of_) {.name = (name_), .of = (of_)},
#include "server/config_names.def"
};

enum {
    NAME_COUNT = sizeof(names) / sizeof(names[0])
};

_Static_assert(OPTIONS_MAX + NAME_COUNT <= CONFIG_NAMES_MAX, "room for kept values");

static unsigned main_place(const char *name)
{
    unsigned place = 0;
    while (strcmp(names[place].name, name) != 0) {
        place++;
        CHECK(place < NAME_COUNT);
    }
    return place;
}

bool config_name_at(unsigned i, struct config_name *ret_name)
{
    const struct option *option = option_at(i);
    if (option != NULL) {
        *ret_name = (struct config_name){
            .name = option->name, .road = CONFIG_OPTION, .value = "", .option = option};
        return true;
    }
    const unsigned place = i - option_count();
    if (place >= NAME_COUNT) {
        return false;
    }
    *ret_name = names[place];
    if (names[place].of != NULL) {
        *ret_name = names[main_place(names[place].of)];
        ret_name->name = names[place].name;
        ret_name->of = names[place].of;
    }
    return true;
}

bool config_name_find(struct slice name, unsigned *ret_index)
{
    const struct option *option = option_find(name);
    if (option != NULL) {
        *ret_index = option_index(option);
        return true;
    }
    for (unsigned i = 0; i < NAME_COUNT; i++) {
        if (slice_is_nocase(name, names[i].name)) {
            *ret_index = option_count() + (names[i].of == NULL ? i : main_place(names[i].of));
            return true;
        }
    }
    return false;
}

bool config_name_by(struct slice written, unsigned *ret_index, struct config_name *ret_name)
{
    return config_name_find(written, ret_index) && config_name_at(*ret_index, ret_name);
}

bool config_name_is_l2(const struct config_name *name)
{
    return name->road == CONFIG_L2 || name->road == CONFIG_L2_ONLY || name->road == CONFIG_L2_OURS;
}

bool config_name_is_listed(const struct config_name *name)
{
    return name->road != CONFIG_HIDDEN && name->road != CONFIG_HIDDEN_FIXED;
}

static bool is(const struct config_name *name, const char *text)
{
    return strcmp(name->name, text) == 0;
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

static enum status append_address(const struct options *options, const struct config_name *name,
                                  struct buf *text)
{
    if (is(name, "bind")) {
        return append_hosts(options->listen, text);
    }
    struct option_address address;
    const enum status found = options_first_address(options, is(name, "tls-port"), &address);
    return buf_printf(text, "%u", found == OK ? address.port : 0);
}

static const char *kept_memory(const struct config_kept *kept)
{
    unsigned index = 0;
    CHECK(config_name_find(SLICE_LITERAL("maxmemory"), &index));
    return kept->values[index] != NULL ? kept->values[index] : "";
}

size_t config_kept_little(const struct config_kept *kept, const struct options *options)
{
    int64_t bytes = 0;
    const bool is_little = options_memory(options) == OPTION_MEMORY_MIN &&
                           slice_to_i64(slice_of(kept_memory(kept)), &bytes) == OK;
    return is_little ? (size_t)bytes : 0;
}

static enum status append_budget(const struct node *node, const struct config_name *name,
                                 struct buf *text)
{
    if (is(name, "maxmemory") && config_kept_little(&node->config_kept, &node->options) > 0) {
        return buf_append_slice(text, slice_of(kept_memory(&node->config_kept)));
    }
    if (is(name, "maxmemory")) {
        struct l1_stats stats; /* "memory = 0" has become a number there */
        namespaces_stats(node->namespaces, &stats);
        return buf_printf(text, "%zu", stats.bytes_max);
    }
    const struct slice policy = slice_of(node->options.policy);
    return buf_append_slice(text, slice_of(policy_redis_name(policy_find(policy))));
}

enum status config_name_format(const struct node *node, unsigned index, struct buf *text)
{
    struct config_name name;
    CHECK(config_name_at(index, &name));
    const char *kept = NULL;
    switch (name.road) {
    case CONFIG_OPTION: return option_format(&node->options, name.option, false, text);
    case CONFIG_L2_OURS: return append_budget(node, &name, text);
    case CONFIG_ADDRESS: return append_address(&node->options, &name, text);
    case CONFIG_L2:
    case CONFIG_L2_ONLY:
    case CONFIG_KEPT:
    case CONFIG_HIDDEN:
    case CONFIG_SAME:
    case CONFIG_FIXED:
    case CONFIG_HIDDEN_FIXED:
    case CONFIG_PROTECTED:
        CHECK(config_name_find(slice_of(name.name), &index)); /* the value of both names */
        kept = node->config_kept.values[index];
        return buf_append_slice(text, slice_of(kept != NULL ? kept : name.value));
    }
    return INVALID;
}

/* --- changes ------------------------------------------------------------------------------------------ */

static enum status refuse(char reason[OPTION_REASON_MAX], const char *text)
{
    (void)snprintf(reason, OPTION_REASON_MAX, "%s", text);
    return INVALID;
}

/* Whether an option has the value already. */
static bool option_has(const struct options *options, const struct option *option,
                       struct slice value)
{
    struct buf text = {0};
    const bool has =
        option_format(options, option, false, &text) == OK && slice_equal(buf_slice(&text), value);
    buf_done(&text);
    return has;
}

const char *config_name_refuses(const struct node *node, const struct config_name *name,
                                struct slice value)
{
    if (name->road == CONFIG_PROTECTED) {
        return "can't set protected config";
    }
    const bool is_fixed = name->road == CONFIG_FIXED || name->road == CONFIG_HIDDEN_FIXED ||
                          (name->road == CONFIG_OPTION && name->option->when != OPTION_LIVE &&
                           !option_has(&node->options, name->option, value));
    return is_fixed ? "can't set immutable config" : NULL;
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

/* Another address cannot be listened to while the node runs. */
static enum status check_address(const struct node *node, const struct config_name *name,
                                 struct slice shown, char reason[OPTION_REASON_MAX])
{
    struct buf now = {0};
    enum status status = append_address(&node->options, name, &now);
    if (status == OK && !slice_equal(buf_slice(&now), shown)) {
        status =
            refuse(reason, is(name, "bind") ? "Failed to bind to specified addresses."
                                            : "Unable to listen on this port. Check server logs.");
    }
    buf_done(&now);
    return status;
}

static enum status check_same(const struct config_name *name, struct slice shown,
                              char reason[OPTION_REASON_MAX])
{
    if (slice_is(shown, name->value)) {
        return OK;
    }
    (void)snprintf(reason, OPTION_REASON_MAX, "this node can do no other than '%s'", name->value);
    return INVALID;
}

static enum status keep(struct config_kept *kept, unsigned index, struct slice shown)
{
    char *copy = malloc(shown.size + 1);
    if (copy == NULL) {
        return NO_MEMORY;
    }
    if (shown.size > 0) {
        memcpy(copy, shown.data, shown.size);
    }
    copy[shown.size] = '\0';
    free(kept->values[index]);
    kept->values[index] = copy;
    return OK;
}

/* Less than L1 can do with: then it takes as little as it can, and nothing may come while that is more. What was asked for is
 * remembered. */
static enum status assign_memory(struct config_change *change, unsigned index, struct slice value,
                                 char reason[OPTION_REASON_MAX])
{
    const struct option *memory = option_find(SLICE_LITERAL("memory"));
    int64_t bytes = 0;
    if (bytes_parse(value, &bytes) != OK || bytes <= 0 || bytes >= OPTION_MEMORY_MIN) {
        const enum status status = option_assign(&change->options, memory, value, reason);
        return status == OK ? keep(&change->kept, index, SLICE_LITERAL("")) : status;
    }
    char digits[I64_DIGITS_MAX];
    const size_t size = i64_format(digits, bytes);
    const enum status status =
        option_assign(&change->options, memory, SLICE_LITERAL("1mb"), reason);
    return status == OK ? keep(&change->kept, index, (struct slice){digits, size}) : status;
}

enum status config_change_assign(const struct node *node, struct config_change *change,
                                 unsigned index, struct slice value, char reason[OPTION_REASON_MAX])
{
    struct config_name name;
    CHECK(config_name_at(index, &name));
    if (name.road ==
        CONFIG_OPTION) { /* one that is set at start has the value (config_name_refuses) */
        return name.option->when == OPTION_LIVE
                   ? option_assign(&change->options, name.option, value, reason)
                   : OK;
    }
    if (name.road == CONFIG_L2_OURS) {
        return is(&name, "maxmemory") ? assign_memory(change, index, value, reason)
                                      : assign_policy(&change->options, value, reason);
    }
    struct buf shown = {0};
    enum status status = config_value_check(&name, value, &shown, reason);
    if (status == OK && name.road == CONFIG_ADDRESS) {
        status = check_address(node, &name, buf_slice(&shown), reason);
    } else if (status == OK && (name.road == CONFIG_SAME || name.road == CONFIG_L2_ONLY)) {
        status = check_same(&name, buf_slice(&shown), reason);
    } else if (status == OK) {
        status = keep(&change->kept, index, buf_slice(&shown));
    }
    buf_done(&shown);
    return status;
}

void config_change_keep(struct config_kept *kept, struct config_change *change)
{
    for (unsigned i = 0; i < CONFIG_NAMES_MAX; i++) {
        if (change->kept.values[i] != NULL) {
            free(kept->values[i]);
            kept->values[i] = change->kept.values[i];
            change->kept.values[i] = NULL;
        }
    }
}

int64_t config_kept_number(const struct config_kept *kept, const char *text)
{
    unsigned index = 0;
    struct config_name name;
    int64_t number = 0;
    CHECK(config_name_by(slice_of(text), &index, &name));
    const char *value = kept->values[index] != NULL ? kept->values[index] : name.value;
    CHECK(slice_to_i64(slice_of(value), &number) == OK);
    return number;
}

void config_kept_done(struct config_kept *kept)
{
    for (unsigned i = 0; i < CONFIG_NAMES_MAX; i++) {
        free(kept->values[i]);
        kept->values[i] = NULL;
    }
}
