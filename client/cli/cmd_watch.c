/* SPDX-License-Identifier: BSD-3-Clause */
/* watch: what changes, a line each. The library's thread tells, through a bounded queue, the main thread, which prints: so a
 * reader that is slow holds up nobody, and is told that it missed something. */
#include "client/cli/clock.h"
#include "client/cli/commands.h"
#include "client/cli/json.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    QUEUE_BYTES_MAX = 16 << 20
};

/* What waits to be printed: for each the time, the key's size and the key. */
struct change {
    int64_t at_us;
    uint32_t size;
    bool all; /* no key: any may have changed */
};

struct queue {
    pthread_mutex_t lock;
    struct buf waiting;
    bool lost; /* there was no room; said as a change of all */
    int event;
};

static void on_change(void *arg, const void *key, size_t size)
{
    struct queue *queue = arg;
    const struct change change = {
        .at_us = clock_wall_us(), .size = (uint32_t)size, .all = key == NULL};
    const uint64_t one = 1;
    (void)pthread_mutex_lock(&queue->lock);
    const size_t more = sizeof change + size;
    if (queue->waiting.size + more > QUEUE_BYTES_MAX || buf_reserve(&queue->waiting, more) != OK) {
        queue->lost = true;
    } else {
        (void)!buf_append(&queue->waiting, &change, sizeof change);
        (void)!(size == 0 ? OK : buf_append(&queue->waiting, key, size));
    }
    (void)pthread_mutex_unlock(&queue->lock);
    (void)!write(queue->event, &one, sizeof one);
}

/* --- printing ------------------------------------------------------------------------------------------------------ */

static enum exit_code print_change(struct cli *cli, const struct change *change, struct slice key)
{
    if (cli->json) {
        json_t *object = json_pack("{s:f}", "time", (double)change->at_us / 1e6);
        (void)json_object_set_new(object, "key", change->all ? json_null() : json_bytes(key));
        (void)json_object_set_new(object, "all", json_boolean(change->all));
        return cli_print_json(cli, object, EXIT_FINE);
    }
    struct tm local;
    const time_t seconds = (time_t)(change->at_us / 1000000);
    char clock[16];
    struct buf line = {0};
    (void)localtime_r(&seconds, &local);
    (void)strftime(clock, sizeof clock, "%H:%M:%S", &local);
    enum status status = buf_printf(&line, "%s%s.%03d%s  ", text_tone(TONE_DIM, cli->color), clock,
                                    (int)(change->at_us / 1000 % 1000), text_plain(cli->color));
    if (status == OK) {
        status = change->all ? buf_append(&line, "*", 1) : text_append_shown(&line, key);
    }
    status = status == OK ? buf_append(&line, "\n", 1) : status;
    const enum exit_code code = status == OK ? cli_print(cli, buf_slice(&line), EXIT_FINE)
                                             : cli_fail(cli, EXIT_FAILED, "out of memory");
    buf_done(&line);
    return code;
}

/* All that waits, at most `most` of them; *ret_count says how many. */
static enum exit_code print_waiting(struct cli *cli, struct queue *queue, int64_t most,
                                    int64_t *count)
{
    (void)pthread_mutex_lock(&queue->lock);
    struct buf taken = queue->waiting;
    const bool lost = queue->lost;
    queue->waiting = (struct buf){0};
    queue->lost = false;
    (void)pthread_mutex_unlock(&queue->lock);
    enum exit_code code = EXIT_FINE;
    for (size_t at = 0; at < taken.size && *count < most && code == EXIT_FINE; ++*count) {
        struct change change;
        memcpy(&change, taken.data + at, sizeof change);
        at += sizeof change;
        code = print_change(cli, &change, (struct slice){taken.data + at, change.size});
        at += change.size;
    }
    if (lost && *count < most && code == EXIT_FINE) {
        const struct change change = {.at_us = clock_wall_us(), .all = true};
        code = print_change(cli, &change, (struct slice){"", 0});
        ++*count;
    }
    buf_done(&taken);
    return code;
}

static enum exit_code print_all(struct cli *cli, struct queue *queue)
{
    const int64_t most = words_number(&cli->words, "--count", INT64_MAX);
    enum exit_code code = EXIT_FINE;
    for (int64_t count = 0; count < most && code == EXIT_FINE && !clock_is_ended();) {
        uint64_t events;
        if (clock_wait(clock_us() + INT64_C(3600000000), queue->event)) {
            (void)!read(queue->event, &events, sizeof events);
        }
        code = print_waiting(cli, queue, most, &count);
    }
    return code;
}

enum exit_code cmd_watch(struct cli *cli)
{
    const struct slice prefix =
        slice_of(cli->words.argument_count == 0 ? "" : cli->words.arguments[0]);
    struct queue queue = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct terrace_watch *watch = NULL;
    clock_catch_signals();
    enum exit_code code = cli_open(cli);
    if (code != EXIT_FINE) {
        return code;
    }
    queue.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue.event < 0) {
        return cli_fail(cli, EXIT_FAILED, "no eventfd");
    }
    const enum terrace_status status =
        terrace_watch_begin(cli->all, prefix.data, prefix.size, on_change, &queue, &watch);
    if (status == TERRACE_OK) {
        code = print_all(cli, &queue);
        terrace_watch_end(watch);
    } else {
        code = cli_fail_status(cli, status, "watch", "");
    }
    (void)close(queue.event);
    buf_done(&queue.waiting);
    return code;
}
