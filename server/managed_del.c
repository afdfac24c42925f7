/* SPDX-License-Identifier: BSD-3-Clause */
/* DEL and UNLINK of managed keys. They go out together as far as a group has room for them (tiers/managed_write.h), and in
 * pieces of so many as may be asked for in one turn of the loop:
 *
 *      managed_del > ask_for_piece ~> on_written of each > the next piece, in a turn of its own ...   > the answer lands
 *
 * What goes wrong with one key stops no other of its piece, and then no further piece begins: the answer is the first error. A
 * client that leaves meanwhile has said what it wants, and it is done. */
#include "server/conn.h"
#include "server/leases.h"
#include "server/managed.h"
#include "server/managed_edit.h"
#include "server/node.h"
#include "server/steps.h"
#include "server/trouble.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

enum {
    PIECE_KEYS = 512
};

struct deletion;

struct one_of {
    struct managed_write write;
    bool ends_lease; /* of the client; its token is the write's */
    struct deletion *all;
};

struct deletion {
    struct step step;
    struct answer *answer; /* NULL while nothing is waited for */
    struct worker *worker;
    struct slice *args; /* the call's (call_keep_args) */
    uint8_t db;
    uint32_t count;
    uint32_t asked_count; /* of all */
    uint32_t waiting;
    uint32_t stood; /* keys that were there */
    struct trouble trouble;
    struct one_of keys[]; /* of the piece */
};

static void deletion_end(struct deletion *all, struct reply *reply)
{
    const struct managed_write outcome = {.confirmed = all->trouble.confirmed};
    if (all->trouble.status == OK) {
        reply_integer(reply, all->stood);
    } else {
        managed_refuse_write(reply, all->worker, &outcome, all->trouble.status,
                             buf_slice(&all->trouble.matter));
    }
    trouble_clear(&all->trouble);
    free(all->args);
    free(all);
}

/* Nothing is waited for, and the call is deferred. */
static void piece_is_over(struct deletion *all)
{
    struct answer *answer = all->answer;
    if (all->asked_count < all->count && all->trouble.status == OK) {
        steps_add(all->worker, &all->step);
        return;
    }
    deletion_end(all, &answer->reply);
    answer_land(answer);
}

/* The key was not written, so its lease stands, and nobody renews it. */
static void hand_on(const struct one_of *key)
{
    if (key->ends_lease) {
        load_release(key->all->worker->window, &key->write.key, key->write.token);
    }
}

static void on_written(struct managed_write *write, enum status status, uint64_t seq,
                       struct slice error)
{
    const struct one_of *key = LIST_ENTRY(write, struct one_of, write);
    struct deletion *all = key->all;
    (void)seq;
    all->stood += status == OK && write->stood;
    if (status == OK) {
        managed_tell_written(all->worker, write);
    } else {
        hand_on(key);
    }
    trouble_note(&all->trouble, status, write->confirmed, error);
    if (--all->waiting == 0) {
        piece_is_over(all);
    }
}

/* `conn` NULL: the client is gone. */
static void ask_for(struct deletion *all, struct conn *conn, struct one_of *key, struct slice name)
{
    const struct ns_key at = namespaces_key(all->worker->node->namespaces, all->db, name);
    *key = (struct one_of){
        .all = all,
        .write = {.on_written = on_written, .op = MANAGED_DELETE, .key = at.at},
    };
    enum status status = BUSY; /* a reload has made it a plain one since the call came */
    if (at.ns->managed) {
        key->ends_lease = leases_take(conn, &at.at, key->write.token);
        status = managed_write_send(all->worker->window, &key->write);
        if (status != OK) {
            hand_on(key);
        }
    }
    trouble_note(&all->trouble, status, false, (struct slice){0});
    all->waiting += status == OK;
}

static void ask_for_piece(struct deletion *all, struct conn *conn)
{
    for (uint32_t i = 0; i < PIECE_KEYS && all->asked_count < all->count; i++) {
        ask_for(all, conn, &all->keys[i], all->args[++all->asked_count]);
    }
}

static void on_step(struct step *step)
{
    struct deletion *all = LIST_ENTRY(step, struct deletion, step);
    ask_for_piece(all, all->answer->conn);
    if (all->waiting == 0) {
        piece_is_over(all);
    }
}

static struct deletion *deletion_new(const struct call *call)
{
    const uint32_t count = call->argc - 1;
    const uint32_t room = count < PIECE_KEYS ? count : PIECE_KEYS;
    struct slice *args = call_keep_args(call);
    struct deletion *all = malloc(sizeof(*all) + room * sizeof(all->keys[0]));
    if (all == NULL || args == NULL) {
        free(args);
        free(all);
        return NULL;
    }
    *all = (struct deletion){.step = {.run = on_step},
                             .worker = call->worker,
                             .args = args,
                             .db = call->db,
                             .count = count};
    return all;
}

void managed_del(struct call *call)
{
    struct deletion *all = deletion_new(call);
    if (all == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    ask_for_piece(all, call->conn);
    if (all->waiting == 0) {
        deletion_end(all, call->reply);
        return;
    }
    /* What has not been asked for yet must not be overtaken by another write. */
    all->answer = call_defer(call, all->asked_count < all->count ? WAIT_DECISION : WAIT_MANAGED);
}

void managed_unlink(struct call *call)
{
    managed_del(call);
}
