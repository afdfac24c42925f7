/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/managed_edit.h"

#include "protocol/check.h"
#include "server/cmd_common.h"
#include "server/conn.h"
#include "server/faults.h"
#include "server/leases.h"
#include "server/managed.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/tracking.h"
#include "server/upload.h"
#include "server/worker.h"
#include "tiers/stream.h"
#include "tiers/wrap.h"

#include <string.h>

enum {
    EDIT_SCRATCH_KEPT = 64 << 10 /* of what wrote one large envelope */
};

static const struct wish of_l2 = {.kind = WISH_FRESH};

/* --- shared ----------------------------------------------------------------------------------------------------------- */

static int64_t cut(int64_t ms, int64_t most_ms)
{
    return ms < most_ms ? ms : most_ms;
}

static struct envelope head_of(const struct ns_rules *rules, const struct managed_put *put)
{
    const struct edit_wishes *wishes = put->wishes;
    const bool swr = wishes != NULL && wishes->swr_ms >= 0;
    const bool sie = wishes != NULL && wishes->sie_ms >= 0;
    const int64_t most_ms = cut(namespace_window_max_ms(rules), UINT32_MAX);
    return (struct envelope){
        .fresh_ms = (uint64_t)put->life_ms,
        .swr_ms = (uint32_t)(swr ? cut(wishes->swr_ms, most_ms) : rules->swr_ms),
        .sie_ms = (uint32_t)(sie ? cut(wishes->sie_ms, most_ms) : rules->sie_ms),
        .load_ms = wishes == NULL ? 0 : wishes->load_ms,
        .tag_count = wishes == NULL ? 0 : wishes->tag_count,
    };
}

struct envelope managed_stream_head(const struct namespace *ns, size_t size)
{
    const struct ns_rules rules = namespace_rules(ns);
    struct envelope head = head_of(&rules, &(struct managed_put){0});
    head.kind = ENVELOPE_RAW;
    head.value_size = (uint32_t)size;
    return head;
}

static void make_streamed_put(struct managed_write *write, const struct managed_put *put)
{
    struct upload_value *upload = put->upload;
    envelope_head_end(upload->head, (uint64_t)put->life_ms, &upload->sum);
    write->op = MANAGED_PUT;
    write->envelope = (struct slice){upload->head, sizeof upload->head};
    write->px_ms = managed_px_ms(put->life_ms, upload->envelope.swr_ms, upload->envelope.sie_ms);
}

bool managed_make_put(struct worker *worker, struct managed_write *write,
                      const struct managed_put *put, struct buf *room, struct reply *reply)
{
    struct namespace *ns = namespace_of(worker->node->namespaces, write->key.bytes);
    const struct ns_rules rules = namespace_rules(ns);
    if (rules.write == NAMESPACE_AROUND && !put->fills) {
        write->op = MANAGED_DELETE;
        return true;
    }
    if (put->upload != NULL) {
        make_streamed_put(write, put);
        return true;
    }
    const struct envelope head = head_of(&rules, put);
    const struct slice *tags = put->wishes == NULL ? NULL : put->wishes->tags;
    room->size = 0;
    const enum status status = wrap_value(worker->window, ns, &head, tags, put->value, room);
    if (status == OK && room->size <= LIMIT_BULK) {
        write->op = MANAGED_PUT;
        write->envelope = buf_slice(room);
        write->px_ms = managed_px_ms(put->life_ms, head.swr_ms, head.sie_ms);
        return true;
    }
    if (status == NO_MEMORY) {
        reply_out_of_memory(reply);
    } else {
        reply_error(reply, text_string_too_long); /* tags and times were looked at before */
    }
    return false;
}

void managed_refuse_write(struct reply *reply, struct worker *worker,
                          const struct managed_write *write, enum status status, struct slice error)
{
    if (status == L2_ERROR) {
        reply_errorf(reply, "%.*s", (int)error.size, error.size == 0 ? "" : error.data);
    } else if (status == AGAIN) {
        fault_key(reply, write->key.bytes, "BUSY the key is written by others all the time",
                  "nothing was done: try again");
    } else if (status == TOO_BIG) {
        fault_key(reply, write->key.bytes,
                  "ERR keys of more than 60 KiB do not go into one write of managed ones",
                  "shorten them, or send several commands");
    } else {
        relay_refuse_write(reply, worker, status, write->confirmed, error.size > 0);
    }
}

enum status edit_look(struct worker *worker, const struct l1_key *key, struct item *item,
                      struct edit_found *ret_found)
{
    const struct ns_key home = {*key, namespace_of(worker->node->namespaces, key->bytes)};
    struct managed_value value;
    enum ban_verdict bans = BAN_NONE;
    *ret_found = (struct edit_found){.looked_at_ms = clock_now_ms(&worker->node->clock)};
    if (item == NULL) {
        return OK;
    }
    const enum managed_state state = tiers_judge(worker->window, &home, item_value(item),
                                                 item_expire_at_ms(item), &value, &bans);
    if (state == MANAGED_UNSURE) {
        return STALE;
    }
    ret_found->item = item_ref(item);
    ret_found->is_other = (value.flags & MANAGED_OTHER) != 0;
    ret_found->version = ret_found->is_other                    ? MANAGED_VERSION_OTHER
                         : (value.flags & MANAGED_FOREIGN) != 0 ? MANAGED_VERSION_FOREIGN
                                                                : value.version;
    ret_found->exists =
        (value.flags & MANAGED_NEGATIVE) == 0 && state != MANAGED_SPARE && state != MANAGED_DEAD;
    ret_found->value = value.value;
    ret_found->ttl_ms = managed_ttl_ms(&value, bans, ret_found->looked_at_ms);
    return OK;
}

void edit_refuse_read(struct reply *reply, struct worker *worker, enum status status,
                      struct slice key, struct slice error)
{
    if (status == STALE) {
        managed_refuse_unsure(reply, key);
    } else if (status == AGAIN) {
        fault_key(reply, key, "BUSY the format of the key's namespace has just changed",
                  "try again");
    } else {
        relay_refuse_read(reply, worker, status, error);
    }
}

void managed_tell_written(struct worker *worker, const struct managed_write *write)
{
    struct tracking *tracking = worker->node->tracking;
    if (tracking_is_wanted(tracking) && tracking_begin_written(tracking)) {
        tracking_written(tracking, write->key.bytes, write->key.hash);
        tracking_end_written(tracking);
    }
}

/* --- one key ---------------------------------------------------------------------------------------------------------- */

static void edit_free(struct edit *edit)
{
    if (edit->ends_lease) { /* it was not written, and nobody renews the lease */
        load_release(edit->worker->window, &edit->write.key, edit->token);
    }
    item_release(edit->found.item);
    upload_value_free(edit->upload);
    spares_give(&edit->worker->spares, edit, edit->size);
}

static void edit_land(struct edit *edit)
{
    struct answer *answer = edit->answer;
    if (edit->streams && answer->conn != NULL) {
        conn_unhold(answer->conn, HOLD_UPLOAD);
    }
    edit_free(edit);
    answer_land(answer);
}

/* What was streamed goes, or its line is closed: what is written instead is a deletion. */
static enum status edit_send(struct edit *edit)
{
    struct tiers_window *window = edit->worker->window;
    if (edit->streams && edit->write.op == MANAGED_PUT) {
        CHECK(edit->upload != NULL);
        const enum status status = edit->upload->status;
        return status == OK ? managed_stream_end(window, &edit->write, edit->upload->line) : status;
    }
    upload_value_free(edit->upload);
    edit->upload = NULL;
    return managed_write_send(window, &edit->write);
}

/* false: an answer is in `reply`. */
static bool edit_act(struct edit *edit, struct reply *reply)
{
    edit->write.cond = edit->leased  ? MANAGED_IF_LEASE
                       : edit->reads ? MANAGED_IF_VERSION
                                     : MANAGED_ALWAYS;
    memcpy(edit->write.token, edit->token, MANAGED_TOKEN_SIZE);
    edit->write.version = edit->found.version;
    edit->write.envelope = (struct slice){0}; /* of a former try, which is gone */
    struct buf *scratch = &edit->worker->scratch;
    scratch->size = 0;
    const bool is_decided = edit->rule->decide(edit, reply);
    const enum status status = is_decided ? edit_send(edit) : OK;
    if (scratch->capacity > EDIT_SCRATCH_KEPT) { /* also of one that was too large to be sent */
        buf_done(scratch);
    }
    if (status != OK) {
        managed_refuse_write(reply, edit->worker, &edit->write, status, (struct slice){0});
    }
    return is_decided && status == OK;
}

/* What is on its way ends the lease of the key, or is refused without it; so what the connection writes next is a write like
 * any other. */
static void edit_end_lease(struct edit *edit, struct conn *conn)
{
    char token[LEASE_TOKEN_SIZE];
    if (edit->write.op != MANAGED_EXPIRE && leases_take(conn, &edit->write.key, token) &&
        !edit->leased) {
        edit->ends_lease = true;
        memcpy(edit->token, token, sizeof edit->token);
    }
}

/* AGAIN: the namespace is not managed any more, and what stands is nothing that can be judged here. */
static enum status edit_ask(struct edit *edit)
{
    struct l1_value value = {0};
    bool foreign = false;
    const struct ns_key key = {edit->write.key,
                               namespace_of(edit->worker->node->namespaces, edit->write.key.bytes)};
    item_release(edit->found.item);
    edit->found = (struct edit_found){0};
    if (!key.ns->managed) {
        return AGAIN;
    }
    const enum status status =
        tiers_get(edit->worker->window, &key, 2, &value, &edit->reader, &foreign);
    item_release(value.item);
    return status == OK ? L2_DOWN : status; /* nothing here is good enough */
}

static void edit_on_value(struct tiers_reader *reader, enum status status,
                          const struct tiers_value *value)
{
    struct edit *edit = (struct edit *)(void *)reader;
    struct reply *reply = &edit->answer->reply;
    if (status == OK) {
        status = edit_look(edit->worker, &edit->write.key, value->item, &edit->found);
    }
    if (status != OK) {
        edit_refuse_read(reply, edit->worker, status, edit->write.key.bytes, value->error);
    } else if (edit_act(edit, reply)) {
        edit_end_lease(edit, edit->answer->conn);
        return;
    }
    edit_land(edit);
}

static void edit_lost(const struct edit *edit, struct reply *reply)
{
    if (edit->rule->lost != NULL) {
        edit->rule->lost(edit, reply);
    } else {
        edit->rule->answer(edit, reply, 0);
    }
}

static void edit_on_written(struct managed_write *write, enum status status, uint64_t seq,
                            struct slice error)
{
    struct edit *edit = LIST_ENTRY(write, struct edit, write);
    struct reply *reply = &edit->answer->reply;
    if (edit->upload != NULL) {
        metrics_add(edit->worker->metrics, M_LARGE_WRITES, status == OK ? 1 : 0);
        upload_value_free(edit->upload);
        edit->upload = NULL;
    }
    if (edit->leased && (status == OK || status == MISS)) {
        load_filled(edit->worker->window, &write->key, edit->token, status == MISS);
    } else if (edit->leased) {
        load_release(edit->worker->window, &write->key, edit->token);
    }
    if (status == MISS && edit->leased) { /* only a lease can be lost */
        edit_lost(edit, reply);
    } else if (status == AGAIN && !edit->streams && ++edit->tries < EDIT_TRIES_MAX) {
        const enum status asked = edit_ask(edit);
        if (asked == PENDING) {
            return;
        }
        edit_refuse_read(reply, edit->worker, asked, write->key.bytes, (struct slice){0});
    } else if (status == OK) {
        edit->ends_lease = false;
        managed_tell_written(edit->worker, write);
        edit->rule->answer(edit, reply, seq);
    } else {
        managed_refuse_write(reply, edit->worker, write, status, error);
    }
    edit_land(edit);
}

/* Key and value behind it; the value only if it is looked at after the call. */
static struct edit *edit_new(struct call *call, const struct edit *model)
{
    const struct slice key = call->argv[1];
    const size_t kept = model->reads ? model->value.size : 0;
    const size_t size = sizeof(struct edit) + key.size + kept;
    struct edit *edit = spares_take(&call->worker->spares, size);
    if (edit == NULL) {
        return NULL;
    }
    *edit = *model;
    edit->size = size;
    char *bytes = (char *)(edit + 1);
    memcpy(bytes, key.data, key.size);
    if (kept > 0) {
        memcpy(bytes + key.size, model->value.data, kept);
        edit->value.data = bytes + key.size;
    }
    edit->reader = (struct tiers_reader){.on_value = edit_on_value, .wish = &of_l2};
    edit->write.on_written = edit_on_written;
    edit->write.key = call_key(call, 1).at;
    edit->write.key.bytes.data = bytes;
    edit->worker = call->worker;
    edit->upload = upload_hand(call);
    edit->streams = edit->upload != NULL;
    return edit;
}

/* The client's connection may be the one that is to load the key: then this fills it in. */
static void edit_take_lease(struct edit *edit, struct conn *conn)
{
    const struct lease *lease = conn->leases == NULL ? NULL : leases_find(conn, &edit->write.key);
    if (lease == NULL || edit->reads) {
        return;
    }
    if (!edit->leased && !edit->own_right && lease->plain) {
        edit->leased = true;
        memcpy(edit->token, lease->token, MANAGED_TOKEN_SIZE);
    }
    if (edit->leased && memcmp(lease->token, edit->token, MANAGED_TOKEN_SIZE) == 0) {
        edit->wishes.load_ms = (uint32_t)(edit->worker->now_ms - lease->won_at_ms);
    }
}

/* It takes another link than the connection's other calls. */
static void edit_hold(const struct edit *edit, struct conn *conn)
{
    if (edit->streams) {
        conn_hold(conn, HOLD_UPLOAD);
    }
}

void edit_begin(struct call *call, const struct edit *model)
{
    struct edit *edit = edit_new(call, model);
    if (edit == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    edit_take_lease(edit, call->conn);
    if (!edit->reads) {
        if (edit_act(edit, call->reply)) {
            edit_end_lease(edit, call->conn);
            edit->answer = call_defer(call, WAIT_MANAGED);
            edit_hold(edit, call->conn);
        } else {
            edit_free(edit);
        }
        return;
    }
    const enum status status = edit_ask(edit);
    if (status == PENDING) {
        edit->answer = call_defer(call, WAIT_DECISION);
        edit_hold(edit, call->conn);
    } else {
        edit_refuse_read(call->reply, call->worker, status, call->argv[1], (struct slice){0});
        edit_free(edit);
    }
}

/* --- for decide ------------------------------------------------------------------------------------------------------- */

static struct ns_rules rules_of(const struct worker *worker, const struct managed_write *write)
{
    return namespace_rules(namespace_of(worker->node->namespaces, write->key.bytes));
}

int64_t managed_write_life_ms(struct worker *worker, const struct managed_write *write,
                              int64_t asked_ms)
{
    const struct ns_rules rules = rules_of(worker, write);
    return managed_life_ms(&rules, cut(asked_ms, EDIT_LIFE_MAX_MS),
                           (uint32_t)rand_next(&worker->rand));
}

int64_t edit_endless_ms(const struct edit *edit)
{
    return rules_of(edit->worker, &edit->write).max_ttl_ms;
}

int64_t edit_life_ms(const struct edit *edit)
{
    return managed_write_life_ms(edit->worker, &edit->write, edit->is_timed ? edit->life_ms : 0);
}

bool edit_put(struct edit *edit, struct reply *reply, int64_t life_ms)
{
    const struct managed_put put = {.life_ms = life_ms,
                                    .wishes = &edit->wishes,
                                    .fills = edit->leased,
                                    .upload = edit->upload,
                                    .value = edit->value};
    return managed_make_put(edit->worker, &edit->write, &put, &edit->worker->scratch, reply);
}

bool edit_put_negative(struct edit *edit, struct reply *reply, int64_t life_ms)
{
    const struct envelope head = {.kind = ENVELOPE_NEGATIVE, .fresh_ms = (uint64_t)life_ms};
    if (envelope_write(&edit->worker->scratch, &head, NULL) != OK) {
        reply_out_of_memory(reply);
        return false;
    }
    edit->write.op = MANAGED_PUT;
    edit->write.envelope = buf_slice(&edit->worker->scratch);
    edit->write.px_ms = life_ms;
    return true;
}

void edit_delete(struct edit *edit)
{
    edit->write.op = MANAGED_DELETE;
}

void edit_expire(struct edit *edit, int64_t life_ms)
{
    edit->write.op = MANAGED_EXPIRE;
    edit->write.px_ms = life_ms == 0 ? -1 : life_ms;
}
