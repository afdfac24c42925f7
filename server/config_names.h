/* SPDX-License-Identifier: BSD-3-Clause */
/* config_names.h -- the settings as CONFIG shows them: our options, and Redis' names (config_names.def).
 *
 * Threads: the table is constant; the rest under the options_lock of the node. */
#ifndef TERRACE_SERVER_CONFIG_NAMES_H
#define TERRACE_SERVER_CONFIG_NAMES_H

#include "server/option_table.h"

struct node;

enum config_road {
    CONFIG_OPTION, /* of ours; the others: config_names.def */
    CONFIG_L2,
    CONFIG_L2_ONLY,
    CONFIG_L2_OURS,
    CONFIG_ADDRESS,
    CONFIG_KEPT,
    CONFIG_HIDDEN,
    CONFIG_SAME,
    CONFIG_FIXED,
    CONFIG_HIDDEN_FIXED,
    CONFIG_PROTECTED,
};

enum config_type {
    CONFIG_BOOL,
    CONFIG_NUMBER,
    CONFIG_BYTES,
    CONFIG_TEXT,
    CONFIG_WORD,
    CONFIG_WORDS,
    CONFIG_SAVE,        /* pairs of seconds and changes */
    CONFIG_EVENTS,      /* letters of notify-keyspace-events */
    CONFIG_ADJUSTMENTS, /* three numbers */
    CONFIG_PERCENTILES,
};

struct config_name {
    const char *name;
    enum config_road road;
    enum config_type type;
    const char *value; /* Redis' default */
    int64_t minimum;
    int64_t maximum;
    const char *words;
    const char *of;              /* what it is another name of; NULL: nothing */
    const struct option *option; /* of CONFIG_OPTION */
};

enum {
    CONFIG_NAMES_MAX = 320,
    CONFIG_WORDS_MAX = 4 * CONFIG_NAMES_MAX, /* behind CONFIG GET or SET in one call */
};

bool config_name_at(unsigned i, struct config_name *ret_name); /* false: past the end */
/* Its index, or that of the name it is another name of; any case. false: unknown. */
bool config_name_find(struct slice name, unsigned *ret_index);
bool config_name_by(struct slice written, unsigned *ret_index, struct config_name *ret_name);
/* Whether it is L2's, if there is one. */
bool config_name_is_l2(const struct config_name *name);
/* Whether patterns show it. */
bool config_name_is_listed(const struct config_name *name);
/* NULL, or why CONFIG SET may not name it. Setting what is set at start to what it is changes nothing, and is fine. */
const char *config_name_refuses(const struct node *node, const struct config_name *name,
                                struct slice value);
enum status config_name_format(const struct node *node, unsigned index, struct buf *text) MUST_USE;

/* --- values that are remembered, by index --- */
struct config_kept {
    char *values[CONFIG_NAMES_MAX]; /* NULL: the default */
};
int64_t config_kept_number(const struct config_kept *kept, const char *text); /* by a known name */
/* Alone: what maxmemory was set to, if that is less than L1 can do with; else 0. */
size_t config_kept_little(const struct config_kept *kept, const struct options *options);
void config_kept_done(struct config_kept *kept);

/* A change under way: copies. */
struct config_change {
    struct options options;
    struct config_kept kept; /* NULL: as it is */
};
/* INVALID: reason says why. NO_MEMORY. */
enum status config_change_assign(const struct node *node, struct config_change *change,
                                 unsigned index, struct slice value,
                                 char reason[OPTION_REASON_MAX]) MUST_USE;
void config_change_keep(struct config_kept *kept, struct config_change *change);

/* What a value must be: INVALID, and the reason. OK: how CONFIG GET shows it is appended. config_values.c. */
enum status config_value_check(const struct config_name *name, struct slice value,
                               struct buf *shown, char reason[OPTION_REASON_MAX]) MUST_USE;

#endif
