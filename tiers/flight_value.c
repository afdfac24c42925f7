/* SPDX-License-Identifier: BSD-3-Clause */
/* flight_value.c -- what L2 answered to a flight, as an item: of a plain value, of a hash, of an envelope. */
#include "protocol/fields.h"
#include "tiers/flight_inner.h"
#include "tiers/managed.h"
#include "tiers/sighting.h"

#include <string.h>

/* The value as an item, which lives as long as L2 says, or as its namespace allows. */
static struct item *flight_item(const struct flight *flight, struct slice value)
{
    const struct namespace *ns = window_key(flight->window, &flight->key).ns;
    const int64_t ttl_ms = namespace_ttl_ms(ns);
    const bool is_capped = ttl_ms > 0 && (flight->pttl_ms < 0 || flight->pttl_ms > ttl_ms);
    const int64_t life_ms = is_capped ? ttl_ms : flight->pttl_ms;
    const struct item_spec spec = {
        .db = flight->key.db,
        .key = flight->key.bytes,
        .value_size = value.size,
        .expire_at_ms = life_ms >= 0 ? flight->issued_at_ms + life_ms : ITEM_NEVER,
        .stamped_at_ms = flight->issued_at_ms,
        .look = flight->of_hash ? ITEM_LOOK_PACKED : ITEM_LOOK_PLAIN,
        .capped = is_capped,
    };
    /* Without a token it will not stand anywhere. */
    return item_write(
        flight->token == 0 ? item_new(&spec) : l1_item_new(ns->l1, flight->key.hash, &spec), value);
}

bool flight_error_is_of_words(struct slice error)
{
    return slice_begins(error, "NOPERM") || slice_begins(error, "ERR");
}

/* The reply to HSCAN as an item, NULL for nil. */
static enum status flight_read_hash(const struct flight *flight, struct slice reply,
                                    struct item **ret_item)
{
    const struct tiers_window *window = flight->window;
    struct fields_draft draft;
    enum status status = fields_open(&draft, l1_secret(window_key(window, &flight->key).ns->l1),
                                     (struct slice){0}, reply.size < LIMIT_HASH ? reply.size : 0);
    if (status == OK) {
        status = reply.size > LIMIT_HASH ? TOO_BIG : fields_read_scan(&draft, reply);
    }
    const struct slice fields = fields_bytes(&draft);
    if (status == OK && fields_count(fields) > (size_t)window->hash_fields_max) {
        status = TOO_BIG;
    }
    if (status == OK) {
        *ret_item = flight_item(flight, fields);
        status = *ret_item != NULL ? OK : NO_MEMORY;
    }
    fields_close(&draft);
    return status == MISS ? OK : status == MALFORMED ? L2_DOWN : status;
}

/* An envelope, or what a stranger wrote in its place: a string, or something else. */
static enum status flight_read_managed(const struct flight *flight, struct slice bytes,
                                       bool is_other, struct item **ret_item)
{
    struct namespace *ns = window_key(flight->window, &flight->key).ns;
    const struct managed_read read = {
        .window = flight->window,
        .ns = ns,
        .l1 = flight->token == 0 ? NULL : ns->l1,
        .key = flight->key,
        .bytes = bytes,
        .pttl_ms = flight->pttl_ms,
        .issued_at_ms = flight->issued_at_ms,
        .is_other = is_other,
    };
    const enum status status = managed_decode(&read, ret_item);
    if (status == MALFORMED) {
        metrics_count(flight->window->options.metrics, M_ENVELOPES_MALFORMED);
    }
    return status == MALFORMED || status == MISS ? OK : status; /* the item says which version */
}

enum status flight_read_large(struct flight *flight, struct slice beginning, struct item **ret_item)
{
    struct namespace *ns = window_key(flight->window, &flight->key).ns;
    const struct managed_read read = {
        .window = flight->window,
        .ns = ns,
        .l1 = flight->token == 0 ? NULL : ns->l1,
        .key = flight->key,
        .bytes = beginning,
        .pttl_ms = flight->pttl_ms,
        .issued_at_ms = flight->issued_at_ms,
    };
    const enum status status = managed_decode_large(&read, flight->large_size, ret_item);
    return status == MISS ? L2_DOWN : status; /* its beginning was looked at before */
}

enum status flight_read_value(struct flight *flight, struct slice reply, struct item **ret_item,
                              struct slice *ret_error)
{
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (reply_next(&cursor, &element) != OK) {
        return L2_DOWN;
    }
    if (element.type == REPLY_NULL) {
        return OK;
    }
    if (element.type == REPLY_ERROR || element.type == REPLY_BULK_ERROR) {
        if (flight->managed && !flight_error_is_of_l2(element.text)) { /* WRONGTYPE: it is there */
            return flight_read_managed(flight, (struct slice){0}, true, ret_item);
        }
        *ret_error = element.text;
        return flight->step == FLIGHT_SCAN && flight_error_is_of_words(element.text) ? TOO_BIG
                                                                                     : L2_ERROR;
    }
    if (flight->of_hash) {
        return flight_read_hash(flight, reply, ret_item);
    }
    if (element.type != REPLY_BULK) {
        return L2_DOWN;
    }
    if (flight->managed) {
        return flight_read_managed(flight, element.text, false, ret_item);
    }
    const struct tiers_window *window = flight->window;
    if (sighting_look(tiers_sighting(window->options.tiers), window_key(window, &flight->key).ns,
                      flight->key.bytes, element.text)) {
        metrics_count(window->options.metrics, M_ENVELOPES_IN_PLAIN);
    }
    *ret_item = flight_item(flight, element.text);
    return *ret_item != NULL ? OK : NO_MEMORY;
}
