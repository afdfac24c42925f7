/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/diagnosis.h"

#include "client/cli/text.h"
#include "protocol/info_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOW_ROUND_TRIP_US = 20000, /* a cache further away than this is hardly one */
    CLOCK_WARN_MS = 500,      /* half of the usual T; ages that people compare are off by as much */
    CLOCK_FAIL_MS = 5000,     /* TTLs that applications compute, and logs, are plainly wrong */
    DESCRIPTORS_BESIDE = 128, /* what a node wants beside its clients (server/main.c) */
    SLOW_RECENT_S = 600
};

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[] = {"ok", "warn", "fail"};
    return names[verdict];
}

void finding_say(struct finding *finding, enum verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(finding->seen, sizeof finding->seen, format, arguments);
    va_end(arguments);
    finding->verdict = verdict;
}

void finding_advise(struct finding *finding, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(finding->advice, sizeof finding->advice, format, arguments);
    va_end(arguments);
}

bool finding_unseen(struct finding *finding, const struct fact *fact, const char *right)
{
    if (fact->tree != NULL) {
        return false;
    }
    finding_say(finding, VERDICT_WARN, "cannot be seen: %s", fact->error);
    finding_advise(finding, "Ask as a user with %s.", right);
    return true;
}

/* --- the node ------------------------------------------------------------------------------------------------------ */

static bool check_reachable(const struct facts *facts, struct finding *finding)
{
    char figure[FIGURE_MAX];
    if (!facts->reachable) {
        finding_say(finding, VERDICT_FAIL, "%s", facts->error);
        finding_advise(finding,
                       "Does terraced run there, listen on this address (option listen), and "
                       "do user, password and TLS fit?");
        return true;
    }
    const bool is_slow = facts->round_trip_us > SLOW_ROUND_TRIP_US;
    finding_say(finding, is_slow ? VERDICT_WARN : VERDICT_OK, "answers in %s",
                text_duration(figure, (double)facts->round_trip_us / 1e6));
    if (is_slow) {
        finding_advise(finding,
                       "A hit costs this much from here: run a node near its clients, or look at "
                       "`terrace top` whether it is busy.");
    }
    return true;
}

static bool check_version(const struct facts *facts, struct finding *finding)
{
    const struct slice version = info_find(facts->info, "terrace_version");
    const bool is_same = slice_is(version, facts->own_version);
    finding_say(finding, is_same ? VERDICT_OK : VERDICT_WARN, "%.*s%s%s", (int)version.size,
                version.data, is_same ? "" : ", this program is ",
                is_same ? "" : facts->own_version);
    if (!is_same) {
        finding_advise(finding,
                       "Nodes and tools of one version know the same fields and commands.");
    }
    return true;
}

static bool check_coherence(const struct facts *facts, struct finding *finding)
{
    const struct slice state = info_find(facts->info, "coherence_state");
    const struct slice reason = info_find(facts->info, "coherence_reason");
    if (slice_is(state, "SYNCED")) {
        finding_say(finding, VERDICT_OK, "SYNCED");
        return true;
    }
    if (slice_is(state, "ALONE")) {
        finding_say(finding, VERDICT_OK, "alone: there is no L2, this node has the only copy");
        return true;
    }
    const bool is_lost = slice_is(state, "DETACHED") || state.size == 0;
    finding_say(finding, is_lost ? VERDICT_FAIL : VERDICT_WARN, "%.*s%s%.*s", (int)state.size,
                state.data, reason.size > 0 ? ": " : "", (int)reason.size, reason.data);
    finding_advise(
        finding,
        is_lost ? "The bus to the other nodes is lost: what is in memory is served until its "
                  "contract ends, then L2 is asked. Look at the check l2."
                : "This passes by itself within a second; if it does not, look at the checks l2 "
                  "and l2-latency.");
    return true;
}

static bool check_namespaces(const struct facts *facts, struct finding *finding)
{
    const int64_t count = info_number(facts->info, "coherence_nodes_disagreeing", 0);
    const struct slice what = info_find(facts->info, "coherence_disagreement");
    if (info_find(facts->info, "coherence_nodes_disagreeing").size == 0) {
        return false;
    }
    if (count == 0) {
        finding_say(finding, VERDICT_OK, "all nodes agree on their namespaces");
        return true;
    }
    finding_say(finding, VERDICT_FAIL, "%lld nodes have others: %.*s", (long long)count,
                (int)what.size, what.data);
    finding_advise(
        finding,
        "Give all nodes the same names, prefixes, formats and writers (docs/operations.md, "
        "\"Nodes must agree\"); `terrace nodes` names who differs.");
    return true;
}

/* Up to three of those in trouble, by address and state. */
static bool check_nodes(const struct facts *facts, struct finding *finding)
{
    char text[FINDING_TEXT_MAX / 2] = "";
    size_t used = 0;
    size_t troubled = 0;
    size_t well = 0;
    if (finding_unseen(finding, &facts->nodes, "+cache.nodes")) {
        return true;
    }
    for (size_t i = 0; i < facts->nodes.tree->count; i++) {
        const struct tree *node = tree_at(facts->nodes.tree, i);
        const struct slice state = tree_text(tree_find(node, "state"));
        const struct slice address = tree_text(tree_find(node, "address"));
        if (slice_is(state, "SYNCED") || slice_is(state, "ALONE") || slice_is(state, "CATCHUP")) {
            well++; /* CATCHUP: it has just come */
        } else if (!slice_is(state, "LEFT") && tree_number(tree_find(node, "self"), 0) == 0 &&
                   ++troubled <= 3) {
            const int size =
                snprintf(text + used, sizeof text - used, "%s%.*s %.*s", used == 0 ? "" : ", ",
                         (int)address.size, address.data, (int)state.size, state.data);
            used += size > 0 && (size_t)size < sizeof text - used ? (size_t)size : 0;
        }
    }
    if (troubled == 0) {
        finding_say(finding, VERDICT_OK, "%zu heard", well);
        return true;
    }
    finding_say(finding, VERDICT_WARN, "%zu heard, %zu in trouble: %s", well, troubled, text);
    finding_advise(
        finding,
        "GONE: killed, frozen or cut off from L2, and forgotten after an hour. Look there, or at the "
        "network between it and L2.");
    return true;
}

static bool check_clock(const struct facts *facts, struct finding *finding)
{
    const double ahead_ms = (double)facts->clock_ahead_us / 1000;
    const double off_ms = ahead_ms < 0 ? -ahead_ms : ahead_ms;
    char figure[FIGURE_MAX];
    if (!facts->clock_known) {
        return false;
    }
    const double sure_ms = off_ms - (double)facts->round_trip_us / 2000;
    const enum verdict verdict = sure_ms > CLOCK_FAIL_MS   ? VERDICT_FAIL
                                 : sure_ms > CLOCK_WARN_MS ? VERDICT_WARN
                                                           : VERDICT_OK;
    finding_say(finding, verdict, "the node's is %s %s this machine's",
                text_duration(figure, off_ms / 1000), ahead_ms < 0 ? "behind" : "ahead of");
    if (verdict != VERDICT_OK) {
        finding_advise(
            finding,
            "Let NTP (chrony, systemd-timesyncd) set both clocks. Nodes compare lengths of time "
            "only, but deadlines (EXPIREAT, PXAT) and what people read in logs go by the clock.");
    }
    return true;
}

/* --- limits -------------------------------------------------------------------------------------------------------- */

static bool check_clients(const struct facts *facts, struct finding *finding)
{
    const int64_t now = info_number(facts->info, "connected_clients", 0);
    const int64_t most = info_number(facts->info, "maxclients", 0);
    const int64_t files = info_number(facts->info, "max_open_files", -1);
    const int64_t rejected = info_number(facts->info, "rejected_connections", 0);
    const double share = most > 0 ? (double)now / (double)most : 0;
    if (files >= 0 && files < most + DESCRIPTORS_BESIDE) {
        finding_say(finding, VERDICT_FAIL,
                    "%lld open files are allowed, maxclients %lld needs %lld", (long long)files,
                    (long long)most, (long long)(most + DESCRIPTORS_BESIDE));
        finding_advise(finding,
                       "Raise the limit (ulimit -n, LimitNOFILE= of systemd), or lower maxclients: "
                       "beyond it connections are refused without a word.");
        return true;
    }
    finding_say(finding,
                share >= 0.9                   ? VERDICT_FAIL
                : share >= 0.7 || rejected > 0 ? VERDICT_WARN
                                               : VERDICT_OK,
                "%lld of %lld connections, %lld refused so far", (long long)now, (long long)most,
                (long long)rejected);
    if (finding->verdict != VERDICT_OK) {
        finding_advise(
            finding,
            "Raise maxclients (CONFIG SET maxclients), or find who keeps them: CLIENT LIST.");
    }
    return true;
}

static bool check_memory(const struct facts *facts, struct finding *finding)
{
    const double usable = (double)info_number(facts->info, "usable_memory", 0);
    const double most = (double)info_number(facts->info, "l1_bytes_max", 0);
    const double resident = (double)info_number(facts->memory, "used_memory_rss", 0);
    char budget[FIGURE_MAX];
    char room[FIGURE_MAX];
    char held[FIGURE_MAX];
    if (usable <= 0) {
        return false;
    }
    const double worst = resident > most ? resident : most;
    const enum verdict verdict = worst > 0.9 * usable    ? VERDICT_FAIL
                                 : worst > 0.75 * usable ? VERDICT_WARN
                                                         : VERDICT_OK;
    finding_say(finding, verdict, "L1 may take %s, the process holds %s, of %s that there are",
                text_bytes(budget, most), resident > 0 ? text_bytes(held, resident) : "(not known)",
                text_bytes(room, usable));
    if (verdict != VERDICT_OK) {
        finding_advise(
            finding,
            "Lower option memory (CONFIG SET memory), or give the container more: buffers of clients come "
            "on top, and beyond the limit the kernel kills the node.");
    }
    return true;
}

/* --- exposure ------------------------------------------------------------------------------------------------------ */

bool finding_is_loopback(struct slice address)
{
    return slice_begins(address, "127.") || slice_begins(address, "localhost:") ||
           slice_begins(address, "[::1]");
}

static bool has_no_password(const struct tree *user)
{
    const struct tree *flags = tree_find(user, "flags");
    bool is_on = false;
    bool is_open = false;
    for (size_t i = 0; flags != NULL && i < flags->count; i++) {
        is_on = is_on || slice_is(tree_text(tree_at(flags, i)), "on");
        is_open = is_open || slice_is(tree_text(tree_at(flags, i)), "nopass");
    }
    return is_on && is_open;
}

static bool check_exposure(const struct facts *facts, struct finding *finding)
{
    if (finding_unseen(finding, &facts->settings, "+config|get") ||
        finding_unseen(finding, &facts->default_user, "+acl|getuser")) {
        return true;
    }
    const struct slice listens = tree_text(tree_find(facts->settings.tree, "listen"));
    struct slice rest = listens;
    bool is_open = false;
    bool is_plain = false;
    for (struct slice one; (one = slice_next_word(&rest, " ,")).size > 0;) {
        const bool by_tls = slice_begins(one, "tls://");
        const struct slice address = by_tls ? (struct slice){one.data + 6, one.size - 6} : one;
        const bool is_beyond = !finding_is_loopback(address);
        is_open = is_open || is_beyond;
        is_plain = is_plain || (is_beyond && !by_tls);
    }
    const bool is_free = has_no_password(facts->default_user.tree);
    const enum verdict verdict = is_open && is_free ? VERDICT_FAIL
                                 : is_plain         ? VERDICT_WARN
                                                    : VERDICT_OK;
    finding_say(finding, verdict, "listens on %.*s%s", (int)listens.size, listens.data,
                is_free ? "; the default user needs no password" : "; a password is needed");
    if (verdict == VERDICT_FAIL) {
        finding_advise(
            finding,
            "Whoever reaches that address may read and delete everything: set requirepass or users (aclfile), "
            "or listen on 127.0.0.1.");
    } else if (verdict == VERDICT_WARN) {
        finding_advise(finding,
                       "Passwords and values pass the network in the clear: listen on tls://.");
    }
    return true;
}

/* --- slow log ------------------------------------------------------------------------------------------------------ */

static bool check_slow(const struct facts *facts, struct finding *finding)
{
    if (finding_unseen(finding, &facts->slow, "+slowlog")) {
        return true;
    }
    const struct tree *newest = tree_at(facts->slow.tree, 0);
    const struct tree *words = tree_at(newest, 3);
    const struct slice command = tree_text(tree_at(words, 0));
    const struct slice key = tree_text(tree_at(words, 1));
    const int64_t ago_s = facts->node_time_s - tree_number(tree_at(newest, 1), 0);
    char took[FIGURE_MAX];
    char ago[FIGURE_MAX];
    if (newest == NULL || ago_s > SLOW_RECENT_S) {
        finding_say(finding, VERDICT_OK, "nothing slow in the last 10 minutes");
        return true;
    }
    finding_say(finding, VERDICT_WARN, "%lld entries; %s ago %.*s %.*s took %s",
                (long long)facts->slow_count, text_duration(ago, ago_s < 0 ? 0 : (double)ago_s),
                (int)command.size, command.data, key.size > 80 ? 80 : (int)key.size, key.data,
                text_duration(took, (double)tree_number(tree_at(newest, 2), 0) / 1e6));
    finding_advise(
        finding,
        "SLOWLOG GET lists them. Time in which L2 was waited for counts: look at the check l2-latency first.");
    return true;
}

/* --- all ----------------------------------------------------------------------------------------------------------- */

size_t diagnose(const struct facts *facts, struct finding findings[FINDINGS_MAX])
{
    static const struct {
        const char *name;
        check_fn *check;
    } checks[] = {
        {"reachable", check_reachable}, /* first: without it there are no others */
        {"version", check_version},
        {"coherence", check_coherence},
        {"l2", check_l2},
        {"l2-latency", check_l2_latency},
        {"l2-rights", check_l2_rights},
        {"l2-memory", check_l2_memory},
        {"tracking", check_tracking},
        {"clock", check_clock},
        {"l2-clock", check_l2_clock},
        {"clients", check_clients},
        {"memory", check_memory},
        {"namespaces", check_namespaces},
        {"nodes", check_nodes},
        {"exposure", check_exposure},
        {"admin", check_admin},
        {"warming", check_warming},
        {"slow-log", check_slow},
    };
    size_t count = 0;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        findings[count] = (struct finding){.check = checks[i].name};
        count += checks[i].check(facts, &findings[count]) ? 1 : 0;
        if (!facts->reachable) {
            break;
        }
    }
    return count;
}
