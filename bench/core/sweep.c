/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/core/sweep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sweep_die(const char *text, const char *what)
{
    (void)fprintf(stderr, "%s: %s%s\n", program_invocation_short_name, text, what);
    exit(SWEEP_USAGE);
}

void sweep_take_rooms(struct sweep *sweep, char *text)
{
    char *rest = text;
    sweep->room_count = 0;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        char *end;
        errno = 0;
        const double share = strtod(word, &end);
        if (errno != 0 || end == word || *end != '\0' || !(share > 0 && share <= 1) ||
            sweep->room_count == SWEEP_MAX) {
            sweep_die("--room: not a share above 0 and up to 1: ", word);
        }
        sweep->rooms[sweep->room_count++] = share;
    }
}

void sweep_take_policies(struct sweep *sweep, char *text)
{
    char *rest = text;
    sweep->policy_count = 0;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        const struct policy *policy = policy_find(slice_of(word));
        if (policy == NULL || sweep->policy_count == SWEEP_MAX) {
            sweep_die("--policies: unknown policy: ", word);
        }
        sweep->policies[sweep->policy_count++] = policy;
    }
}

const char *sweep_read(struct trace *trace, const char *path)
{
    if (trace_read(trace, path, 0) != OK) {
        sweep_die("", trace->error);
    }
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

int64_t sweep_time(const struct sweep *sweep, const struct trace *trace, uint32_t i,
                   int64_t before_ms)
{
    if (!sweep->ttl) {
        return SWEEP_T0 + (int64_t)i;
    }
    const int64_t second_ms = SWEEP_T0 + (int64_t)trace->requests[i].time_s * 1000;
    const int64_t next_ms = before_ms + 1;
    return next_ms > second_ms && next_ms < second_ms + 1000 ? next_ms : second_ms;
}

struct l1 *sweep_l1(const struct policy *policy, size_t bytes_max, unsigned shards)
{
    struct l1 *l1 = l1_new(&(struct l1_options){
        .bytes_max = bytes_max, .policy = policy, .shards = shards, .seed = 20261121});
    if (l1 == NULL) {
        sweep_die("out of memory", "");
    }
    return l1;
}

struct item *sweep_item(const struct sweep *sweep, struct l1 *l1, const struct l1_key *key,
                        const struct trace_request *request, size_t value_size, int64_t now_ms)
{
    const bool expires = sweep->ttl && request->ttl_s > 0;
    struct item *item = l1_item_new(
        l1, key->hash,
        &(struct item_spec){.key = key->bytes,
                            .value_size = value_size,
                            .expire_at_ms = expires ? now_ms + (int64_t)request->ttl_s * 1000 : 0});
    if (item == NULL) {
        sweep_die("out of memory", "");
    }
    return item;
}
