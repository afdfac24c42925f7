/* SPDX-License-Identifier: BSD-3-Clause */
/* The blocking face from its beginning to its end, again and again: with threads inside, callbacks running, loaders
 * loading, signals coming. Under ThreadSanitizer, too. The node has a thread of its own. */
#include "tests/unit/liar.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    ROUNDS = 20,
    THREADS = 8,
    OPENINGS = 200
};

struct home {
    uv_loop_t loop;
    uv_async_t end;
    struct liar liar;
    pthread_t thread;
};

static bool lives(struct ear *ear, const struct native_frame *frame)
{
    const struct native_reply load = {.token = SLICE_LITERAL("0123456789abcdef")};
    switch (frame->header.op) {
    case NATIVE_GET: answer(ear, frame, NATIVE_OK, "value"); return true;
    case NATIVE_SET:
    case NATIVE_FILL:
    case NATIVE_FAIL: answer(ear, frame, NATIVE_OK, ""); return true;
    case NATIVE_FETCH:
        answer_with(ear, frame, 0, NATIVE_LOAD, &load, (struct slice){0});
        return true;
    case NATIVE_MGET: return true; /* never */
    default: return false;
    }
}

static void on_end(uv_async_t *end)
{
    struct home *home = end->data;
    liar_close(&home->liar);
    uv_close((uv_handle_t *)end, NULL);
}

static void *run_home(void *arg)
{
    struct home *home = arg;
    (void)uv_run(&home->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void home_open(struct home *home)
{
    sigset_t all, before;
    memset(home, 0, sizeof *home);
    assert_int_equal(uv_loop_init(&home->loop), 0);
    assert_int_equal(uv_async_init(&home->loop, &home->end, on_end), 0);
    home->end.data = home;
    liar_open(&home->liar, &home->loop);
    home->liar.on_frame = lives;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    assert_int_equal(pthread_create(&home->thread, NULL, run_home, home), 0);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void home_close(struct home *home)
{
    (void)uv_async_send(&home->end);
    assert_int_equal(pthread_join(home->thread, NULL), 0);
    assert_int_equal(uv_loop_close(&home->loop), 0);
}

static struct terrace *open_client(const struct home *home, const char *more)
{
    char error[TERRACE_ERROR_SIZE];
    struct terrace_options *options = scene_options(&home->liar, more);
    struct terrace *terrace = terrace_open(options, error, sizeof error);
    terrace_options_free(options);
    assert_non_null(terrace);
    return terrace;
}

static size_t entries_of(const char *folder)
{
    DIR *dir = opendir(folder);
    size_t count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir);
    return count;
}

static void get_once(struct terrace *terrace)
{
    struct terrace_value value = {0};
    const struct terrace_read_options patient = {.timeout_ms = 20000};
    assert_int_equal(terrace_get(terrace, "k", 1, &patient, &value), TERRACE_OK);
    assert_int_equal(value.size, 5);
    terrace_value_done(&value);
}

static void a_client_that_was_closed_leaves_nothing(void **state)
{
    (void)state;
    struct home home;
    size_t files = 0, threads = 0;
    home_open(&home);
    for (int i = 0; i < OPENINGS; i++) {
        struct terrace *terrace = open_client(&home, i % 2 ? "near-memory=1mb" : "");
        if (i % 3 != 0) {
            get_once(terrace);
        }
        terrace_close(terrace);
        if (i == 4) { /* what is made once in a process is there */
            files = entries_of("/proc/self/fd");
            threads = entries_of("/proc/self/task");
        }
    }
    assert_true(entries_of("/proc/self/fd") <=
                files + 4); /* the node may not have noticed the last ones */
    assert_int_equal(entries_of("/proc/self/task"), threads);
    home_close(&home);
}

/* --- closed while all is under way ------------------------------------------------------------------------------------------------ */

struct crowd {
    struct terrace *terrace;
    _Atomic unsigned started, calls;
    _Atomic bool is_closing;
};

static enum terrace_status load_slowly(void *arg, const void *key, size_t key_size,
                                       int64_t deadline_ms, struct terrace_loaded *loaded)
{
    struct crowd *crowd = arg;
    struct terrace_value value = {0};
    (void)key;
    (void)key_size;
    (void)deadline_ms;
    (void)terrace_get(crowd->terrace, "other", 5, NULL, &value);
    terrace_value_done(&value);
    uv_sleep(2);
    return terrace_loaded_set(loaded, "made", 4);
}

static void on_change(void *arg, const void *key, size_t key_size)
{
    struct crowd *crowd = arg;
    struct terrace_value value = {0};
    (void)key;
    (void)key_size;
    (void)terrace_get(crowd->terrace, "told", 4, NULL, &value);
    terrace_value_done(&value);
}

static void call_all(struct crowd *crowd, unsigned at)
{
    struct terrace_value value = {0};
    struct terrace_pair pairs[] = {{.key = "a", .key_size = 1}, {.key = "b", .key_size = 1}};
    struct terrace_counters counters;
    struct terrace_watch *watch = NULL;
    const struct terrace_read_options brief = {.timeout_ms = 30};
    struct terrace *terrace = crowd->terrace;
    switch (at % 6) {
    case 0: (void)terrace_set(terrace, "k", 1, "v", 1, NULL, NULL); break;
    case 1:
        (void)terrace_mget(terrace, pairs, 2, &brief);
        terrace_value_done(&pairs[0].value);
        terrace_value_done(&pairs[1].value);
        break;
    case 2: (void)terrace_get_or_load(terrace, "l", 1, NULL, load_slowly, crowd, &value); break;
    case 3: terrace_counters(terrace, &counters); break;
    case 4:
        if (terrace_watch_begin(terrace, "p", 1, on_change, crowd, &watch) == TERRACE_OK) {
            terrace_watch_end(watch);
        }
        break;
    default: (void)terrace_get(terrace, "k", 1, NULL, &value); break;
    }
    terrace_value_done(&value);
}

static void *of_the_crowd(void *arg)
{
    struct crowd *crowd = arg;
    unsigned at = atomic_fetch_add(&crowd->started, 1);
    while (!atomic_load(&crowd->is_closing)) {
        call_all(crowd, at++);
        (void)atomic_fetch_add(&crowd->calls, 1);
    }
    return NULL;
}

/* Nobody may call a client that is closed: so each thread ends its last call, some of which the closing ends. */
static void *of_the_closing(void *arg)
{
    struct crowd *crowd = arg;
    terrace_close(crowd->terrace);
    return NULL;
}

static void threads_come_and_go(void **state)
{
    (void)state;
    struct home home;
    home_open(&home);
    for (int round = 0; round < ROUNDS; round++) {
        struct crowd crowd = {
            .terrace =
                open_client(&home, round % 2 ? "timeout=200ms&near-memory=1mb" : "timeout=200ms")};
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, of_the_crowd, &crowd), 0);
        }
        while (atomic_load(&crowd.calls) < 40) {
            uv_sleep(1);
        }
        atomic_store(&crowd.is_closing, true);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        }
        terrace_close(crowd.terrace);
    }
    home_close(&home);
}

static void *waits_in_mget(void *arg)
{
    struct crowd *crowd = arg;
    struct terrace_pair pairs[] = {{.key = "a", .key_size = 1}, {.key = "b", .key_size = 1}};
    const struct terrace_read_options patient = {.timeout_ms = 60000};
    (void)atomic_fetch_add(&crowd->started, 1);
    const enum terrace_status status = terrace_mget(crowd->terrace, pairs, 2, &patient);
    assert_int_equal(status, TERRACE_CLOSED);
    assert_int_equal(pairs[0].status, TERRACE_CLOSED);
    assert_int_equal(pairs[1].status, TERRACE_CLOSED);
    (void)atomic_fetch_add(&crowd->calls, 1);
    return NULL;
}

static void closing_ends_who_waits_in_whatever_thread(void **state)
{
    (void)state;
    struct home home;
    home_open(&home);
    for (int round = 0; round < ROUNDS; round++) {
        struct crowd crowd = {.terrace = open_client(&home, "")};
        struct terrace_counters counters = {0};
        pthread_t threads[THREADS], closer;
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, waits_in_mget, &crowd), 0);
        }
        while (counters.requests < THREADS) { /* all are inside */
            terrace_counters(crowd.terrace, &counters);
        }
        assert_int_equal(pthread_create(&closer, NULL, of_the_closing, &crowd), 0);
        assert_int_equal(pthread_join(closer, NULL), 0);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        }
        assert_int_equal(atomic_load(&crowd.calls), THREADS);
    }
    home_close(&home);
}

/* --- time that is nearly up ------------------------------------------------------------------------------------------------------- */

static enum terrace_status load_nothing(void *arg, const void *key, size_t key_size,
                                        int64_t deadline_ms, struct terrace_loaded *loaded)
{
    (void)arg;
    (void)key;
    (void)key_size;
    (void)deadline_ms;
    (void)loaded;
    return TERRACE_MISS;
}

static void a_millisecond_is_too_little_but_no_bad_argument(void **state)
{
    (void)state;
    struct home home;
    const struct terrace_read_options brief = {.timeout_ms = 1};
    home_open(&home);
    struct terrace *terrace = open_client(&home, "");
    get_once(terrace);
    for (int i = 0; i < 30000; i++) {
        struct terrace_value value = {0};
        const enum terrace_status status =
            terrace_get_or_load(terrace, "l", 1, &brief, load_nothing, NULL, &value);
        assert_int_not_equal(status, TERRACE_BAD_ARGUMENT);
        terrace_value_done(&value);
    }
    terrace_close(terrace);
    home_close(&home);
}

/* --- the process around it ---------------------------------------------------------------------------------------------------------- */

static _Atomic unsigned alarms;

static void on_alarm(int signal)
{
    (void)signal;
    (void)atomic_fetch_add(&alarms, 1);
}

static void signals_do_not_matter(void **state)
{
    (void)state;
    struct home home;
    struct sigaction action = {.sa_handler = on_alarm}, before; /* no SA_RESTART */
    const struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    home_open(&home);
    struct terrace *terrace = open_client(&home, "");
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (atomic_load(&alarms) < 200) {
        get_once(terrace);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    terrace_close(terrace);
    home_close(&home);
}

static void two_clients_of_one_process_know_nothing_of_each_other(void **state)
{
    (void)state;
    struct home homes[2];
    struct terrace *clients[2];
    struct terrace_counters counters;
    for (int i = 0; i < 2; i++) {
        home_open(&homes[i]);
        clients[i] = open_client(&homes[i], "near-memory=1mb");
    }
    get_once(clients[0]);
    get_once(clients[0]);
    get_once(clients[1]);
    terrace_counters(clients[1], &counters);
    assert_int_equal(counters.requests, 1);
    terrace_close(clients[0]);
    get_once(clients[1]);
    terrace_close(clients[1]);
    home_close(&homes[0]);
    home_close(&homes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_was_closed_leaves_nothing),
        cmocka_unit_test(threads_come_and_go),
        cmocka_unit_test(closing_ends_who_waits_in_whatever_thread),
        cmocka_unit_test(a_millisecond_is_too_little_but_no_bad_argument),
        cmocka_unit_test(signals_do_not_matter),
        cmocka_unit_test(two_clients_of_one_process_know_nothing_of_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
