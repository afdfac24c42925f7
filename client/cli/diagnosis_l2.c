/* SPDX-License-Identifier: BSD-3-Clause */
/* What the node says of its L2. */
#include "client/cli/diagnosis.h"
#include "client/cli/text.h"
#include "protocol/info_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    L2_WARN_US = 10000,  /* a miss costs this much; a Redis in the same zone answers within 1 ms */
    L2_FAIL_US = 250000, /* a quarter of the usual T: the fence is about to close between beats */
    CLOCK_WARN_MS = 500,
    CLOCK_FAIL_MS = 5000
};

static bool has_l2(const struct facts *facts)
{
    return info_number(facts->info, "l2_configured", 0) != 0;
}

bool check_l2(const struct facts *facts, struct finding *finding)
{
    const struct slice state = info_find(facts->info, "l2_state");
    const struct slice endpoint = info_find(facts->info, "l2_endpoint");
    if (!has_l2(facts)) {
        return false;
    }
    if (slice_is(state, "up")) {
        finding_say(finding, VERDICT_OK, "%.*s", (int)endpoint.size, endpoint.data);
        return true;
    }
    /* The last field, why, may hold anything. */
    const struct slice first = info_find(facts->info, "l2_endpoint_0");
    const struct slice why = info_field(first, "why");
    const struct slice address = info_field(first, "address");
    finding_say(finding, VERDICT_FAIL, "%.*s: %.*s%s%.*s", (int)address.size, address.data,
                (int)state.size, state.data, why.size > 0 ? ": " : "", (int)why.size, why.data);
    finding_advise(
        finding,
        "Does Redis run there, and can the node's machine reach it? What is in memory is served until "
        "its contract ends, then reads fail with -L2DOWN (mode available: later).");
    return true;
}

bool check_l2_latency(const struct facts *facts, struct finding *finding)
{
    char figure[FIGURE_MAX];
    if (!has_l2(facts)) {
        return false;
    }
    if (facts->l2_round_trip_us < 0) {
        finding_say(finding, VERDICT_FAIL, "L2 did not answer: %s", facts->l2_error);
        finding_advise(
            finding,
            "If the check l2 is ok, Redis is busy or stands still: SLOWLOG GET and LATENCY DOCTOR there.");
        return true;
    }
    const int64_t us = facts->l2_round_trip_us;
    finding_say(finding,
                us > L2_FAIL_US   ? VERDICT_FAIL
                : us > L2_WARN_US ? VERDICT_WARN
                                  : VERDICT_OK,
                "a round trip from the node takes %s", text_duration(figure, (double)us / 1e6));
    if (finding->verdict != VERDICT_OK) {
        finding_advise(
            finding,
            "Every miss and write costs this. Put the node nearer to Redis, or look there for slow "
            "commands (SLOWLOG GET) and a busy processor.");
    }
    return true;
}

bool check_l2_rights(const struct facts *facts, struct finding *finding)
{
    const struct slice rights = info_find(facts->info, "l2_rights");
    const struct slice missing = info_find(facts->info, "l2_rights_missing");
    if (!has_l2(facts)) {
        return false;
    }
    if (slice_is(rights, "granted") && missing.size == 0) {
        finding_say(finding, VERDICT_OK, "the node's user may do all it must");
        return true;
    }
    if (slice_is(rights, "unknown")) {
        finding_say(finding, VERDICT_WARN, "L2 has not said yet what it grants");
        finding_advise(finding, "See the check l2.");
        return true;
    }
    finding_say(finding, slice_is(rights, "granted") ? VERDICT_WARN : VERDICT_FAIL,
                "L2 refuses the node's user: %.*s", (int)missing.size, missing.data);
    finding_advise(
        finding,
        "At Redis: ACL SETUSER NAME on >PASSWORD +@read +@write +@connection +@transaction +@pubsub "
        "+@scripting -@dangerous +info +client +select +wait ~* &terrace:* &__redis__:invalidate "
        "(docs/operations.md says what each is for).");
    return true;
}

bool check_l2_memory(const struct facts *facts, struct finding *finding)
{
    const int64_t most = info_number(facts->info, "l2_maxmemory", -1);
    const struct slice policy = info_find(facts->info, "l2_maxmemory_policy");
    char figure[FIGURE_MAX];
    if (!has_l2(facts) || most < 0) {
        return false;
    }
    if (most == 0) {
        finding_say(finding, VERDICT_WARN,
                    "maxmemory is not set, so that L2 grows until its machine has no more");
        finding_advise(
            finding,
            "At Redis: CONFIG SET maxmemory SIZE, and maxmemory-policy volatile-lru or volatile-lfu.");
        return true;
    }
    (void)text_bytes(figure, (double)most);
    if (info_number(facts->info, "l2_may_evict_nodes_keys", 0) != 0) {
        finding_say(finding, VERDICT_WARN,
                    "%.*s, with maxmemory %s: Redis may evict the nodes' own keys",
                    (int)policy.size, policy.data, figure);
        finding_advise(
            finding,
            "Each time all nodes read everything anew. At Redis: CONFIG SET maxmemory-policy volatile-lru "
            "(or volatile-lfu): the nodes' keys have no TTL, and are spared.");
    } else if (slice_is(policy, "noeviction")) {
        finding_say(
            finding, VERDICT_WARN,
            "noeviction, with maxmemory %s: a full L2 refuses writes, the nodes' beats among them",
            figure);
        finding_advise(
            finding,
            "At Redis: CONFIG SET maxmemory-policy volatile-lru, and give what may go a TTL.");
    } else {
        finding_say(finding, VERDICT_OK, "%.*s, maxmemory %s", (int)policy.size, policy.data,
                    figure);
    }
    return true;
}

bool check_tracking(const struct facts *facts, struct finding *finding)
{
    const struct slice tracking = info_find(facts->info, "coherence_tracking");
    const struct slice writers = info_find(facts->info, "coherence_writers");
    if (!has_l2(facts) || tracking.size == 0) {
        return false;
    }
    if (slice_is(tracking, "yes")) {
        finding_say(finding, VERDICT_OK, "Redis announces every change, whoever made it");
        return true;
    }
    const bool is_told = slice_is(writers, "nodes");
    finding_say(finding, is_told ? VERDICT_WARN : VERDICT_FAIL, "%.*s", (int)tracking.size,
                tracking.data);
    finding_advise(
        finding,
        is_told
            ? "Namespaces with writers = nodes keep their promises as long as only nodes write there; all others "
              "serve what they have until its ttl. Redis 6 or newer, and +client, bring tracking."
            : "No change that others make is heard: everything is served until its ttl. Use Redis 6 or newer and "
              "grant +client and &__redis__:invalidate; or set writers = nodes on all nodes.");
    return true;
}

bool check_l2_clock(const struct facts *facts, struct finding *finding)
{
    const struct slice known = info_find(facts->info, "l2_clock_ahead_ms");
    const int64_t ahead_ms = info_number(facts->info, "l2_clock_ahead_ms", 0);
    const int64_t off_ms = ahead_ms < 0 ? -ahead_ms : ahead_ms;
    char figure[FIGURE_MAX];
    if (known.size == 0) {
        return false;
    }
    finding_say(finding,
                off_ms > CLOCK_FAIL_MS   ? VERDICT_FAIL
                : off_ms > CLOCK_WARN_MS ? VERDICT_WARN
                                         : VERDICT_OK,
                "L2's is %s %s the node's", text_duration(figure, (double)off_ms / 1000),
                ahead_ms < 0 ? "behind" : "ahead of");
    if (finding->verdict != VERDICT_OK) {
        finding_advise(
            finding,
            "Let NTP set both clocks: Redis ends keys by its own, and the age of managed values is "
            "told by both.");
    }
    return true;
}
