/* SPDX-License-Identifier: BSD-3-Clause */
/* A user as rules that make him again: ACL LIST, GETUSER, SAVE.
 *
 * Of the commands only the bits are known, not the rules they came from. So, as Redis does: begin with +@all or -@all,
 * then take the category that says most and contradicts least, and so on, then name single commands. What is described
 * is applied to a selector of our own on the way, so that its bits end as those of the user. */
#include "protocol/check.h"
#include "server/acl_user.h"

#include <limits.h>
#include <string.h>

static enum status append_text(struct buf *text, const char *word)
{
    return buf_append(text, word, strlen(word));
}

static enum status append_word(struct buf *text, const char *mark, struct slice word)
{
    enum status status = append_text(text, mark);
    return status == OK ? buf_append_slice(text, word) : status;
}

/* --- commands --------------------------------------------------------------------------------------------------- */

struct count {
    unsigned same;
    unsigned different;
};

/* How many commands of Redis in the category are as `allow` says. */
static struct count count_category(const struct acl_selector *selector, uint32_t category,
                                   bool allow)
{
    struct count count = {0};
    for (unsigned id = 0; id < acl_command_count(); id++) {
        const struct acl_command *command = acl_command_at(id);
        if ((command->categories & category) != 0 && (command->flags & ACL_OWN) == 0) {
            if (acl_selector_has(selector, id) == allow) {
                count.same++;
            } else {
                count.different++;
            }
        }
    }
    return count;
}

/* The category that describes most of what is not described yet; CATEGORY_COUNT: none does. */
static unsigned best_category(const struct acl_selector *left, uint32_t applied, bool allow)
{
    unsigned best = CATEGORY_COUNT;
    struct count best_count = {.different = UINT_MAX};
    for (unsigned i = 0; i < CATEGORY_COUNT; i++) {
        const uint32_t category = UINT32_C(1) << i;
        const struct count count = count_category(left, category, allow);
        const bool better =
            count.different < best_count.different ||
            (count.different == best_count.different && count.same > best_count.same);
        if ((applied & category) == 0 && count.same > count.different && better) {
            best = i;
            best_count = count;
        }
    }
    return best;
}

static void set_category(struct acl_selector *selector, unsigned i, bool allow)
{
    for (unsigned id = 0; id < acl_command_count(); id++) {
        if ((acl_command_at(id)->categories >> i & 1) != 0) {
            acl_selector_set_command(selector, id, allow);
        }
    }
}

static enum status append_categories(const struct acl_selector *selector, struct acl_selector *said,
                                     bool allow, struct buf *text)
{
    struct acl_selector left = {.future_commands = false};
    memcpy(left.commands, selector->commands, sizeof(left.commands));
    uint32_t applied = 0;
    enum status status = OK;
    for (unsigned best;
         status == OK && (best = best_category(&left, applied, allow)) != CATEGORY_COUNT;) {
        set_category(said, best, allow);
        set_category(&left, best, !allow);
        applied |= UINT32_C(1) << best;
        status = append_word(text, allow ? " +@" : " -@", slice_of(category_name(best)));
    }
    return status;
}

static enum status append_first_args(const struct acl_selector *selector, unsigned id,
                                     struct buf *text)
{
    enum status status = OK;
    for (unsigned i = 0; i < selector->first_args.count && status == OK; i++) {
        const struct acl_text *arg = &selector->first_args.at[i];
        if (arg->tag == id) {
            status = append_word(text, " +", slice_of(acl_command_at(id)->name));
            status = status == OK ? append_word(text, "|", arg->bytes) : status;
        }
    }
    return status;
}

static enum status append_single(const struct acl_selector *selector, struct acl_selector *said,
                                 struct buf *text)
{
    enum status status = OK;
    for (unsigned id = 0; id < acl_command_count() && status == OK; id++) {
        const bool allowed = acl_selector_has(selector, id);
        if (allowed != acl_selector_has(said, id)) {
            acl_selector_set_command(said, id, allowed);
            status = append_word(text, allowed ? " +" : " -", slice_of(acl_command_at(id)->name));
        }
        if (!allowed && status == OK) {
            status = append_first_args(selector, id, text);
        }
    }
    for (unsigned i = 0; i < selector->others.count && status == OK; i++) {
        const struct acl_text *other = &selector->others.at[i];
        status = append_word(text, other->tag != 0 ? " +" : " -", other->bytes);
    }
    return status;
}

enum status acl_describe_commands(const struct acl_selector *selector, struct buf *text)
{
    const bool all = selector->future_commands;
    struct acl_selector said = {.future_commands = all};
    memset(said.commands, all ? 0xff : 0, sizeof(said.commands));
    enum status status = append_text(text, all ? "+@all" : "-@all");
    if (status == OK) {
        status = append_categories(selector, &said, !all, text);
    }
    if (status == OK) {
        status = append_single(selector, &said, text);
    }
    CHECK(status != OK || memcmp(said.commands, selector->commands, sizeof(said.commands)) == 0);
    return status;
}

/* --- keys and channels ------------------------------------------------------------------------------------------ */

/* Both rights to `*`, given one by one, are a pattern, behind which others may follow; `~*` would let none. */
static const char *mark_of(uint32_t access, struct slice pattern)
{
    const char *both = slice_is(pattern, "*") ? "%RW~" : "~";
    return access == ACL_KEY_READ ? "%R~" : access == ACL_KEY_WRITE ? "%W~" : both;
}

enum status acl_describe_keys(const struct acl_selector *selector, struct buf *text)
{
    enum status status = selector->all_keys ? append_text(text, "~*") : OK;
    for (unsigned i = 0; i < selector->patterns.count && status == OK; i++) {
        const struct acl_text *pattern = &selector->patterns.at[i];
        status = append_text(text, i > 0 ? " " : "");
        status = status == OK
                     ? append_word(text, mark_of(pattern->tag, pattern->bytes), pattern->bytes)
                     : status;
    }
    return status;
}

enum status acl_describe_channels(const struct acl_selector *selector, struct buf *text)
{
    enum status status = selector->all_channels ? append_text(text, "&*") : OK;
    for (unsigned i = 0; i < selector->channels.count && status == OK; i++) {
        status = append_word(text, i > 0 ? " &" : "&", selector->channels.at[i].bytes);
    }
    return status;
}

/* --- users ------------------------------------------------------------------------------------------------------ */

static enum status describe_selector(const struct acl_selector *selector, struct buf *text)
{
    const size_t before = text->size;
    enum status status = acl_describe_keys(selector, text);
    if (status == OK && text->size > before) {
        status = append_text(text, " ");
    }
    if (status == OK && !selector->all_channels) {
        status = append_text(text, "resetchannels ");
    }
    const size_t middle = text->size;
    status = status == OK ? acl_describe_channels(selector, text) : status;
    if (status == OK && text->size > middle) {
        status = append_text(text, " ");
    }
    return status == OK ? acl_describe_commands(selector, text) : status;
}

static enum status append_flags(const struct acl_user *user, struct buf *text)
{
    enum status status = append_text(text, (user->flags & ACL_USER_ON) != 0 ? "on " : "off ");
    if (status == OK && (user->flags & ACL_USER_NOPASS) != 0) {
        status = append_text(text, "nopass ");
    }
    if (status == OK && (user->flags & ACL_USER_SKIP_SANITIZE) != 0) {
        status = append_text(text, "skip-sanitize-payload ");
    }
    if (status == OK && (user->flags & ACL_USER_SANITIZE) != 0) {
        status = append_text(text, "sanitize-payload ");
    }
    return status;
}

enum status acl_describe_user(const struct acl_user *user, struct buf *text)
{
    enum status status = append_flags(user, text);
    for (unsigned i = 0; i < user->passwords.count && status == OK; i++) {
        status = append_word(text, "#", user->passwords.at[i].bytes);
        status = status == OK ? append_text(text, " ") : status;
    }
    for (unsigned i = 0; i < user->selector_count && status == OK; i++) {
        status = append_text(text, i > 0 ? " (" : "");
        status = status == OK ? describe_selector(&user->selectors[i], text) : status;
        status = status == OK ? append_text(text, i > 0 ? ")" : "") : status;
    }
    return status;
}
