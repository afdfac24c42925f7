/* SPDX-License-Identifier: BSD-3-Clause */
/* doctor: asks each node what it knows of itself and of its L2; what that means is in diagnosis.h. */
#include "client/cli/clock.h"
#include "client/cli/commands.h"
#include "client/cli/diagnosis.h"
#include "client/cli/json.h"
#include "protocol/info_text.h"
#include "protocol/version.h"

#include <stdlib.h>
#include <string.h>

enum {
    TRIES = 5 /* of a round trip: the least of them is the way, the others are who stood in it */
};

/* --- looking ------------------------------------------------------------------------------------------------------- */

struct looking {
    struct cli *cli;
    const char *address;
    struct terrace *client;
    struct facts facts;
    struct cli_reply info;
    struct cli_reply memory;
    struct cli_reply nodes;
    struct cli_reply settings;
    struct cli_reply default_user;
    struct cli_reply slow;
    struct cli_reply warm;
    char error[TERRACE_ERROR_SIZE];
    char l2_error[TERRACE_ERROR_SIZE];
};

/* The least time of several, in us; -1 with `error`. The first one opens the connection. */
static int64_t least_round_trip(struct looking *it, const char *command,
                                char error[TERRACE_ERROR_SIZE])
{
    int64_t least_us = INT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        struct cli_reply reply;
        const int64_t began_us = clock_us();
        const bool answered = cli_ask(it->cli, it->client, &reply, command, NULL);
        const int64_t us = clock_us() - began_us;
        least_us = i > 0 && us < least_us ? us : least_us;
        if (!answered) {
            (void)snprintf(error, TERRACE_ERROR_SIZE, "%s",
                           reply.error[0] == '\0' ? terrace_status_name(reply.status)
                                                  : cli_without_address(reply.error, it->address));
        }
        cli_reply_done(&reply);
        if (!answered) {
            return -1;
        }
    }
    return least_us;
}

static struct fact fact_of(bool answered, const struct cli_reply *reply)
{
    return (struct fact){.tree = answered ? &reply->tree : NULL, .error = reply->error};
}

static void look_at_clock(struct looking *it)
{
    struct cli_reply reply;
    const int64_t began_us = clock_wall_us();
    const bool answered = cli_ask(it->cli, it->client, &reply, "TIME", NULL);
    const int64_t middle_us = began_us + (clock_wall_us() - began_us) / 2;
    if (answered) {
        const int64_t seconds = tree_number(tree_at(&reply.tree, 0), 0);
        it->facts.clock_known = seconds > 0;
        it->facts.node_time_s = seconds;
        it->facts.clock_ahead_us =
            seconds * 1000000 + tree_number(tree_at(&reply.tree, 1), 0) - middle_us;
    }
    cli_reply_done(&reply);
}

/* DBSIZE goes on to L2, wherever that is; the section of memory asks L2 too, and is left out if it does not answer. */
static void look_at_l2(struct looking *it)
{
    struct facts *facts = &it->facts;
    facts->l2_round_trip_us = -1;
    if (info_number(facts->info, "l2_configured", 0) != 0) {
        const int64_t us = least_round_trip(it, "DBSIZE", it->l2_error);
        facts->l2_round_trip_us = us < 0                      ? -1
                                  : us > facts->round_trip_us ? us - facts->round_trip_us
                                                              : 0;
        if (us < 0) {
            return;
        }
    }
    if (cli_ask(it->cli, it->client, &it->memory, "INFO", "memory", NULL)) {
        facts->memory = tree_text(&it->memory.tree);
    }
}

static void look_at_node(struct looking *it)
{
    struct facts *facts = &it->facts;
    struct cli_reply count;
    look_at_clock(it);
    look_at_l2(it);
    facts->nodes =
        fact_of(cli_ask(it->cli, it->client, &it->nodes, "CACHE.NODES", NULL), &it->nodes);
    facts->settings = fact_of(cli_ask(it->cli, it->client, &it->settings, "CONFIG", "GET", "listen",
                                      "admin", "admin-token", NULL),
                              &it->settings);
    facts->default_user =
        fact_of(cli_ask(it->cli, it->client, &it->default_user, "ACL", "GETUSER", "default", NULL),
                &it->default_user);
    facts->slow =
        fact_of(cli_ask(it->cli, it->client, &it->slow, "SLOWLOG", "GET", "1", NULL), &it->slow);
    const bool has_l2 = info_number(facts->info, "l2_configured", 0) != 0;
    if (has_l2) {
        facts->warm =
            fact_of(cli_ask(it->cli, it->client, &it->warm, "CACHE.WARM", "LIST", NULL), &it->warm);
    }
    if (cli_ask(it->cli, it->client, &count, "SLOWLOG", "LEN", NULL)) {
        facts->slow_count = tree_number(&count.tree, 0);
    }
    cli_reply_done(&count);
}

static void look(struct looking *it)
{
    struct facts *facts = &it->facts;
    facts->own_version = TERRACE_VERSION;
    facts->error = it->error;
    facts->l2_error = it->l2_error;
    facts->info = facts->memory = (struct slice){"", 0};
    facts->round_trip_us = least_round_trip(it, "PING", it->error);
    if (facts->round_trip_us < 0) {
        return;
    }
    facts->reachable = cli_ask(it->cli, it->client, &it->info, "INFO", "server", "clients", "stats",
                               "l1", "l2", "coherence", NULL);
    if (!facts->reachable) {
        (void)snprintf(it->error, sizeof it->error, "INFO: %.200s", it->info.error);
        return;
    }
    facts->info = tree_text(&it->info.tree);
    look_at_node(it);
}

static void looking_done(struct looking *it)
{
    cli_reply_done(&it->info);
    cli_reply_done(&it->memory);
    cli_reply_done(&it->nodes);
    cli_reply_done(&it->settings);
    cli_reply_done(&it->default_user);
    cli_reply_done(&it->slow);
    cli_reply_done(&it->warm);
}

/* --- telling ------------------------------------------------------------------------------------------------------- */

struct report {
    size_t counts[VERDICT_FAIL + 1];
    json_t *nodes;
    bool unreachable;
};

static enum exit_code tell_text(struct cli *cli, const char *address,
                                const struct finding *findings, size_t count)
{
    static const enum tone tones[] = {TONE_GOOD, TONE_WARN, TONE_BAD};
    struct buf text = {0};
    enum status status = buf_printf(&text, "%s%s%s\n", text_tone(TONE_BOLD, cli->color), address,
                                    text_plain(cli->color));
    for (size_t i = 0; i < count && status == OK; i++) {
        const struct finding *one = &findings[i];
        status = buf_printf(&text, "  %s%-4s%s  %-11s ", text_tone(tones[one->verdict], cli->color),
                            verdict_name(one->verdict), text_plain(cli->color), one->check);
        status = status == OK ? text_append_shown(&text, slice_of(one->seen)) : status;
        if (status == OK && one->advice[0] != '\0') {
            status = buf_printf(&text, "\n%20s%s", "-> ", one->advice);
        }
        status = status == OK ? buf_append(&text, "\n", 1) : status;
    }
    const enum exit_code code = status == OK ? cli_print(cli, buf_slice(&text), EXIT_FINE)
                                             : cli_fail(cli, EXIT_FAILED, "out of memory");
    buf_done(&text);
    return code;
}

static json_t *findings_json(const char *address, const struct finding *findings, size_t count)
{
    json_t *checks = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *check = json_pack("{s:s,s:s}", "check", findings[i].check, "verdict",
                                  verdict_name(findings[i].verdict));
        (void)json_object_set_new(check, "seen", json_bytes(slice_of(findings[i].seen)));
        if (findings[i].advice[0] != '\0') {
            (void)json_object_set_new(check, "advice", json_string(findings[i].advice));
        }
        (void)json_array_append_new(checks, check);
    }
    return json_pack("{s:s,s:o}", "address", address, "checks", checks);
}

static enum exit_code examine(struct cli *cli, size_t i, struct report *report)
{
    struct finding findings[FINDINGS_MAX];
    struct looking *it = calloc(1, sizeof *it);
    if (it == NULL) {
        return cli_fail(cli, EXIT_FAILED, "out of memory");
    }
    it->cli = cli;
    it->address = cli->addresses[i];
    it->client = cli_node(cli, i, it->error);
    if (it->client == NULL) {
        const enum exit_code code = cli_fail(cli, EXIT_USAGE, "%s", it->error);
        free(it);
        return code;
    }
    look(it);
    const size_t count = diagnose(&it->facts, findings);
    for (size_t j = 0; j < count; j++) {
        report->counts[findings[j].verdict]++;
    }
    report->unreachable = report->unreachable || !it->facts.reachable;
    enum exit_code code = EXIT_FINE;
    if (cli->json) {
        (void)json_array_append_new(report->nodes,
                                    findings_json(cli->addresses[i], findings, count));
    } else {
        code = tell_text(cli, cli->addresses[i], findings, count);
    }
    looking_done(it);
    free(it);
    return code;
}

enum exit_code cmd_doctor(struct cli *cli)
{
    struct report report = {.nodes = json_array()};
    enum exit_code code = EXIT_FINE;
    for (size_t i = 0; i < cli->node_count && code == EXIT_FINE; i++) {
        code = examine(cli, i, &report);
    }
    if (code != EXIT_FINE) {
        json_decref(report.nodes);
        return code;
    }
    const size_t failed = report.counts[VERDICT_FAIL];
    code = report.unreachable ? EXIT_UNREACHABLE : failed > 0 ? EXIT_FAILED : EXIT_FINE;
    if (cli->json) {
        return cli_print_json(cli,
                              json_pack("{s:I,s:I,s:I,s:o}", "ok",
                                        (json_int_t)report.counts[VERDICT_OK], "warn",
                                        (json_int_t)report.counts[VERDICT_WARN], "fail",
                                        (json_int_t)failed, "nodes", report.nodes),
                              code);
    }
    json_decref(report.nodes);
    char line[96];
    (void)snprintf(line, sizeof line, "%zu ok, %zu warnings, %zu failed\n",
                   report.counts[VERDICT_OK], report.counts[VERDICT_WARN], failed);
    return cli_print(cli, slice_of(line), code);
}
