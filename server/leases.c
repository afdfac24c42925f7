/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/leases.h"

#include "server/node.h"
#include "server/steps.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

enum {
    LEASES_PIECE = 256 /* are handed on in one turn of the loop */
};

struct leases {
    struct worker *worker;
    struct step step; /* when its connection has none of it any more */
    struct map by_key;
    struct list all; /* the oldest first */
};

static uint64_t hash_of(const struct l1_key *key)
{
    return key->hash ^ key->db * UINT64_C(0x9e3779b97f4a7c15);
}

static void lease_unlink(struct worker *worker, struct lease *lease)
{
    map_remove(&lease->leases->by_key, &lease->by_key);
    list_remove(&lease->in_leases);
    list_remove(&lease->in_worker);
    worker->lease_count--;
}

static void lease_drop(struct worker *worker, struct lease *lease)
{
    lease_unlink(worker, lease);
    free(lease);
}

/* Last: others who wait for the key may be answered, and go on, and the connection's table may be another one then, or
 * gone. */
static void lease_hand_on(struct worker *worker, struct lease *lease)
{
    lease_unlink(worker, lease);
    load_release(worker->window, &lease->key, lease->token);
    free(lease);
}

static struct lease *find(struct conn *conn, const struct l1_key *key)
{
    struct leases *leases = conn->leases;
    if (leases == NULL) {
        return NULL;
    }
    for (struct map_node *node = map_find(&leases->by_key, hash_of(key)); node != NULL;
         node = map_next(node)) {
        struct lease *lease = MAP_ENTRY(node, struct lease, by_key);
        if (lease->key.db != key->db || !slice_equal(lease->key.bytes, key->bytes)) {
            continue;
        }
        if (conn->worker->now_ms < lease->until_ms) {
            return lease;
        }
        lease_drop(conn->worker, lease); /* its window has ended it */
        return NULL;
    }
    return NULL;
}

const struct lease *leases_find(struct conn *conn, const struct l1_key *key)
{
    return find(conn, key);
}

bool leases_any(const struct conn *conn)
{
    return conn->leases != NULL && conn->leases->by_key.count > 0;
}

void leases_forget(struct conn *conn, const struct l1_key *key)
{
    struct lease *lease = find(conn, key);
    if (lease != NULL) {
        lease_hand_on(conn->worker, lease);
    }
}

bool leases_take(struct conn *conn, const struct l1_key *key, char ret_token[LEASE_TOKEN_SIZE])
{
    struct lease *lease = conn == NULL || conn->leases == NULL ? NULL : find(conn, key);
    if (lease != NULL) {
        memcpy(ret_token, lease->token, LEASE_TOKEN_SIZE);
        lease_drop(conn->worker, lease);
    }
    return lease != NULL;
}

static void leases_on_step(struct step *step);

static struct leases *leases_of(struct conn *conn)
{
    if (conn->leases == NULL) {
        conn->leases = calloc(1, sizeof(*conn->leases));
        if (conn->leases != NULL) {
            conn->leases->worker = conn->worker;
            conn->leases->step.run = leases_on_step;
            list_init(&conn->leases->all);
        }
    }
    return conn->leases;
}

static struct lease *lease_new(struct worker *worker, const struct load_result *won, bool plain)
{
    struct lease *lease = malloc(sizeof(*lease) + won->key->bytes.size);
    if (lease == NULL) {
        return NULL;
    }
    const struct namespace *ns = namespace_of(worker->node->namespaces, won->key->bytes);
    *lease = (struct lease){.key = *won->key,
                            .plain = plain,
                            .won_at_ms = worker->now_ms,
                            .until_ms = worker->now_ms + namespace_rules(ns).load_timeout_ms};
    memcpy(lease->token, won->token, LEASE_TOKEN_SIZE);
    if (won->key->bytes.size > 0) {
        memcpy(lease->bytes, won->key->bytes.data, won->key->bytes.size);
    }
    lease->key.bytes.data = lease->bytes;
    return lease;
}

void leases_add(struct worker *worker, struct conn *conn, const struct load_result *won, bool plain)
{
    const bool may_fill = conn != NULL && conn->state == CONN_OPEN;
    struct leases *leases = may_fill ? leases_of(conn) : NULL;
    struct lease *lease = leases == NULL ? NULL : find(conn, won->key);
    if (lease != NULL && memcmp(lease->token, won->token, LEASE_TOKEN_SIZE) == 0) {
        return; /* told once more */
    }
    if (lease != NULL) {
        lease_drop(worker, lease);
    }
    lease = leases == NULL ? NULL : lease_new(worker, won, plain);
    if (lease == NULL || map_add(&leases->by_key, &lease->by_key, hash_of(won->key)) != OK) {
        free(lease);
        load_release(worker->window, won->key, won->token);
        return;
    }
    lease->leases = leases;
    list_push_back(&leases->all, &lease->in_leases);
    list_push_back(&worker->leases, &lease->in_worker);
    if (++worker->lease_count > LEASES_MAX) {
        lease_hand_on(worker, LIST_ENTRY(worker->leases.next, struct lease, in_worker));
    }
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */

/* A piece of them: each is a request to L2. They belong to no connection any more. */
static void leases_hand_on(struct leases *leases)
{
    struct worker *worker = leases->worker;
    for (unsigned i = 0; i < LEASES_PIECE && !list_empty(&leases->all); i++) {
        lease_hand_on(worker, LIST_ENTRY(leases->all.next, struct lease, in_leases));
    }
    if (!list_empty(&leases->all)) {
        steps_add(worker, &leases->step);
        return;
    }
    map_done(&leases->by_key);
    free(leases);
}

static void leases_on_step(struct step *step)
{
    leases_hand_on(LIST_ENTRY(step, struct leases, step));
}

/* Of those whose client knows tokens. */
static void keep_for(struct conn *conn, struct lease *lease)
{
    struct leases *leases = leases_of(conn);
    if (leases == NULL) {
        return;
    }
    map_remove(&lease->leases->by_key, &lease->by_key);
    if (map_add(&leases->by_key, &lease->by_key, hash_of(&lease->key)) != OK) {
        (void)!map_add(&lease->leases->by_key, &lease->by_key, hash_of(&lease->key));
        return;
    }
    list_remove(&lease->in_leases);
    list_push_back(&leases->all, &lease->in_leases);
    lease->leases = leases;
}

void leases_end_plain(struct conn *conn)
{
    struct leases *leases = conn->leases;
    struct list *next = NULL;
    if (leases == NULL) {
        return;
    }
    conn->leases = NULL;
    for (struct list *node = leases->all.next; node != &leases->all; node = next) {
        next = node->next;
        struct lease *lease = LIST_ENTRY(node, struct lease, in_leases);
        if (!lease->plain) {
            keep_for(conn, lease);
        }
    }
    leases_hand_on(leases);
}

void leases_end(struct conn *conn)
{
    struct leases *leases = conn->leases;
    conn->leases = NULL;
    if (leases != NULL) {
        leases_hand_on(leases);
    }
}
