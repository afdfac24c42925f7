/* SPDX-License-Identifier: BSD-3-Clause */
/* cli.h -- what a verb's handler has to do with: its words, the nodes, and the way out.
 *
 * With --json exactly one object goes to standard output, errors included (streams: one object in each line); messages go
 * to standard error besides, and say what failed and where.
 *
 * Owns:    the clients it opens, closed when cli_run ends.
 * Threads: the main thread's. */
#ifndef TERRACE_CLIENT_CLI_CLI_H
#define TERRACE_CLIENT_CLI_CLI_H

#include "client/cli/text.h"
#include "client/cli/tree.h"
#include "client/cli/verbs.h"
#include "client/terrace.h"

#include <jansson.h>
#include <stdio.h>

enum {
    NODES_MAX = 32,
    ADDRESS_MAX = 160
};

struct cli {
    const struct verb *verb;
    struct words words;
    int argc; /* of a raw verb: what stands behind it */
    char **argv;
    bool json;
    bool color; /* standard output may have colours */
    int64_t timeout_ms;
    char error[TERRACE_ERROR_SIZE]; /* of calls that have no room of their own for it */

    char *nodes; /* as given, or the default; owned */
    size_t node_count;
    const char *addresses[NODES_MAX]; /* lie in `nodes` */

    struct terrace *all;             /* one client of all nodes, of cli_open */
    struct terrace *each[NODES_MAX]; /* one client of each, of cli_node */
    bool told;                       /* an error went out already */
};

/* Runs the program. */
enum exit_code cli_run(int argc, char **argv);

/* --- the way out --- */

/* Says `terrace VERB: message` and returns the code. */
enum exit_code cli_fail(struct cli *cli, enum exit_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for what the library answered; `text` "" or the node's own words. */
enum exit_code cli_fail_status(struct cli *cli, enum terrace_status status, const char *what,
                               const char *text);
/* What stands behind "ADDRESS: " if the text begins so, for those who say the address themselves. */
const char *cli_without_address(const char *text, const char *address);
enum exit_code cli_exit_of(enum terrace_status status);
/* Takes the object, prints it with a newline. NULL: no memory. */
enum exit_code cli_print_json(struct cli *cli, json_t *object, enum exit_code code);
/* Prints bytes to standard output, and flushes it. */
enum exit_code cli_print(struct cli *cli, struct slice bytes, enum exit_code code);
/* Prints and frees. */
enum exit_code cli_print_table(struct cli *cli, struct table *table, enum exit_code code);

/* --- the nodes --- */

/* The client of all nodes that were given; asks for a PING, so that a node is there. EXIT_FINE, or an error was told. */
enum exit_code cli_open(struct cli *cli);
/* The client of the i-th node alone; asks for nothing. NULL: `error` says why. */
struct terrace *cli_node(struct cli *cli, size_t i, char error[TERRACE_ERROR_SIZE]);

/* One command, words between spaces in `format` are not split: give them one by one, ended by NULL. */
struct cli_reply {
    struct terrace_value value;
    struct tree tree;
    enum terrace_status status;
    char error[TERRACE_ERROR_SIZE];
};
/* true: `reply` has a tree. Give it back with cli_reply_done either way. */
bool cli_ask(struct cli *cli, struct terrace *client, struct cli_reply *reply, ...)
    __attribute__((sentinel));
bool cli_ask_words(struct cli *cli, struct terrace *client, struct cli_reply *reply,
                   const struct slice *words, size_t count);
void cli_reply_done(struct cli_reply *reply);

#endif
