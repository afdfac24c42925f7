/* SPDX-License-Identifier: BSD-3-Clause */
/* request_new.c -- from what is asked to the bytes of a frame. */
#include "client/request_inner.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <stdlib.h>
#include <string.h>

struct sizes {
    uint64_t keys;
    uint64_t all;
};

static bool add_up(const struct ask *ask, struct sizes *ret)
{
    *ret = (struct sizes){0};
    for (size_t i = 0; i < ask->key_count; i++) {
        ret->keys += ask->keys[i].size;
        if (ret->keys > LIMIT_NATIVE_KEYS) {
            return false;
        }
    }
    ret->all = ret->keys + ask->body.size;
    return ask->body.size <= LIMIT_BULK;
}

/* Sizes and marks of several keys, in one piece of memory. */
static bool note_keys(struct request *request, const struct ask *ask)
{
    const size_t count = ask->key_count;
    const bool many = ask->on_part != NULL;
    const size_t ticket_size = many && ask->is_near ? sizeof(struct near_ticket) : 0;
    request->key_count = count;
    request->parts_left = count;
    request->tickets = &request->ticket;
    if (count <= 1 && !many) {
        return true;
    }
    char *memory = calloc(count, ticket_size + sizeof(uint32_t) + sizeof(bool));
    if (memory == NULL) {
        return false;
    }
    request->tickets = ticket_size > 0 ? (struct near_ticket *)(void *)memory : NULL;
    request->key_sizes = (uint32_t *)(void *)(memory + count * ticket_size);
    request->seen = (bool *)(memory + count * (ticket_size + sizeof(uint32_t)));
    request->keys_memory = memory;
    for (size_t i = 0; i < count; i++) {
        request->key_sizes[i] = (uint32_t)ask->keys[i].size;
    }
    return true;
}

static enum status pack_meta(struct request *request, const struct ask *ask, struct buf *to)
{
    struct native_request meta = ask->meta != NULL ? *ask->meta : (struct native_request){0};
    if (request->key_sizes != NULL) {
        meta.key_sizes = request->key_sizes;
        meta.key_count = request->key_count;
    }
    /* Most reads have nothing to say. What only padding tells from that is packed to nothing. */
    static const struct native_request nothing;
    return memcmp(&meta, &nothing, sizeof meta) == 0 ? OK : native_request_pack(&meta, to);
}

static void copy_bytes(char *to, const struct buf *meta, const struct ask *ask)
{
    if (meta->size > 0) {
        memcpy(to, meta->data, meta->size);
        to += meta->size;
    }
    for (size_t i = 0; i < ask->key_count; i++) {
        if (ask->keys[i].size > 0) {
            memcpy(to, ask->keys[i].data, ask->keys[i].size);
            to += ask->keys[i].size;
        }
    }
    if (ask->body.size > 0) {
        memcpy(to, ask->body.data, ask->body.size);
    }
}

static uint64_t hash_of(const struct ask *ask)
{
    if (ask->affinity != NULL) {
        return hash_checksum(slice_of(ask->affinity));
    }
    const size_t at = ask->op == NATIVE_CALL && ask->key_count > 1; /* its first word is a verb */
    return ask->key_count > at ? hash_checksum(ask->keys[at]) : 0;
}

static void describe(struct request *request, const struct terrace_options *options,
                     const struct ask *ask)
{
    for (int i = 0; i < TRIES; i++) {
        request->tries[i] = (struct try){.request = request};
    }
    request->op = ask->op;
    request->is_write = ask->is_write;
    request->retry_unknown = ask->retry_unknown;
    request->is_near = ask->is_near;
    request->drops_all = ask->drops_all;
    request->is_probe = ask->is_probe;
    request->hash = hash_of(ask);
    request->timeout_ms = request_ms(ask->timeout_ms > 0 ? ask->timeout_ms : options->timeout_ms);
    request->hedge_ms = request_ms(ask->hedge_ms != 0 ? ask->hedge_ms : options->hedge_ms);
    if (ask->is_write || ask->only != NULL || ask->on_part != NULL) {
        request->hedge_ms = -1;
    }
    request->at = ask->at;
    request->only = ask->only;
    request->on_done = ask->on_done;
    request->on_part = ask->on_part;
    request->arg = ask->arg;
}

/* Where the bytes go; NULL: no memory. */
static char *take_room(struct request *request, size_t size, size_t inlined)
{
    if (size <= inlined) {
        return request->room;
    }
    request->payload = payload_new(size);
    return request->payload != NULL ? request->payload->data : NULL;
}

enum terrace_status request_new(const struct terrace_options *options, const struct ask *ask,
                                struct request **ret)
{
    struct sizes sizes;
    if (!add_up(ask, &sizes)) {
        return TERRACE_BAD_ARGUMENT;
    }
    /* Metadata of one key is small; more of it finds its place in a payload. */
    const size_t inlined = sizes.all + META_ROOM <= PAYLOAD_ALONE ? sizes.all + META_ROOM : 0;
    struct request *request = malloc(sizeof *request + inlined);
    if (request == NULL) {
        return TERRACE_NO_MEMORY;
    }
    memset(request, 0, sizeof *request);
    describe(request, options, ask);
    struct buf meta = {0};
    enum status status = note_keys(request, ask) ? pack_meta(request, ask, &meta) : NO_MEMORY;
    const size_t size = meta.size + sizes.all;
    char *to = NULL;
    if (status == OK) {
        to = take_room(request, size, inlined);
        status = to != NULL ? OK : NO_MEMORY;
    }
    if (status == OK) {
        copy_bytes(to, &meta, ask);
        request->meta_size = (uint32_t)meta.size;
        request->keys_size = (uint32_t)sizes.keys;
        request->bytes = (struct slice){to, size};
        *ret = request;
    } else {
        request_free(request);
    }
    buf_done(&meta);
    return status == OK          ? TERRACE_OK
           : status == NO_MEMORY ? TERRACE_NO_MEMORY
                                 : TERRACE_BAD_ARGUMENT;
}

void request_free(struct request *request)
{
    if (request != NULL) {
        payload_release(request->payload);
        free(request->keys_memory);
        free(request);
    }
}
