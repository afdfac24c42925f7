/* SPDX-License-Identifier: BSD-3-Clause */
/* flight_guest.c -- readers of other workers: each is a letter that joins the flight, and goes home with the answer. */
#include "tiers/flight_inner.h"

#include <stdlib.h>
#include <string.h>

/* A reader on another worker, waiting for this one's flight. Travels there and back. */
struct flight_guest {
    struct tiers_post post;
    struct flight_guest *next;
    struct tiers_window *home; /* the reader's */
    struct tiers_reader *reader;
    uint64_t token;
    int64_t fence_ms;
    int proto;
    bool of_hash; /* as the reader */
    bool takes_large;
    /* the result, for the way back */
    bool missed;
    enum status status;
    struct item *item;
    struct buf error;
    struct l1_key key; /* bytes in `bytes` */
    char bytes[];
};

static void guest_on_home(struct tiers_post *post, struct tiers_window *at);

static void guest_free(struct flight_guest *guest)
{
    item_release(guest->item);
    buf_done(&guest->error);
    free(guest);
}

/* Sends a guest home. The way back is not optional: the roof posts it past the limit of the mailbox, and only a worker
 * that has ended, whose readers are gone with it, does not get it. */
static void guest_send_home(struct tiers_window *window, struct flight_guest *guest)
{
    guest->post.open = guest_on_home;
    if (window->options.post(window->options.io.roof, guest->home->options.worker, &guest->post,
                             true) != OK) {
        guest_free(guest);
    }
}

/* A guest's call lets nothing be sent behind it before it has landed, so nobody need ask him. */
bool flight_guests_take_large(const struct flight *flight)
{
    const struct flight_guest *guest = flight->guests;
    while (guest != NULL && guest->takes_large) {
        guest = guest->next;
    }
    return guest == NULL;
}

void flight_tell_guests(struct flight *flight, enum status status, const struct tiers_value *value)
{
    struct flight_guest *guest = flight->guests;
    while (guest != NULL) {
        struct flight_guest *next = guest->next;
        guest->status = status;
        guest->item = value->item == NULL ? NULL : item_ref(value->item);
        if (value->error.size > 0 && buf_append_slice(&guest->error, value->error) != OK) {
            guest->status = NO_MEMORY;
        }
        guest_send_home(flight->window, guest);
        guest = next;
    }
}

/* The flight had landed: look once more, and read alone if there is nothing. */
static enum status guest_look_again(struct flight_guest *guest, struct tiers_window *at,
                                    struct tiers_value *ret_value)
{
    struct l1_value found = {0};
    const struct ns_key key = window_key(at, &guest->key);
    const struct contract contract = window_contract(at, key.ns, guest->reader->wish);
    if (key.ns->managed == guest->reader->managed &&
        l1_get(key.ns->l1, &key.at, at->now_ms, contract.serve_from_ms, &found) == OK &&
        !window_withholds(guest->reader, found.bytes)) {
        ret_value->item = guest->item = found.item;
        return OK;
    }
    bool in_row = false; /* its reader waits as for a foreign one */
    return flight_begin(at, &key, guest->proto, 0, contract.fence_ms, guest->reader, &in_row);
}

/* Back on the reader's loop. */
static void guest_on_home(struct tiers_post *post, struct tiers_window *at)
{
    struct flight_guest *guest = (struct flight_guest *)(void *)post;
    struct tiers_value value = {.item = guest->item, .error = buf_slice(&guest->error)};
    enum status status = guest->status;
    if (guest->missed) {
        status = guest_look_again(guest, at, &value);
    }
    if (status != PENDING) {
        flight_tell_reader(at, &guest->key, guest->reader, status, &value);
    }
    guest_free(guest);
}

/* On the loop that owns the flight. */
static void guest_on_arrival(struct tiers_post *post, struct tiers_window *at)
{
    struct flight_guest *guest = (struct flight_guest *)(void *)post;
    struct flight *flight = flight_find(at, &guest->key, guest->token);
    if (flight == NULL || flight->fence_ms > guest->fence_ms || flight->of_hash != guest->of_hash) {
        guest->missed = true;
        guest_send_home(at, guest);
        return;
    }
    guest->next = flight->guests;
    flight->guests = guest;
}

enum status flight_visit(struct tiers_window *window, const struct l1_key *key, int proto,
                         const struct l1_claim *claim, int64_t fence_ms,
                         struct tiers_reader *reader)
{
    struct flight_guest *guest = malloc(sizeof(*guest) + key->bytes.size);
    if (guest == NULL) {
        return NO_MEMORY;
    }
    *guest = (struct flight_guest){.post = {.open = guest_on_arrival},
                                   .home = window,
                                   .reader = reader,
                                   .token = claim->token,
                                   .fence_ms = fence_ms,
                                   .proto = proto,
                                   .of_hash = reader->of_hash,
                                   .takes_large = reader->takes_large != NULL,
                                   .key = *key};
    memcpy(guest->bytes, key->bytes.data, key->bytes.size);
    guest->key.bytes.data = guest->bytes;
    if (window->options.post(window->options.io.roof, claim->owner, &guest->post, false) != OK) {
        free(guest);
        return BUSY;
    }
    return PENDING;
}
