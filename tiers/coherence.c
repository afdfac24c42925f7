/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "protocol/resp_write.h"
#include "tiers/coherence_inner.h"
#include "tiers/homes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between two beats, whatever the hurry: forged frames must not make us beat without end. */
#define HURRY_MS         10
#define BOUND_DEFAULT_MS 1000

/* --- small tools ------------------------------------------------------------------------------------------------- */

const char *coherence_state_name(uint32_t state)
{
    switch ((enum coherence_state)state) {
    case COHERENCE_DETACHED: return "DETACHED";
    case COHERENCE_CATCHUP: return "CATCHUP";
    case COHERENCE_SYNCED: return "SYNCED";
    case COHERENCE_SUSPECT: return "SUSPECT";
    }
    return "?";
}

void coherence_count(struct coherence *coherence, enum metric id, uint64_t n)
{
    if (coherence->options.metrics != NULL) {
        metrics_add(coherence->options.metrics, id, n);
    }
}

static int64_t bound_ms(const struct coherence *coherence)
{
    return (int64_t)coherence->options.bound_ms;
}

static int64_t beat_interval_ms(const struct coherence *coherence)
{
    const int64_t quarter_ms = bound_ms(coherence) / 4;
    return quarter_ms > BEAT_INTERVAL_MIN_MS ? quarter_ms : BEAT_INTERVAL_MIN_MS;
}

/* With the bus and with ourselves; what is fresh is another matter. */
static int64_t patience_ms(const struct coherence *coherence)
{
    return bound_ms(coherence) > PATIENCE_MIN_MS ? bound_ms(coherence) : PATIENCE_MIN_MS;
}

void coherence_show(struct coherence *coherence)
{
    struct coherence_description next = {
        .state = coherence->state,
        .state_name = coherence_state_name((uint32_t)coherence->state),
        .epoch = coherence->epoch,
        .seq = coherence_applied_seq(coherence),
        .generation = atomic_load_explicit(&coherence->view.generation, memory_order_relaxed),
        .horizon_ms = atomic_load_explicit(&coherence->view.horizon_ms, memory_order_relaxed),
        .floor_ms = atomic_load_explicit(&coherence->view.plain.floor_ms, memory_order_relaxed),
        .managed_floor_ms =
            atomic_load_explicit(&coherence->view.managed.floor_ms, memory_order_relaxed),
        .echo_ms = coherence->echo_ms,
        .stream_hash = stream_newest(&coherence->stream),
        .doubts = coherence->doubts,
        .nodes = coherence->nodes,
        .disagreeing = coherence->disagreeing,
        .waiters = coherence->waiters.count,
        .tracks = coherence->tracks,
    };
    memcpy(next.untracked_why, coherence->untracked_why, sizeof coherence->untracked_why);
    memcpy(next.doubt, coherence->doubt, sizeof next.doubt);
    memcpy(next.reason, coherence->reason, sizeof next.reason);
    memcpy(next.disagreement, coherence->disagreement, sizeof next.disagreement);
    pthread_mutex_lock(&coherence->lock);
    coherence->described = next;
    pthread_mutex_unlock(&coherence->lock);
}

void coherence_describe(const struct coherence *coherence, struct coherence_description *ret)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    /* The lock is not a part of what is described. */
    pthread_mutex_t *lock = (pthread_mutex_t *)&coherence->lock;
    pthread_mutex_lock(lock);
    *ret = coherence->described;
    pthread_mutex_unlock(lock);
}

void coherence_move(struct coherence *coherence, enum coherence_state to, const char *reason, ...)
{
    static const unsigned allowed[] = {
        [COHERENCE_DETACHED] = 1u << COHERENCE_CATCHUP,
        [COHERENCE_CATCHUP] = 1u << COHERENCE_SYNCED | 1u << COHERENCE_DETACHED,
        [COHERENCE_SYNCED] =
            1u << COHERENCE_SUSPECT | 1u << COHERENCE_CATCHUP | 1u << COHERENCE_DETACHED,
        [COHERENCE_SUSPECT] =
            1u << COHERENCE_SYNCED | 1u << COHERENCE_CATCHUP | 1u << COHERENCE_DETACHED,
    };
    CHECK(to == coherence->state || (allowed[coherence->state] & 1u << to) != 0);
    coherence->state = to;
    va_list args;
    va_start(args, reason);
    (void)vsnprintf(coherence->reason, sizeof coherence->reason, reason, args);
    va_end(args);
}

/* --- the fence --------------------------------------------------------------------------------------------------- */

static void close_fence(struct coherence *coherence)
{
    atomic_store_explicit(&coherence->view.horizon_ms, 0, memory_order_release);
    coherence->home_ms = 0;
    coherence->hurry = true;
}

/* What is known of the entries that become suspect now: all changes until the newest H. Without an echo since the last
 * time nothing is known of those in between but their stamps, and what was known of the older ones stays. In this order:
 * see coherence_proven_age_ms. */
static void note_proof(struct coherence_floor *floor, int64_t newest_ms)
{
    if (newest_ms != atomic_load_explicit(&floor->proven_ms, memory_order_relaxed)) {
        const int64_t floor_ms = atomic_load_explicit(&floor->floor_ms, memory_order_relaxed);
        atomic_store_explicit(&floor->prior_floor_ms, floor_ms, memory_order_release);
        atomic_store_explicit(&floor->proven_ms, newest_ms, memory_order_release);
    }
}

void coherence_raise(struct coherence_floor *floor, int64_t floor_ms, int64_t newest_horizon_ms)
{
    if (floor_ms > atomic_load_explicit(&floor->floor_ms, memory_order_relaxed)) {
        note_proof(floor, newest_horizon_ms);
        atomic_store_explicit(&floor->floor_ms, floor_ms, memory_order_release);
    }
}

void coherence_raise_floor(struct coherence *coherence, int64_t now_ms, enum metric cause)
{
    coherence_count(coherence, cause, 1);
    coherence_raise(&coherence->view.plain, now_ms + 1, coherence->newest_horizon_ms);
    if (cause == M_FLOORS_EPOCH || cause == M_FLOORS_FLUSH) {
        coherence_managed_doubt(coherence, cause == M_FLOORS_EPOCH, now_ms);
    } else {
        coherence_gap(coherence, now_ms);
    }
    coherence_tell_doubt(coherence);
}

void coherence_show_applied(struct coherence *coherence, uint64_t seq)
{
    _Atomic uint64_t *highest = &coherence->view.highest_seq;
    if (seq > atomic_load_explicit(highest, memory_order_relaxed)) {
        atomic_store_explicit(highest, seq, memory_order_release);
    }
    atomic_store_explicit(&coherence->view.applied_seq, seq, memory_order_release);
}

uint64_t coherence_applied_seq(const struct coherence *coherence)
{
    return atomic_load_explicit(&coherence->view.applied_seq, memory_order_relaxed);
}

void coherence_allow_install(struct coherence *coherence, bool allowed)
{
    atomic_store_explicit(&coherence->view.may_install, allowed, memory_order_release);
}

void coherence_next_generation(struct coherence *coherence)
{
    const uint64_t generation =
        atomic_load_explicit(&coherence->view.generation, memory_order_relaxed);
    atomic_store_explicit(&coherence->view.generation, generation + 1, memory_order_release);
}

void coherence_doubt(struct coherence *coherence, int64_t now_ms, enum metric cause,
                     const char *why, ...)
{
    va_list args;
    va_start(args, why);
    (void)vsnprintf(coherence->doubt, sizeof coherence->doubt, why, args);
    va_end(args);
    coherence->doubts++;
    close_fence(coherence);
    coherence_interrupt(coherence, now_ms);
    coherence_raise_floor(coherence, now_ms, cause);
    if (coherence->phase == BUS_CONFIRMED) {
        coherence_move(coherence, COHERENCE_CATCHUP, "%s", coherence->doubt);
    }
}

/* What came home before the change proves nothing about what comes after it. */
void coherence_doubt_epoch(struct coherence *coherence, int64_t now_ms, const char *why)
{
    coherence_doubt(coherence, now_ms, M_FLOORS_EPOCH, "%s", why);
    own_beats_void(&coherence->beats);
    coherence_allow_install(coherence, false);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

struct coherence *coherence_new(const struct coherence_options *options)
{
    struct coherence *coherence = calloc(1, sizeof *coherence);
    if (coherence == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&coherence->lock, NULL) != 0) {
        free(coherence);
        return NULL;
    }
    coherence->announced = announced_new();
    if (coherence->announced == NULL) {
        pthread_mutex_destroy(&coherence->lock);
        free(coherence);
        return NULL;
    }
    waiters_open(&coherence->waiters);
    barriers_open(&coherence->barriers);
    coherence->peers.self = options->node;
    coherence->magic = COHERENCE_MAGIC;
    coherence->options = *options;
    if (options->bound_ms == 0) {
        coherence->options.bound_ms = BOUND_DEFAULT_MS;
    }
    uint64_t seed = options->seed;
    if (seed == 0) {
        rand_secret(&seed, sizeof seed);
    }
    rand_seed(&coherence->rand, seed);
    atomic_init(&coherence->view.generation, 1);
    coherence->most_ms = coherence->options.bound_ms;
    atomic_init(&coherence->view.bound_ms, coherence->options.bound_ms);
    coherence->echo_ms = -1;
    coherence->tracks = true; /* until Redis says otherwise */
    coherence->hurry = true;
    coherence->figures.weight = FRAME_WEIGHT_FULL;
    (void)snprintf(coherence->reason, sizeof coherence->reason, "the bus was not reached yet");
    coherence_show(coherence);
    return coherence;
}

uint32_t coherence_told_bound_ms(const struct coherence *coherence)
{
    return coherence->told_ms;
}

void coherence_set_bounds(struct coherence *coherence, uint32_t least_ms, uint32_t most_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    CHECK(least_ms > 0 && most_ms >= least_ms);
    coherence->options.bound_ms = least_ms;
    coherence->most_ms = most_ms;
    atomic_store_explicit(&coherence->view.bound_ms, least_ms, memory_order_relaxed);
}

void coherence_free(struct coherence *coherence)
{
    if (coherence == NULL) {
        return;
    }
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    CHECK(coherence->waiters.count == 0 && barriers_empty(&coherence->barriers));
    peers_done(&coherence->peers);
    announced_free(coherence->announced);
    pthread_mutex_destroy(&coherence->lock);
    coherence->magic = 0;
    free(coherence);
}

const struct coherence_view *coherence_view(const struct coherence *coherence)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    return &coherence->view;
}

/* --- epochs ------------------------------------------------------------------------------------------------------ */

static void know_epoch(struct coherence *coherence, uint64_t counter)
{
    if (counter > coherence->known_epoch && counter <= EPOCH_COUNTER_MAX) {
        coherence->known_epoch = counter;
        atomic_store_explicit(&coherence->view.known_epoch, counter, memory_order_relaxed);
    }
}

/* The next frame is where the numbering begins for us. */
static void forget_seq(struct coherence *coherence)
{
    coherence->has_seq = false;
    coherence->seq = 0;
    coherence->heard.run = 0;
    coherence->reported_seq = 0;
    coherence->doubted_seq = 0;
    coherence->unproved = (struct unproved){0};
    coherence_show_applied(coherence, 0);
    stream_reset(&coherence->stream);
}

static void adopt(struct coherence *coherence, struct epoch epoch, int64_t now_ms)
{
    const bool is_first = coherence->epoch.counter == 0;
    if (!is_first) {
        coherence_count(coherence, M_EPOCHS, 1);
    }
    /* First: nothing installs before an answer says which process stands behind it. */
    coherence_lose_target(coherence);
    coherence->epoch = epoch;
    know_epoch(coherence, epoch.counter);
    forget_seq(coherence);
    peers_new_epoch(&coherence->peers, now_ms);
    coherence_doubt_epoch(coherence, now_ms, "a new epoch began");
    if (is_first) {
        coherence->doubts--; /* every node begins so, and nothing was believed before */
    }
}

enum epoch_verdict coherence_judge_epoch(struct coherence *coherence, struct epoch epoch,
                                         int64_t now_ms)
{
    if (epoch.counter < coherence->epoch.counter) {
        return EPOCH_OLD;
    }
    if (epoch.counter > coherence->epoch.counter) {
        adopt(coherence, epoch, now_ms);
        return EPOCH_ADOPTED;
    }
    if (epoch.random != coherence->epoch.random) {
        coherence_lose_target(coherence);
        know_epoch(coherence, epoch.counter + 1);
        stream_spoil(&coherence->stream);
        coherence_doubt_epoch(coherence, now_ms, "two epochs have the same number");
        return EPOCH_CLASH;
    }
    return EPOCH_OURS;
}

uint64_t coherence_known_epoch(const struct coherence *coherence)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    return coherence->known_epoch;
}

/* --- beats ------------------------------------------------------------------------------------------------------- */

bool coherence_beat_due(const struct coherence *coherence, int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (own_beats_unanswered(&coherence->beats) >= OWN_BEATS_UNANSWERED_MAX ||
        coherence->has_left) {
        return false;
    }
    if (coherence->leaving || coherence_is_asked(coherence, now_ms)) {
        return true;
    }
    const int64_t since_ms = now_ms - coherence->beat_at_ms;
    return since_ms >= beat_interval_ms(coherence) || (coherence->hurry && since_ms >= HURRY_MS);
}

/* Reports cover the stream without a gap: each begins where the last one ended that came home, for only of that it is
 * known that the others got it. So two may overlap, and after an interruption of ours a part is left out. */
static struct frame_beat compose(const struct coherence *coherence)
{
    struct frame_beat beat = {
        .applied_seq = coherence_applied_seq(coherence),
        .bound_ms = coherence->most_ms,
        .since_seq = stream_since(&coherence->stream, coherence->reported_seq),
        .epoch_mark = frame_epoch_mark(coherence->epoch),
        .state = (uint32_t)coherence->state,
        .hit_permille = coherence->figures.hit_permille,
        .load = coherence->figures.load,
        .weight = coherence->figures.weight,
        .reads_per_s = coherence->figures.reads_per_s,
    };
    if (!stream_chain(&coherence->stream, beat.since_seq, beat.applied_seq, &beat.stream_hash)) {
        beat.since_seq = beat.applied_seq;
    }
    return beat;
}

void coherence_set_figures(struct coherence *coherence, const struct coherence_figures *figures)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    CHECK(figures->hit_permille <= 1000 && figures->weight <= FRAME_WEIGHT_FULL);
    coherence->hurry |= (figures->weight == 0) != (coherence->figures.weight == 0);
    coherence->figures = *figures;
}

enum status coherence_beat(struct coherence *coherence, int64_t now_ms, struct buf *out)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (own_beats_unanswered(&coherence->beats) >= OWN_BEATS_UNANSWERED_MAX) {
        return BUSY;
    }
    const enum waiters_need need = coherence->phase == BUS_CONFIRMED
                                       ? waiters_need(&coherence->waiters, now_ms)
                                       : NEED_NOTHING;
    char body[FRAME_BEAT_BODY_SIZE + FRAME_HOMES_MAX * FRAME_HOME_SIZE + FRAME_ADDRESS_MAX];
    char *homes = body + FRAME_BEAT_BODY_SIZE;
    struct frame_beat beat = compose(coherence);
    beat.homes = (struct slice){homes, homes_write(coherence->options.namespaces, homes)};
    char *figures = homes + beat.homes.size;
    const size_t rows_left = FRAME_HOMES_MAX - beat.homes.size / FRAME_HOME_SIZE;
    beat.figures = (struct slice){figures, frame_figures_write(figures, rows_left, &beat)};
    beat.flags = (need == NEED_ACK ? FRAME_BEAT_ACK : 0u) |
                 (coherence->tracks ? 0u : (uint32_t)FRAME_BEAT_UNTRACKED) |
                 (coherence->leaving ? (uint32_t)FRAME_BEAT_LEAVING : 0u);
    frame_beat_write(body, &beat);
    memcpy(figures + beat.figures.size, coherence->address_room, coherence->address_size);
    const struct frame frame = {
        .type = need == NEED_NOTHING ? FRAME_BEAT : FRAME_MARKER,
        .count = 1,
        .node = coherence->options.node,
        .nonce = rand_next(&coherence->rand),
        .body = {.data = body,
                 .size = FRAME_BEAT_BODY_SIZE + beat.homes.size + beat.figures.size +
                         coherence->address_size},
    };
    const struct beat_request request = {
        .coherence_db = coherence->options.coherence_db,
        .known_epoch = coherence->known_epoch,
        .fresh_random = rand_next(&coherence->rand),
        .node = coherence->options.node,
        .deadline_ms = now_ms + 10 * (int64_t)coherence->most_ms,
        .publish = true,
        .frame = &frame,
    };
    const enum status status = beat_write(out, &request);
    if (status != OK) {
        return status;
    }
    const struct own_beat own = {
        .nonce = frame.nonce,
        .applied_seq = beat.applied_seq,
        .marker = need == NEED_NOTHING ? 0 : waiters_sent(&coherence->waiters),
        .sent_at_ms = now_ms,
    };
    own_beats_sent(&coherence->beats, &own);
    coherence->has_left = coherence->leaving;
    coherence_count(coherence, M_MARKERS, need == NEED_NOTHING ? 0 : 1);
    coherence->beat_at_ms = now_ms;
    coherence->hurry = false;
    coherence->ack = false;
    return OK;
}

void coherence_on_beat_answer(struct coherence *coherence, const struct beat_answer *answer,
                              int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    coherence->trouble[0] = '\0';
    const enum epoch_verdict verdict = coherence_control_said(coherence, answer, now_ms);
    own_beats_answered(&coherence->beats, now_ms, verdict != EPOCH_OURS);
    if (verdict != EPOCH_OURS) {
        coherence->hurry = true;
    }
    coherence_show(coherence);
}

void coherence_on_beat_failed(struct coherence *coherence, const char *why, int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    const uint64_t marker = own_beats_next_marker(&coherence->beats);
    own_beats_failed(&coherence->beats);
    if (marker != 0) {
        waiters_lost(&coherence->waiters, marker, now_ms + HURRY_MS);
    }
    (void)snprintf(coherence->trouble, sizeof coherence->trouble, "%s", why);
    coherence_show(coherence);
}

/* --- the bus' connection ----------------------------------------------------------------------------------------- */

enum status coherence_bus_greeting(struct buf *out, uint64_t client_id)
{
    char id[24];
    (void)snprintf(id, sizeof id, "%" PRIu64, client_id);
    const struct slice tracking[] = {SLICE_LITERAL("CLIENT"),
                                     SLICE_LITERAL("TRACKING"),
                                     SLICE_LITERAL("ON"),
                                     SLICE_LITERAL("REDIRECT"),
                                     slice_of(id),
                                     SLICE_LITERAL("BCAST")};
    const struct slice subscribe[] = {SLICE_LITERAL("SUBSCRIBE"), SLICE_LITERAL(BUS_CHANNEL_KEYS),
                                      SLICE_LITERAL(BUS_CHANNEL_FRAMES)};
    const size_t before = out->size;
    enum status status = resp_append_request(out, sizeof tracking / sizeof tracking[0], tracking);
    if (status == OK) {
        status = resp_append_request(out, sizeof subscribe / sizeof subscribe[0], subscribe);
    }
    if (status != OK) {
        out->size = before;
    }
    return status;
}

void coherence_on_bus_up(struct coherence *coherence, const struct beat_answer *answer,
                         int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (coherence->phase != BUS_DOWN) {
        coherence_on_bus_lost(coherence, "another connection took its place", now_ms);
    }
    coherence_meet(coherence, answer);
    (void)coherence_judge_epoch(coherence, answer->epoch, now_ms);
    coherence->bus = (struct seen_run){.run = answer->run, .counter = answer->epoch.counter};
    coherence->phase = BUS_ASKED;
    coherence->have = 0;
    coherence->refused = false;
    coherence->heard_at_ms = now_ms;
    own_beats_void(&coherence->beats); /* their echoes went by unheard */
    coherence_interrupt(coherence, now_ms);
    coherence_move(coherence, COHERENCE_DETACHED, "the bus did not answer its subscription yet");
    coherence_show(coherence);
}

/* T8, first half. Entries stay as they are: the floor rises when the next subscription is confirmed. The horizon stays,
 * too: it proved what was acknowledged before it, whatever happens to the connection since, so hits may go on until it
 * is T old and not a moment longer (docs/decisions/002). No beat can come home meanwhile to renew it. */
void coherence_on_bus_lost(struct coherence *coherence, const char *why, int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (coherence->phase != BUS_DOWN) {
        coherence_count(coherence, M_BUS_LOSSES, 1);
        coherence->phase = BUS_DOWN;
        coherence_interrupt(coherence, now_ms);
        coherence_next_generation(coherence);
        coherence->hurry = true;
        coherence_allow_install(coherence, false);
        forget_seq(coherence);
        coherence->bus = (struct seen_run){0};
        coherence->home_ms = 0;
        coherence_release_barriers(coherence, now_ms);
    }
    if (!coherence->refused) { /* the reason of a refusal says more than the close that follows */
        coherence_move(coherence, COHERENCE_DETACHED, "the bus is lost: %s", why);
    }
    coherence_show(coherence);
}

bool coherence_bus_is_dead(const struct coherence *coherence, int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (coherence->phase == BUS_DOWN) {
        return false;
    }
    if (coherence->refused) {
        return true;
    }
    const int64_t patient_ms = now_ms - coherence->patient_from_ms;
    const int64_t answered_at_ms = own_beats_waiting_since_ms(&coherence->beats);
    if (answered_at_ms != 0 && now_ms - answered_at_ms > patience_ms(coherence) &&
        patient_ms > patience_ms(coherence)) {
        return true;
    }
    const int64_t silence_ms = 3 * patience_ms(coherence);
    const int64_t unannounced_ms = coherence->unannounced_from_ms;
    return patient_ms > silence_ms &&
           (now_ms - coherence->heard_at_ms > silence_ms ||
            (unannounced_ms != 0 && now_ms - unannounced_ms > silence_ms));
}

void coherence_tick(struct coherence *coherence, int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (coherence->ticked_at_ms != 0 &&
        now_ms - coherence->ticked_at_ms > patience_ms(coherence) / 2) {
        coherence->patient_from_ms = now_ms;
    }
    coherence->ticked_at_ms = now_ms;
    peers_forget(&coherence->peers, now_ms);
    waiters_look(&coherence->waiters, &coherence->peers, now_ms);
    if (barriers_late(&coherence->barriers, now_ms)) {
        coherence_release_barriers(coherence, now_ms);
    }
    const size_t nodes = peers_live(&coherence->peers, now_ms);
    if (nodes != coherence->nodes) {
        coherence->nodes = nodes;
        coherence_show(coherence);
    }
    coherence_count_disagreements(coherence, now_ms);
    if (coherence->state == COHERENCE_SYNCED && !coherence_fresh(&coherence->view, now_ms)) {
        coherence_move(coherence, COHERENCE_SUSPECT, "no beat came home for %" PRId64 " ms%s%s",
                       bound_ms(coherence), coherence->trouble[0] != '\0' ? ": " : "",
                       coherence->trouble);
        coherence_show(coherence);
    }
}
