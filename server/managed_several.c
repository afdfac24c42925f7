/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that read several managed keys: MGET, which loads (tiers/load.h), EXISTS and TOUCH.
 *
 * They go in PIECES of so many keys as may be asked for in one turn of the loop and wait on a link without being in
 * anybody's way:
 *
 *      managed_mget > several_go_on   one piece: all are here at once   > told, and the next one (in a turn of its own)
 *                                     some are waited for               ~> one_is_here > told, and the next one
 *                                     the last one                      > the answer lands
 *
 * What a piece has found is told, into the answer that has not landed, before the next is asked for: so a call holds the
 * values of one piece only, and what it shows of its keys need not be of one moment (nor is it with one piece). An error
 * takes the place of what was told, and nothing more is asked for.
 *
 * The keys of a piece go through one gate (tiers/load.h): of calls that ask for the same keys in the same order one loads. */
#include "server/asked.h"
#include "server/conn.h"
#include "server/managed.h"
#include "server/managed_read.h"
#include "server/node.h"
#include "server/steps.h"
#include "server/trouble.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

enum {
    PIECE_KEYS = 512
};

struct several;

struct one_of {
    struct tiers_reader reader; /* first: it is cast back */
    struct several *all;
    /* The key came before and is waited for: its answer (cmd_read.c); or NULL. */
    const struct one_of *same;
    uint64_t hash;
    struct managed_found found; /* with a reference to its item */
};

struct several {
    struct step step;
    struct answer *answer; /* NULL while it may yet be answered at once */
    struct worker *worker;
    bool loads;   /* MGET: who finds nothing may be the one to load it */
    bool foreign; /* something of it travels on another link than the client's */
    uint8_t db;
    const struct slice *names; /* of the keys: in the call, or in: */
    struct slice *kept;        /* its arguments (call_keep_args), if it has more than one piece */
    uint32_t count;
    uint32_t asked_count; /* of all: those before it were asked for, */
    uint32_t piece_begin; /* and those before it told */
    uint32_t waiting;
    int64_t exist; /* of those that were told */
    struct trouble trouble;
    struct asked asked;    /* what is waited for */
    struct load_gate gate; /* of the piece */
    struct one_of keys[];  /* of the piece */
};

/* --- telling ------------------------------------------------------------------------------------------------------------ */

static void tell_one(struct several *all, struct reply *reply, const struct managed_found *found)
{
    metrics_count(all->worker->metrics, found->exists ? M_KEY_HITS : M_KEY_MISSES);
    all->exist += found->exists;
    if (all->loads && managed_found_is_other(found)) {
        reply_null(reply);
    } else if (all->loads) {
        managed_reply_found(reply, found);
    }
}

/* The piece is over. */
static void tell_piece(struct several *all, struct reply *reply)
{
    const uint32_t count = all->asked_count - all->piece_begin;
    if (all->piece_begin == 0 && all->loads && all->trouble.status == OK) {
        reply_array(reply, all->count);
    }
    for (uint32_t i = 0; i < count && all->trouble.status == OK; i++) {
        const struct one_of *key = &all->keys[i];
        tell_one(all, reply, key->same != NULL ? &key->same->found : &key->found);
    }
    for (uint32_t i = 0; i < count; i++) {
        item_release(all->keys[i].found.item);
    }
    asked_clear(&all->asked);
    all->piece_begin = all->asked_count;
}

static void several_end(struct several *all, struct reply *reply)
{
    if (all->trouble.status != OK) {
        if (all->answer != NULL) {
            out_done(&reply->out); /* in place of what was told */
        }
        managed_refuse_read(reply, all->worker, all->trouble.status,
                            buf_slice(&all->trouble.matter));
    } else if (!all->loads) {
        reply_integer(reply, all->exist);
    }
    trouble_clear(&all->trouble);
    free(all->kept);
    free(all);
}

/* Nothing of the piece is waited for any more, and its call is deferred. */
static void piece_is_over(struct several *all)
{
    struct answer *answer = all->answer;
    tell_piece(all, &answer->reply);
    if (all->asked_count < all->count && all->trouble.status == OK && answer->conn != NULL) {
        steps_add(all->worker, &all->step);
        return;
    }
    several_end(all, &answer->reply);
    answer_land(answer);
}

/* --- asking ------------------------------------------------------------------------------------------------------------- */

static void one_is_here(struct several *all)
{
    if (--all->waiting == 0) {
        piece_is_over(all);
    }
}

static void keep_result(struct one_of *key, const struct load_result *result)
{
    key->found = managed_found_of(result);
    key->found.item = result->item == NULL ? NULL : item_ref(result->item);
}

static void one_on_loaded(void *arg, enum status status, const struct load_result *result)
{
    struct one_of *key = arg;
    struct several *all = key->all;
    if (status == OK) {
        managed_take_result(all->worker, all->answer->conn, NULL, result, all->count > 1);
        keep_result(key, result);
    }
    trouble_note(&all->trouble, status, false,
                 managed_matter_of(status, result->key->bytes, result->error));
    one_is_here(all);
}

/* As managed_ask, of a command that loads. */
static enum status ask_or_load(struct conn *conn, const struct ns_key *key, struct one_of *wanted)
{
    struct worker *worker = conn->worker;
    struct load_ask ask = managed_load_ask(conn, key);
    struct l1_value value = {0};
    struct load_result result;
    struct load_wait *wait = NULL;
    ask.on_loaded = one_on_loaded;
    ask.arg = wanted;
    ask.gate = wanted->all->count > 1 ? &wanted->all->gate : NULL;
    const enum status status = load_get(worker->window, key, &ask, &value, &result, &wait);
    if (status == OK) {
        managed_take_result(worker, conn, &key->at, &result, true);
        keep_result(wanted, &result);
    }
    if (status != PENDING) {
        item_release(value.item);
    }
    return status;
}

static void on_one(struct tiers_reader *reader, enum status status, const struct tiers_value *value)
{
    struct one_of *key = (struct one_of *)(void *)reader;
    struct several *all = key->all;
    if (status == OK) {
        status = managed_judge_item(all->worker, value->item, &key->found);
        key->found.item = value->item == NULL ? NULL : item_ref(value->item);
    }
    trouble_note(&all->trouble, status, false,
                 managed_matter_of(status, managed_key_of(value), value->error));
    one_is_here(all);
}

/* The same key earlier in this piece, if its answer is waited for (asked.h). */
static const struct one_of *same_as(const struct several *all, uint32_t i, uint64_t hash)
{
    for (uint32_t j = 0; j < i && asked_has(&all->asked, hash); j++) {
        const struct one_of *before = &all->keys[j];
        if (before->hash == hash && before->same == NULL &&
            slice_equal(all->names[all->piece_begin + j], all->names[all->piece_begin + i])) {
            return before;
        }
    }
    return NULL;
}

/* The i-th key of the piece. */
static void ask_for(struct several *all, struct conn *conn, uint32_t i)
{
    struct one_of *wanted = &all->keys[i];
    const struct ns_key key =
        namespaces_key(all->worker->node->namespaces, all->db, all->names[all->piece_begin + i]);
    *wanted = (struct one_of){.reader = {.on_value = on_one}, .all = all};
    wanted->same = all->waiting == 0 ? NULL : same_as(all, i, key.at.hash);
    if (wanted->same != NULL) {
        return;
    }
    struct l1_value value = {0};
    bool foreign = all->loads;
    enum status status = BUSY; /* a reload has made it a plain one since the call came */
    if (key.ns->managed) {
        status = all->loads ? ask_or_load(conn, &key, wanted)
                            : managed_ask(all->worker, &key, &value, &wanted->reader,
                                          &wanted->found, &foreign);
    }
    if (status == PENDING) {
        all->waiting++;
        wanted->hash = key.at.hash;
        asked_add(&all->asked, wanted->hash);
        all->foreign = all->foreign || foreign;
    } else {
        trouble_note(&all->trouble, status, false,
                     managed_matter_of(status, key.at.bytes, (struct slice){0}));
    }
}

static void ask_for_piece(struct several *all, struct conn *conn)
{
    const uint32_t left = all->count - all->piece_begin;
    const uint32_t count = left < PIECE_KEYS ? left : PIECE_KEYS;
    load_gate_close(&all->gate);
    for (uint32_t i = 0; i < count && all->trouble.status == OK; i++) {
        ask_for(all, conn, i);
        all->asked_count++;
    }
    if (all->waiting > 0) {
        load_gate_begin(&all->gate);
    }
}

/* A turn later. */
static void several_go_on(struct step *step)
{
    struct several *all = LIST_ENTRY(step, struct several, step);
    struct conn *conn = all->answer->conn;
    if (conn != NULL) {
        const bool tracks = conn->session.tracking != NULL;
        if (tracks) {
            tiers_window_tracks(all->worker->window, true, all->worker->now_ms);
        }
        ask_for_piece(all, conn);
        if (tracks) {
            tiers_window_tracks(all->worker->window, false, 0);
        }
    }
    if (all->waiting == 0) {
        piece_is_over(all);
    }
}

/* --- the commands ------------------------------------------------------------------------------------------------------- */

/* NULL: no memory. */
static struct several *several_new(const struct call *call, bool loads)
{
    const uint32_t count = call->argc - 1;
    const uint32_t room = count < PIECE_KEYS ? count : PIECE_KEYS;
    struct slice *kept = count > PIECE_KEYS ? call_keep_args(call) : NULL;
    struct several *all = malloc(sizeof(*all) + room * sizeof(all->keys[0]));
    if (all == NULL || (kept == NULL && count > PIECE_KEYS)) {
        free(kept);
        free(all);
        return NULL;
    }
    *all = (struct several){
        .step = {.run = several_go_on},
        .worker = call->worker,
        .loads = loads,
        .db = call->db,
        .names = kept != NULL ? &kept[1] : &call->argv[1],
        .kept = kept,
        .count = count,
    };
    return all;
}

static void read_several(struct call *call, bool loads)
{
    struct several *all = several_new(call, loads);
    if (all == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    if (all->count > PIECE_KEYS) { /* what is put off may travel on whatever link */
        all->answer = call_defer(call, WAIT_FOREIGN);
        several_go_on(&all->step);
        return;
    }
    ask_for_piece(all, call->conn);
    if (all->waiting > 0) {
        all->answer = call_defer(call, managed_read_waits(call->conn, all->foreign));
    } else {
        tell_piece(all, call->reply);
        several_end(all, call->reply);
    }
}

void managed_mget(struct call *call)
{
    read_several(call, true);
}

void managed_exists(struct call *call)
{
    read_several(call, false);
}
