/* SPDX-License-Identifier: BSD-3-Clause */
/* The checks of the admin listener, and of warm jobs. */
#include "client/cli/diagnosis.h"

#include <inttypes.h>

bool check_admin(const struct facts *facts, struct finding *finding)
{
    const struct slice address = tree_text(tree_find(facts->settings.tree, "admin"));
    const struct slice token = tree_text(tree_find(facts->settings.tree, "admin-token"));
    if (address.size == 0) { /* there is none; or `exposure` says that it cannot be seen */
        return false;
    }
    const bool is_near = finding_is_loopback(address);
    finding_say(finding, !is_near && token.size > 0 ? VERDICT_WARN : VERDICT_OK, "%.*s: %s",
                (int)address.size, address.data,
                token.size > 0 ? "changes want the token"
                : is_near      ? "nobody changes anything there"
                               : "nobody changes anything there, and /v1 is for this machine");
    if (finding->verdict == VERDICT_WARN) {
        finding_advise(finding,
                       "It has no TLS, so the token passes the network in the clear: listen "
                       "on 127.0.0.1, behind a proxy that has.");
    }
    return true;
}

bool check_warming(const struct facts *facts, struct finding *finding)
{
    size_t open = 0;
    size_t failed = 0;
    const struct tree *newest = NULL; /* of those that failed */
    if (facts->warm.tree == NULL && facts->warm.error == NULL) {
        return false;
    }
    if (finding_unseen(finding, &facts->warm, "+cache.warm|list")) {
        return true;
    }
    for (size_t i = 0; i < facts->warm.tree->count; i++) {
        const struct tree *job = tree_at(facts->warm.tree, i);
        const struct slice state = tree_text(tree_find(job, "state"));
        const bool has_failed =
            slice_is(state, "failed") || tree_number(tree_find(job, "failed"), 0) > 0;
        newest = has_failed && newest == NULL ? job : newest;
        failed += has_failed;
        open +=
            slice_is(state, "queued") || slice_is(state, "running") || slice_is(state, "paused");
    }
    if (newest == NULL) {
        finding_say(finding, VERDICT_OK, "%zu warm jobs have not ended", open);
        return true;
    }
    const struct slice source = tree_text(tree_find(newest, "source"));
    const struct slice error = tree_text(tree_find(newest, "error"));
    finding_say(finding, VERDICT_WARN, "%zu warm jobs with failures, last %" PRId64 " (%.*s)%s%.*s",
                failed, tree_number(tree_find(newest, "id"), 0), (int)source.size, source.data,
                error.size == 0 ? "" : ": ", (int)error.size, error.data);
    finding_advise(finding, "terrace warm status %" PRId64 " tells which keys and why.",
                   tree_number(tree_find(newest, "id"), 0));
    return true;
}
