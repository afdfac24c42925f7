/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/behind_node.h"

#include "server/behind_file.h"
#include "server/tracking.h"
#include "server/worker.h"
#include "tiers/behind.h"

#include <stdio.h>
#include <string.h>

enum {
    REFUSED_EVERY_MS = 10000 /* lines of the log about what L2 refuses */
};

/* --- hooks ----------------------------------------------------------------------------------------------------------- */

static void on_turn(void *arg)
{
    const struct node *node = arg;
    for (unsigned i = 0; i < node->worker_count; i++) {
        worker_turn_behind(node->workers[i]);
    }
}

static void on_wake(void *arg)
{
    behind_file_wake(((const struct node *)arg)->behind_file);
}

static void on_taken(void *arg, const struct l1_key *key)
{
    const struct node *node = arg;
    tracking_changed(node->tracking, key->bytes, key->hash, 0);
}

static void on_refused(void *arg, unsigned worker, struct slice key, struct slice error, bool all)
{
    struct node *node = arg;
    const struct namespace *ns = namespace_of(node->namespaces, key);
    namespace_tally(ns, worker, TALLY_BEHIND_REFUSED, all ? 0 : 1);
    const int64_t now_ms = clock_now_ms(&node->clock);
    int64_t last_ms = atomic_load(&node->behind_told_ms);
    if ((last_ms != 0 && now_ms - last_ms < REFUSED_EVERY_MS) ||
        !atomic_compare_exchange_strong(&node->behind_told_ms, &last_ms, now_ms)) {
        return;
    }
    log_write(&node->log, LOG_WARNING, "behind_refused",
              "L2 refuses %s%s: %.*s; it is tried again (behind_refused, behind_paused of INFO)",
              all ? "all that waits" : "a write that waits, of namespace ", all ? "" : ns->name,
              (int)error.size, error.data);
}

struct tiers_behind behind_node_hooks(struct node *node)
{
    return (struct tiers_behind){.behind = node->behind,
                                 .wake = on_wake,
                                 .flushed = on_turn,
                                 .taken = on_taken,
                                 .refused = on_refused,
                                 .arg = node};
}

/* --- namespaces ------------------------------------------------------------------------------------------------------ */

struct homes {
    const struct namespace_spec *specs;
    unsigned count;
};

/* The longest prefix is the home; `default`, which has none, fits all. */
static bool is_stranded(void *arg, struct slice key)
{
    const struct homes *homes = arg;
    const struct namespace_spec *home = &homes->specs[0];
    for (unsigned i = 1; i < homes->count; i++) {
        const struct namespace_spec *spec = &homes->specs[i];
        if (spec->prefix.size > home->prefix.size && spec->prefix.size <= key.size &&
            memcmp(spec->prefix.data, key.data, spec->prefix.size) == 0) {
            home = spec;
        }
    }
    return !home->managed;
}

size_t behind_node_stranded(const struct node *node, const struct namespace_spec *specs,
                            unsigned count)
{
    struct homes homes = {specs, count};
    return node->behind == NULL || behind_is_empty(node->behind)
               ? 0
               : behind_count_if(node->behind, is_stranded, &homes);
}

bool behind_node_holds_back(const struct node *node, const struct options *next, int64_t now_ms)
{
    struct namespace_spec specs[NAMESPACES_MAX];
    if (node->behind == NULL) {
        return false;
    }
    const unsigned count = options_specs(next, specs);
    if (!behind_is_empty(node->behind) && behind_node_stranded(node, specs, count) == 0) {
        return false;
    }
    return behind_fence(node->behind, now_ms); /* if it is empty, so that it is in a moment, too */
}

/* --- start and end --------------------------------------------------------------------------------------------------- */

static enum status refuse_stranded(const struct node *node, char error[NODE_ERROR_MAX])
{
    struct namespace_spec specs[NAMESPACES_MAX];
    const unsigned count = options_specs(&node->options, specs);
    const size_t stranded = behind_node_stranded(node, specs, count);
    if (stranded == 0) {
        return OK;
    }
    (void)snprintf(
        error, NODE_ERROR_MAX,
        "option behind-dir: %zu writes in the log of %s are of keys that are in no managed "
        "namespace: start with the settings of before until L2 has them, or move the log "
        "away to do without them",
        stranded, node->options.behind_dir);
    return INVALID;
}

enum status behind_node_open(struct node *node, char error[NODE_ERROR_MAX])
{
    const struct options *options = &node->options;
    if (options->behind_dir[0] == '\0') {
        return OK;
    }
    node->behind =
        behind_new(&(struct behind_options){.kin = namespaces_default(node->namespaces)->l1,
                                            .entries_max = (size_t)options->behind_max_entries,
                                            .bytes_max = (size_t)options->behind_max_bytes});
    if (node->behind == NULL) {
        return NO_MEMORY;
    }
    char why[BEHIND_FILE_ERROR_MAX];
    const enum status status =
        behind_file_open(&(struct behind_file_options){.folder = options->behind_dir,
                                                       .behind = node->behind,
                                                       .log = &node->log,
                                                       .on_safe = on_turn,
                                                       .arg = node},
                         &node->behind_file, why);
    if (status != OK) {
        (void)snprintf(error, NODE_ERROR_MAX, "option %s", why);
        return status;
    }
    return refuse_stranded(node, error);
}
