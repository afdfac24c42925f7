/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/acl_check.h"

#include "tiers/base/glob.h"

#include <string.h>

/* --- commands --------------------------------------------------------------------------------------------------- */

static bool allows_first_arg(const struct acl_selector *selector, const struct acl_line *line)
{
    for (unsigned i = 0; i < selector->first_args.count && line->argc > 1; i++) {
        const struct acl_text *arg = &selector->first_args.at[i];
        if (arg->tag == line->id && slice_equal_nocase(arg->bytes, line->argv[1])) {
            return true;
        }
    }
    return false;
}

/* A command of L2 alone: by its name, or with all that is to come, unless a category of it was taken away or L2 does not
 * say which it has. */
static bool allows_other(const struct acl_selector *selector, const struct acl_line *line)
{
    for (unsigned i = 0; i < selector->others.count; i++) {
        if (slice_equal_nocase(selector->others.at[i].bytes, line->name)) {
            return selector->others.at[i].tag != 0;
        }
    }
    return selector->future_commands && line->categories != 0 &&
           (line->categories & selector->withheld) == 0;
}

static bool allows_command(const struct acl_selector *selector, const struct acl_line *line)
{
    if (selector->all_commands) {
        return true;
    }
    if (line->id == acl_command_count()) {
        return allows_other(selector, line);
    }
    return (acl_command_at(line->id)->flags & ACL_NO_AUTH) != 0 ||
           acl_selector_has(selector, line->id) || allows_first_arg(selector, line);
}

/* --- keys ------------------------------------------------------------------------------------------------------- */

static bool allows_key(const struct acl_selector *selector, struct slice key, unsigned access)
{
    for (unsigned i = 0; i < selector->patterns.count; i++) {
        const struct acl_text *pattern = &selector->patterns.at[i];
        if ((pattern->tag & access) == access && glob_match(pattern->bytes, key, false)) {
            return true;
        }
    }
    return selector->all_keys;
}

static bool allows_all_keys(const struct acl_selector *selector, unsigned access)
{
    for (unsigned i = 0; i < selector->patterns.count; i++) {
        const struct acl_text *pattern = &selector->patterns.at[i];
        if ((pattern->tag & access) == access && slice_is(pattern->bytes, "*")) {
            return true;
        }
    }
    return selector->all_keys;
}

/* Whether all that begins with the head of the argument, up to its first wildcard, may be named. A prefix is taken for a
 * glob, too: its head is the shorter then, and fewer are let through. */
static bool allows_pattern(const struct acl_selector *selector, struct slice glob, unsigned access)
{
    size_t head = 0;
    while (head < glob.size && memchr("*?[\\", glob.data[head], 4) == NULL) {
        head++;
    }
    for (unsigned i = 0; i < selector->patterns.count; i++) {
        const struct acl_text *pattern = &selector->patterns.at[i];
        const size_t size = pattern->bytes.size;
        if ((pattern->tag & access) == access && size > 0 && size - 1 <= head &&
            pattern->bytes.data[size - 1] == '*' &&
            memcmp(pattern->bytes.data, glob.data, size - 1) == 0) {
            return true;
        }
    }
    return selector->all_keys;
}

struct key_check {
    const struct acl_selector *selector;
    const struct acl_line *line;
    bool denied;
    uint32_t at;
};

static bool check_key(void *arg, struct acl_key key)
{
    struct key_check *check = arg;
    if (key.at == 0) {
        check->denied = !allows_all_keys(check->selector, key.access);
    } else if (key.is_pattern) {
        check->denied = !allows_pattern(check->selector, check->line->argv[key.at], key.access);
    } else {
        check->denied = !allows_key(check->selector, check->line->argv[key.at], key.access);
    }
    check->at = key.at;
    return !check->denied;
}

/* L2's table says where the keys of its own commands are. */
static void check_other_keys(struct key_check *check)
{
    const struct acl_line *line = check->line;
    const unsigned access = line->reads ? ACL_KEY_READ : ACL_KEY_READ | ACL_KEY_WRITE;
    const uint32_t step = line->key_step > 0 ? line->key_step : 1;
    if (line->keys_unknown && !check_key(check, (struct acl_key){0, access, false})) {
        return;
    }
    for (uint32_t i = line->first_key; i > 0 && i <= line->last_key && i < line->argc; i += step) {
        if (!check_key(check, (struct acl_key){i, access, false})) {
            return;
        }
    }
}

static struct acl_denial check_keys(const struct acl_selector *selector,
                                    const struct acl_line *line)
{
    struct key_check check = {.selector = selector, .line = line};
    if (selector->all_keys) {
        return (struct acl_denial){ACL_OK, 0};
    }
    if (line->id == acl_command_count() || line->own_subcommand) {
        check_other_keys(&check);
    } else {
        acl_command_keys(acl_command_at(line->id), line->argv, line->argc, check_key, &check);
    }
    return check.denied ? (struct acl_denial){ACL_DENIED_KEY, check.at}
                        : (struct acl_denial){ACL_OK, 0};
}

/* --- scripts ---------------------------------------------------------------------------------------------------- */

/* What a script runs on L2 runs as the node, not as this user: only who may do all of it anyhow may run one. */
static struct acl_denial check_script(const struct acl_selector *selector,
                                      const struct acl_line *line)
{
    if (line->id == acl_command_count() || line->scripts_pass ||
        (acl_command_at(line->id)->flags & ACL_SCRIPT) == 0) {
        return (struct acl_denial){ACL_OK, 0};
    }
    if (!selector->all_commands) {
        return (struct acl_denial){ACL_DENIED_COMMAND, 0};
    }
    if (!selector->all_keys) {
        return (struct acl_denial){ACL_DENIED_KEY, 0};
    }
    return (struct acl_denial){selector->all_channels ? ACL_OK : ACL_DENIED_CHANNEL, 0};
}

/* --- channels --------------------------------------------------------------------------------------------------- */

static bool allows_channel(const struct acl_selector *selector, struct slice channel,
                           bool is_pattern)
{
    for (unsigned i = 0; i < selector->channels.count; i++) {
        const struct slice rule = selector->channels.at[i].bytes;
        if (is_pattern ? slice_equal(rule, channel) : glob_match(rule, channel, false)) {
            return true;
        }
    }
    return selector->all_channels;
}

static struct acl_denial check_channels(const struct acl_selector *selector,
                                        const struct acl_line *line)
{
    const uint32_t flags = line->id == acl_command_count() ? 0 : acl_command_at(line->id)->flags;
    if (selector->all_channels || (flags & (ACL_PUBLISH | ACL_SUBSCRIBE)) == 0) {
        return (struct acl_denial){ACL_OK, 0};
    }
    const uint32_t end = (flags & ACL_PUBLISH) != 0 && line->argc > 2 ? 2 : line->argc;
    for (uint32_t i = 1; i < end; i++) {
        if (!allows_channel(selector, line->argv[i], (flags & ACL_PATTERNS) != 0)) {
            return (struct acl_denial){ACL_DENIED_CHANNEL, i};
        }
    }
    return (struct acl_denial){ACL_OK, 0};
}

/* --- all of it -------------------------------------------------------------------------------------------------- */

static struct acl_denial check_selector(const struct acl_selector *selector,
                                        const struct acl_line *line)
{
    if (!allows_command(selector, line)) {
        return (struct acl_denial){ACL_DENIED_COMMAND, 0};
    }
    struct acl_denial denial = check_keys(selector, line);
    if (denial.verdict == ACL_OK) {
        denial = check_channels(selector, line);
    }
    return denial.verdict == ACL_OK ? check_script(selector, line) : denial;
}

struct acl_denial acl_check(const struct acl_user *user, const struct acl_line *line)
{
    struct acl_denial worst = {ACL_DENIED_COMMAND, 0};
    for (unsigned i = 0; i < user->selector_count; i++) {
        const struct acl_denial denial = check_selector(&user->selectors[i], line);
        if (denial.verdict == ACL_OK) {
            return denial;
        }
        if (denial.verdict > worst.verdict ||
            (denial.verdict == worst.verdict && denial.at > worst.at)) {
            worst = denial;
        }
    }
    return worst;
}

bool acl_check_reads_all(const struct acl_user *user, const struct acl_line *line)
{
    for (unsigned i = 0; i < user->selector_count; i++) {
        const struct acl_selector *selector = &user->selectors[i];
        if (allows_all_keys(selector, ACL_KEY_READ) &&
            check_selector(selector, line).verdict == ACL_OK) {
            return true;
        }
    }
    return false;
}

bool acl_check_channel(const struct acl_user *user, struct slice channel, bool is_pattern)
{
    for (unsigned i = 0; i < user->selector_count; i++) {
        if (allows_channel(&user->selectors[i], channel, is_pattern)) {
            return true;
        }
    }
    return false;
}
