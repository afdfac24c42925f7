/* SPDX-License-Identifier: BSD-3-Clause */
/* The language of ACL SETUSER, rule by rule. */
#include "protocol/inline_split.h"
#include "server/acl_list.h"
#include "server/acl_user.h"

#include <string.h>

static const char syntax_error[] = "Syntax error";
static const char unknown_name[] = "Unknown command or category name in ACL";
static const char out_of_memory[] = "out of memory";
static const char keys_are_all[] =
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have "
    "any effect. Try 'resetkeys' to start with an empty list of patterns";
static const char channels_are_all[] =
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not "
    "have any effect. Try 'resetchannels' to start with an empty list of channels";
static const char no_such_password[] =
    "The password you are trying to remove from the user does not exist";
static const char bad_hash[] =
    "The password hash must be exactly 64 characters and contain only lowercase hexadecimal "
    "characters";
static const char arg_of_subcommand[] = "Allowing first-arg of a subcommand is not supported";

bool acl_text_is_good(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];
        if (c == ' ' || (c >= '\t' && c <= '\r') || c == '\0') {
            return false;
        }
    }
    return true;
}

static struct slice rest_of(struct slice text, size_t begin)
{
    return (struct slice){text.data + begin, text.size - begin};
}

static const char *done_if(enum status status)
{
    return status == OK ? NULL : out_of_memory;
}

/* --- commands --------------------------------------------------------------------------------------------------- */

static void set_bit(struct acl_selector *selector, unsigned id, bool allow)
{
    const uint64_t bit = UINT64_C(1) << id % 64;
    if (allow) {
        selector->commands[id / 64] |= bit;
    } else {
        selector->commands[id / 64] &= ~bit;
        selector->all_commands = false;
    }
}

bool acl_selector_has(const struct acl_selector *selector, unsigned id)
{
    return (selector->commands[id / 64] >> id % 64 & 1) != 0;
}

void acl_selector_set_command(struct acl_selector *selector, unsigned id, bool allow)
{
    set_bit(selector, id, allow);
    acl_list_remove_tag(&selector->first_args, id);
    if ((acl_command_at(id)->flags & ACL_CONTAINER) == 0) {
        return;
    }
    for (unsigned i = id + 1; i < acl_command_count(); i++) {
        if (acl_command_is_sub(i, id)) {
            set_bit(selector, i, allow);
        }
    }
}

static void set_all_commands(struct acl_selector *selector, bool allow)
{
    memset(selector->commands, allow ? 0xff : 0, sizeof(selector->commands));
    selector->all_commands = allow;
    selector->future_commands = allow;
    selector->withheld = 0;
    acl_list_clear(&selector->first_args);
    acl_list_clear(&selector->others);
}

static const char *set_category(struct acl_selector *selector, struct slice name, bool allow)
{
    const uint32_t category = category_find(name);
    if (category == 0) {
        return unknown_name;
    }
    for (unsigned i = 0; i < acl_command_count(); i++) {
        if ((acl_command_at(i)->categories & category) != 0) {
            acl_selector_set_command(selector, i, allow);
        }
    }
    selector->withheld = allow ? selector->withheld & ~category : selector->withheld | category;
    return NULL;
}

/* A command that is not in our table: L2's own. */
static const char *set_other(struct acl_selector *selector, struct slice name, bool allow,
                             const struct acl_rule_context *context)
{
    if (name.size == 0 || memchr(name.data, '|', name.size) != NULL || !acl_text_is_good(name) ||
        context->knows == NULL || !context->knows(context->arg, name)) {
        return unknown_name;
    }
    for (unsigned i = selector->others.count; i-- > 0;) {
        if (slice_equal_nocase(selector->others.at[i].bytes, name)) {
            acl_list_remove(&selector->others, &selector->others.at[i]);
        }
    }
    selector->all_commands = selector->all_commands && allow;
    return done_if(acl_list_add(&selector->others, name, allow));
}

static const char *add_first_arg(struct acl_selector *selector, unsigned id, struct slice arg)
{
    for (unsigned i = 0; i < selector->first_args.count; i++) {
        const struct acl_text *known = &selector->first_args.at[i];
        if (known->tag == id && slice_equal_nocase(known->bytes, arg)) {
            return NULL;
        }
    }
    return done_if(acl_list_add(&selector->first_args, arg, id));
}

/* "config|get", "select|0": a subcommand, or a first argument of a command that has none. */
static const char *allow_part(struct acl_selector *selector, struct slice name, size_t bar)
{
    const unsigned id = acl_command_find((struct slice){name.data, bar});
    const struct slice part = rest_of(name, bar + 1);
    if (id == acl_command_count()) {
        return unknown_name;
    }
    if (memchr(name.data, '|', bar) != NULL) {
        return arg_of_subcommand;
    }
    if (part.size == 0) {
        return syntax_error;
    }
    if ((acl_command_at(id)->flags & ACL_CONTAINER) == 0) {
        return add_first_arg(selector, id, part);
    }
    const unsigned sub = acl_command_find(name);
    if (sub == acl_command_count()) {
        return unknown_name;
    }
    acl_selector_set_command(selector, sub, true);
    return NULL;
}

static const char *set_named(struct acl_selector *selector, struct slice name, bool allow,
                             const struct acl_rule_context *context)
{
    const char *bar = name.size > 0 ? memrchr(name.data, '|', name.size) : NULL;
    if (bar != NULL && allow) {
        return allow_part(selector, name, (size_t)(bar - name.data));
    }
    const unsigned id = acl_command_find(name);
    if (id == acl_command_count()) {
        return set_other(selector, name, allow, context);
    }
    acl_selector_set_command(selector, id, allow);
    return NULL;
}

/* --- keys and channels ------------------------------------------------------------------------------------------ */

/* "%RW~pattern": which letters stand before the '~'. 0: they are wrong. Without a '~' the pattern is empty, as in Redis. */
static uint32_t read_access(struct slice rule, size_t *ret_begin)
{
    uint32_t access = 0;
    *ret_begin = rule.size;
    for (size_t i = 1; i < rule.size; i++) {
        const char c = rule.data[i];
        const uint32_t letter = c == 'R' || c == 'r'   ? ACL_KEY_READ
                                : c == 'W' || c == 'w' ? ACL_KEY_WRITE
                                                       : 0;
        if (c == '~') {
            *ret_begin = i + 1;
            return access;
        }
        if (letter == 0 || (access & letter) != 0) {
            return 0;
        }
        access |= letter;
    }
    return access;
}

static const char *add_pattern(struct acl_selector *selector, struct slice rule)
{
    size_t begin = 1;
    uint32_t access = ACL_KEY_READ | ACL_KEY_WRITE;
    if (selector->all_keys) {
        return keys_are_all;
    }
    if (rule.data[0] == '%') {
        access = read_access(rule, &begin);
    }
    const struct slice pattern = rest_of(rule, begin);
    if (access == 0 || !acl_text_is_good(pattern)) {
        return syntax_error;
    }
    struct acl_text *known = acl_list_find(&selector->patterns, pattern);
    if (known != NULL) {
        known->tag |= access;
        return NULL;
    }
    return done_if(acl_list_add(&selector->patterns, pattern, access));
}

static const char *add_channel(struct acl_selector *selector, struct slice rule)
{
    const struct slice pattern = rest_of(rule, 1);
    if (selector->all_channels) {
        return channels_are_all;
    }
    if (!acl_text_is_good(pattern)) {
        return syntax_error;
    }
    if (acl_list_find(&selector->channels, pattern) != NULL) {
        return NULL;
    }
    return done_if(acl_list_add(&selector->channels, pattern, 0));
}

static void set_all_keys(struct acl_selector *selector, bool all)
{
    selector->all_keys = all;
    acl_list_clear(&selector->patterns);
}

static void set_all_channels(struct acl_selector *selector, bool all)
{
    selector->all_channels = all;
    acl_list_clear(&selector->channels);
}

/* The rules that are whole words. false: it is none of them. */
static bool set_word(struct acl_selector *selector, struct slice rule)
{
    if (slice_is_nocase(rule, "allkeys") || slice_is(rule, "~*")) {
        set_all_keys(selector, true);
    } else if (slice_is_nocase(rule, "resetkeys")) {
        set_all_keys(selector, false);
    } else if (slice_is_nocase(rule, "allchannels") || slice_is(rule, "&*")) {
        set_all_channels(selector, true);
    } else if (slice_is_nocase(rule, "resetchannels")) {
        set_all_channels(selector, false);
    } else if (slice_is_nocase(rule, "allcommands") || slice_is_nocase(rule, "+@all")) {
        set_all_commands(selector, true);
    } else if (slice_is_nocase(rule, "nocommands") || slice_is_nocase(rule, "-@all")) {
        set_all_commands(selector, false);
    } else {
        return false;
    }
    return true;
}

static const char *acl_selector_set(struct acl_selector *selector, struct slice rule,
                                    const struct acl_rule_context *context, bool *ret_unknown)
{
    const char *reason = syntax_error;
    if (rule.size == 0 || set_word(selector, rule)) {
        return rule.size == 0 ? syntax_error : NULL;
    }
    const char first = rule.data[0];
    const bool allow = first == '+';
    if (first == '~' || first == '%') {
        reason = add_pattern(selector, rule);
    } else if (first == '&') {
        reason = add_channel(selector, rule);
    } else if ((first == '+' || first == '-') && rule.size > 1 && rule.data[1] == '@') {
        reason = set_category(selector, rest_of(rule, 2), allow);
    } else if (first == '+' || first == '-') {
        reason = set_named(selector, rest_of(rule, 1), allow, context);
    }
    if (ret_unknown != NULL) {
        *ret_unknown = reason == unknown_name;
    }
    return reason;
}

/* --- passwords -------------------------------------------------------------------------------------------------- */

static bool is_hash(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];
        if ((c < 'a' || c > 'f') && (c < '0' || c > '9')) {
            return false;
        }
    }
    return text.size == ACL_PASSWORD_SIZE;
}

/* >password #hash <password !hash */
static const char *set_password(struct acl_user *user, struct slice rule)
{
    const char first = rule.data[0];
    struct slice hash = rest_of(rule, 1);
    char hex[ACL_PASSWORD_SIZE];
    if (first == '>' || first == '<') {
        acl_hash_password(hash, hex);
        hash = (struct slice){hex, sizeof(hex)};
    } else if (!is_hash(hash)) {
        return bad_hash;
    }
    struct acl_text *known = acl_list_find(&user->passwords, hash);
    if (first == '<' || first == '!') {
        if (known == NULL) {
            return no_such_password;
        }
        acl_list_remove(&user->passwords, known);
        return NULL;
    }
    if (known == NULL && acl_list_add(&user->passwords, hash, 0) != OK) {
        return out_of_memory;
    }
    user->flags &= ~(unsigned)ACL_USER_NOPASS;
    return NULL;
}

/* --- users ------------------------------------------------------------------------------------------------------ */

static bool splits_well(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\0' || text.data[i] == '\r' || text.data[i] == '\n') {
            return false;
        }
    }
    return true;
}

static bool closes(struct slice word)
{
    return word.size > 0 && word.data[word.size - 1] == ')';
}

/* The words between parentheses. Of quotes that do not match Redis takes none of them. One that ends as the selector does is
 * refused: written to a file, it would end it there. */
static const char *set_words(struct acl_selector *selector, struct slice words,
                             const struct acl_rule_context *context, bool *ret_unknown)
{
    struct buf room = {0};
    struct span word;
    struct acl_list rules = {.count = 0};
    size_t at = 0;
    const char *reason = NULL;
    enum status status = buf_reserve(&room, words.size + 1);
    while (status == OK && (status = inline_next(words, &at, &room, &word)) == OK) {
        const struct slice bytes = {room.data + word.offset, word.size};
        status = acl_list_add(&rules, bytes, 0);
    }
    for (unsigned i = 0; status == AGAIN && i < rules.count && reason == NULL; i++) {
        const struct slice rule = rules.at[i].bytes;
        reason =
            closes(rule) ? syntax_error : acl_selector_set(selector, rule, context, ret_unknown);
    }
    acl_list_clear(&rules);
    buf_done(&room);
    return status == NO_MEMORY ? out_of_memory : reason;
}

static const char *add_selector(struct acl_user *user, struct slice rule,
                                const struct acl_rule_context *context, bool *ret_unknown)
{
    struct acl_selector selector = {.all_channels = context->all_channels};
    const struct slice words = {rule.data + 1, rule.size - 2};
    const char *reason =
        splits_well(words) ? set_words(&selector, words, context, ret_unknown) : syntax_error;
    if (reason == NULL && acl_user_add_selector(user, &selector) != OK) {
        reason = out_of_memory;
    }
    if (reason != NULL) {
        acl_selector_done(&selector);
    }
    return reason;
}

static void clear_selectors(struct acl_user *user)
{
    while (user->selector_count > 1) {
        acl_selector_done(&user->selectors[--user->selector_count]);
    }
}

static void reset(struct acl_user *user, const struct acl_rule_context *context)
{
    struct acl_selector *root = &user->selectors[0];
    clear_selectors(user);
    acl_list_clear(&user->passwords);
    user->flags = ACL_USER_SANITIZE;
    set_all_keys(root, false);
    set_all_channels(root, context->all_channels);
    set_all_commands(root, false);
}

static void set_flag(struct acl_user *user, unsigned set, unsigned clear)
{
    user->flags = (user->flags & ~clear) | set;
}

/* The rules that are whole words. false: it is none of them. */
static bool set_user_word(struct acl_user *user, struct slice rule,
                          const struct acl_rule_context *context)
{
    if (slice_is_nocase(rule, "on")) {
        set_flag(user, ACL_USER_ON, 0);
    } else if (slice_is_nocase(rule, "off")) {
        set_flag(user, 0, ACL_USER_ON);
    } else if (slice_is_nocase(rule, "skip-sanitize-payload")) {
        set_flag(user, ACL_USER_SKIP_SANITIZE, ACL_USER_SANITIZE);
    } else if (slice_is_nocase(rule, "sanitize-payload")) {
        set_flag(user, ACL_USER_SANITIZE, ACL_USER_SKIP_SANITIZE);
    } else if (slice_is_nocase(rule, "nopass")) {
        set_flag(user, ACL_USER_NOPASS, 0);
        acl_list_clear(&user->passwords);
    } else if (slice_is_nocase(rule, "resetpass")) {
        set_flag(user, 0, ACL_USER_NOPASS);
        acl_list_clear(&user->passwords);
    } else if (slice_is_nocase(rule, "clearselectors")) {
        clear_selectors(user);
    } else if (slice_is_nocase(rule, "reset")) {
        reset(user, context);
    } else {
        return false;
    }
    return true;
}

const char *acl_user_set(struct acl_user *user, struct slice rule,
                         const struct acl_rule_context *context, bool *ret_unknown)
{
    if (ret_unknown != NULL) {
        *ret_unknown = false;
    }
    if (rule.size == 0 || set_user_word(user, rule, context)) {
        return NULL;
    }
    const char first = rule.data[0];
    if (first == '>' || first == '#' || first == '<' || first == '!') {
        return set_password(user, rule);
    }
    if (first == '(' && rule.size > 1 && rule.data[rule.size - 1] == ')') {
        return add_selector(user, rule, context, ret_unknown);
    }
    return acl_selector_set(&user->selectors[0], rule, context, ret_unknown);
}

/* --- words of a line -------------------------------------------------------------------------------------------- */

static bool opens(struct slice word)
{
    return word.size > 0 && word.data[0] == '(' && word.data[word.size - 1] != ')';
}

enum status acl_rules_merge(const struct slice *words, size_t count, struct acl_list *ret_rules,
                            size_t *ret_open)
{
    struct buf open = {0};
    bool is_open = false;
    enum status status = OK;
    *ret_rules = (struct acl_list){.count = 0};
    for (size_t i = 0; i < count && status == OK; i++) {
        if (opens(words[i])) { /* also inside of another one, whose words are then lost */
            is_open = true;
            *ret_open = i;
            open.size = 0;
            status = buf_append_slice(&open, words[i]);
        } else if (is_open) {
            status = buf_append(&open, " ", 1);
            status = status == OK ? buf_append_slice(&open, words[i]) : status;
            if (status == OK && closes(words[i])) {
                is_open = false;
                status = acl_list_add(ret_rules, buf_slice(&open), 0);
            }
        } else {
            status = acl_list_add(ret_rules, words[i], 0);
        }
    }
    buf_done(&open);
    if (status != OK || is_open) {
        acl_list_clear(ret_rules);
        return status != OK ? status : MALFORMED;
    }
    return OK;
}
