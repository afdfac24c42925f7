/* SPDX-License-Identifier: BSD-3-Clause */
/* warm -- has all nodes bring keys into memory before they are asked for, and waits until they have.
 *
 *      cc warm.c $(pkg-config --cflags --libs terrace) -o warm
 *      ./warm 'endpoints=127.0.0.1:7379' 'product:*'
 *
 * The job is the cluster's: if this program ends, or loses its node, it goes on, and may be waited for again by its number. */
#include <inttypes.h>
#include <stdio.h>
#include <terrace.h>
#include <time.h>

static int has_ended(enum terrace_warm_state state)
{
    return state == TERRACE_WARM_DONE || state == TERRACE_WARM_FAILED ||
           state == TERRACE_WARM_CANCELLED;
}

static void show(const struct terrace_warm_status *job)
{
    (void)printf("job %" PRIu64 " %s: %" PRIu64 " loaded, %" PRIu64 " failed", job->id,
                 terrace_warm_state_name(job->state), job->loaded, job->failed);
    (void)printf(job->error[0] != '\0' ? ": %s\n" : "%s\n", job->error);
}

/* 0 when it is done. */
static int wait_for(struct terrace *terrace, uint64_t id)
{
    const struct timespec moment = {.tv_nsec = 100 * 1000 * 1000};
    for (;;) {
        char error[TERRACE_ERROR_SIZE];
        struct terrace_warm_list found;
        const enum terrace_status status =
            terrace_warm_status(terrace, id, 0, &found, error, sizeof error);
        if (status != TERRACE_OK) { /* looking does no harm: an application may go on here */
            (void)fprintf(stderr, "warm: %s: %s\n", terrace_status_name(status), error);
            return 1;
        }
        const enum terrace_warm_state state = found.jobs[0].state;
        if (has_ended(state)) {
            show(&found.jobs[0]);
        }
        terrace_warm_list_done(&found);
        if (has_ended(state)) {
            return state == TERRACE_WARM_DONE ? 0 : 1;
        }
        (void)nanosleep(&moment, NULL);
    }
}

static int warm(struct terrace *terrace, const char *pattern)
{
    char error[TERRACE_ERROR_SIZE];
    uint64_t id = 0;
    const struct terrace_warm_job job = {
        .source = TERRACE_WARM_PATTERN, .text = pattern, .rate = 50000};
    const enum terrace_status status = terrace_warm_submit(terrace, &job, &id, error, sizeof error);
    if (status != TERRACE_OK) {
        (void)fprintf(stderr, "warm: %s: %s\n", terrace_status_name(status), error);
        return 1;
    }
    return wait_for(terrace, id);
}

int main(int argc, char **argv)
{
    char error[TERRACE_ERROR_SIZE];
    struct terrace_options *options = terrace_options_new();
    if (argc != 3 || options == NULL ||
        terrace_options_parse(options, argv[1], error, sizeof error) != TERRACE_OK) {
        (void)fprintf(stderr, "usage: warm 'endpoints=HOST:PORT' PATTERN\n");
        terrace_options_free(options);
        return 2;
    }
    struct terrace *terrace = terrace_open(options, error, sizeof error);
    terrace_options_free(options);
    if (terrace == NULL) {
        (void)fprintf(stderr, "warm: %s\n", error);
        return 1;
    }
    const int code = warm(terrace, argv[2]);
    terrace_close(terrace);
    return code;
}
