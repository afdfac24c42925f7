/* SPDX-License-Identifier: BSD-3-Clause */
/* What was missed of managed namespaces, and whether the log can tell: COHERENCE section 5; replay.h has the question.
 *
 * WHOLE: all frames up to the seq `whole` were obeyed here, or came before the floor. RUN: the frames that followed one
 * another on the bus, from `run` to the newest. While the run begins at or before whole + 1, whole goes with it.
 *
 *      seqs  ----------- whole |   missed, or beats   | run ............... newest
 *                              |<-- the log tells --->|
 *
 * A GAP is whatever may have hidden a frame: a new subscription, a hole, something malformed. From there until it is
 * decided the managed floor is above all stamps, so every read asks L2. The question is asked after the subscription is
 * confirmed, or the hole is found; so what is not in its answer was published afterwards and comes by the bus. Pages are
 * asked for until they tell all up to the seq that was current when the first of them was made. Another gap meanwhile
 * keeps what was learned, for the log is in order and a page has no holes, but a page that was asked for before it cannot
 * be the last one. Beats have no entry, so nothing is concluded from seqs that are missing in a page; but that the oldest
 * entry of the log is not above whole + 1 means that nothing from there on was cut off. A frame that comes by the bus and
 * out of the log is obeyed twice, which ends an entry for nothing at worst.
 *      Decided is it as missed where the log is cut off, gone, malformed, or refused: then the floor is now, as for plain
 * namespaces. A new epoch decides it so at once, and what is still said about the old one counts for nothing.
 *
 * Why nothing older is served afterwards from a managed namespace. Let W be a numbered write that Redis ran before the
 * decision, and let the log have been whole. The script of W published and logged its frame in the same moment in which it
 * wrote. So the frame was obeyed here, from the bus or from the log, at some time r before the decision, and at r every
 * entry and every token of the key ended (T2). What was installed before r is gone; a read under way at r has no token any
 * more, installs nothing and is not joined; a read whose token is younger was sent after r, so after W ran, and reads W or
 * what came later. It does not matter when the read was sent, nor that the floor does not rise: its stamp is not what
 * keeps an old value out, the end of its token at r is. Between the loss and the decision nothing of all this is served: no
 * own beat comes home without a bus, and from the confirmation on the floor is above all stamps.
 *      Reads of the former subscription lose their tokens by the generation as well.
 *
 * Only what the nodes write is numbered. What a stranger writes over a managed key is announced while the bus is there, and
 * is not seen if it is not: managed namespaces have `writers = nodes`. FLUSHALL takes the epoch along; FLUSHDB and SWAPDB are
 * numbered and logged as a flush when they go through a node (relay.c; not FLUSHDB behind a SELECT in a transaction), and
 * unseen if a stranger runs them in a cut. What
 * Redis evicts in a cut may be served here until its life is over, which takes nothing back that anybody was told. */
#include "protocol/check.h"
#include "tiers/coherence_inner.h"

/* Between two questions when L2 answered an error: a script that runs there, or the data is being loaded. */
#define AGAIN_MS     100
#define FAILURES_MAX 3

static int64_t managed_floor(const struct coherence *coherence)
{
    return atomic_load_explicit(&coherence->view.managed.floor_ms, memory_order_relaxed);
}

static void tell_gap(const struct coherence *coherence)
{
    const struct coherence_managed_listener *managed = &coherence->options.managed;
    if (managed->on_gap != NULL) {
        managed->on_gap(managed->arg);
    }
}

static void tell_whole(const struct coherence *coherence, bool replayed)
{
    const struct coherence_managed_listener *managed = &coherence->options.managed;
    if (managed->on_whole != NULL) {
        managed->on_whole(managed->arg, replayed);
    }
}

/* --- the numbering ------------------------------------------------------------------------------------------------- */

static void join_run(struct coherence *coherence)
{
    struct heard *heard = &coherence->heard;
    const bool joins = heard->whole == 0 || heard->run <= heard->whole + 1;
    if (coherence->has_seq && joins && coherence->seq > heard->whole) {
        heard->whole = coherence->seq;
    }
}

/* The first frame of a subscription may be missing as well as any other: then no hole shows it. Where nothing is known the
 * numbering does not begin behind a hole: the floor is of before it. The doubt that follows raises that, and the next frame
 * begins. */
void coherence_heard(struct coherence *coherence, uint64_t seq, enum heard_after after,
                     int64_t now_ms)
{
    struct heard *heard = &coherence->heard;
    if (after != HEARD_IN_ORDER) {
        heard->run = seq;
        if (heard->whole != 0 && seq > heard->whole + 1) {
            coherence_gap(coherence, now_ms);
        }
    }
    if (after != HEARD_BEHIND_A_HOLE || heard->whole != 0) {
        join_run(coherence);
    }
}

/* --- the decision -------------------------------------------------------------------------------------------------- */

/* Nothing was missed: the floor is where it was. In this order: see coherence_proven_age_ms. */
static void resume(struct coherence *coherence)
{
    struct heard *heard = &coherence->heard;
    struct coherence_floor *floor = &coherence->view.managed;
    heard->pending = false;
    atomic_store_explicit(&floor->floor_ms, heard->resume_ms, memory_order_release);
    atomic_store_explicit(&floor->proven_ms, heard->resume_proven_ms, memory_order_release);
    atomic_store_explicit(&floor->prior_floor_ms, heard->resume_prior_ms, memory_order_release);
    coherence_count(coherence, M_REPLAYS_WHOLE, 1);
    tell_whole(coherence, true);
}

/* What was missed cannot be told: all that was known is in doubt. The floor may go down to now, for nothing that is stamped
 * later can have been read before. */
static void give_up(struct coherence *coherence, int64_t now_ms)
{
    struct heard *heard = &coherence->heard;
    if (heard->pending) {
        heard->pending = false;
        heard->void_ = heard->asked;
        atomic_store_explicit(&coherence->view.managed.floor_ms, now_ms + 1, memory_order_release);
        coherence_count(coherence, M_REPLAYS_SHORT, 1);
    } else {
        tell_gap(coherence);
        coherence_raise(&coherence->view.managed, now_ms + 1, coherence->newest_horizon_ms);
    }
    tell_whole(coherence, false);
}

/* The first epoch that this process meets is the one in which another left its values, and nothing else was decided: what
 * was published since is asked for when the bus is confirmed. The mark is looked at once. */
static bool take_up(struct coherence *coherence)
{
    const struct coherence_mark former = coherence->former;
    coherence->former = (struct coherence_mark){0};
    if (coherence->former_is == COHERENCE_FORMER_WAITS) {
        coherence->former_is = epoch_equal(former.epoch, coherence->epoch) ? COHERENCE_FORMER_SAME
                                                                           : COHERENCE_FORMER_OTHER;
    }
    if (former.seq == 0 || !epoch_equal(former.epoch, coherence->epoch)) {
        return false;
    }
    coherence->heard.whole = former.seq;
    return true;
}

void coherence_managed_doubt(struct coherence *coherence, bool new_epoch, int64_t now_ms)
{
    struct heard *heard = &coherence->heard;
    if (new_epoch && take_up(coherence)) {
        return;
    }
    if (new_epoch) {
        heard->whole = 0;
        heard->until = 0;
        give_up(coherence, now_ms);
    } else if (heard->pending) {
        heard->resume_ms = now_ms + 1; /* what was known before stays as it was noted then */
    } else {
        coherence_raise(&coherence->view.managed, now_ms + 1, coherence->newest_horizon_ms);
    }
}

void coherence_gap(struct coherence *coherence, int64_t now_ms)
{
    struct heard *heard = &coherence->heard;
    struct coherence_floor *floor = &coherence->view.managed;
    if (heard->pending) {
        heard->stale = heard->asked;
        heard->until = 0;
        return;
    }
    if (heard->whole == 0 || coherence->options.namespaces->managed == 0) {
        heard->whole = 0; /* the next frame on the bus begins it anew */
        give_up(coherence, now_ms);
        return;
    }
    heard->pending = true;
    heard->until = 0;
    heard->failures = 0;
    heard->ask_at_ms = now_ms;
    heard->resume_ms = managed_floor(coherence);
    heard->resume_proven_ms = atomic_load_explicit(&floor->proven_ms, memory_order_relaxed);
    heard->resume_prior_ms = atomic_load_explicit(&floor->prior_floor_ms, memory_order_relaxed);
    coherence_raise(floor, INT64_MAX, coherence->newest_horizon_ms);
    coherence_count(coherence, M_REPLAYS, 1);
    tell_gap(coherence);
}

/* --- what outlives the process ---------------------------------------------------------------------------------------- */

void coherence_mark(const struct coherence *coherence, struct coherence_mark *ret)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    const struct heard *heard = &coherence->heard;
    const struct coherence_view *view = &coherence->view;
    if (coherence->former.seq != 0) {
        *ret = coherence->former; /* no L2 was met: what it says is as good as it was */
        return;
    }
    *ret = (struct coherence_mark){
        .epoch = coherence->former_is == COHERENCE_FORMER_WAITS ? coherence->former.epoch
                                                                : coherence->epoch,
        .run = coherence->run,
        .seq = heard->whole,
        .horizon_ms = atomic_load_explicit(&view->horizon_ms, memory_order_relaxed),
        .floor_ms = atomic_load_explicit(&view->plain.floor_ms, memory_order_relaxed),
        .managed_floor_ms = heard->pending ? heard->resume_ms : managed_floor(coherence),
    };
}

void coherence_resume(struct coherence *coherence, const struct coherence_mark *mark,
                      int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    CHECK(coherence->epoch.counter == 0 && coherence->phase == BUS_DOWN);
    struct coherence_view *view = &coherence->view;
    coherence->former = *mark;
    coherence->former_is = COHERENCE_FORMER_WAITS;
    coherence->newest_horizon_ms = mark->horizon_ms;
    coherence_raise(&view->plain, mark->floor_ms, 0);
    coherence_raise(&view->plain, now_ms + 1, mark->horizon_ms);
    coherence_raise(&view->managed, mark->seq != 0 ? mark->managed_floor_ms : now_ms + 1, 0);
    coherence_show(coherence);
}

enum coherence_former coherence_former(const struct coherence *coherence)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    return coherence->former_is;
}

/* --- question and answer ------------------------------------------------------------------------------------------- */

enum status coherence_replay(struct coherence *coherence, int64_t now_ms, struct buf *out)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    struct heard *heard = &coherence->heard;
    if (!heard->pending || heard->asked || now_ms < heard->ask_at_ms ||
        coherence->phase != BUS_CONFIRMED || coherence->control.run == 0 ||
        coherence->control.run != coherence->bus.run) {
        return AGAIN;
    }
    const enum status status =
        replay_write(out, coherence->options.coherence_db, coherence->epoch, heard->whole + 1);
    if (status == OK) {
        heard->asked = true;
        heard->stale = false;
        heard->void_ = false;
        heard->asked_from = heard->whole + 1;
    }
    return status;
}

/* As from the bus, but for the numbering, which the bus has by itself. */
static bool obey_page(struct coherence *coherence, const struct replay_page *page, int64_t now_ms)
{
    uint64_t before = coherence->heard.asked_from - 1;
    for (size_t i = 0; i < page->count; i++) {
        struct frame frame;
        struct frame_beat beat;
        if (!coherence_read_frame(coherence, replay_frame(page, i), &frame, &beat) ||
            !epoch_equal(frame.epoch, coherence->epoch) || frame.seq_first <= before ||
            frame.seq_first > page->through ||
            coherence_obey_frame(coherence, &frame, now_ms) != NULL) {
            return false;
        }
        before = frame.seq_first;
    }
    coherence_count(coherence, M_REPLAYED_FRAMES, page->count);
    return true;
}

static void page_came(struct coherence *coherence, const struct replay_page *page, int64_t now_ms)
{
    struct heard *heard = &coherence->heard;
    coherence_count(coherence, M_REPLAY_PAGES, 1);
    if (!page->is_whole || !obey_page(coherence, page, now_ms)) {
        heard->whole = page->now;
        give_up(coherence, now_ms);
        return;
    }
    if (page->through > heard->whole) {
        heard->whole = page->through;
    }
    if (!heard->stale && heard->until == 0) {
        heard->until = page->now;
    }
    join_run(coherence);
    if (heard->until != 0 && heard->whole >= heard->until) {
        resume(coherence);
    }
}

static void failed(struct coherence *coherence, int64_t now_ms)
{
    struct heard *heard = &coherence->heard;
    heard->ask_at_ms = now_ms + AGAIN_MS;
    if (++heard->failures >= FAILURES_MAX) {
        heard->whole = 0;
        give_up(coherence, now_ms);
    }
}

void coherence_on_replay_answer(struct coherence *coherence, struct slice reply, int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    struct heard *heard = &coherence->heard;
    struct replay_page page;
    char error[REPLAY_ERROR_MAX];
    CHECK(heard->asked);
    heard->asked = false;
    if (!heard->pending || heard->void_) {
        return; /* it was decided meanwhile */
    }
    if (replay_read(reply, heard->asked_from, &page, error) == OK) {
        heard->failures = 0;
        page_came(coherence, &page, now_ms);
    } else {
        failed(coherence, now_ms);
    }
    replay_done(&page);
    coherence_show(coherence);
}

void coherence_on_replay_failed(struct coherence *coherence, int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    coherence->heard.asked = false;
    coherence->heard.ask_at_ms = now_ms + AGAIN_MS;
}
