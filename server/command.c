/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/command.h"

#include "server/commands.h"

#include <string.h>

/* Where each line of commands.def stands in `table`. Only containers and subcommands have names of their own: the place
 * of a container's HELP, its last subcommand, tells how many there are. */
#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
enum place {
#define COMMAND(...)                   JOIN(AT_LINE_, __LINE__),
#define CONTAINER(id, ...)             AT_##id,
#define SUBCOMMAND(id, name, run, ...) AT_##run,
#include "server/commands.def"
    PLACE_COUNT
};

#define COMMON(run_, arity_, flags_, first_, last_, step_, road_, group_, since_, complexity_, \
               summary_)                                                                       \
    .run = (run_), .arity = (arity_), .flags = (flags_), .first_key = (first_),                \
    .last_key = (last_), .key_step = (step_), .road = (road_), .group = (group_),              \
    .since = (since_), .complexity = (complexity_), .summary = (summary_)

static const struct command table[PLACE_COUNT] = {
#define COMMAND(name_, ...)                                          \
    [JOIN(AT_LINE_, __LINE__)] = {.name = (name_),                   \
                                  .full_name = (name_),              \
                                  .index = JOIN(AT_LINE_, __LINE__), \
                                  COMMON(__VA_ARGS__)},
#define CONTAINER(id, name_, ...)                                  \
    [AT_##id] = {.name = (name_),                                  \
                 .full_name = (name_),                             \
                 .index = AT_##id,                                 \
                 .subcommands = &table[AT_##id + 1],               \
                 .subcommand_count = AT_cmd_##id##_help - AT_##id, \
                 COMMON(__VA_ARGS__)},
#define SUBCOMMAND_OF(id, container, name_, run_, ...) \
    [AT_##run_] = {.name = (name_),                    \
                   .full_name = container "|" name_,   \
                   .index = AT_##run_,                 \
                   COMMON(run_, __VA_ARGS__)},
#define SUBCOMMAND(id, ...) SUBCOMMAND_OF(id, #id, __VA_ARGS__)
#include "server/commands.def"
};

/* The top floor of the table: places of commands and containers. */
static const unsigned short top[] = {
#define COMMAND(...)       JOIN(AT_LINE_, __LINE__),
#define CONTAINER(id, ...) AT_##id,
#define SUBCOMMAND(...)
#include "server/commands.def"
};

enum {
    TOP_COUNT = sizeof(top) / sizeof(top[0])
};

const struct command *command_at(unsigned i)
{
    return i < TOP_COUNT ? &table[top[i]] : NULL;
}

unsigned command_count(void)
{
    return PLACE_COUNT;
}

/* A name of at most 16 bytes as two words, in lower case. Together with its size it is the name: short names are read
 * in pieces that overlap, so no byte outside is touched. */
enum {
    NAME_MAX_SIZE = 16
};
struct name {
    uint64_t head;
    uint64_t tail;
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Sets bit 0x20 in every byte that is 'A'..'Z'; all eight at once. */
ALWAYS_INLINE uint64_t word_lower(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t low = word & (0x7f * ones);
    const uint64_t from_a = low + (0x80 - 'A') * ones;
    const uint64_t past_z = low + (0x7f - 'Z') * ones;
    const uint64_t upper = (from_a ^ past_z) & ~word & (0x80 * ones);
    return word | upper >> 2;
}

ALWAYS_INLINE uint64_t read_u64(const char *src)
{
    uint64_t word;
    memcpy(&word, src, sizeof(word));
    return word;
}

ALWAYS_INLINE uint64_t read_u32(const char *src)
{
    uint32_t word;
    memcpy(&word, src, sizeof(word));
    return word;
}

ALWAYS_INLINE struct name name_of(const char *text, size_t size)
{
    if (size >= 8) {
        return (struct name){word_lower(read_u64(text)), word_lower(read_u64(text + size - 8))};
    }
    if (size >= 4) {
        return (struct name){word_lower(read_u32(text) << 32 | read_u32(text + size - 4)), 0};
    }
    const uint64_t first = (unsigned char)text[0];
    const uint64_t middle = (unsigned char)text[size / 2];
    const uint64_t last = (unsigned char)text[size - 1];
    return (struct name){word_lower(first << 16 | middle << 8 | last), 0};
}

/* One word that differs between all names of the table (a test sees to it), so that compilers turn the comparisons
 * below into one tree of constants. */
ALWAYS_INLINE uint64_t name_key(struct name name, size_t size)
{
    return (name.head ^ name.tail * UINT64_C(0x9e3779b97f4a7c15)) + size;
}

/* Place of the command, or PLACE_COUNT. Everything about the names folds into constants: gcc 12 and clang 14 both make
 * a search tree of it, seven comparisons deep. */
static unsigned place_of(struct name name, size_t size)
{
    const uint64_t key = name_key(name, size);
#define PLACE_IF(name_, place)                                                                 \
    if (key == name_key(name_of(name_, sizeof(name_) - 1), sizeof(name_) - 1)) {               \
        const struct name found = name_of(name_, sizeof(name_) - 1);                           \
        return found.head == name.head && found.tail == name.tail && sizeof(name_) - 1 == size \
                   ? (place)                                                                   \
                   : PLACE_COUNT;                                                              \
    }
#define COMMAND(name_, ...)       PLACE_IF(name_, JOIN(AT_LINE_, __LINE__))
#define CONTAINER(id, name_, ...) PLACE_IF(name_, AT_##id)
#define SUBCOMMAND(...)
#include "server/commands.def"
    return PLACE_COUNT;
}

const struct command *command_find(struct slice name)
{
    if (name.size == 0 || name.size > NAME_MAX_SIZE) {
        return NULL;
    }
    const unsigned place = place_of(name_of(name.data, name.size), name.size);
    return place < PLACE_COUNT ? &table[place] : NULL;
}

const struct command *command_find_sub(const struct command *container, struct slice name)
{
    for (unsigned i = 0; i < container->subcommand_count; i++) {
        if (slice_is_nocase(name, container->subcommands[i].name)) {
            return &container->subcommands[i];
        }
    }
    return NULL;
}

bool command_ends_databases(const struct command *command)
{
    return command->run == cmd_flushdb || command->run == cmd_flushall ||
           command->run == cmd_swapdb;
}

bool command_keys(const struct command *command, uint32_t argc, struct key_range *ret_range)
{
    if (command->first_key <= 0 || (uint32_t)command->first_key >= argc) {
        return false;
    }
    const uint32_t first = (uint32_t)command->first_key;
    const uint32_t step = command->key_step > 0 ? (uint32_t)command->key_step : 1;
    const int64_t wanted =
        command->last_key < 0 ? (int64_t)argc + command->last_key : command->last_key;
    if (wanted < first) {
        return false;
    }
    const uint32_t end = wanted < argc ? (uint32_t)wanted : argc - 1;
    *ret_range =
        (struct key_range){.first = first, .last = end - (end - first) % step, .step = step};
    return true;
}
