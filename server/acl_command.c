/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/acl_command.h"

#include "server/invalidate.h"

#include <stdlib.h>
#include <string.h>

#define R       ACL_KEY_READ
#define W       ACL_KEY_WRITE
#define C(name) CATEGORY_##name
#define RANGE(access_, index_, last_, step_, lim)                                                \
    {                                                                                            \
        .index = (index_), .last = (last_), .step = (step_), .limit = (lim), .access = (access_) \
    }
#define KEYWORD(access_, word, from, last_, step_, lim)                                       \
    {                                                                                         \
        .keyword = (word), .index = (from), .last = (last_), .step = (step_), .limit = (lim), \
        .access = (access_)                                                                   \
    }
#define COUNTED(access_, index_, count, first, step_)                                           \
    {                                                                                           \
        .index = (index_), .counted = true, .last = (count), .step = (step_), .limit = (first), \
        .access = (access_)                                                                     \
    }
#define ACL_COMMAND(name_, arity_, categories_, flags_, parser_, ...)                   \
    {.name = (name_),                                                                   \
     .arity = (arity_),                                                                 \
     .categories = (categories_),                                                       \
     .flags = (flags_),                                                                 \
     .parser = ACL_PARSE_##parser_,                                                     \
     .place_count = sizeof((struct acl_keys[]){__VA_ARGS__}) / sizeof(struct acl_keys), \
     .places = {__VA_ARGS__}},

static const struct acl_command table[] = {
#include "server/acl_commands.def"
};

enum {
    COUNT = sizeof(table) / sizeof(table[0]),
    NAME_MAX_SIZE = 64
};
_Static_assert((int)COUNT < (int)ACL_COMMANDS_MAX, "a bit for each");

unsigned acl_command_count(void)
{
    return COUNT;
}

const struct acl_command *acl_command_at(unsigned id)
{
    return &table[id];
}

static int name_order(const void *name, const void *entry)
{
    return strcmp(name, ((const struct acl_command *)entry)->name);
}

/* The place of a name, terminated and in lower case. */
static unsigned find_lower(const char *name)
{
    const struct acl_command *found = bsearch(name, table, COUNT, sizeof(table[0]), name_order);
    return found == NULL ? COUNT : (unsigned)(found - table);
}

/* false: no command has such a long name, or such bytes. */
static bool append_lower(char name[NAME_MAX_SIZE], size_t *used, struct slice text)
{
    if (text.size >= NAME_MAX_SIZE - *used) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];
        if (c == '\0') {
            return false;
        }
        name[(*used)++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    name[*used] = '\0';
    return true;
}

unsigned acl_command_find(struct slice full_name)
{
    char name[NAME_MAX_SIZE];
    size_t used = 0;
    return append_lower(name, &used, full_name) ? find_lower(name) : COUNT;
}

unsigned acl_command_of(struct slice name, struct slice sub)
{
    char full[NAME_MAX_SIZE];
    size_t used = 0;
    if (!append_lower(full, &used, name)) {
        return COUNT;
    }
    const unsigned id = find_lower(full);
    if (id == COUNT || (table[id].flags & ACL_CONTAINER) == 0 || sub.size == 0 ||
        !append_lower(full, &used, SLICE_LITERAL("|")) || !append_lower(full, &used, sub)) {
        return id;
    }
    const unsigned found = find_lower(full);
    return found < COUNT ? found : id;
}

bool acl_command_is_sub(unsigned id, unsigned container)
{
    const size_t size = strlen(table[container].name);
    return strncmp(table[id].name, table[container].name, size) == 0 && table[id].name[size] == '|';
}

/* --- keys ------------------------------------------------------------------------------------------------------- */

struct search {
    const struct slice *argv;
    uint32_t argc;
    bool (*each)(void *arg, struct acl_key key); /* NULL: only whether the line is sound */
    void *arg;
};

/* The keys from `first` to `last`. false: out of bounds, or enough. */
static bool take_range(const struct search *search, int64_t first, int64_t last, int64_t step,
                       unsigned access)
{
    if (last >= search->argc || last < first || first >= search->argc) {
        return false;
    }
    for (int64_t i = first; i <= last && search->each != NULL; i += step) {
        if (!search->each(search->arg, (struct acl_key){(uint32_t)i, access, false})) {
            return false;
        }
    }
    return true;
}

static bool take_place_at(const struct search *search, const struct acl_keys *place, int64_t first)
{
    const int64_t argc = search->argc;
    int64_t last = first + place->last;
    if (place->counted) {
        int64_t count = 0;
        if (last >= argc || slice_to_i64(search->argv[last], &count) != OK || count > argc) {
            return false;
        }
        first += place->limit;
        last = first + count - 1;
    } else if (place->last < 0) {
        last = place->limit == 0 ? argc + place->last
                                 : first + (argc - first) / place->limit + place->last;
    }
    return take_range(search, first, last, place->step, place->access);
}

/* Behind every occurrence of the keyword: of several, which one counts is the command's business. */
static bool take_keyword(const struct search *search, const struct acl_keys *place)
{
    const uint32_t from = place->index > 0 ? (uint32_t)place->index : 1;
    bool sound = true;
    for (uint32_t i = from; i < search->argc && sound; i++) {
        if (slice_is_nocase(search->argv[i], place->keyword)) {
            sound = take_place_at(search, place, i + 1);
            if (place->last != 0) {
                break; /* its keys go on to the end */
            }
        }
    }
    return sound;
}

static bool take_places(const struct acl_command *command, const struct search *search)
{
    for (unsigned i = 0; i < command->place_count; i++) {
        const struct acl_keys *place = &command->places[i];
        if (place->keyword != NULL ? !take_keyword(search, place)
                                   : !take_place_at(search, place, place->index)) {
            return false;
        }
    }
    return true;
}

/* Redis takes no key at all of a line whose places do not fit its arguments. */
static void take_sound_places(const struct acl_command *command, const struct search *search)
{
    struct search look = *search;
    look.each = NULL;
    if (take_places(command, &look)) {
        (void)take_places(command, search);
    }
}

static bool has_word(const struct search *search, uint32_t from, const char *word)
{
    for (uint32_t i = from; i < search->argc; i++) {
        if (slice_is_nocase(search->argv[i], word)) {
            return true;
        }
    }
    return false;
}

/* BITFIELD key [GET ...] [SET ...] [INCRBY ...] [OVERFLOW ...]: read only as long as there is nothing but GET. */
static bool bitfield_writes(const struct search *search)
{
    for (uint32_t i = 2; i < search->argc; i++) {
        const uint32_t more = search->argc - i - 1;
        if (more >= 2 && slice_is_nocase(search->argv[i], "get")) {
            i += 2;
        } else if (more >= 1 && slice_is_nocase(search->argv[i], "overflow")) {
            i += 1;
        } else {
            return true;
        }
    }
    return false;
}

/* SORT key ... STORE destination: the last one counts. */
static void take_sort(const struct search *search, bool stores)
{
    uint32_t destination = 0;
    for (uint32_t i = 2; i < search->argc && stores; i++) {
        if (slice_is_nocase(search->argv[i], "limit")) {
            i += 2;
        } else if (slice_is_nocase(search->argv[i], "get") ||
                   slice_is_nocase(search->argv[i], "by")) {
            i += 1;
        } else if (slice_is_nocase(search->argv[i], "store") && i + 1 < search->argc) {
            destination = i + 1;
        }
    }
    if (search->each(search->arg, (struct acl_key){1, R, false}) && destination > 0) {
        (void)search->each(search->arg, (struct acl_key){destination, W, false});
    }
}

/* CACHE.INVALIDATE KEY key ..., PREFIX prefix ..., PATTERN glob ...: all other forms reach any key. */
static void take_invalidated(const struct search *search)
{
    const struct slice subject = search->argv[INVALIDATE_SUBJECT_ARG];
    const bool by_key = slice_is_nocase(subject, "key");
    const bool by_pattern =
        slice_is_nocase(subject, "prefix") || slice_is_nocase(subject, "pattern");
    const uint32_t end = invalidate_args_end(search->argv, search->argc);
    for (uint32_t i = INVALIDATE_FIRST_ARG; (by_key || by_pattern) && i < end; i++) {
        if (!search->each(search->arg, (struct acl_key){i, W, by_pattern})) {
            return;
        }
    }
    if (!by_key && !by_pattern && !slice_is_nocase(subject, "help")) {
        (void)search->each(search->arg, (struct acl_key){0, W, false});
    }
}

void acl_command_keys(const struct acl_command *command, const struct slice *argv, uint32_t argc,
                      bool (*each)(void *arg, struct acl_key key), void *arg)
{
    const struct search search = {argv, argc, each, arg};
    if (argc < 2) {
        return;
    }
    switch (command->parser) {
    case ACL_PARSE_PLACES: take_sound_places(command, &search); break;
    case ACL_PARSE_SET:
        (void)each(arg, (struct acl_key){1, has_word(&search, 3, "get") ? R | W : W, false});
        break;
    case ACL_PARSE_BITFIELD:
        (void)each(arg, (struct acl_key){1, bitfield_writes(&search) ? R | W : R, false});
        break;
    case ACL_PARSE_SORT: take_sort(&search, true); break;
    case ACL_PARSE_SORT_RO: take_sort(&search, false); break;
    case ACL_PARSE_INVALIDATE: take_invalidated(&search); break;
    }
}
