/* SPDX-License-Identifier: BSD-3-Clause */
/* acl_command.h -- every command that rules may name: those of Redis 7.0.15, served here or not, and the node's own.
 *
 * Rules are read before L2 is known, and say what L2 runs for a client; so this table is whole by itself. Each command
 * has a number, its bit in the rules of a user, its categories, and where its keys are and what is done to them: Redis'
 * key specifications, as COMMAND shows them.
 *
 * acl_commands.def: ACL_COMMAND(name, arity, categories, flags, keys...), in the order of strcmp. A container's
 * subcommands ("client|list") follow it, though not directly.
 *
 * Threads: constant. */
#ifndef TERRACE_SERVER_ACL_COMMAND_H
#define TERRACE_SERVER_ACL_COMMAND_H

#include "protocol/bytes.h"
#include "tiers/base/category.h"

enum {
    ACL_NO_AUTH = 1 << 0,   /* anybody may run it */
    ACL_CONTAINER = 1 << 1, /* has subcommands */
    ACL_SCRIPT = 1 << 2,    /* runs code of the client's choice on L2 */
    ACL_PUBLISH = 1 << 3,   /* argument 1 is a channel; */
    ACL_SUBSCRIBE = 1 << 4, /* all are; */
    ACL_PATTERNS = 1 << 5,  /* and are patterns */
    ACL_OWN = 1 << 6,       /* no command of Redis */
};

/* What is done to a key. */
enum {
    ACL_KEY_READ = 1 << 0,
    ACL_KEY_WRITE = 1 << 1,
};

/* A place for keys: begins at argument `index`, or behind `keyword` searched from `index` on (backwards from the end if
 * negative); either a range, or as many as an argument there says. */
struct acl_keys {
    const char *keyword;
    int8_t index;
    bool counted;
    /* Range: relative to the first, or to argc if negative; counted: place of the count. */
    int8_t last;
    int8_t step;
    int8_t limit; /* range: 2: the first half of what follows; counted: the first key */
    uint8_t access;
};

enum acl_parser {
    ACL_PARSE_PLACES, /* the places above say it all */
    ACL_PARSE_SET,    /* read too, with GET */
    ACL_PARSE_BITFIELD,
    ACL_PARSE_SORT,
    ACL_PARSE_SORT_RO,
    ACL_PARSE_INVALIDATE, /* CACHE.INVALIDATE */
};

enum {
    ACL_PLACES_MAX = 3
};

struct acl_command {
    const char *name; /* full, lower case */
    int arity;
    uint32_t categories;
    uint32_t flags;
    enum acl_parser parser;
    unsigned place_count;
    struct acl_keys places[ACL_PLACES_MAX];
};

enum {
    ACL_COMMANDS_MAX = 512 /* bits of a user's rules */
};

unsigned acl_command_count(void);
const struct acl_command *acl_command_at(unsigned id);
/* By full name, any case. acl_command_count(): unknown. */
unsigned acl_command_find(struct slice full_name);
/* Of a request: "name", or "name|sub" where `name` is a container. Unknown subcommands: the container. */
unsigned acl_command_of(struct slice name, struct slice sub);
/* Whether `id` is a subcommand of `container`. */
bool acl_command_is_sub(unsigned id, unsigned container);

/* The next key of a command line. */
struct acl_key {
    uint32_t at; /* in argv; 0: keys that are not among the arguments, any */
    unsigned access;
    /* The argument is no key: all that begin with it, or fit it as a glob, are meant. */
    bool is_pattern;
};
/* Calls `each` for every key until it answers false. A line whose keys cannot be found has none: who runs it will say
 * what is wrong with it. */
void acl_command_keys(const struct acl_command *command, const struct slice *argv, uint32_t argc,
                      bool (*each)(void *arg, struct acl_key key), void *arg);

#endif
