/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/l2_bans.h"

#include "protocol/frame_ban.h"
#include "server/node.h"
#include "tiers/ban_script.h"
#include "tiers/bans.h"
#include "tiers/bans_sweep.h"
#include "tiers/base/list.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

enum {
    CLEAN_STEPS = 500, /* rows per tick: 20,000 per second */
    SWEEP_LOOKS = 512, /* values per tick */
    AGAIN_MS = 100     /* behind a refusal */
};

enum asked {
    ASKED_NOTHING,
    ASKED_PAGE,
    ASKED_KNOW,
    ASKED_CLEAN
};

struct l2_bans {
    struct node *node;
    struct link *control; /* as of the last tick */
    int64_t now_ms;
    bool bus_whole; /* nothing is missed on the bus since the last on_whole */
    bool wants;     /* the table must be read */
    bool loaded;    /* it was, and nothing was missed since that was not heard again */
    uint64_t cursor;
    int64_t life_ms;    /* longest of any value that any node said, as L2 knew last; 0: for ever */
    int64_t said_ms;    /* what is under way says so of it */
    bool said;          /* this node's life, ever */
    bool knew;          /* something, before the load that is under way */
    struct epoch epoch; /* of the pages */
    struct epoch told;  /* the last one in which this node said what it knows */
    size_t tell_place;  /* SIZE_MAX: from the beginning; 0: all is said */
    struct buf over;    /* rows that bind nothing, if L2 agrees */
    struct bans_sweep *sweep; /* from the first tick that has something to sweep */
    struct buf scratch;
    enum asked asked;
    uint64_t gaps;       /* counts them */
    uint64_t asked_gaps; /* as it was then */
    int64_t not_before_ms;
    bool told_trouble;
    struct link_request request;
};

static struct bans *table(const struct l2_bans *bans)
{
    return tiers_bans(bans->node->tiers);
}

struct l2_bans *l2_bans_new(struct node *node)
{
    struct l2_bans *bans = calloc(1, sizeof(*bans));
    if (bans != NULL) {
        bans->node = node;
        bans->wants = true;
    }
    return bans;
}

void l2_bans_free(struct l2_bans *bans)
{
    if (bans != NULL) {
        bans_sweep_free(bans->sweep);
        buf_done(&bans->over);
        buf_done(&bans->scratch);
        free(bans);
    }
}

/* --- what coherence says ------------------------------------------------------------------------------------------- */

bool l2_bans_on_ban(struct l2_bans *bans, const struct frame *frame)
{
    return bans_add_all(table(bans), frame->body, frame->seq_first,
                        clock_now_ms(&bans->node->clock)) == OK;
}

void l2_bans_on_gap(struct l2_bans *bans)
{
    bans->gaps++;
    bans->bus_whole = false;
    if (bans_is_whole(table(bans))) {
        const struct coherence *coherence = tiers_coherence(bans->node->tiers);
        bans_set_reach(table(bans), coherence_known_seq(coherence_view(coherence)));
    }
    bans_set_whole(table(bans), false);
}

static void begin_loading(struct l2_bans *bans)
{
    bans->wants = true;
    bans->loaded = false;
    bans->cursor = 0;
    bans->knew = bans_count(table(bans)) > 0;
    bans->epoch = (struct epoch){0};
}

void l2_bans_on_whole(struct l2_bans *bans, bool replayed)
{
    bans->bus_whole = true;
    if (replayed && bans->loaded) {
        bans_set_whole(table(bans), true);
    } else {
        begin_loading(bans);
    }
}

/* --- answers ------------------------------------------------------------------------------------------------------- */

static void be_refused(struct l2_bans *bans, const char *why)
{
    bans->not_before_ms = bans->now_ms + AGAIN_MS;
    if (!bans->told_trouble) {
        bans->told_trouble = true;
        log_write(&bans->node->log, LOG_WARNING, "bans",
                  "L2 does not say what was invalidated, so managed values are not served: %s",
                  why);
    }
}

/* Of the epoch that this node is in, too; the first page says which one all must be of. */
static bool is_of_this_epoch(struct l2_bans *bans, struct epoch epoch)
{
    struct coherence_description seen;
    coherence_describe(tiers_coherence(bans->node->tiers), &seen);
    if (bans->epoch.counter == 0) {
        bans->epoch = epoch;
    }
    return epoch_equal(epoch, bans->epoch) && epoch_equal(epoch, seen.epoch);
}

/* The script leaves out what cannot be read; whatever comes all the same must not keep a node from serving for ever. What is
 * issued from here on comes on the bus. */
static void take_unreadable(struct l2_bans *bans)
{
    struct coherence_description seen;
    coherence_describe(tiers_coherence(bans->node->tiers), &seen);
    bans_give_up(table(bans), seen.seq);
    log_write(&bans->node->log, LOG_WARNING, "bans",
              "L2's table is malformed: all managed values of before are invalid on this node");
}

static void take_page(struct l2_bans *bans, const struct ban_page *page)
{
    if (!is_of_this_epoch(bans, page->epoch)) {
        begin_loading(bans);
        be_refused(bans, "its table changes its epoch");
        return;
    }
    if (bans_add_all(table(bans), buf_slice(&page->entries), 0, bans->now_ms) != OK) {
        take_unreadable(bans);
    }
    bans->cursor = page->cursor;
    bans->life_ms = page->life_ms;
    bans->said = true;
    if (bans->cursor != 0) {
        return;
    }
    bans->wants = false;
    bans->loaded = true;
    bans->told_trouble = false;
    bans_set_epoch(table(bans), bans->epoch);
    bans_set_whole(table(bans), true);
    metrics_count(bans->node->metrics, M_BANS_LOADED);
    if (!epoch_equal(bans->told, bans->epoch)) {
        bans->told = bans->epoch;
        bans->tell_place = bans->knew ? SIZE_MAX : 0;
    }
    log_write(&bans->node->log, LOG_VERBOSE, "bans", "%llu invalidations are known",
              (unsigned long long)bans_count(table(bans)));
}

static void on_page(struct l2_bans *bans, enum status status, struct slice reply)
{
    char error[BAN_ERROR_MAX] = "it does not answer";
    struct ban_page page = {0};
    if (status == OK) {
        status = ban_read_page(reply, &page, error);
    }
    if (status == OK) {
        take_page(bans, &page);
        buf_done(&page.entries);
    } else {
        begin_loading(bans);
        be_refused(bans, status == AGAIN ? "no epoch stands" : error);
    }
}

static void on_known(struct l2_bans *bans, enum status status, struct slice reply)
{
    char error[BAN_ERROR_MAX];
    uint64_t number = 0;
    if (status != OK || ban_read_number(reply, &number, error) != OK) {
        bans->tell_place = SIZE_MAX; /* all of it again */
        bans->not_before_ms = bans->now_ms + AGAIN_MS;
    }
}

/* Where another node's values live longer than was thought, L2 has taken out nothing, and the rows stay here, too. */
static void on_clean(struct l2_bans *bans, enum status status, struct slice reply)
{
    char error[BAN_ERROR_MAX];
    int64_t life_ms = 0;
    if (status != OK || ban_read_life(reply, &life_ms, error) != OK) {
        bans->not_before_ms = bans->now_ms + AGAIN_MS;
        return;
    }
    if (life_ms == bans->said_ms) {
        bans_remove(table(bans), buf_slice(&bans->over));
    }
    bans->life_ms = life_ms;
}

static void ask_next(struct l2_bans *bans);

static void on_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct l2_bans *bans = LIST_ENTRY(request, struct l2_bans, request);
    const enum asked asked = bans->asked;
    bans->asked = ASKED_NOTHING;
    bans->now_ms = clock_now_ms(&bans->node->clock);
    if (bans->asked_gaps !=
        bans->gaps) { /* whatever it is, it was asked before something was missed */
        bans->tell_place = asked == ASKED_KNOW ? SIZE_MAX : bans->tell_place;
        return;
    }
    switch (asked) {
    case ASKED_PAGE: on_page(bans, status, reply); break;
    case ASKED_KNOW: on_known(bans, status, reply); break;
    case ASKED_CLEAN: on_clean(bans, status, reply); break;
    case ASKED_NOTHING: break;
    }
    if (status == OK) {
        ask_next(bans);
    }
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

/* What is in scratch. */
static void ask(struct l2_bans *bans, enum asked what)
{
    const int64_t deadline_ms = bans->now_ms + atomic_load(&bans->node->live.l2_timeout_ms);
    bans->request = (struct link_request){.on_reply = on_reply, .deadline_ms = deadline_ms};
    bans->asked_gaps = bans->gaps;
    bans->asked = what;
    if (link_ask(bans->control, &bans->request, -1, buf_slice(&bans->scratch)) != OK) {
        bans->asked = ASKED_NOTHING;
    }
}

static struct ban_call call_of(const struct l2_bans *bans)
{
    return (struct ban_call){.coherence_db = tiers_coherence_db(bans->node->tiers),
                             .node = bans->node->id,
                             .log_length = (uint64_t)tiers_log_length(bans->node->tiers)};
}

/* By this node's settings, and by all that it has heard of: L2 may have lost what it knew. */
static int64_t longest_life_ms(const struct l2_bans *bans)
{
    const int64_t own_ms = namespaces_longest_life_ms(bans->node->namespaces);
    if (own_ms == 0 || (bans->said && bans->life_ms == 0)) {
        return 0;
    }
    return own_ms > bans->life_ms ? own_ms : bans->life_ms;
}

static void ask_page(struct l2_bans *bans)
{
    const struct ban_call call = call_of(bans);
    if (ban_write_load(&bans->scratch, &call, bans->cursor, longest_life_ms(bans)) == OK) {
        ask(bans, ASKED_PAGE);
    }
}

static void tell(struct l2_bans *bans)
{
    const struct ban_call call = call_of(bans);
    struct buf body = {0};
    const bool more = bans_tell(table(bans), &bans->tell_place, bans->now_ms, &body);
    if (body.size > 0 && ban_write_know(&bans->scratch, &call, buf_slice(&body)) == OK) {
        ask(bans, ASKED_KNOW);
    } else if (more) {
        bans->tell_place = 0; /* no memory */
    }
    buf_done(&body);
}

/* Everything that is older than these is invalid from now on: one row takes the place of all of them, here and on all nodes. */
static void cover(struct l2_bans *bans, uint64_t seq)
{
    const struct slice none = {.data = "", .size = 0};
    const struct ban_call call = call_of(bans);
    struct buf name = {0};
    struct buf body = {0};
    if (frame_ban_name(&name, FRAME_BAN_PREFIX, none, none) == OK &&
        frame_ban_append(&body, buf_slice(&name), 0, seq, 0) == OK &&
        ban_write_know(&bans->scratch, &call, buf_slice(&body)) == OK) {
        ask(bans, ASKED_KNOW);
    }
    buf_done(&name);
    buf_done(&body);
}

/* Settings may have been others when a value was written, or on another node. Longer ones are told to L2 at once: values
 * are written by them from now on. */
static void clean(struct l2_bans *bans)
{
    const struct ban_call call = call_of(bans);
    bans->said_ms = longest_life_ms(bans);
    bans->over.size = 0;
    bans_over(table(bans), bans->now_ms, bans->said_ms, CLEAN_STEPS, &bans->over);
    const uint64_t aged = bans_aged(table(bans));
    if (aged > 0) {
        cover(bans, aged); /* what is over is found by the next pass */
        return;
    }
    if ((bans->over.size > 0 || bans->said_ms != bans->life_ms) &&
        ban_write_clean(&bans->scratch, &call, buf_slice(&bans->over), bans->said_ms) == OK) {
        ask(bans, ASKED_CLEAN);
    }
}

/* An epoch may have begun while nobody listens: what is read then says nothing of what comes until somebody does. */
static bool is_subscribed(const struct l2_bans *bans)
{
    struct coherence_description seen;
    coherence_describe(tiers_coherence(bans->node->tiers), &seen);
    return seen.state != COHERENCE_DETACHED;
}

static void ask_next(struct l2_bans *bans)
{
    if (bans->asked != ASKED_NOTHING || !(bans->wants || bans->tell_place > 0) ||
        !bans->bus_whole || bans->node->namespaces->managed == 0 ||
        link_state(bans->control) != LINK_READY || bans->now_ms < bans->not_before_ms) {
        return;
    }
    bans->scratch.size = 0;
    if (bans->wants && is_subscribed(bans)) {
        ask_page(bans);
    } else if (!bans->wants) {
        tell(bans);
    }
}

static void sweep(struct l2_bans *bans)
{
    if (bans->sweep == NULL) {
        bans->sweep = bans_sweep_new(table(bans), bans->node->namespaces);
    }
    if (bans->sweep != NULL) {
        metrics_add(bans->node->metrics, M_BANS_SWEPT,
                    bans_sweep_step(bans->sweep, bans->now_ms, SWEEP_LOOKS));
    }
}

void l2_bans_flush(struct l2_bans *bans, struct link *control, int64_t now_ms)
{
    bans->control = control;
    bans->now_ms = now_ms;
    ask_next(bans);
}

void l2_bans_tick(struct l2_bans *bans, struct link *control, int64_t now_ms)
{
    l2_bans_flush(bans, control, now_ms);
    bans_reclaim(table(bans));
    if (bans->node->namespaces->managed == 0) {
        return;
    }
    sweep(bans);
    if (bans->asked == ASKED_NOTHING && bans->loaded && now_ms >= bans->not_before_ms &&
        link_state(control) == LINK_READY) {
        bans->scratch.size = 0;
        clean(bans);
    }
}
