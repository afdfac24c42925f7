/* SPDX-License-Identifier: BSD-3-Clause */
/* flight_verdict.c -- the second question of a flight: what its managed value is worth, while this node may have missed bans
 * (verdict.h). It goes behind the first on the same link, within the same proof of it. */
#include "tiers/flight_inner.h"
#include "tiers/managed.h"
#include "tiers/verdict.h"

/* Within T: what L2 gives is shown as fresh, also where the mode lets what is in L1 be older. */
static bool hears_bans(const struct tiers_window *window, const struct namespace *ns)
{
    return namespace_kind(ns) == NAMESPACE_AVAILABLE
               ? proof_reaches(window_proof(window, ns), namespace_bound_ms(ns))
               : window_hears_bans(window, ns);
}

static bool is_needed(const struct flight *flight, const struct namespace *ns,
                      const struct item *item)
{
    struct managed_value value;
    const struct bans *bans = tiers_bans(flight->window->options.tiers);
    return item != NULL && flight->managed && ns->managed && !flight_is_in_background(flight) &&
           !(bans_is_whole(bans) && hears_bans(flight->window, ns)) &&
           managed_open(item_value(item), item_expire_at_ms(item), &value) == OK &&
           (value.flags & MANAGED_UNREADABLE) == 0;
}

static void on_verdict(struct link_request *request, enum status status, struct slice reply)
{
    struct flight *flight = LIST_ENTRY(request, struct flight, verdict_request);
    struct tiers_value value = {.item = flight->item};
    flight->window->kept_bytes -= item_value(flight->item).size;
    flight->item = NULL;
    if (status == OK) {
        const enum ban_verdict bans = verdict_read(reply);
        flight->judged = bans != BAN_UNKNOWN;
        managed_set_verdict(value.item, bans);
    }
    flight_landed(flight, status, &value);
}

/* What Redis does for one is more than a read costs it, and the bus may be silent because it is slow. */
static bool are_too_many(const struct tiers_window *window)
{
    if (window->verdicts < VERDICTS_PER_TICK) {
        return false;
    }
    metrics_count(window->options.metrics, M_VERDICTS_TOO_MANY);
    return true;
}

bool flight_ask_verdict(struct flight *flight, struct slice reply, struct item *item)
{
    struct tiers_window *window = flight->window;
    const struct namespace *ns = window_key(window, &flight->key).ns;
    const uint64_t heard_seq = coherence_known_seq(window->view);
    const struct bans_reach reach = bans_reach(tiers_bans(window->options.tiers), heard_seq);
    struct reply_cursor cursor = {reply};
    struct reply_element element = {0};
    struct link *link = window_link(window, flight->proto);
    if (!is_needed(flight, ns, item) || reach.epoch.counter == 0 || link == NULL ||
        link != flight->link || window->kept_bytes > WINDOW_KEPT_BYTES_MAX ||
        (flight->large_size == 0 && reply_next(&cursor, &element) != OK) || are_too_many(window)) {
        return false;
    }
    const struct verdict_question question = {
        .coherence_db = tiers_coherence_db(window->options.tiers),
        .reach = reach,
        .ns = ns,
        .key = flight->key.bytes,
        .bytes = flight->large_size == 0 ? element.text : reply,
        .size = flight->large_size,
    };
    flight->verdict_request = (struct link_request){
        .on_reply = on_verdict,
        .deadline_ms = flight->get_request.deadline_ms,
        .fence_ms = flight->fence_ms,
        .asked_ms = window->now_ms,
    };
    window->scratch.size = 0;
    if (verdict_write(&window->scratch, &question) != OK ||
        link_ask(link, &flight->verdict_request, -1, buf_slice(&window->scratch)) != OK) {
        return false;
    }
    flight->item = item;
    window->kept_bytes += item_value(item).size;
    window->verdicts++;
    metrics_count(window->options.metrics, M_VERDICTS);
    return true;
}
