/* SPDX-License-Identifier: BSD-3-Clause */
/* config_names.h -- the settings as CONFIG shows them: our options, and Redis' names that clients ask for.
 *
 * Threads: constant, but for the options handed in: under their lock. */
#ifndef TERRACE_SERVER_CONFIG_NAMES_H
#define TERRACE_SERVER_CONFIG_NAMES_H

#include "server/option_table.h"

struct node;

enum config_kind {
    CONFIG_OPTION,   /* of ours */
    CONFIG_COMPUTED, /* Redis' word for an option of ours */
    CONFIG_DATA,     /* acts on the data: L2's, if there is one */
    CONFIG_FREE,     /* accepted, and without effect */
    CONFIG_SAME,     /* only the one value is accepted */
    CONFIG_LOCKED,
};

struct config_name {
    const char *name;
    enum config_kind kind;
    enum option_type type;
    const char *value;           /* Redis' default; of no option or computed name */
    const struct option *option; /* of CONFIG_OPTION */
};

enum {
    CONFIG_NAMES_MAX = 320
};

bool config_name_at(unsigned i, struct config_name *ret_name); /* false: past the end */
/* The index of a name in any case; false: unknown. */
bool config_name_find(struct slice name, unsigned *ret_index);
/* May CONFIG SET name it at all? */
bool config_name_is_locked(const struct config_name *name);
enum status config_name_format(const struct node *node, const struct config_name *name,
                               struct buf *text) MUST_USE;
/* Changes `options` (a copy of the node's). INVALID: reason says why. */
enum status config_name_assign(struct options *options, const struct config_name *name,
                               struct slice value, char reason[OPTION_REASON_MAX]) MUST_USE;

#endif
