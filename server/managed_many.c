/* SPDX-License-Identifier: BSD-3-Clause */
/* MSET and MSETNX of managed keys, all in one step. (DEL: managed_del.c.) */
#include "server/conn.h"
#include "server/leases.h"
#include "server/managed.h"
#include "server/managed_edit.h"
#include "server/node.h"
#include "server/trouble.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

struct many;

struct many_key {
    struct tiers_reader reader; /* first: it is cast back. MSETNX */
    struct managed_write write;
    struct many *many;
    struct slice value;
    struct buf envelope;
    bool ends_lease; /* of the client; its token is the write's */
};

struct many {
    struct answer *answer; /* NULL while the call runs */
    struct worker *worker;
    bool only_new; /* MSETNX */
    bool exists;   /* one of its keys does */
    unsigned tries;
    uint32_t count;
    uint32_t waiting;
    struct trouble trouble; /* INVALID: it is answered already */
    bool by_read;           /* it came when it was asked what stands */
    struct many_key keys[]; /* behind them the bytes of keys and values */
};

static const struct wish of_l2 = {.kind = WISH_FRESH};

static void many_free(struct many *many)
{
    for (uint32_t i = 0; i < many->count; i++) {
        const struct many_key *key = &many->keys[i];
        if (key->ends_lease && many->trouble.status != OK) { /* it stands, and nobody renews it */
            load_release(many->worker->window, &key->write.key, key->write.token);
        }
        buf_done(&many->keys[i].envelope);
    }
    trouble_clear(&many->trouble);
    free(many);
}

static void reply_is_set(const struct many *many, struct reply *reply)
{
    if (many->only_new) {
        reply_integer(reply, many->exists ? 0 : 1);
    } else {
        reply_ok(reply);
    }
}

static void many_reply(const struct many *many, struct reply *reply)
{
    const struct managed_write outcome = {.confirmed = many->trouble.confirmed};
    if (many->trouble.status == INVALID) {
        return;
    }
    if (many->trouble.status == OK) {
        reply_is_set(many, reply);
    } else if (many->by_read) {
        const struct slice matter = buf_slice(&many->trouble.matter);
        edit_refuse_read(reply, many->worker, many->trouble.status, matter, matter);
    } else {
        managed_refuse_write(reply, many->worker, &outcome, many->trouble.status,
                             buf_slice(&many->trouble.matter));
    }
}

static void many_land(struct many *many)
{
    struct answer *answer = many->answer;
    many_reply(many, &answer->reply);
    many_free(many);
    answer_land(answer);
}

/* --- MSETNX: what stands ---------------------------------------------------------------------------------------------- */

static bool many_send(struct many *many, struct reply *reply);

static void many_on_value(struct tiers_reader *reader, enum status status,
                          const struct tiers_value *value)
{
    struct many_key *key = (struct many_key *)(void *)reader;
    struct many *many = key->many;
    struct edit_found found = {0};
    if (status == OK) {
        status = edit_look(many->worker, &key->write.key, value->item, &found);
    }
    trouble_note(&many->trouble, status, false,
                 status == L2_ERROR ? value->error : key->write.key.bytes);
    many->exists = many->exists || found.exists;
    key->write.version = found.version;
    item_release(found.item);
    if (--many->waiting > 0) {
        return;
    }
    many->by_read = many->trouble.status != OK;
    if (many->trouble.status != OK || many->exists || !many_send(many, &many->answer->reply)) {
        many_land(many);
    }
}

/* Whether something is waited for. */
static bool many_ask(struct many *many)
{
    many->exists = false;
    for (uint32_t i = 0; i < many->count && many->trouble.status == OK; i++) {
        struct many_key *key = &many->keys[i];
        const struct ns_key home = {
            key->write.key, namespace_of(many->worker->node->namespaces, key->write.key.bytes)};
        struct l1_value value = {0};
        bool foreign = false;
        key->reader = (struct tiers_reader){.on_value = many_on_value, .wish = &of_l2};
        const enum status status = home.ns->managed ? tiers_get(many->worker->window, &home, 2,
                                                                &value, &key->reader, &foreign)
                                                    : AGAIN;
        if (status == PENDING) {
            many->waiting++;
            continue;
        }
        item_release(value.item);
        trouble_note(&many->trouble, status == OK ? L2_DOWN : status, false, key->write.key.bytes);
    }
    many->by_read = many->trouble.status != OK;
    return many->waiting > 0;
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

static void many_on_written(struct managed_write *write, enum status status, uint64_t seq,
                            struct slice error)
{
    struct many_key *key = LIST_ENTRY(write, struct many_key, write);
    struct many *many = key->many;
    (void)seq;
    if (status == OK) {
        managed_tell_written(many->worker, write);
    }
    trouble_note(&many->trouble, status, write->confirmed, error);
    if (--many->waiting > 0) {
        return;
    }
    if (many->trouble.status == AGAIN && ++many->tries < EDIT_TRIES_MAX) {
        trouble_clear(&many->trouble);
        if (many_ask(many)) {
            return;
        }
    }
    many_land(many);
}

/* All in one step. false: many_reply has something to say, or it is said in `reply`. */
static bool many_send(struct many *many, struct reply *reply)
{
    struct managed_write **writes = malloc(many->count * sizeof(struct managed_write *));
    enum status status = writes == NULL ? NO_MEMORY : OK;
    bool made = true;
    for (uint32_t i = 0; i < many->count && status == OK && made; i++) {
        struct many_key *key = &many->keys[i];
        const struct managed_put put = {
            .life_ms = managed_write_life_ms(many->worker, &key->write, 0), .value = key->value};
        made = managed_make_put(many->worker, &key->write, &put, &key->envelope, reply);
        key->write.cond = many->only_new ? MANAGED_IF_VERSION : MANAGED_ALWAYS;
        writes[i] = &key->write;
    }
    if (status == OK && made) {
        status = managed_writes_send(many->worker->window, writes, many->count, true);
    }
    free(writes);
    for (uint32_t i = 0; i < many->count; i++) {
        buf_done(&many->keys[i].envelope);
    }
    trouble_note(&many->trouble, made ? status : INVALID, false, (struct slice){0});
    many->waiting = many->trouble.status == OK ? many->count : 0;
    return many->waiting > 0;
}

/* --- the commands ----------------------------------------------------------------------------------------------------- */

static char *keep(struct slice *bytes, char *to)
{
    if (bytes->size > 0) {
        memcpy(to, bytes->data, bytes->size);
    }
    bytes->data = to;
    return to + bytes->size;
}

/* With `keeps` the values are copied, too. NULL: no memory, which is answered. */
static struct many *many_new(struct call *call, bool keeps)
{
    const uint32_t count = (call->argc - 1) / 2;
    size_t size = 0;
    for (uint32_t i = 1; i < call->argc; i++) {
        size += keeps || i % 2 == 1 ? call->argv[i].size : 0;
    }
    struct many *many = malloc(sizeof(*many) + count * sizeof(many->keys[0]) + size);
    if (many == NULL) {
        reply_out_of_memory(call->reply);
        return NULL;
    }
    *many = (struct many){.worker = call->worker, .count = count};
    char *bytes = (char *)&many->keys[count];
    for (uint32_t i = 0; i < count; i++) {
        struct many_key *key = &many->keys[i];
        *key = (struct many_key){.many = many, .write = {.on_written = many_on_written}};
        key->write.key = call_key(call, 1 + 2 * i).at;
        if (!keeps) {
            key->ends_lease = leases_take(call->conn, &key->write.key, key->write.token);
        } else if (call->conn->leases != NULL) {
            leases_forget(call->conn, &key->write.key); /* perhaps nothing is written */
        }
        bytes = keep(&key->write.key.bytes, bytes);
        key->value = call->argv[2 + 2 * i];
        bytes = keeps ? keep(&key->value, bytes) : bytes;
    }
    return many;
}

static void many_defer(struct many *many, struct call *call, bool waits)
{
    if (waits) {
        many->answer = call_defer(call, many->only_new ? WAIT_DECISION : WAIT_MANAGED);
    } else {
        many_reply(many, call->reply);
        many_free(many);
    }
}

static void set_many(struct call *call, bool only_new)
{
    if (call->argc % 2 == 0) {
        reply_wrong_arity(call->reply, call->command->full_name);
        return;
    }
    struct many *many = many_new(call, only_new);
    if (many != NULL) {
        many->only_new = only_new;
        many_defer(many, call, only_new ? many_ask(many) : many_send(many, call->reply));
    }
}

void managed_mset(struct call *call)
{
    set_many(call, false);
}

void managed_msetnx(struct call *call)
{
    set_many(call, true);
}
