/* SPDX-License-Identifier: BSD-3-Clause */
/* Being alone: nobody sits while somebody is. */
#include "server/solo.h"
#include "tests/unit/seed_help.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    SEATS = 3,
    ROUNDS = HELP_ROUNDS(20000),
    PAIR = 2
};

struct rig {
    struct solo *solo;
    pthread_barrier_t begin;
    _Atomic unsigned sitting;
    unsigned alone; /* how often somebody was; not atomic: that is what is tested */
    unsigned pair[PAIR];
    _Atomic bool failed;
};

struct worker {
    struct rig *rig;
    unsigned seat;
};

/* Between sitting down and getting up, and while alone, what the pair says is whole. */
static void *work(void *arg)
{
    const struct worker *worker = arg;
    struct rig *rig = worker->rig;
    unsigned noise = worker->seat;
    (void)pthread_barrier_wait(&rig->begin);
    for (unsigned n = 0; n < ROUNDS; n++) {
        solo_sit(rig->solo, worker->seat);
        atomic_fetch_add(&rig->sitting, 1);
        if (rig->pair[0] != rig->pair[1]) {
            atomic_store(&rig->failed, true);
        }
        noise = noise * 1103515245u + 12345u;
        if ((noise >> 20) % 2 == 0) {
            (void)sched_yield(); /* so that the others come while this one sits */
        }
        if ((noise >> 16) % 4 == 0) {
            atomic_fetch_sub(&rig->sitting, 1);
            solo_begin(rig->solo, worker->seat);
            if (atomic_load(&rig->sitting) != 0) {
                atomic_store(&rig->failed, true);
            }
            rig->pair[0]++;
            (void)sched_yield();
            rig->alone++;
            rig->pair[1]++;
            solo_end(rig->solo);
            atomic_fetch_add(&rig->sitting, 1);
        }
        atomic_fetch_sub(&rig->sitting, 1);
        solo_rise(rig->solo, worker->seat);
    }
    return NULL;
}

static void nobody_sits_while_somebody_is_alone(void **state)
{
    (void)state;
    static struct rig rig;
    pthread_t threads[SEATS];
    struct worker workers[SEATS];
    rig.solo = solo_new(SEATS);
    assert_non_null(rig.solo);
    assert_int_equal(pthread_barrier_init(&rig.begin, NULL, SEATS), 0);
    for (unsigned i = 0; i < SEATS; i++) {
        workers[i] = (struct worker){.rig = &rig, .seat = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < SEATS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_false(atomic_load(&rig.failed));
    assert_true(rig.alone > ROUNDS / 4);
    assert_int_equal(rig.pair[0], rig.alone);
    assert_int_equal(pthread_barrier_destroy(&rig.begin), 0);
    solo_free(rig.solo);
}

static void without_one_nobody_waits(void **state)
{
    (void)state;
    solo_sit(NULL, 0);
    solo_begin(NULL, 0);
    solo_end(NULL);
    solo_rise(NULL, 0);
    solo_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_sits_while_somebody_is_alone),
        cmocka_unit_test(without_one_nobody_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
