/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/renames.h"

#include "server/acl_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rename {
    unsigned id; /* of acl_command.h */
    size_t size; /* 0: it has no name any more */
    char name[RENAME_NAME_MAX];
};

struct renames {
    unsigned count;
    struct rename at[RENAMES_MAX];
};

static const char spaces[] = " \t";

/* "NAME NEWNAME": the two words. */
static bool split(struct slice pair, struct slice *ret_from, struct slice *ret_to)
{
    *ret_from = slice_next_word(&pair, spaces);
    *ret_to = slice_trim(pair, spaces);
    if (slice_is(*ret_to, "\"\"") || slice_is(*ret_to, "''")) {
        ret_to->size = 0;
        return true;
    }
    return ret_to->size > 0;
}

static bool is_word(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];
        if (c <= ' ' || c == '|' || c == '"' || c == '\'' || c == 0x7f) {
            return false;
        }
    }
    return name.size < RENAME_NAME_MAX;
}

static bool is_renamed(const struct renames *renames, unsigned id)
{
    for (unsigned i = 0; i < renames->count; i++) {
        if (renames->at[i].id == id) {
            return true;
        }
    }
    return false;
}

static bool is_taken(const struct renames *renames, struct slice name)
{
    for (unsigned i = 0; i < renames->count; i++) {
        const struct rename *one = &renames->at[i];
        if (one->size > 0 && slice_equal_nocase((struct slice){one->name, one->size}, name)) {
            return true;
        }
    }
    const unsigned id = acl_command_find(name);
    return id < acl_command_count() && !is_renamed(renames, id);
}

/* NULL, or what is wrong with the pair. */
static const char *add(struct renames *renames, struct slice pair)
{
    struct slice from;
    struct slice to;
    if (!split(pair, &from, &to) || !is_word(to)) {
        return "argument must be pairs of NAME NEWNAME, separated by commas; NEWNAME \"\" for none";
    }
    const unsigned id = acl_command_find(from);
    if (id == acl_command_count() || memchr(from.data, '|', from.size) != NULL) {
        return "No such command in rename-command";
    }
    if (renames->count == RENAMES_MAX || is_renamed(renames, id)) {
        return "argument names a command twice, or more than 64";
    }
    if (to.size > 0 && is_taken(renames, to)) {
        return "Target command name already exists";
    }
    struct rename *one = &renames->at[renames->count++];
    *one = (struct rename){.id = id, .size = to.size};
    if (to.size > 0) {
        memcpy(one->name, to.data, to.size);
    }
    return NULL;
}

enum status renames_parse(struct slice text, struct renames **ret, char *reason, size_t reason_size)
{
    const char *wrong = NULL;
    *ret = NULL;
    if (slice_trim(text, spaces).size == 0) {
        return OK;
    }
    struct renames *renames = calloc(1, sizeof(*renames));
    if (renames == NULL) {
        return NO_MEMORY;
    }
    for (size_t begin = 0; begin <= text.size && wrong == NULL;) {
        const char *rest = text.data + begin;
        const char *comma = begin < text.size ? memchr(rest, ',', text.size - begin) : NULL;
        const size_t size = comma != NULL ? (size_t)(comma - rest) : text.size - begin;
        wrong = add(renames, slice_trim((struct slice){rest, size}, spaces));
        begin += size + 1;
    }
    if (wrong != NULL) {
        (void)snprintf(reason, reason_size, "%s", wrong);
        renames_free(renames);
        return INVALID;
    }
    *ret = renames;
    return OK;
}

void renames_free(struct renames *renames)
{
    free(renames);
}

enum status renames_find(const struct renames *renames, struct slice *name)
{
    for (unsigned i = 0; i < renames->count; i++) {
        const struct rename *one = &renames->at[i];
        if (one->size > 0 && slice_equal_nocase((struct slice){one->name, one->size}, *name)) {
            *name = slice_of(acl_command_at(one->id)->name);
            return OK;
        }
    }
    const unsigned id = acl_command_find(*name);
    return id < acl_command_count() && is_renamed(renames, id) ? MISS : AGAIN;
}
