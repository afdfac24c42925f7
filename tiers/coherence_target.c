/* SPDX-License-Identifier: BSD-3-Clause */
/* Which Redis this node speaks to, and whether all its links speak to that one: COHERENCE section 4. */
#include "protocol/check.h"
#include "tiers/coherence_inner.h"

static void set_target(struct coherence *coherence, uint64_t target)
{
    atomic_store_explicit(&coherence->view.target, target, memory_order_release);
}

void coherence_lose_target(struct coherence *coherence)
{
    set_target(coherence, 0);
}

_Static_assert((uint64_t)EPOCH_COUNTER_MAX <= UINT64_MAX >> COHERENCE_RUN_BITS,
               "a counter and a run in one word");

void coherence_meet(struct coherence *coherence, const struct beat_answer *answer)
{
    _Atomic uint64_t *place = &coherence->view.newest;
    const uint64_t met = answer->epoch.counter << COHERENCE_RUN_BITS |
                         (answer->run & ((1u << COHERENCE_RUN_BITS) - 1));
    uint64_t newest = atomic_load_explicit(place, memory_order_relaxed);
    while (met >> COHERENCE_RUN_BITS > newest >> COHERENCE_RUN_BITS &&
           !atomic_compare_exchange_weak_explicit(place, &newest, met, memory_order_acq_rel,
                                                  memory_order_relaxed)) {
    }
}

/* Why the echo that came home may not open yet; NULL: it may. */
static const char *why_not_open(const struct coherence *coherence)
{
    if (atomic_load_explicit(&coherence->view.target, memory_order_relaxed) == 0) {
        return "the control link has not met this epoch yet";
    }
    if (coherence->bus.run != coherence->run) {
        return "the bus and the control link are at different processes";
    }
    return coherence->confirmed ? NULL : "the workers have not left the former L2 yet";
}

/* T4. The release makes whatever was applied before seen by whoever sees the horizon. */
void coherence_open(struct coherence *coherence)
{
    if (coherence->home_ms == 0) {
        return;
    }
    const char *why = why_not_open(coherence);
    if (why != NULL) {
        coherence_move(coherence, COHERENCE_CATCHUP, "%s", why);
        return;
    }
    if (coherence->home_ms >
        atomic_load_explicit(&coherence->view.horizon_ms, memory_order_relaxed)) {
        atomic_store_explicit(&coherence->view.horizon_ms, coherence->home_ms,
                              memory_order_release);
        coherence->newest_horizon_ms = coherence->home_ms;
    }
    coherence_allow_install(coherence, true);
    coherence_move(coherence, COHERENCE_SYNCED, "%s", "");
}

/* The control link is at this process, in our epoch. */
static void take_target(struct coherence *coherence, const struct beat_answer *answer,
                        int64_t now_ms)
{
    if (answer->run != coherence->run) {
        if (coherence->run != 0) {
            set_target(coherence, 0);
            coherence_doubt_epoch(coherence, now_ms, "L2 is another process now");
            coherence_next_generation(coherence);
            coherence_count(coherence, M_TARGETS, 1);
        }
        coherence->run = answer->run;
        coherence->confirmed = false;
    }
    set_target(coherence, answer->target);
    coherence_open(coherence);
}

enum epoch_verdict coherence_control_said(struct coherence *coherence,
                                          const struct beat_answer *answer, int64_t now_ms)
{
    coherence_meet(coherence, answer);
    const enum epoch_verdict verdict = coherence_judge_epoch(coherence, answer->epoch, now_ms);
    coherence->heard_at_ms = now_ms;
    coherence->control = (struct seen_run){.run = answer->run, .counter = answer->epoch.counter};
    if (verdict == EPOCH_OURS || verdict == EPOCH_ADOPTED) {
        take_target(coherence, answer, now_ms);
    }
    return verdict;
}

void coherence_on_control_up(struct coherence *coherence, const struct beat_answer *answer,
                             int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    (void)coherence_control_said(coherence, answer, now_ms);
    coherence_show(coherence);
}

void coherence_on_control_lost(struct coherence *coherence)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    coherence->control = (struct seen_run){0};
}

enum coherence_link coherence_wrong_link(const struct coherence *coherence)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    const struct seen_run *control = &coherence->control;
    const struct seen_run *bus = &coherence->bus;
    if (control->run == 0 || bus->run == 0 || control->run == bus->run) {
        return COHERENCE_NO_LINK;
    }
    return control->counter < bus->counter ? COHERENCE_CONTROL_LINK : COHERENCE_BUS_LINK;
}

uint64_t coherence_unconfirmed_run(const struct coherence *coherence)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    return coherence->confirmed ? 0 : coherence->run;
}

void coherence_targets_confirmed(struct coherence *coherence, uint64_t run)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (run != 0 && run == coherence->run) {
        coherence->confirmed = true;
        coherence_open(coherence);
        coherence_show(coherence);
    }
}
