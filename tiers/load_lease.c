/* SPDX-License-Identifier: BSD-3-Clause */
/* load_lease.c -- calls of the lease script, on the window's RESP2 link. Whatever became of a load when the answer comes, a
 * lease that nobody wants any more is handed back.
 *
 * Such a call counts as a read: if its answer is lost it may have run, or run later, and then a lease stands that nobody
 * renews. */
#include "tiers/load_inner.h"

#include <stdlib.h>
#include <string.h>

struct lease_call {
    struct link_request request; /* first: it is cast back */
    struct loads *loads;
    enum lease_verb verb;
    char token[LEASE_TOKEN_SIZE];
    load_ended_fn *on_ended; /* NULL: nobody */
    void *arg;
    struct l1_key key;
    char bytes[];
};

void load_call_on_ended(struct lease_call *call, load_ended_fn *on_ended)
{
    call->on_ended = on_ended;
}

void load_fail_tells(struct lease_call *call, void *arg)
{
    call->arg = arg;
}

static bool is_of(const struct load *load, const struct lease_call *call, enum load_state state)
{
    return load != NULL && load->state == state &&
           memcmp(load->token, call->token, LEASE_TOKEN_OWN_SIZE) == 0;
}

static void call_on_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct lease_call *call = (struct lease_call *)(void *)request;
    struct loads *loads = call->loads;
    struct load *load = load_find(loads, &call->key);
    struct lease_answer answer = {0};
    char error[LEASE_ERROR_MAX] = "";
    if (status == OK) {
        status = lease_read(reply, &answer, error);
        status = status == MALFORMED ? L2_DOWN : status;
    }
    if (call->verb == LEASE_WIN && is_of(load, call, LOAD_LEASING)) {
        load_on_win(load, status, &answer, slice_of(error));
    } else if (call->verb == LEASE_WIN && status == OK && answer.kind == LEASE_WON) {
        load_release(loads->window, &call->key, answer.token);
    } else if (call->verb == LEASE_RENEW && is_of(load, call, LOAD_HELD)) {
        load_on_renewed(load, status, &answer);
    }
    if (call->on_ended != NULL) {
        const bool is_lost = status == OK && answer.kind != LEASE_DONE;
        call->on_ended(call->arg, is_lost ? MISS : status, call->key.bytes, slice_of(error));
    }
    free(call);
}

static struct lease_call *call_new(struct loads *loads, const struct l1_key *key,
                                   const struct lease_request *request)
{
    struct lease_call *call = malloc(sizeof(*call) + key->bytes.size);
    if (call == NULL) {
        return NULL;
    }
    *call = (struct lease_call){
        .request = {.on_reply = call_on_reply,
                    .deadline_ms = loads->window->now_ms + loads->window->read_timeout_ms},
        .loads = loads,
        .verb = request->verb,
        .key = *key,
    };
    memcpy(call->token, request->token, LEASE_TOKEN_SIZE);
    if (key->bytes.size > 0) {
        memcpy(call->bytes, key->bytes.data, key->bytes.size);
    }
    call->key.bytes.data = call->bytes;
    return call;
}

struct lease_call *load_ask_lease(struct loads *loads, const struct l1_key *key,
                                  struct lease_request *request)
{
    struct tiers_window *window = loads->window;
    struct link *link = window_link(window, 2);
    struct coherence_description seen;
    if (link == NULL) {
        return NULL;
    }
    coherence_describe(tiers_coherence(window->options.tiers), &seen);
    request->coherence_db = tiers_coherence_db(window->options.tiers);
    request->epoch = seen.epoch;
    request->node = tiers_node(window->options.tiers);
    request->nonce = rand_next(&loads->rand);
    request->key = key;
    struct lease_call *call = call_new(loads, key, request);
    if (call == NULL) {
        return NULL;
    }
    window->scratch.size = 0;
    enum status status = lease_write(&window->scratch, request);
    if (status == OK) {
        status = link_ask(link, &call->request, -1, buf_slice(&window->scratch));
    }
    if (status != OK) {
        free(call);
        return NULL;
    }
    return call;
}
