/* SPDX-License-Identifier: BSD-3-Clause */
/* command.h -- what a command is: one line of commands.def.
 *
 * commands.def is included several times with COMMAND and SUBCOMMAND defined differently: the handlers' prototypes, the
 * table, COMMAND's replies, the reference page. To add a command: one line there, one handler in a cmd_*.c.
 *
 *   COMMAND(name, handler, arity, flags, first, last, step, road, group, since, complexity, summary)
 *   SUBCOMMAND(container, name, handler, arity, flags, first, last, step, road, group, since, complexity, summary)
 *
 * Names in lower case; arity and key positions as in Redis' COMMAND (arity counts the name; negative: at least).
 * A container (CLIENT, CONFIG ...) has handler cmd_container; its subcommands follow it directly, HELP last. Its line is
 * CONTAINER(id, ...), which is COMMAND(...) to who does not define it. The file undefines what it was given. */
#ifndef TERRACE_SERVER_COMMAND_H
#define TERRACE_SERVER_COMMAND_H

#include "protocol/bytes.h"

struct call;
typedef void command_fn(struct call *call);

/* Who answers when the node has an L2. Alone, the handler always runs. */
enum road {
    ROAD_NODE, /* the node itself */
    ROAD_READ, /* the handler, which reads through the tiers (tiers_get) */
    ROAD_L2, /* L2: the client's own bytes are relayed; keys of a write end in L1 when sent and when answered */
    ROAD_LINE,  /* L2, on a connection of its client's own (blocking.h) */
    ROAD_LATER, /* nobody in this version: a clear error */
    ROAD_NEVER, /* refused with Redis' own text, by the handler */
};

/* Flags as Redis' COMMAND names them. */
enum {
    COMMAND_WRITE = 1u << 0,
    COMMAND_READONLY = 1u << 1,
    COMMAND_DENYOOM = 1u << 2,
    COMMAND_ADMIN = 1u << 3,
    COMMAND_PUBSUB = 1u << 4,
    COMMAND_NOSCRIPT = 1u << 5,
    COMMAND_BLOCKING = 1u << 6,
    COMMAND_LOADING = 1u << 7,
    COMMAND_STALE = 1u << 8,
    COMMAND_FAST = 1u << 9,
    COMMAND_NO_AUTH = 1u << 10,
    COMMAND_MOVABLE_KEYS = 1u << 11,
    COMMAND_SKIP_MONITOR = 1u << 12,
    COMMAND_SKIP_SLOWLOG = 1u << 13,
    COMMAND_NO_MULTI = 1u << 14,
    COMMAND_ALLOW_BUSY = 1u << 15,
    COMMAND_NO_ASYNC_LOADING = 1u << 16,
    COMMAND_MAY_REPLICATE = 1u << 17,
    COMMAND_NO_MANDATORY_KEYS = 1u << 25,
    COMMAND_DANGEROUS = 1u << 18, /* ACL category only */
    COMMAND_SETTLED =
        1u << 19, /* not shown: runs when all calls before it on its connection are answered */
    COMMAND_OWN = 1u << 20,    /* not shown: L2 has no such command, so a read cannot be relayed */
    COMMAND_MODULE = 1u << 21, /* not shown: of a module that L2 has loaded */
    COMMAND_SUBSCRIBER = 1u << 23, /* not shown: what a subscribed RESP2 client may send */
    COMMAND_PAUSED = 1u << 24, /* not shown: CLIENT PAUSE WRITE holds it, though it writes no key */
    COMMAND_BRIEF = 1u << 22,  /* not shown: as fast as a FAST one while its request is small */
    /* Not shown: a read of a hash. It follows one of the same key down the link rather than to wait for it, so that many fields
     * of one hash are read in one pipeline. */
    COMMAND_OF_HASH = 1u << 26,
    /* Not shown: without an L2 it runs while no other worker touches a key (solo.h): it looks at, or changes, more than one
     * operation of L1 does. */
    COMMAND_ALONE = 1u << 27,
};

struct command {
    const char *name;      /* "get"; of a subcommand "list" */
    const char *full_name; /* "get", "client|list" */
    command_fn *run;       /* NULL: known only to L2 */
    int arity;
    uint32_t flags;
    int first_key;
    int last_key; /* negative: counted from the end */
    int key_step;
    enum road road;
    const char *group;
    const char *since;
    const char *complexity;
    const char *summary;
    unsigned index;                    /* of its counters: ours < command_count(); else learned.h */
    const struct command *subcommands; /* of a container */
    unsigned subcommand_count;
};

/* The built-in table: containers and plain commands, without subcommands, in the order of commands.def. */
const struct command *command_at(unsigned i); /* NULL past the end */
unsigned command_count(void); /* commands and subcommands together: bound of `index` */
/* By name, any case; NULL: not built in. Constant time, no allocation. */
const struct command *command_find(struct slice name);
const struct command *command_find_sub(const struct command *container, struct slice name);

/* Of a call of so many words. `arity`: as in struct command. */
static inline bool command_arity_fits(int arity, uint32_t argc)
{
    return arity >= 0 ? argc == (uint32_t)arity : argc >= (uint32_t)-arity;
}

bool command_ends_databases(const struct command *command); /* FLUSHDB, FLUSHALL, SWAPDB */

/* Key positions of a call: first index, last index (inclusive) and step, clipped to argc. false: it names no keys. */
struct key_range {
    uint32_t first;
    uint32_t last;
    uint32_t step;
};
bool command_keys(const struct command *command, uint32_t argc, struct key_range *ret_range);

#endif
