/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/sync.h"

#include "client/flights.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEEPER_MS = 10,
    NS_PER_MS = 1000000
};

/* --- driving ---------------------------------------------------------------------------------------------------------------- */

static void lock(struct terrace *terrace)
{
    (void)pthread_mutex_lock(&terrace->lock);
}

static void unlock(struct terrace *terrace)
{
    (void)pthread_mutex_unlock(&terrace->lock);
}

/* The same for a thread at all times. */
static struct door *my_door(struct terrace *terrace)
{
    const uint64_t spread = (uint64_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15);
    return &terrace->doors[spread >> 32 & (DOORS - 1)];
}

bool terrace_enter(struct terrace *terrace)
{
    (void)atomic_fetch_add(&my_door(terrace)->inside, 1);
    if (atomic_load(&terrace->is_closing)) {
        terrace_leave(terrace);
        return false;
    }
    return true;
}

void terrace_leave(struct terrace *terrace)
{
    (void)atomic_fetch_sub(&my_door(terrace)->inside, 1);
}

/* One turn of the loop, with the lock held before and after. `mine`: NULL, or whom not to wait for when it is done. */
static void drive_once(struct terrace *terrace, const struct wait *mine)
{
    struct wait *batch = terrace->begun;
    terrace->begun = NULL;
    terrace->begun_last = &terrace->begun;
    terrace->is_asleep = true;
    unlock(terrace);
    while (batch != NULL) {
        struct wait *wait = batch;
        batch = wait->next; /* it may be gone after this */
        wait->begin(wait, terrace->core);
    }
    if (terrace->core != NULL) {
        core_turn(terrace->core);
    }
    /* Who only has a look is done by now; but many of them may not stop the clock of the others. */
    const bool is_done = mine != NULL && mine->is_done;
    const bool turns = !is_done || clock_ms() - terrace->turned_ms >= KEEPER_MS;
    if (turns) {
        terrace->is_turning = true;
        (void)uv_run(&terrace->loop, is_done ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        terrace->is_turning = false;
    }
    lock(terrace);
    terrace->is_asleep = false;
    if (turns) {
        terrace->turned_ms = clock_ms();
        terrace->driven_ms = mine != NULL ? terrace->turned_ms : terrace->driven_ms;
    }
}

static void add_waiter(struct terrace *terrace, struct wait *wait)
{
    wait->sleeps = true;
    wait->next_waiter = NULL;
    wait->prev_waiter = terrace->waiters_last;
    *(wait->prev_waiter != NULL ? &wait->prev_waiter->next_waiter : &terrace->waiters) = wait;
    terrace->waiters_last = wait;
}

static void remove_waiter(struct terrace *terrace, struct wait *wait)
{
    wait->sleeps = false;
    *(wait->prev_waiter != NULL ? &wait->prev_waiter->next_waiter : &terrace->waiters) =
        wait->next_waiter;
    *(wait->next_waiter != NULL ? &wait->next_waiter->prev_waiter : &terrace->waiters_last) =
        wait->prev_waiter;
}

/* With the lock held. */
static void hand_on(struct terrace *terrace)
{
    struct wait *next = terrace->waiters;
    if (next != NULL) { /* it drives from now on, though it has not woken up yet */
        remove_waiter(terrace, next);
        next->is_to_drive = true;
        (void)pthread_cond_signal(&next->cond);
    } else {
        terrace->is_driven = false;
    }
}

void wait_done(struct wait *wait)
{
    struct terrace *terrace = wait->terrace;
    lock(terrace);
    wait->is_done = true;
    if (wait->sleeps) {
        remove_waiter(terrace, wait);
        (void)pthread_cond_signal(&wait->cond);
    }
    unlock(terrace); /* `wait` may be gone */
    if (terrace->is_turning) {
        uv_stop(&terrace->loop); /* if it was the driver's own */
    }
}

void wait_for(struct terrace *terrace, struct wait *wait)
{
    wait->terrace = terrace;
    wait->next = NULL;
    wait->is_done = wait->is_to_drive = wait->sleeps = false;
    (void)pthread_cond_init(&wait->cond, NULL);
    lock(terrace);
    *terrace->begun_last = wait;
    terrace->begun_last = &wait->next;
    bool drives = !terrace->is_driven;
    if (!drives) {
        if (terrace->is_asleep) {
            (void)uv_async_send(&terrace->bell);
        }
        add_waiter(terrace, wait);
        while (!wait->is_done && !wait->is_to_drive) {
            (void)pthread_cond_wait(&wait->cond, &terrace->lock);
        }
        drives = wait->is_to_drive;
    }
    if (drives) {
        terrace->is_driven = true;
        while (!wait->is_done) {
            drive_once(terrace, wait);
        }
        hand_on(terrace);
    }
    unlock(terrace);
    (void)pthread_cond_destroy(&wait->cond);
}

/* --- the keeper --------------------------------------------------------------------------------------------------------------- */

static void sleep_a_little(struct terrace *terrace)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += KEEPER_MS * NS_PER_MS;
    until.tv_sec += until.tv_nsec / (1000 * NS_PER_MS);
    until.tv_nsec %= 1000 * NS_PER_MS;
    (void)pthread_cond_timedwait(&terrace->keeper_cond, &terrace->lock, &until);
}

static void *keep(void *arg)
{
    struct terrace *terrace = arg;
    lock(terrace);
    while (!terrace->is_stopping) {
        if (watch_has_news(terrace)) {
            watch_tell(terrace);
        } else if (terrace->is_driven || clock_ms() - terrace->driven_ms < KEEPER_MS) {
            sleep_a_little(terrace);
        } else {
            terrace->is_driven = true;
            while (!terrace->is_stopping && terrace->waiters == NULL && !watch_has_news(terrace)) {
                drive_once(terrace, NULL);
            }
            if (terrace->waiters != NULL) {
                hand_on(terrace);
            } else {
                terrace->is_driven = false;
            }
        }
    }
    unlock(terrace);
    return NULL;
}

/* --- life --------------------------------------------------------------------------------------------------------------------- */

static void on_bell(uv_async_t *bell)
{
    (void)bell; /* it is enough that epoll_wait has returned */
}

static bool start_keeper(struct terrace *terrace)
{
    sigset_t all, before;
    (void)sigfillset(&all); /* signals are for the application's threads */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&terrace->keeper, NULL, keep, terrace);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0;
}

static void init_locks(struct terrace *terrace)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&terrace->lock, NULL);
    (void)pthread_cond_init(&terrace->keeper_cond, &monotonic);
    (void)pthread_cond_init(&terrace->told_cond, NULL);
    (void)pthread_condattr_destroy(&monotonic);
}

static void free_terrace(struct terrace *terrace)
{
    (void)pthread_mutex_destroy(&terrace->lock);
    (void)pthread_cond_destroy(&terrace->keeper_cond);
    (void)pthread_cond_destroy(&terrace->told_cond);
    flights_free(terrace->flights);
    free(terrace);
}

static void close_loop(struct terrace *terrace)
{
    uv_close((uv_handle_t *)&terrace->bell, NULL);
    (void)uv_run(&terrace->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&terrace->loop);
}

static void on_core_closed(void *arg)
{
    *(bool *)arg = true;
}

/* Before there is a keeper. */
static void close_core(struct terrace *terrace)
{
    bool is_closed = false;
    core_close(terrace->core, on_core_closed, &is_closed);
    while (!is_closed) {
        (void)uv_run(&terrace->loop, UV_RUN_ONCE);
    }
}

static bool open_loop(struct terrace *terrace)
{
    if (uv_loop_init(&terrace->loop) != 0) {
        return false;
    }
    if (uv_async_init(&terrace->loop, &terrace->bell, on_bell) != 0) {
        (void)uv_loop_close(&terrace->loop);
        return false;
    }
    return true;
}

struct terrace *terrace_open(const struct terrace_options *options, char *error, size_t error_size)
{
    struct terrace_options *presets = options == NULL ? terrace_options_new() : NULL;
    struct terrace *terrace = calloc(1, sizeof *terrace);
    const struct terrace_options *used = options != NULL ? options : presets;
    bool has_loop = false;
    error_say(error, error_size, "no memory, or no descriptors");
    if (terrace != NULL) {
        init_locks(terrace);
        terrace->flights = flights_new();
    }
    if (terrace != NULL && terrace->flights != NULL && used != NULL) {
        terrace->begun_last = &terrace->begun;
        has_loop = open_loop(terrace);
        terrace->core = has_loop ? core_open(&terrace->loop, used, error, error_size) : NULL;
    }
    terrace_options_free(presets);
    if (terrace == NULL || terrace->core == NULL) {
        if (has_loop) {
            close_loop(terrace);
        }
        if (terrace != NULL) {
            free_terrace(terrace);
        }
        return NULL;
    }
    terrace->whole = terrace->core;
    terrace->near = terrace->core->near;
    terrace->options = terrace->core->options;
    terrace->tally = &terrace->core->tally;
    if (!start_keeper(terrace)) {
        error_say(error, error_size, "no thread could be started");
        close_core(terrace);
        close_loop(terrace);
        core_free(terrace->whole);
        free_terrace(terrace);
        return NULL;
    }
    return terrace;
}

struct closing {
    struct wait wait; /* first */
};

static void on_closed(void *arg)
{
    struct closing *closing = arg;
    closing->wait.terrace->core = NULL;
    wait_done(&closing->wait);
}

static void begin_closing(struct wait *wait, struct core *core)
{
    core_close(core, on_closed, wait);
}

void terrace_close(struct terrace *terrace)
{
    struct closing closing = {.wait = {.begin = begin_closing}};
    if (terrace == NULL) {
        return;
    }
    atomic_store(&terrace->is_closing, true);
    flights_close(terrace->flights);
    wait_for(terrace, &closing.wait);
    /* Whoever waited was told; he has only to leave. */
    for (size_t i = 0; i < DOORS; i++) {
        while (atomic_load(&terrace->doors[i].inside) > 0) {
            const struct timespec moment = {.tv_nsec = NS_PER_MS / 10};
            (void)nanosleep(&moment, NULL);
        }
    }
    lock(terrace);
    terrace->is_stopping = true;
    (void)uv_async_send(&terrace->bell);
    (void)pthread_cond_signal(&terrace->keeper_cond);
    unlock(terrace);
    (void)pthread_join(terrace->keeper, NULL);
    close_loop(terrace);
    core_free(terrace->whole);
    free_terrace(terrace);
}
