/* SPDX-License-Identifier: BSD-3-Clause */
/* native_codec.h -- the metadata of native frames as plain structs; protobuf-c stays in here.
 *
 * What each field means is in terrace.proto, under the same name.
 *
 * Unpacking copies what is not a number into one piece of memory (`memory`) and allocates nothing if there is nothing of the
 * kind: the metadata of a plain read is a few varints. What the struct points to is valid until native_*_done. Packing
 * appends to a buf, nothing if all fields are at their defaults.
 *
 * Strings of the .proto are checked to be UTF-8. Numbers are as they came: who uses them knows their range.
 *
 * Owns:    `memory` of what was unpacked. What is packed borrows.
 * Threads: pure.
 * Limits:  ENVELOPE_TAGS_MAX tags; metadata of LIMIT_NATIVE_META, which takes at most NATIVE_UNPACK_SHARE times its size and
 *          4 KiB while it is read.
 * Errors:  unpack: MALFORMED (no protobuf, a string that is no UTF-8, too many tags, more memory than that), NO_MEMORY; ret is
 *          all zeros then. pack: INVALID (too many tags), TOO_BIG, NO_MEMORY; the buf is as it was. */
#ifndef TERRACE_PROTOCOL_NATIVE_CODEC_H
#define TERRACE_PROTOCOL_NATIVE_CODEC_H

#include "protocol/bytes.h"

enum {
    NATIVE_UNPACK_SHARE = 24 /* protobuf-c notes 32 bytes of each field, in blocks that double */
};

/* Request.warm. */
enum native_warm {
    NATIVE_WARM_SUBMIT = 1,
    NATIVE_WARM_REGISTER,
    NATIVE_WARM_LIST,
    NATIVE_WARM_STATUS,
    NATIVE_WARM_PAUSE,
    NATIVE_WARM_RESUME,
    NATIVE_WARM_CANCEL,
    NATIVE_WARM_SETRATE
};

struct native_hello {
    struct slice user;
    struct slice password;
    bool has_auth;
    uint32_t db;
    struct slice client_name;
    struct slice lib_name;
    struct slice lib_version;
    void *memory;
};

struct native_welcome {
    struct slice server_version;
    struct slice node;
    struct slice address;
    uint64_t connection;
    uint32_t max_version;
    void *memory;
};

struct native_request {
    struct slice traceparent;
    uint32_t contract;
    uint64_t max_stale_ms;
    uint64_t atleast_seq;
    uint32_t soft_ms;
    uint64_t px_ms;
    uint64_t swr_ms;
    uint64_t sie_ms;
    bool has_swr;
    bool has_sie;
    const struct slice *tags;
    size_t tag_count;
    uint32_t condition;
    bool want_seq;
    struct slice token;
    uint64_t negative_ms;
    const uint32_t *key_sizes; /* native_next_key */
    size_t key_count;
    uint32_t target;
    bool match_all;
    bool soft;
    bool dry_run;
    uint64_t sync_ms;
    struct slice ns;
    uint32_t watch;
    uint64_t near_hits;
    uint32_t warm; /* enum native_warm */
    uint64_t warm_id;
    uint64_t warm_rate;
    uint32_t hot;
    void *memory;
};

struct native_node {
    struct slice node;
    struct slice address;
    struct slice state;
    bool is_self;
    bool is_live;
    uint64_t heard_ms;
    double hit_ratio;
    uint64_t connections;
    double weight;
    bool has_weight; /* false: nothing is said of it */
};

struct native_reply {
    uint32_t state;
    int64_t age_ms;
    int64_t ttl_ms;
    struct slice token;
    uint64_t near_ms;
    uint64_t seq;
    uint64_t count;
    uint32_t index;
    uint64_t horizon_age_ms;
    uint64_t stream_seq;
    bool has_horizon;
    const struct native_node *nodes;
    size_t node_count;
    uint64_t warm_id;
    void *memory;
};

struct native_event {
    uint64_t stream_seq;
    const uint32_t *key_sizes; /* native_next_key */
    size_t key_count;
    bool all;
    void *memory;
};

/* Appends; `memory` is not looked at. */
enum status native_hello_pack(const struct native_hello *from, struct buf *to) MUST_USE;
enum status native_welcome_pack(const struct native_welcome *from, struct buf *to) MUST_USE;
enum status native_request_pack(const struct native_request *from, struct buf *to) MUST_USE;
enum status native_reply_pack(const struct native_reply *from, struct buf *to) MUST_USE;
enum status native_event_pack(const struct native_event *from, struct buf *to) MUST_USE;

/* Of the metadata of one frame, which may go away. OK: then native_*_done. */
enum status native_hello_unpack(struct slice meta, struct native_hello *ret) MUST_USE;
enum status native_welcome_unpack(struct slice meta, struct native_welcome *ret) MUST_USE;
enum status native_request_unpack(struct slice meta, struct native_request *ret) MUST_USE;
enum status native_reply_unpack(struct slice meta, struct native_reply *ret) MUST_USE;
enum status native_event_unpack(struct slice meta, struct native_event *ret) MUST_USE;

/* Zeros are fine, and it is all zeros afterwards. Only of what was unpacked. */
void native_hello_done(struct native_hello *hello);
void native_welcome_done(struct native_welcome *welcome);
void native_request_done(struct native_request *request);
void native_reply_done(struct native_reply *reply);
void native_event_done(struct native_event *event);

/* A key part holds one key after the other, and metadata says their sizes. Without sizes it is one key, which may be empty. */

/* Whether the sizes are those of `keys`, all of it and no more. */
bool native_keys_fit(struct slice keys, const uint32_t *sizes, size_t count);
/* The next key; *rest begins as the key part and *at as 0. false: no more, or not so many bytes. */
bool native_next_key(struct slice *rest, const uint32_t *sizes, size_t count, size_t *at,
                     struct slice *ret_key);

#endif
