/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/progress.h"

#include "bench/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    BAR_WIDTH = 30
};

#define TICK_NS (250 * NS_PER_MS)

void progress_begin(struct progress *progress, const char *what, bool wanted)
{
    uint64_t now_ns = clock_ns();
    *progress = (struct progress){
        .shown = wanted && isatty(STDERR_FILENO) == 1,
        .what = what,
        .begin_ns = now_ns,
        .last_ns = now_ns,
        .next_ns = now_ns + TICK_NS,
    };
}

static void draw(struct progress *progress, double part, double rate, double eta_s,
                 const struct histogram *latency)
{
    char bar[BAR_WIDTH + 1];
    size_t filled = (size_t)(part * BAR_WIDTH);
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', filled > BAR_WIDTH ? BAR_WIDTH : filled);
    bar[BAR_WIDTH] = '\0';
    char p99[32] = "";
    if (latency != NULL && latency->count > 0) {
        (void)snprintf(p99, sizeof p99, "  p99 %.3f ms",
                       (double)histogram_quantile_ns(latency, 0.99) / 1e6);
    }
    (void)fprintf(stderr, "\r%-8s [%s] %3.0f %%  %.0f/s%s  ETA %.0f s \033[K", progress->what, bar,
                  part * 100, rate, p99, eta_s);
    (void)fflush(stderr);
}

void progress_tick(struct progress *progress, uint64_t now_ns, double part, uint64_t done,
                   const struct histogram *latency)
{
    if (!progress->shown || now_ns < progress->next_ns) {
        return;
    }
    if (part > 1) {
        part = 1;
    }
    double seconds = (double)(now_ns - progress->last_ns) / 1e9;
    double rate = done >= progress->last_done ? (double)(done - progress->last_done) / seconds : 0;
    double elapsed_s = (double)(now_ns - progress->begin_ns) / 1e9;
    draw(progress, part, rate, part > 0.001 ? elapsed_s * (1 - part) / part : 0, latency);
    progress->last_ns = now_ns;
    progress->last_done = done;
    progress->next_ns = now_ns + TICK_NS;
}

void progress_end(struct progress *progress)
{
    if (progress->shown) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
    }
}
