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
