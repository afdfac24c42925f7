/* SPDX-License-Identifier: BSD-3-Clause */
/* native_warm.h -- the bodies of the answers to WARM and HOT: lists of jobs and of hot keys.
 *
 * The node makes them of what CACHE.WARM and CACHE.HOT answer, by names: a value of a map goes into the field of the .proto that is
 * called so, and one that no field is called so is left out. So a command and its frame cannot disagree, and a figure that a
 * command learns to tell is in the frame as soon as the .proto has it.
 *
 * Owns:    `memory` of what was unpacked.
 * Threads: pure.
 * Limits:  NATIVE_WARM_DEPTH levels of maps; what is unpacked takes at most NATIVE_UNPACK_SHARE times its size meanwhile.
 * Errors:  MALFORMED (RESP3 that is no list of maps, values of another kind than the field's; no protobuf), NO_MEMORY; what is
 *          appended to is as it was, and ret is all zeros. */
#ifndef TERRACE_PROTOCOL_NATIVE_WARM_H
#define TERRACE_PROTOCOL_NATIVE_WARM_H

#include "protocol/bytes.h"

enum {
    NATIVE_WARM_DEPTH = 4
};

/* WarmList of an array of maps, or of one map. Appends. */
enum status native_warm_list_of(struct slice resp3, struct buf *to) MUST_USE;
/* HotList, the same. */
enum status native_hot_list_of(struct slice resp3, struct buf *to) MUST_USE;

struct native_warm_failure {
    struct slice key;
    struct slice why;
    uint32_t attempts;
};

struct native_warm_node {
    struct slice node;
    struct slice address;
    uint64_t done;
    uint64_t loaded;
    uint64_t skipped;
    uint64_t absent;
    uint64_t failed;
    uint64_t bytes;
    double rate;
    double yield;
};

struct native_warm_job {
    uint64_t id;
    struct slice state;
    struct slice source;
    uint32_t db;
    struct slice mode;
    struct slice target;
    bool dryrun;
    uint32_t priority;
    uint32_t effective;
    uint64_t rate_limit;
    int64_t total;
    uint64_t processed;
    uint64_t loaded;
    uint64_t skipped;
    uint64_t absent;
    uint64_t failed;
    uint64_t bytes;
    double rate;
    int64_t eta_ms;
    uint64_t submitted_at_ms;
    uint64_t started_at_ms;
    uint64_t ended_at_ms;
    uint64_t deadline_at_ms;
    struct slice error;
    const struct native_warm_failure *failures;
    size_t failure_count;
    const struct native_warm_node *nodes;
    size_t node_count;
    struct slice schedule;
    uint64_t next_at_ms;
    uint64_t prevented;
};

struct native_warm_list {
    const struct native_warm_job *jobs;
    size_t count;
    void *memory;
};

struct native_hot_key {
    struct slice key;
    uint32_t db;
    struct slice ns;
    uint64_t count;
    uint64_t error;
    double per_s;
    double error_per_s;
    uint32_t heat;
    uint32_t frequency;
};

struct native_hot_list {
    const struct native_hot_key *keys;
    size_t count;
    void *memory;
};

/* Of a body, which may go away. OK: then native_*_done. */
enum status native_warm_list_unpack(struct slice body, struct native_warm_list *ret) MUST_USE;
enum status native_hot_list_unpack(struct slice body, struct native_hot_list *ret) MUST_USE;
void native_warm_list_done(struct native_warm_list *list);
void native_hot_list_done(struct native_hot_list *list);

#endif
