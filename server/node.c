/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/node.h"

#include "protocol/check.h"
#include "server/acl.h"
#include "server/behind_file.h"
#include "server/behind_node.h"
#include "server/channel_index.h"
#include "server/control.h"
#include "server/errorstats.h"
#include "server/hot_desk.h"
#include "server/join_desk.h"
#include "server/l2_bans.h"
#include "server/latency.h"
#include "server/learned.h"
#include "server/option_table.h"
#include "server/pubsub_order.h"
#include "server/quota_watch.h"
#include "server/read_scripts.h"
#include "server/renames.h"
#include "server/sampler.h"
#include "server/scripts.h"
#include "server/slowlog.h"
#include "server/snapshot_revive.h"
#include "server/snapshots.h"
#include "server/solo.h"
#include "server/tls_options.h"
#include "server/tracking.h"
#include "server/version.h"
#include "server/worker.h"
#include "tiers/bans.h"
#include "tiers/base/rand.h"
#include "tiers/behind.h"
#include "tiers/line.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- settings ------------------------------------------------------------------------------------------------------------ */

static void node_apply_lines(struct tiers *tiers, const struct options *options)
{
    struct line_counts *lines = tiers_lines(tiers);
    atomic_store(&lines->max, (uint32_t)options->l2_pool_max);
    atomic_store(&lines->min, (uint32_t)options->l2_pool_min);
    atomic_store(&lines->subscribers_max, (uint32_t)options->l2_subscribers_max);
}

static void node_apply_live(struct node *node, const struct options *options)
{
    enum log_level level = LOG_NOTICE;
    live_apply(&node->live, options, &node->config_kept);
    if (log_level_read(options->loglevel, &level)) {
        atomic_store(&node->log.level, (int)level);
    }
    if (node->tiers != NULL) {
        node_apply_lines(node->tiers, options);
    }
}

/* CONFIG SET requirepass changes the default user, and only then: ACL SETUSER may have changed him since. */
static void node_apply_users(struct node *node, const struct options *next)
{
    acl_set_channels_default(node->acl, strcmp(next->acl_pubsub_default, "allchannels") == 0);
    if (strcmp(next->requirepass, node->options.requirepass) != 0 &&
        acl_set_default_password(node->acl, slice_of(next->requirepass)) != OK) {
        log_write(&node->log, LOG_WARNING, "no_memory", "requirepass has not changed");
    }
}

/* Takes `next` over. */
static void node_keep(struct node *node, struct options *next)
{
    node_apply_live(node, next);
    node_apply_users(node, next);
    options_done(&node->options);
    node->options = *next;
    *next = (struct options){0};
}

void node_apply(struct node *node, struct options *next)
{
    struct namespace_spec specs[NAMESPACES_MAX];
    unsigned count = options_specs(next, specs);
    if (namespaces_apply(node->namespaces, specs, count, clock_now_ms(&node->clock))) {
        tracking_flush(node->tracking); /* they keep what was read under another promise */
    }
    node_keep(node, next);
}

enum status node_load_tls(struct node *node, const struct options *options,
                          char error[TLS_ERROR_MAX])
{
    struct tls_context *clients = NULL;
    struct tls_context *l2 = NULL;
    enum status status = tls_options_clients(options, &clients, error);
    if (status == OK) {
        status = tls_options_l2(options, &l2, error);
    }
    if (status != OK) {
        tls_context_release(clients);
        return status;
    }
    if (clients != NULL && tls_context_expires_s(clients) <= (int64_t)time(NULL)) {
        log_write(&node->log, LOG_WARNING, "tls_certificate_over",
                  "clients will refuse tls-cert-file %s: its time is over", options->tls_cert_file);
    }
    tls_place_put(&node->tls, clients);
    tls_place_put(&node->l2_tls, l2);
    return OK;
}

void node_reload(struct node *node, struct options *next)
{
    char error[TLS_ERROR_MAX];
    if (node_load_tls(node, next, error) != OK) {
        log_write(&node->log, LOG_WARNING, "reload_refused", "%s; the old settings stay", error);
        options_done(next);
        return;
    }
    struct namespace_spec specs[NAMESPACES_MAX];
    unsigned count = options_specs(next, specs);
    bool fit = namespaces_fit(node->namespaces, specs, count);
    control_rebuild(node->control,
                    fit ? NULL : next); /* what waits from an earlier reload is void */
    if (fit) {
        node_apply(node, next);
        log_write(&node->log, LOG_NOTICE, "reloaded", "settings were read again");
    }
}

void node_rebuild(struct node *node, struct options *next)
{
    struct namespace_spec specs[NAMESPACES_MAX];
    unsigned count = options_specs(next, specs);
    int64_t began_ms = clock_now_ms(&node->clock);
    (void)pthread_mutex_lock(&node->options_lock);
    const size_t stranded = behind_node_stranded(node, specs, count);
    if (stranded > 0) {
        options_done(next);
        log_write(&node->log, LOG_WARNING, "reload_refused",
                  "%zu writes of keys that would be in no managed namespace wait for L2; the old "
                  "settings stay",
                  stranded);
    } else if (namespaces_rebuild(node->namespaces, specs, count, node->tiers == NULL, began_ms) ==
               OK) {
        node_keep(node, next);
        tracking_flush(node->tracking);
        if (node->tiers != NULL) {
            bans_forget_verdicts(tiers_bans(node->tiers));
        }
        log_write(&node->log, LOG_NOTICE, "reloaded",
                  "settings were read again; namespaces=%u, rebuilt in %lld ms", count,
                  (long long)(clock_now_ms(&node->clock) - began_ms));
    } else {
        options_done(next);
        log_write(&node->log, LOG_WARNING, "reload_refused",
                  "no memory for the new namespaces; the old settings stay");
    }
    (void)pthread_mutex_unlock(&node->options_lock);
}

/* --- building ------------------------------------------------------------------------------------------------------------- */

static void node_name_itself(struct node *node)
{
    unsigned char bytes[20];
    rand_secret(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        (void)snprintf(node->run_id + 2 * i, 3, "%02x", bytes[i]);
    }
    memcpy(&node->id, bytes, sizeof(node->id));
}

/* The address whose port node_port tells, for it may have been chosen by the kernel. What is cut is only shown. */
static void node_note_address(struct node *node)
{
    struct option_address first;
    if (options_first_address(&node->options, false, &first) == OK ||
        options_first_address(&node->options, true, &first) == OK) {
        const bool bracketed = memchr(first.host.data, ':', first.host.size) != NULL;
        (void)snprintf(node->address, sizeof(node->address), "%s%s%.*s%s:%d",
                       first.tls ? "tls://" : "", bracketed ? "[" : "", (int)first.host.size,
                       first.host.data, bracketed ? "]" : "", node_port(node));
    } else {
        (void)snprintf(node->address, sizeof(node->address), "%s", node->options.unixsocket);
    }
    if (node->tiers != NULL) {
        coherence_set_address(tiers_coherence(node->tiers), node->address);
    }
}

static bool node_tracks(void *arg)
{
    return tracking_is_wanted(arg);
}

static void node_on_key(void *arg, struct slice key, uint64_t hash)
{
    tracking_announced(arg, key, hash);
}

static void node_on_keys_end(void *arg)
{
    tracking_announced_all(arg);
}

static void node_on_flush(void *arg)
{
    tracking_flush(arg);
}

static void node_on_doubt(void *arg)
{
    tracking_doubt(arg);
}

static bool node_on_ban(void *arg, const struct frame *frame)
{
    const struct node *node = arg;
    const bool is_good = l2_bans_on_ban(node->l2_bans, frame);
    tracking_banned(node->tracking, frame->body);
    return is_good;
}

static void node_on_gap(void *arg)
{
    const struct node *node = arg;
    l2_bans_on_gap(node->l2_bans);
}

static void node_on_whole(void *arg, bool replayed)
{
    const struct node *node = arg;
    l2_bans_on_whole(node->l2_bans, replayed);
}

static void node_on_disagreement(void *arg, const struct peer *peer)
{
    struct node *node = arg;
    const bool agrees = peer->disagreement[0] == '\0';
    log_write(&node->log, agrees ? LOG_NOTICE : LOG_WARNING,
              agrees ? "namespaces_agree" : "namespaces_disagree",
              "node=%016" PRIx64 " address=%s%s%s", peer->node, peer->address, agrees ? "" : " ",
              peer->disagreement);
}

static enum status node_open_l2(struct node *node, char error[NODE_ERROR_MAX])
{
    char why[160];
    if (node->options.l2[0] == '\0') {
        return OK;
    }
    if (l2_urls_parse(slice_of(node->options.l2), &node->urls, why) != OK) {
        (void)snprintf(error, NODE_ERROR_MAX, "option l2: %s", why);
        return INVALID;
    }
    node->l2_bans = l2_bans_new(node);
    if (node->l2_bans == NULL) {
        return NO_MEMORY;
    }
    const enum status behind = behind_node_open(node, error);
    if (behind != OK) {
        return behind;
    }
    node->tiers = tiers_new(&(struct tiers_options){
        .namespaces = node->namespaces,
        .metrics = node->metrics,
        .url = node->urls.master_name == NULL ? &node->urls.urls[0] : NULL,
        .coherence_db = (unsigned)node->options.coherence_db,
        .node = node->id,
        .log_length = node->options.log_length,
        .behind = behind_node_hooks(node),
        .listener = {.wants = node_tracks,
                     .on_key = node_on_key,
                     .on_end = node_on_keys_end,
                     .on_flush = node_on_flush,
                     .on_doubt = node_on_doubt,
                     .arg = node->tracking},
        .managed = {.on_ban = node_on_ban,
                    .on_wake = load_desk_wake,
                    .on_gap = node_on_gap,
                    .on_whole = node_on_whole,
                    .on_disagreement = node_on_disagreement,
                    .arg = node},
    });
    if (node->tiers == NULL) {
        return NO_MEMORY;
    }
    l2_bans_on_gap(node->l2_bans); /* until L2 has told of them */
    node_apply_lines(node->tiers, &node->options);
    return OK;
}

/* What a former run left comes into L1 before anybody can ask for it, or L2 say anything about it. */
static enum status node_open_snapshots(struct node *node, char error[NODE_ERROR_MAX])
{
    const enum status status = snapshots_open(node, &node->snapshots, error);
    if (status != OK || node->snapshots == NULL) {
        return status;
    }
    if (node->tiers != NULL) {
        node->snapshot_revive = revive_new();
        if (node->snapshot_revive == NULL) {
            return NO_MEMORY;
        }
    }
    snapshots_load(node->snapshots);
    return OK;
}

/* requirepass first, then the file, which may say otherwise. */
static enum status node_open_users(struct node *node, char error[NODE_ERROR_MAX])
{
    const struct options *options = &node->options;
    const struct slice password = slice_of(options->requirepass);
    struct buf errors = {0};
    char reason[OPTION_REASON_MAX];
    node->acl = acl_new(node);
    if (node->acl == NULL || renames_parse(slice_of(options->rename_command), &node->renames,
                                           reason, sizeof(reason)) != OK) {
        return NO_MEMORY; /* the text was looked at with the options */
    }
    acl_set_channels_default(node->acl, strcmp(options->acl_pubsub_default, "allchannels") == 0);
    enum status status = OK;
    if (password.size > 0) {
        status = acl_set_default_password(node->acl, password);
    }
    if (status == OK && options->aclfile[0] != '\0') {
        status = acl_load(node->acl, options->aclfile, password, &errors);
    }
    if (status == INVALID) {
        (void)snprintf(error, NODE_ERROR_MAX, "option aclfile: %.*s", (int)errors.size,
                       errors.data);
    }
    buf_done(&errors);
    return status;
}

static enum status node_open_workers(struct node *node)
{
    const unsigned count = options_threads(&node->options);
    node->workers = calloc(count, sizeof(struct worker *));
    if (node->workers == NULL) {
        return NO_MEMORY;
    }
    for (; node->worker_count < count; node->worker_count++) {
        enum status status =
            worker_new(node, node->worker_count, &node->workers[node->worker_count]);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

/* What every node has, alone or with an L2. */
static enum status node_make_parts(struct node *node)
{
    node->metrics = calloc(1, sizeof(*node->metrics));
    node->slowlog = slowlog_new();
    node->channel_index = channel_index_new();
    node->pubsub_order = pubsub_order_new();
    node->latency = latency_new();
    node->errorstats = errorstats_new();
    node->learned = learned_new();
    node->scripts = scripts_new();
    node->read_scripts = read_scripts_new();
    node->sweeps = sweeps_new();
    node->sampler = sampler_new();
    node->quotas = quota_watch_new();
    node->hot = hot_desk_new(node);
    struct namespace_spec specs[NAMESPACES_MAX];
    unsigned count = options_specs(&node->options, specs);
    node->namespaces = namespaces_new(specs, count, 0);
    node->tracking = tracking_new(node, options_threads(&node->options));
    if (node->metrics == NULL || node->slowlog == NULL || node->channel_index == NULL ||
        node->pubsub_order == NULL || node->latency == NULL || node->errorstats == NULL ||
        node->learned == NULL || node->scripts == NULL || node->read_scripts == NULL ||
        node->sweeps == NULL || node->sampler == NULL || node->quotas == NULL ||
        node->hot == NULL || node->namespaces == NULL || node->tracking == NULL) {
        return NO_MEMORY;
    }
    return OK;
}

static enum status node_build(struct node *node, char error[NODE_ERROR_MAX])
{
    enum log_level level = LOG_NOTICE;
    (void)log_level_read(node->options.loglevel, &level);
    log_open(&node->log, STDERR_FILENO, strcmp(node->options.logformat, "json") == 0, level);
    clock_open(&node->clock);
    node_name_itself(node);
    node->started_at_ms = clock_now_ms(&node->clock);
    node_apply_live(node, &node->options);
    if (node_make_parts(node) != OK) {
        return NO_MEMORY;
    }
    char why[TLS_ERROR_MAX];
    enum status status = node_load_tls(node, &node->options, why);
    if (status != OK) {
        (void)snprintf(error, NODE_ERROR_MAX, "option %s", why);
        return status;
    }
    status = node_open_l2(node, error);
    if (status == OK && node->tiers == NULL) {
        node->solo = solo_new(options_threads(&node->options) + 1); /* and the control loop's */
        status = node->solo == NULL ? NO_MEMORY : OK;
        join_alone(&node->join);
    } else if (status == OK) {
        node->join_desk = join_desk_new();
        status = node->join_desk == NULL ? NO_MEMORY : OK;
    }
    if (status == OK) {
        status = node_open_users(node, error);
    }
    if (status == OK) {
        status = node_open_snapshots(node, error);
    }
    if (status == OK) {
        status = node_open_workers(node);
    }
    if (status == OK) {
        status = control_new(node, &node->control, error);
    }
    if (status == OK) {
        node_note_address(node);
    }
    return status;
}

enum status node_start(struct options *options, const struct node_watcher *watcher,
                       struct node **ret_node, char error[NODE_ERROR_MAX])
{
    struct node *node = calloc(1, sizeof(*node));
    (void)snprintf(error, NODE_ERROR_MAX, "no memory");
    if (node == NULL) {
        options_done(options);
        return NO_MEMORY;
    }
    node->options = *options;
    *options = (struct options){0};
    CHECK(pthread_mutex_init(&node->options_lock, NULL) == 0);
    tls_place_open(&node->tls);
    tls_place_open(&node->l2_tls);
    enum status status = node_build(node, error);
    if (status != OK) {
        node_free(node);
        return status;
    }
    snapshots_serve(node->snapshots);
    for (unsigned i = 0; i < node->worker_count; i++) {
        worker_start(node->workers[i]);
    }
    control_start(node->control, watcher);
    log_write(&node->log, LOG_NOTICE, "started", "version=%s run_id=%s threads=%u memory=%zu l2=%s",
              TERRACE_VERSION, node->run_id, node->worker_count, atomic_load(&node->live.memory),
              node->tiers == NULL ? "none" : "yes");
    *ret_node = node;
    return OK;
}

void node_stop(struct node *node)
{
    control_stop(node->control);
}

void node_fail(struct node *node)
{
    atomic_store(&node->failed, true);
    node_stop(node);
}

bool node_failed(const struct node *node)
{
    return atomic_load(&node->failed);
}

void node_free(struct node *node)
{
    control_join(node->control);
    behind_file_close(node->behind_file);
    for (unsigned i = 0; i < node->worker_count; i++) {
        worker_join(node->workers[i]);
    }
    for (unsigned i = 0; i < node->worker_count; i++) {
        worker_free(node->workers[i]);
    }
    snapshots_free(node->snapshots);
    revive_free(node->snapshot_revive);
    control_free(node->control);
    free(node->workers);
    l2_bans_free(node->l2_bans);
    tiers_free(node->tiers);
    behind_free(node->behind);
    tls_place_done(&node->tls);
    tls_place_done(&node->l2_tls);
    solo_free(node->solo);
    tracking_free(node->tracking);
    l2_urls_done(&node->urls);
    namespaces_free(node->namespaces);
    join_desk_free(node->join_desk);
    hot_desk_free(node->hot);
    sampler_free(node->sampler);
    sweeps_free(node->sweeps);
    quota_watch_free(node->quotas);
    errorstats_free(node->errorstats);
    learned_free(node->learned);
    scripts_free(node->scripts);
    read_scripts_free(node->read_scripts);
    latency_free(node->latency);
    slowlog_free(node->slowlog);
    acl_free(node->acl);
    renames_free(node->renames);
    channel_index_free(node->channel_index);
    pubsub_order_free(node->pubsub_order);
    free(node->metrics);
    options_done(&node->options);
    config_kept_done(&node->config_kept);
    (void)pthread_mutex_destroy(&node->options_lock);
    free(node);
}

/* --- questions -------------------------------------------------------------------------------------------------------------- */

void node_join_rules(const struct node *node, struct join_rules *ret_rules)
{
    const struct live *live = &node->live;
    *ret_rules = (struct join_rules){.target_percent = (unsigned)atomic_load(&live->warm_target),
                                     .deadline_ms = atomic_load(&live->warm_deadline_ms),
                                     .slow_start_ms = atomic_load(&live->slow_start_ms)};
}

bool node_ready(const struct node *node, struct buf *reasons)
{
    return control_ready(node->control, reasons);
}

int64_t node_turned_at_ms(const struct node *node)
{
    int64_t least_ms = INT64_MAX;
    for (unsigned i = 0; i < node->worker_count; i++) {
        const int64_t at_ms =
            atomic_load_explicit(&node->workers[i]->turned_at_ms, memory_order_relaxed);
        least_ms = at_ms < least_ms ? at_ms : least_ms;
    }
    return least_ms;
}

int node_port(const struct node *node)
{
    return control_port(node->control);
}

void node_count_rejected(struct node *node)
{
    metrics_count(node->metrics, M_REJECTED);
}
