/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/sample.h"

#include "client/cli/text.h"
#include "protocol/info_text.h"

#include <stdlib.h>
#include <string.h>

static void copy(char *dst, size_t room, struct slice text)
{
    const size_t size = text.size < room ? text.size : room - 1;
    memcpy(dst, text.data, size);
    dst[size] = '\0';
}

/* --- figures of INFO ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset; /* of a uint64_t */
} figures[] = {
    {"total_commands_processed", offsetof(struct sample, commands)},
    {"total_error_replies", offsetof(struct sample, errors)},
    {"total_net_input_bytes", offsetof(struct sample, bytes_in)},
    {"total_net_output_bytes", offsetof(struct sample, bytes_out)},
    {"near_hits", offsetof(struct sample, near_hits)},
    {"l1_hits", offsetof(struct sample, l1_hits)},
    {"l1_misses", offsetof(struct sample, l1_misses)},
    {"l1_items", offsetof(struct sample, items)},
    {"l1_bytes_used", offsetof(struct sample, used)},
    {"l1_bytes_max", offsetof(struct sample, used_max)},
    {"l1_invalidations", offsetof(struct sample, invalidations)},
    {"l1_evictions", offsetof(struct sample, evictions)},
    {"l2_reads", offsetof(struct sample, l2_reads)},
    {"l2_hits", offsetof(struct sample, l2_hits)},
    {"l2_errors", offsetof(struct sample, l2_errors)},
    {"l2_coalesced", offsetof(struct sample, coalesced)},
    {"l2_relayed", offsetof(struct sample, relayed)},
    {"stale_served", offsetof(struct sample, stale_served)},
    {"connected_clients", offsetof(struct sample, clients)},
    {"tracking_clients", offsetof(struct sample, tracking_clients)},
    {"blocked_clients", offsetof(struct sample, blocked_clients)},
    {"warm_jobs_open", offsetof(struct sample, warm_jobs)},
    {"warm_keys_loaded", offsetof(struct sample, warmed)},
    {"tracking_total_keys", offsetof(struct sample, tracked_keys)},
};

static const struct {
    const char *name;
    size_t offset;
    size_t room;
} texts[] = {
#define TEXT(name, field)                                                         \
    {                                                                             \
        name, offsetof(struct sample, field), sizeof(((struct sample *)0)->field) \
    }
    TEXT("terrace_version", version), TEXT("coherence_state", coherence),
    TEXT("coherence_reason", reason), TEXT("l2_state", l2),
    TEXT("l2_endpoint", l2_endpoint),
#undef TEXT
};

static double seconds_of(struct slice text)
{
    char digits[32];
    copy(digits, sizeof digits, text);
    return strtod(digits, NULL);
}

static enum status namespace_read(struct sample *sample, const struct info_entry *entry)
{
    struct sample_namespace *grown =
        realloc(sample->namespaces, (sample->namespace_count + 1) * sizeof *grown);
    if (grown == NULL) {
        return NO_MEMORY;
    }
    sample->namespaces = grown;
    struct sample_namespace *ns = &grown[sample->namespace_count++];
    const struct slice value = entry->value;
    *ns = (struct sample_namespace){
        .ops = (uint64_t)info_field_number(value, "ops", 0),
        .writes = (uint64_t)info_field_number(value, "writes", 0),
        .hits = (uint64_t)info_field_number(value, "hits", 0),
        .misses = (uint64_t)info_field_number(value, "misses", 0),
        .items = (uint64_t)info_field_number(value, "items", 0),
        .bytes = (uint64_t)info_field_number(value, "bytes", 0),
        .bytes_max = (uint64_t)info_field_number(value, "bytes_max", 0),
    };
    copy(ns->name, sizeof ns->name, (struct slice){entry->name.data + 3, entry->name.size - 3});
    copy(ns->mode, sizeof ns->mode, info_field(value, "mode"));
    copy(ns->policy, sizeof ns->policy, info_field(value, "policy"));
    return OK;
}

static enum status entry_read(struct sample *sample, const struct info_entry *entry)
{
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        uint64_t number = 0;
        if (slice_is(entry->name, figures[i].name) && slice_to_u64(entry->value, &number) == OK) {
            memcpy((char *)sample + figures[i].offset, &number, sizeof number);
            return OK;
        }
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (slice_is(entry->name, texts[i].name)) {
            copy((char *)sample + texts[i].offset, texts[i].room, entry->value);
            return OK;
        }
    }
    if (slice_is(entry->name, "used_cpu_sys") || slice_is(entry->name, "used_cpu_user")) {
        sample->cpu_s += seconds_of(entry->value);
    } else if (slice_is(entry->name, "warm_yield")) {
        sample->warm_yield = seconds_of(entry->value);
    } else if (slice_is(entry->name, "uptime_in_seconds")) {
        sample->uptime_s = (int64_t)seconds_of(entry->value);
    } else if (slice_is(entry->name, "coherence_echo_ms")) {
        (void)!slice_to_i64(entry->value, &sample->echo_ms);
    } else if (slice_is(entry->section, "Namespaces") && entry->name.size > 3 &&
               sample->namespace_count < SAMPLE_NAMESPACES_MAX) {
        return namespace_read(sample, entry);
    }
    return OK;
}

/* --- durations ----------------------------------------------------------------------------------------------------- */

/* {"calls": n, "histogram_usec": {1: ..., 2: ...}}; what is not listed had no calls of its own. */
static void durations_add(struct sample_durations *sum, const struct tree *command)
{
    const struct tree *histogram = tree_find(command, "histogram_usec");
    uint64_t so_far = 0;
    size_t at = 0;
    sum->calls += (uint64_t)tree_number(tree_find(command, "calls"), 0);
    for (unsigned bucket = 0; bucket < SAMPLE_BUCKETS; bucket++) {
        const int64_t upto_us = tree_number(tree_at(histogram, at), -1);
        if (upto_us == (int64_t)1 << bucket) {
            so_far = (uint64_t)tree_number(tree_at(histogram, at + 1), 0);
            at += 2;
        }
        sum->upto[bucket] += so_far;
    }
}

static void durations_read(struct sample *sample, const struct tree *commands)
{
    static const char *const reads[] = {"get", "mget", "cache.fetch"};
    static const char *const writes[] = {"set", "del", "cache.set", "cache.fill",
                                         "cache.invalidate"};
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        durations_add(&sample->reads, tree_find(commands, reads[i]));
    }
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
        durations_add(&sample->writes, tree_find(commands, writes[i]));
    }
}

double durations_quantile_us(const struct sample_durations *durations, double share)
{
    const double rank = share * (double)durations->calls;
    if (durations->calls == 0) {
        return 0;
    }
    for (unsigned bucket = 0; bucket < SAMPLE_BUCKETS; bucket++) {
        if ((double)durations->upto[bucket] >= rank && durations->upto[bucket] > 0) {
            return (double)(UINT64_C(1) << bucket);
        }
    }
    return (double)(UINT64_C(1) << SAMPLE_BUCKETS);
}

/* --- the other nodes ----------------------------------------------------------------------------------------------- */

static enum status peers_read(struct sample *sample, const struct tree *nodes)
{
    const size_t count = nodes == NULL                     ? 0
                         : nodes->count > SAMPLE_PEERS_MAX ? SAMPLE_PEERS_MAX
                                                           : nodes->count;
    if (count == 0) {
        return OK;
    }
    sample->peers = calloc(count, sizeof *sample->peers);
    if (sample->peers == NULL) {
        return NO_MEMORY;
    }
    sample->peer_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct tree *node = tree_at(nodes, i);
        struct sample_peer *peer = &sample->peers[i];
        copy(peer->address, sizeof peer->address, tree_text(tree_find(node, "address")));
        copy(peer->state, sizeof peer->state, tree_text(tree_find(node, "state")));
        peer->is_self = tree_number(tree_find(node, "self"), 0) != 0;
        peer->heard_ms = tree_number(tree_find(node, "age_ms"), -1);
        peer->hit_ratio = tree_real(tree_find(node, "hit_ratio"), 0);
        peer->clients = tree_number(tree_find(node, "load"), 0);
        peer->disagrees = tree_text(tree_find(node, "disagreement")).size > 0;
    }
    return OK;
}

/* --- all ----------------------------------------------------------------------------------------------------------- */

enum status sample_read(struct sample *sample, struct slice info, const struct tree *durations,
                        const struct tree *nodes)
{
    *sample = (struct sample){.reachable = true, .echo_ms = -1, .warm_yield = 1};
    struct info_entry entry = {.section = {"", 0}};
    enum status status = OK;
    while (status == OK && info_next(&info, &entry)) {
        status = entry_read(sample, &entry);
    }
    durations_read(sample, durations);
    if (status == OK) {
        status = peers_read(sample, nodes);
    }
    if (status != OK) {
        sample_done(sample);
    }
    return status;
}

/* Cut between characters. */
static void copy_shown(char *dst, size_t room, struct slice text)
{
    size_t size = text.size < room ? text.size : room - 1;
    while (size > 0 && size < text.size && ((unsigned char)text.data[size] & 0xc0) == 0x80) {
        size--;
    }
    copy(dst, room, (struct slice){text.data, size});
}

void sample_read_hot(struct sample *sample, const struct tree *keys)
{
    struct buf shown = {0};
    sample->hot_count = 0;
    for (size_t i = 0; keys != NULL && i < keys->count && sample->hot_count < SAMPLE_HOT_MAX; i++) {
        const struct tree *row = tree_at(keys, i);
        struct sample_hot *hot = &sample->hot[sample->hot_count];
        shown.size = 0;
        if (text_append_shown(&shown, tree_text(tree_find(row, "key"))) == OK && shown.size > 0) {
            copy_shown(hot->key, sizeof hot->key, buf_slice(&shown));
            hot->per_s = tree_real(tree_find(row, "per_s"), 0);
            sample->hot_count++;
        }
    }
    buf_done(&shown);
}

void sample_done(struct sample *sample)
{
    free(sample->namespaces);
    free(sample->peers);
    *sample = (struct sample){0};
}

const struct sample_namespace *sample_namespace(const struct sample *sample, const char *name)
{
    for (size_t i = 0; i < sample->namespace_count; i++) {
        if (strcmp(sample->namespaces[i].name, name) == 0) {
            return &sample->namespaces[i];
        }
    }
    return NULL;
}

/* --- between two --------------------------------------------------------------------------------------------------- */

static void durations_between(const struct sample_durations *before,
                              const struct sample_durations *now, struct sample_durations *ret)
{
    ret->calls = now->calls - before->calls;
    for (unsigned i = 0; i < SAMPLE_BUCKETS; i++) {
        ret->upto[i] = now->upto[i] - before->upto[i];
    }
}

static double rate(uint64_t before, uint64_t now, double seconds)
{
    return now < before ? 0 : (double)(now - before) / seconds;
}

void flow_between(const struct sample *before, const struct sample *now, struct flow *ret_flow)
{
    *ret_flow = (struct flow){.seconds = (double)(now->at_us - before->at_us) / 1e6};
    const double seconds = ret_flow->seconds;
    const bool is_anew = now->commands < before->commands || now->uptime_s < before->uptime_s ||
                         now->reads.calls < before->reads.calls ||
                         now->writes.calls < before->writes.calls;
    if (!before->reachable || !now->reachable || seconds <= 0 || is_anew) {
        return;
    }
    ret_flow->known = true;
    ret_flow->rates = (struct flow_rates){
        .commands = rate(before->commands, now->commands, seconds),
        .errors = rate(before->errors, now->errors, seconds),
        .bytes_in = rate(before->bytes_in, now->bytes_in, seconds),
        .bytes_out = rate(before->bytes_out, now->bytes_out, seconds),
        .near_hits = rate(before->near_hits, now->near_hits, seconds),
        .l1_hits = rate(before->l1_hits, now->l1_hits, seconds),
        .l1_misses = rate(before->l1_misses, now->l1_misses, seconds),
        .l2_reads = rate(before->l2_reads, now->l2_reads, seconds),
        .coalesced = rate(before->coalesced, now->coalesced, seconds),
        .relayed = rate(before->relayed, now->relayed, seconds),
        .stale_served = rate(before->stale_served, now->stale_served, seconds),
        .invalidations = rate(before->invalidations, now->invalidations, seconds),
        .evictions = rate(before->evictions, now->evictions, seconds),
        .warmed = rate(before->warmed, now->warmed, seconds),
        .cpu = (now->cpu_s - before->cpu_s) / seconds,
    };
    durations_between(&before->reads, &now->reads, &ret_flow->reads);
    durations_between(&before->writes, &now->writes, &ret_flow->writes);
}

static void durations_sum(struct sample_durations *sum, const struct sample_durations *one)
{
    sum->calls += one->calls;
    for (unsigned i = 0; i < SAMPLE_BUCKETS; i++) {
        sum->upto[i] += one->upto[i];
    }
}

void flow_add(struct flow *sum, const struct flow *one)
{
    if (!one->known) {
        return;
    }
    double *to = (double *)&sum->rates;
    const double *from = (const double *)&one->rates;
    for (size_t i = 0; i < sizeof sum->rates / sizeof *to; i++) {
        to[i] += from[i];
    }
    durations_sum(&sum->reads, &one->reads);
    durations_sum(&sum->writes, &one->writes);
    sum->known = true;
    sum->seconds = one->seconds > sum->seconds ? one->seconds : sum->seconds;
}
