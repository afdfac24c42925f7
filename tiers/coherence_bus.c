/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "tiers/coherence_inner.h"
#include "tiers/rights.h"

#include <inttypes.h>
#include <stdio.h>

/* A frame may be forged or flipped; one that is so far ahead would use up the counter (EPOCH_COUNTER_MAX). */
#define EPOCH_JUMP_MAX (UINT64_C(1) << 20)

/* T2: every announcement is obeyed, also the echo of our own writes: Redis merges all changes of a key in one cycle
 * into one announcement, so a stranger's write may hide in it.
 *      A list is applied whole, however long: the echo that it delays stands behind it on the bus and would come no sooner
 * if this loop did something else in between (a million keys that one cycle of Redis changed: half a second). */
static void forget_keys(struct coherence *coherence, struct bus_message *message, int64_t now_ms)
{
    const size_t count = message->key_count;
    struct slice key;
    while (bus_message_next_key(message, &key)) {
        coherence_forget(coherence, key, 0, now_ms);
    }
    coherence_forgot_all(coherence);
    coherence_count(coherence, M_ANNOUNCED_KEYS, count);
}

static void malformed(struct coherence *coherence, int64_t now_ms, const char *why)
{
    coherence_count(coherence, M_BUS_MALFORMED, 1);
    stream_spoil(&coherence->stream);
    coherence_doubt(coherence, now_ms, M_FLOORS_MALFORMED, "%s", why);
}

/* Of a write that a node announced itself (announce.h). */
static bool is_unnumbered(const struct frame *frame)
{
    return (frame->type == FRAME_KEYS || frame->type == FRAME_FLUSH || frame->type == FRAME_WAKE) &&
           frame->seq_first == 0 && frame->epoch.counter == 0 && frame->epoch.random == 0;
}

static bool is_beat(const struct frame *frame)
{
    return frame->type == FRAME_BEAT || frame->type == FRAME_MARKER;
}

bool coherence_read_frame(const struct coherence *coherence, struct slice text, struct frame *frame,
                          struct frame_beat *beat)
{
    *beat = (struct frame_beat){0};
    if (frame_read(text, frame) != OK || frame->shard != 0) {
        return false;
    }
    if (is_unnumbered(frame)) {
        return true;
    }
    const uint64_t ours = coherence->epoch.counter;
    const uint64_t theirs = frame->epoch.counter;
    if (theirs == 0 || theirs > EPOCH_COUNTER_MAX ||
        (theirs > ours && theirs - ours > EPOCH_JUMP_MAX)) {
        return false;
    }
    if (!is_beat(frame)) {
        return true;
    }
    if (frame_beat_read(frame->body, beat) != OK) {
        return false;
    }
    if (beat->epoch_mark != frame_epoch_mark(frame->epoch)) {
        beat->applied_seq = 0;
        beat->since_seq = 0;
    }
    return true;
}

/* CACHE.INVALIDATE ALL drops, and so does SWAPDB: it changes every key of two databases, as if each were announced. */
static const char *obey_flush(struct coherence *coherence, const struct frame *frame,
                              int64_t now_ms)
{
    struct frame_flush flush;
    if (frame_flush_read(frame->body, &flush) != OK) {
        return "a flush on the bus is malformed";
    }
    if (flush.kind == FRAME_FLUSH_DROP) {
        /* Of one that is known by another name here, who knows where its keys are. */
        const struct namespace *ns =
            flush.name.size > 0 ? namespaces_find(coherence->options.namespaces, flush.name) : NULL;
        namespaces_flush_dbs(coherence->options.namespaces, ns,
                             flush.dbs != 0 ? flush.dbs : DATABASES_ALL);
        coherence_tell_flush(coherence);
    } else {
        coherence_raise_floor(coherence, now_ms, M_FLOORS_FLUSH);
        namespaces_flush_floorless(coherence->options.namespaces);
    }
    return NULL;
}

/* Keys that were written, and end here; or of which a lease was given back. Who waits for one of them is told when it has
 * ended. */
static const char *obey_keys(struct coherence *coherence, const struct frame *frame, int64_t now_ms)
{
    const struct coherence_managed_listener *managed = &coherence->options.managed;
    size_t position = 0;
    uint8_t db = 0;
    struct slice key;
    enum status status = OK;
    while ((status = frame_next_key(frame->body, &position, &db, &key)) == OK) {
        if (frame->type == FRAME_KEYS) {
            coherence_forget(coherence, key, frame->node, now_ms);
        }
        if (managed->on_wake != NULL) {
            managed->on_wake(managed->arg, db, key);
        }
    }
    if (frame->type == FRAME_KEYS) {
        coherence_forgot_all(coherence);
    }
    return status == MALFORMED ? "a list of keys on the bus is malformed" : NULL;
}

const char *coherence_obey_frame(struct coherence *coherence, const struct frame *frame,
                                 int64_t now_ms)
{
    const struct coherence_managed_listener *managed = &coherence->options.managed;
    switch (frame->type) {
    case FRAME_BEAT:
    case FRAME_MARKER: return NULL;
    case FRAME_WAKE:
    case FRAME_KEYS: return obey_keys(coherence, frame, now_ms);
    case FRAME_PREFIX: /* of managed values only: plain ones end one by one, as they are deleted in L2 */
    case FRAME_TAG:
        return managed->on_ban == NULL || managed->on_ban(managed->arg, frame)
                   ? NULL
                   : "a ban on the bus is malformed";
    case FRAME_FLUSH: return obey_flush(coherence, frame, now_ms);
    }
    return NULL; /* unknown, and marked as skippable */
}

static void obey_frame(struct coherence *coherence, const struct frame *frame, int64_t now_ms)
{
    const char *why = coherence_obey_frame(coherence, frame, now_ms);
    if (why != NULL) {
        malformed(coherence, now_ms, why);
    }
}

/* T4. Everything in front of the echo was applied before: the bus is in order, and each reply is done with before the
 * next. What Redis had acknowledged by then and not announced yet comes with the next announcement: coherence_prove. */
static void echo_came(struct coherence *coherence, const struct frame *frame, uint32_t bound_ms,
                      int64_t now_ms)
{
    const struct own_beat *beat = own_beats_home(&coherence->beats, frame->nonce);
    if (beat == NULL) {
        return;
    }
    coherence_count(coherence, M_BEATS_HOME, 1);
    coherence->reported_seq = beat->applied_seq;
    coherence->unproved.home_ms = beat->sent_at_ms;
    if (coherence->unannounced_from_ms == 0) {
        coherence->unannounced_from_ms = now_ms;
    }
    coherence->unproved.told_ms = bound_ms;
    if (beat->marker != 0) {
        coherence->unproved.marker = beat->marker;
        coherence->unproved.marker_seq = frame->seq_first;
    }
}

/* T6. What a peer was told between the frames of its report, if we saw all of it, too. A difference: one of us missed
 * something, nobody knows who, so both suspect what they have; the peer will read it in our report. What was announced
 * before the last difference was found became suspect by it and needs no second alarm, however many peers report it. */
static void compare_report(struct coherence *coherence, const struct frame *frame,
                           const struct frame_beat *beat, int64_t now_ms)
{
    uint64_t ours = 0;
    if (beat->since_seq == beat->applied_seq || beat->applied_seq <= coherence->doubted_seq) {
        return;
    }
    const bool hears_alike = ((beat->flags & FRAME_BEAT_UNTRACKED) == 0) == coherence->tracks;
    if (!hears_alike ||
        !stream_chain(&coherence->stream, beat->since_seq, beat->applied_seq, &ours)) {
        coherence_count(coherence, M_STREAM_SKIPPED, 1);
    } else if (ours == beat->stream_hash) {
        coherence_count(coherence, M_STREAM_SAME, 1);
    } else {
        coherence_count(coherence, M_STREAM_DIFFERS, 1);
        coherence->doubted_seq = coherence->seq;
        coherence_doubt(coherence, now_ms, M_FLOORS_STREAM,
                        "node %016" PRIx64 " was told something else after seq %" PRIu64
                        " up to %" PRIu64,
                        frame->node, beat->since_seq, beat->applied_seq);
    }
}

static void beat_came(struct coherence *coherence, const struct frame *frame,
                      const struct frame_beat *beat, int64_t now_ms)
{
    if (frame->node == coherence->options.node) {
        echo_came(coherence, frame, beat->bound_ms, now_ms);
    } else {
        compare_report(coherence, frame, beat, now_ms);
    }
}

static void frame_came(struct coherence *coherence, struct slice text, int64_t now_ms)
{
    if (coherence->phase != BUS_CONFIRMED) {
        return;
    }
    struct frame frame;
    struct frame_beat beat;
    if (!coherence_read_frame(coherence, text, &frame, &beat)) {
        malformed(coherence, now_ms, "a frame on the bus is malformed");
        return;
    }
    if (is_unnumbered(&frame)) {
        coherence_count(coherence, M_BUS_TOLD, 1);
        stream_announced(&coherence->stream, text);
        obey_frame(coherence, &frame, now_ms);
        return;
    }
    const enum epoch_verdict verdict = coherence_judge_epoch(coherence, frame.epoch, now_ms);
    if (verdict == EPOCH_OLD || verdict == EPOCH_CLASH) {
        coherence_count(coherence, M_BUS_OTHER_EPOCH, 1);
        stream_spoil(&coherence->stream);
        return;
    }
    coherence_count(coherence, M_BUS_FRAMES, 1);
    coherence->bus.counter = frame.epoch.counter;
    const bool follows = coherence->has_seq && frame.seq_first == coherence->seq + 1;
    const bool is_hole = coherence->has_seq && !follows; /* missing, repeated, or out of order */
    coherence->seq = frame.seq_first;
    coherence->has_seq = true;
    coherence_heard(coherence, frame.seq_first,
                    follows   ? HEARD_IN_ORDER
                    : is_hole ? HEARD_BEHIND_A_HOLE
                              : HEARD_FIRST,
                    now_ms);
    stream_end(&coherence->stream, coherence->seq, follows);
    coherence->unproved.seq = coherence->seq;
    if ((beat.flags & FRAME_BEAT_ACK) != 0 && frame.node != coherence->options.node) {
        coherence->unproved.ack = true;
    }
    obey_frame(coherence, &frame, now_ms);
    if (is_beat(&frame)) {
        coherence_hear_peer(coherence, &frame, &beat, now_ms);
    }
    if (is_hole) {
        coherence_count(coherence, M_BUS_HOLES, 1);
        coherence_doubt(coherence, now_ms, M_FLOORS_HOLE,
                        "the numbering of the bus has a hole in front of seq %" PRIu64,
                        frame.seq_first);
    } else if (is_beat(&frame)) {
        beat_came(coherence, &frame, &beat, now_ms);
    }
    if (!coherence->tracks) {
        coherence_prove(coherence, now_ms); /* Redis owes nothing: all was announced by frames */
    }
    waiters_look(&coherence->waiters, &coherence->peers, now_ms);
}

/* T8, second half: from here on every change is announced to us. */
static void confirm(struct coherence *coherence, unsigned have, int64_t now_ms)
{
    coherence->have |= have;
    if (coherence->have != HAVE_ALL) {
        return;
    }
    coherence->phase = BUS_CONFIRMED;
    coherence->unannounced_from_ms = 0;
    own_beats_void(&coherence->beats);
    coherence_interrupt(coherence, now_ms);
    coherence_next_generation(coherence);
    coherence_raise_floor(coherence, now_ms, M_FLOORS_BUS);
    coherence->hurry = true;
    coherence_move(coherence, COHERENCE_CATCHUP, "subscribed; no beat came home yet");
}

/* A step of the bus' greeting, which must come once and in its time. */
static void greeted(struct coherence *coherence, unsigned have, int64_t now_ms)
{
    if (coherence->refused) {
        return; /* what was granted of it does not help */
    }
    if ((coherence->have & have) == 0) {
        confirm(coherence, have, now_ms);
    } else {
        malformed(coherence, now_ms, "the bus answered what nobody asked");
    }
}

/* The first answer of the bus is that to CLIENT TRACKING. Where it cannot be had, the bus goes on with frames alone. */
static bool cannot_track(const struct coherence *coherence, struct slice text)
{
    return coherence->phase == BUS_ASKED && coherence->have == 0 && !coherence->refused &&
           (rights_is_refusal(text) || rights_is_unknown(text));
}

/* Before anything else is done about the new bus: what a namespace promises hangs on it. */
static void learn_tracking(struct coherence *coherence, bool tracks, struct slice why)
{
    coherence->tracks = tracks;
    (void)snprintf(coherence->untracked_why, sizeof coherence->untracked_why, "%.*s",
                   (int)(why.size < COHERENCE_WHY_MAX ? why.size : COHERENCE_WHY_MAX - 1),
                   why.size > 0 ? why.data : "");
    namespaces_set_tracked(coherence->options.namespaces, tracks);
}

static void error_came(struct coherence *coherence, struct slice text, int64_t now_ms)
{
    if (cannot_track(coherence, text)) {
        learn_tracking(coherence, false, text);
        confirm(coherence, HAVE_TRACKING, now_ms);
        return;
    }
    if (coherence->phase != BUS_ASKED) {
        malformed(coherence, now_ms, "the bus answered an error");
        return;
    }
    coherence->refused = true;
    coherence_move(coherence, COHERENCE_DETACHED, "the bus was refused: %.*s",
                   (int)(text.size < COHERENCE_WHY_MAX ? text.size : COHERENCE_WHY_MAX), text.data);
}

static void obey(struct coherence *coherence, struct bus_message *message, int64_t now_ms)
{
    switch (message->kind) {
    case BUS_KEYS:
        forget_keys(coherence, message, now_ms);
        coherence_prove(coherence, now_ms);
        return;
    case BUS_FLUSHED:
        coherence_count(coherence, M_ANNOUNCED_FLUSHES, 1);
        namespaces_flush_all(coherence->options.namespaces);
        coherence_tell_flush(coherence);
        coherence->hurry = true;
        return;
    case BUS_FORGED:
        coherence_count(coherence, M_BUS_MALFORMED, 1);
        coherence_raise_floor(coherence, now_ms, M_FLOORS_MALFORMED);
        return;
    case BUS_FRAME: frame_came(coherence, message->text, now_ms); return;
    case BUS_SUBSCRIBED_KEYS: greeted(coherence, HAVE_KEYS, now_ms); return;
    case BUS_SUBSCRIBED_FRAMES: greeted(coherence, HAVE_FRAMES, now_ms); return;
    case BUS_OK:
        if (coherence->phase == BUS_ASKED && coherence->have == 0) {
            learn_tracking(coherence, true, (struct slice){0});
        }
        greeted(coherence, HAVE_TRACKING, now_ms);
        return;
    case BUS_PONG: barriers_pong(&coherence->barriers, message->text); return;
    case BUS_ERROR: error_came(coherence, message->text, now_ms); return;
    case BUS_STRANGE:
        malformed(coherence, now_ms, "the bus brought what is not understood");
        return;
    }
}

void coherence_on_bus_reply(struct coherence *coherence, struct slice reply, int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (coherence->phase == BUS_DOWN) {
        return; /* of a connection that was given up */
    }
    coherence->heard_at_ms = now_ms;
    struct bus_message message;
    bus_read(reply, &message);
    const bool announces =
        message.kind == BUS_KEYS || message.kind == BUS_FLUSHED || message.kind == BUS_FORGED;
    if (announces) {
        stream_announced(&coherence->stream, reply);
    }
    obey(coherence, &message, now_ms);
    if (message.kind != BUS_KEYS) { /* what they prove is shown then */
        coherence_show(coherence);
    }
}
