/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/native_codec.h"

#include "protocol/envelope.h"
#include "protocol/limits.h"
#include "protocol/native_memory.h"
#include "protocol/terrace.pb-c.h"

#include <stdlib.h>

/* The names that protoc-c gives them. Their strings are bytes (Makefile), since protobuf-c's own end at a zero. */
typedef Terrace__Hello hello_message;
typedef Terrace__Welcome welcome_message;
typedef Terrace__Request request_message;
typedef Terrace__Reply reply_message;
typedef Terrace__NodeInfo node_message;
typedef Terrace__Event event_message;

/* --- packing --------------------------------------------------------------------------------------------------------- */

/* protobuf-c only reads what it packs, but says so nowhere. */
static ProtobufCBinaryData borrowed(struct slice bytes)
{
    return (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)(uintptr_t)bytes.data};
}

enum {
    NUMBER_MOST = 12, /* a field with its number, or the head of a longer one */
    NUMBERS_MOST = 32 * NUMBER_MOST,
    NODE_MOST = 11 * NUMBER_MOST,
    SIZE_MOST = 5 /* a varint of 32 bits */
};

/* `most`: bytes that it may take, beyond all its numbers. Packing is half the work of finding out how many it will take. */
static enum status pack(const ProtobufCMessage *message, size_t most, struct buf *to)
{
    if (buf_reserve(to, NUMBERS_MOST + most) != OK) {
        return NO_MEMORY;
    }
    const size_t size = protobuf_c_message_pack(message, (uint8_t *)to->data + to->size);
    if (size > LIMIT_NATIVE_META) {
        return TOO_BIG;
    }
    to->size += size;
    return OK;
}

/* --- hello and welcome ----------------------------------------------------------------------------------------------- */

enum status native_hello_pack(const struct native_hello *from, struct buf *to)
{
    hello_message message = TERRACE__HELLO__INIT;
    message.user = borrowed(from->user);
    message.password = borrowed(from->password);
    message.has_auth = from->has_auth;
    message.db = from->db;
    message.client_name = borrowed(from->client_name);
    message.lib_name = borrowed(from->lib_name);
    message.lib_version = borrowed(from->lib_version);
    return pack(&message.base,
                from->user.size + from->password.size + from->client_name.size +
                    from->lib_name.size + from->lib_version.size,
                to);
}

static enum status hello_keep(const hello_message *from, struct native_hello *ret)
{
    if (!is_text(from->client_name) || !is_text(from->lib_name) || !is_text(from->lib_version)) {
        return MALFORMED;
    }
    struct keep keep;
    if (keep_begin(&keep, from->user.len + from->password.len + from->client_name.len +
                              from->lib_name.len + from->lib_version.len) != OK) {
        return NO_MEMORY;
    }
    *ret = (struct native_hello){
        .user = keep_bytes(&keep, from->user),
        .password = keep_bytes(&keep, from->password),
        .has_auth = from->has_auth,
        .db = from->db,
        .client_name = keep_bytes(&keep, from->client_name),
        .lib_name = keep_bytes(&keep, from->lib_name),
        .lib_version = keep_bytes(&keep, from->lib_version),
        .memory = keep.memory,
    };
    return OK;
}

enum status native_hello_unpack(struct slice meta, struct native_hello *ret)
{
    *ret = (struct native_hello){0};
    struct scratch scratch;
    enum status status = OK;
    const hello_message *message =
        scratch_unpack(&scratch, &terrace__hello__descriptor, meta, &status);
    if (status == OK) {
        status = hello_keep(message, ret);
    }
    scratch_done(&scratch);
    return status;
}

void native_hello_done(struct native_hello *hello)
{
    free(hello->memory);
    *hello = (struct native_hello){0};
}

enum status native_welcome_pack(const struct native_welcome *from, struct buf *to)
{
    welcome_message message = TERRACE__WELCOME__INIT;
    message.server_version = borrowed(from->server_version);
    message.node = borrowed(from->node);
    message.address = borrowed(from->address);
    message.connection = from->connection;
    message.max_version = from->max_version;
    return pack(&message.base, from->server_version.size + from->node.size + from->address.size,
                to);
}

static enum status welcome_keep(const welcome_message *from, struct native_welcome *ret)
{
    if (!is_text(from->server_version) || !is_text(from->node) || !is_text(from->address)) {
        return MALFORMED;
    }
    struct keep keep;
    if (keep_begin(&keep, from->server_version.len + from->node.len + from->address.len) != OK) {
        return NO_MEMORY;
    }
    *ret = (struct native_welcome){
        .server_version = keep_bytes(&keep, from->server_version),
        .node = keep_bytes(&keep, from->node),
        .address = keep_bytes(&keep, from->address),
        .connection = from->connection,
        .max_version = from->max_version,
        .memory = keep.memory,
    };
    return OK;
}

enum status native_welcome_unpack(struct slice meta, struct native_welcome *ret)
{
    *ret = (struct native_welcome){0};
    struct scratch scratch;
    enum status status = OK;
    const welcome_message *message =
        scratch_unpack(&scratch, &terrace__welcome__descriptor, meta, &status);
    if (status == OK) {
        status = welcome_keep(message, ret);
    }
    scratch_done(&scratch);
    return status;
}

void native_welcome_done(struct native_welcome *welcome)
{
    free(welcome->memory);
    *welcome = (struct native_welcome){0};
}

/* --- request --------------------------------------------------------------------------------------------------------- */

enum status native_request_pack(const struct native_request *from, struct buf *to)
{
    if (from->tag_count > ENVELOPE_TAGS_MAX) {
        return INVALID;
    }
    size_t most =
        from->key_count * SIZE_MOST + from->traceparent.size + from->token.size + from->ns.size;
    ProtobufCBinaryData tags[ENVELOPE_TAGS_MAX];
    for (size_t i = 0; i < from->tag_count; i++) {
        tags[i] = borrowed(from->tags[i]);
        most += NUMBER_MOST + from->tags[i].size;
    }
    request_message message = TERRACE__REQUEST__INIT;
    message.traceparent = borrowed(from->traceparent);
    message.contract = from->contract;
    message.max_stale_ms = from->max_stale_ms;
    message.atleast_seq = from->atleast_seq;
    message.soft_ms = from->soft_ms;
    message.px_ms = from->px_ms;
    message.swr_ms = from->swr_ms;
    message.sie_ms = from->sie_ms;
    message.has_swr = from->has_swr;
    message.has_sie = from->has_sie;
    message.n_tags = from->tag_count;
    message.tags = tags;
    message.condition = from->condition;
    message.want_seq = from->want_seq;
    message.token = borrowed(from->token);
    message.negative_ms = from->negative_ms;
    message.n_key_sizes = from->key_count;
    message.key_sizes = (uint32_t *)(uintptr_t)from->key_sizes;
    message.target = from->target;
    message.match_all = from->match_all;
    message.soft = from->soft;
    message.dry_run = from->dry_run;
    message.sync_ms = from->sync_ms;
    message.ns = borrowed(from->ns);
    message.watch = from->watch;
    message.near_hits = from->near_hits;
    message.warm = from->warm;
    message.warm_id = from->warm_id;
    message.warm_rate = from->warm_rate;
    message.hot = from->hot;
    return pack(&message.base, most, to);
}

static size_t request_keep_size(const request_message *from)
{
    size_t size = from->n_tags * sizeof(struct slice) + from->n_key_sizes * sizeof(uint32_t) +
                  from->traceparent.len + from->token.len + from->ns.len;
    for (size_t i = 0; i < from->n_tags; i++) {
        size += from->tags[i].len;
    }
    return size;
}

static enum status request_keep(const request_message *from, struct native_request *ret)
{
    if (from->n_tags > ENVELOPE_TAGS_MAX || !is_text(from->traceparent) || !is_text(from->ns)) {
        return MALFORMED;
    }
    struct keep keep;
    if (keep_begin(&keep, request_keep_size(from)) != OK) {
        return NO_MEMORY;
    }
    struct slice *tags = keep_array(&keep, NULL, from->n_tags * sizeof *tags);
    const size_t sizes_size = from->n_key_sizes * sizeof *from->key_sizes;
    ret->key_sizes = keep_array(&keep, from->key_sizes, sizes_size);
    ret->key_count = from->n_key_sizes;
    for (size_t i = 0; i < from->n_tags; i++) {
        tags[i] = keep_bytes(&keep, from->tags[i]);
    }
    ret->tags = tags;
    ret->tag_count = from->n_tags;
    ret->traceparent = keep_bytes(&keep, from->traceparent);
    ret->token = keep_bytes(&keep, from->token);
    ret->ns = keep_bytes(&keep, from->ns);
    ret->memory = keep.memory;
    return OK;
}

static void request_numbers(const request_message *from, struct native_request *ret)
{
    ret->contract = from->contract;
    ret->max_stale_ms = from->max_stale_ms;
    ret->atleast_seq = from->atleast_seq;
    ret->soft_ms = from->soft_ms;
    ret->px_ms = from->px_ms;
    ret->swr_ms = from->swr_ms;
    ret->sie_ms = from->sie_ms;
    ret->has_swr = from->has_swr;
    ret->has_sie = from->has_sie;
    ret->condition = from->condition;
    ret->want_seq = from->want_seq;
    ret->negative_ms = from->negative_ms;
    ret->target = from->target;
    ret->match_all = from->match_all;
    ret->soft = from->soft;
    ret->dry_run = from->dry_run;
    ret->sync_ms = from->sync_ms;
    ret->watch = from->watch;
    ret->near_hits = from->near_hits;
    ret->warm = from->warm;
    ret->warm_id = from->warm_id;
    ret->warm_rate = from->warm_rate;
    ret->hot = from->hot;
}

enum status native_request_unpack(struct slice meta, struct native_request *ret)
{
    *ret = (struct native_request){0};
    if (meta.size == 0) {
        return OK;
    }
    struct scratch scratch;
    enum status status = OK;
    const request_message *message =
        scratch_unpack(&scratch, &terrace__request__descriptor, meta, &status);
    if (status == OK) {
        status = request_keep(message, ret);
    }
    if (status == OK) {
        request_numbers(message, ret);
    }
    scratch_done(&scratch);
    return status;
}

void native_request_done(struct native_request *request)
{
    free(request->memory);
    *request = (struct native_request){0};
}

/* --- reply ----------------------------------------------------------------------------------------------------------- */

static void node_message_of(const struct native_node *from, node_message *to)
{
    terrace__node_info__init(to);
    to->node = borrowed(from->node);
    to->address = borrowed(from->address);
    to->state = borrowed(from->state);
    to->is_self = from->is_self;
    to->is_live = from->is_live;
    to->heard_ms = from->heard_ms;
    to->hit_ratio = from->hit_ratio;
    to->connections = from->connections;
    to->weight = from->weight;
    to->has_weight = from->has_weight;
}

static void reply_message_of(const struct native_reply *from, reply_message *to)
{
    terrace__reply__init(to);
    to->state = from->state;
    to->age_ms = from->age_ms;
    to->ttl_ms = from->ttl_ms;
    to->token = borrowed(from->token);
    to->near_ms = from->near_ms;
    to->seq = from->seq;
    to->count = from->count;
    to->index = from->index;
    to->horizon_age_ms = from->horizon_age_ms;
    to->stream_seq = from->stream_seq;
    to->has_horizon = from->has_horizon;
    to->warm_id = from->warm_id;
}

enum status native_reply_pack(const struct native_reply *from, struct buf *to)
{
    reply_message message;
    reply_message_of(from, &message);
    if (from->node_count == 0) {
        return pack(&message.base, from->token.size, to);
    }
    node_message *nodes = calloc(from->node_count, sizeof *nodes);
    node_message **pointers = calloc(from->node_count, sizeof *pointers);
    enum status status = NO_MEMORY;
    if (nodes != NULL && pointers != NULL) {
        size_t most = from->token.size;
        for (size_t i = 0; i < from->node_count; i++) {
            const struct native_node *node = &from->nodes[i];
            node_message_of(node, &nodes[i]);
            pointers[i] = &nodes[i];
            most += NODE_MOST + node->node.size + node->address.size + node->state.size;
        }
        message.n_nodes = from->node_count;
        message.nodes = pointers;
        status = pack(&message.base, most, to);
    }
    free(nodes);
    free(pointers);
    return status;
}

/* SIZE_MAX: a string is no UTF-8. */
static size_t reply_keep_size(const reply_message *from)
{
    size_t size = from->n_nodes * sizeof(struct native_node) + from->token.len;
    for (size_t i = 0; i < from->n_nodes; i++) {
        const node_message *node = from->nodes[i];
        if (!is_text(node->node) || !is_text(node->address) || !is_text(node->state)) {
            return SIZE_MAX;
        }
        size += node->node.len + node->address.len + node->state.len;
    }
    return size;
}

static struct native_node node_keep(struct keep *keep, const node_message *from)
{
    return (struct native_node){
        .node = keep_bytes(keep, from->node),
        .address = keep_bytes(keep, from->address),
        .state = keep_bytes(keep, from->state),
        .is_self = from->is_self,
        .is_live = from->is_live,
        .heard_ms = from->heard_ms,
        .hit_ratio = from->hit_ratio,
        .connections = from->connections,
        .weight = from->weight,
        .has_weight = from->has_weight,
    };
}

static enum status reply_keep(const reply_message *from, struct native_reply *ret)
{
    const size_t size = reply_keep_size(from);
    if (size == SIZE_MAX) {
        return MALFORMED;
    }
    struct keep keep;
    if (keep_begin(&keep, size) != OK) {
        return NO_MEMORY;
    }
    struct native_node *nodes = keep_array(&keep, NULL, from->n_nodes * sizeof *nodes);
    for (size_t i = 0; i < from->n_nodes; i++) {
        nodes[i] = node_keep(&keep, from->nodes[i]);
    }
    *ret = (struct native_reply){
        .state = from->state,
        .age_ms = from->age_ms,
        .ttl_ms = from->ttl_ms,
        .token = keep_bytes(&keep, from->token),
        .near_ms = from->near_ms,
        .seq = from->seq,
        .count = from->count,
        .index = from->index,
        .horizon_age_ms = from->horizon_age_ms,
        .stream_seq = from->stream_seq,
        .has_horizon = from->has_horizon,
        .nodes = nodes,
        .node_count = from->n_nodes,
        .warm_id = from->warm_id,
        .memory = keep.memory,
    };
    return OK;
}

enum status native_reply_unpack(struct slice meta, struct native_reply *ret)
{
    *ret = (struct native_reply){0};
    if (meta.size == 0) {
        return OK;
    }
    struct scratch scratch;
    enum status status = OK;
    const reply_message *message =
        scratch_unpack(&scratch, &terrace__reply__descriptor, meta, &status);
    if (status == OK) {
        status = reply_keep(message, ret);
    }
    scratch_done(&scratch);
    return status;
}

void native_reply_done(struct native_reply *reply)
{
    free(reply->memory);
    *reply = (struct native_reply){0};
}

/* --- event ----------------------------------------------------------------------------------------------------------- */

enum status native_event_pack(const struct native_event *from, struct buf *to)
{
    event_message message = TERRACE__EVENT__INIT;
    message.stream_seq = from->stream_seq;
    message.n_key_sizes = from->key_count;
    message.key_sizes = (uint32_t *)(uintptr_t)from->key_sizes;
    message.all = from->all;
    return pack(&message.base, from->key_count * SIZE_MOST, to);
}

static enum status event_keep(const event_message *from, struct native_event *ret)
{
    const size_t size = from->n_key_sizes * sizeof *from->key_sizes;
    struct keep keep;
    if (keep_begin(&keep, size) != OK) {
        return NO_MEMORY;
    }
    *ret = (struct native_event){
        .stream_seq = from->stream_seq,
        .key_sizes = keep_array(&keep, from->key_sizes, size),
        .key_count = from->n_key_sizes,
        .all = from->all,
        .memory = keep.memory,
    };
    return OK;
}

enum status native_event_unpack(struct slice meta, struct native_event *ret)
{
    *ret = (struct native_event){0};
    struct scratch scratch;
    enum status status = OK;
    const event_message *message =
        scratch_unpack(&scratch, &terrace__event__descriptor, meta, &status);
    if (status == OK) {
        status = event_keep(message, ret);
    }
    scratch_done(&scratch);
    return status;
}

void native_event_done(struct native_event *event)
{
    free(event->memory);
    *event = (struct native_event){0};
}

/* --- keys ------------------------------------------------------------------------------------------------------------ */

bool native_keys_fit(struct slice keys, const uint32_t *sizes, size_t count)
{
    size_t left = keys.size;
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] > left) {
            return false;
        }
        left -= sizes[i];
    }
    return count == 0 || left == 0;
}

bool native_next_key(struct slice *rest, const uint32_t *sizes, size_t count, size_t *at,
                     struct slice *ret_key)
{
    if (*at >= (count > 0 ? count : 1)) {
        return false;
    }
    const size_t size = count > 0 ? sizes[*at] : rest->size;
    if (size > rest->size) {
        return false;
    }
    *ret_key = (struct slice){rest->data, size};
    *rest = (struct slice){rest->data + size, rest->size - size};
    *at += 1;
    return true;
}
