/* SPDX-License-Identifier: BSD-3-Clause */
/* What `terrace doctor` makes of what it saw; test_cli_doctor.py has each check fail on real nodes. */
#include "client/cli/diagnosis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char well[] =
    "terrace_version:0.3.0\r\nmaxclients:1000\r\nmax_open_files:1128\r\nconnected_clients:3\r\nusable_memory:1000000000\r\n"
    "l1_bytes_max:64000000\r\nl2_configured:1\r\nl2_state:up\r\nl2_endpoint:h:1\r\nl2_rights:granted\r\nl2_rights_missing:\r\n"
    "l2_maxmemory:1000\r\nl2_maxmemory_policy:volatile-lru\r\nl2_may_evict_nodes_keys:0\r\nl2_clock_ahead_ms:2\r\n"
    "coherence_state:SYNCED\r\ncoherence_tracking:yes\r\ncoherence_writers:any\r\ncoherence_nodes_disagreeing:0\r\n";

#define NODES_WELL    "*1\r\n%2\r\n+address\r\n+h:1\r\n+state\r\n+SYNCED\r\n"
#define LISTEN_WELL   "%1\r\n+listen\r\n+127.0.0.1:7379\r\n"
#define USER_NO_PASS  "%1\r\n+flags\r\n*2\r\n+on\r\n+nopass\r\n"
#define USER_PASSWORD "%1\r\n+flags\r\n*1\r\n+on\r\n"

/* Facts that are well but for what a test changes. */
struct patient {
    struct facts facts;
    struct tree nodes, settings, user, slow;
};

static void read_tree(const char *reply, struct tree *tree, struct fact *fact)
{
    tree_done(tree);
    assert_int_equal(tree_read(slice_of(reply), tree), OK);
    fact->tree = tree;
}

static void patient_open(struct patient *it)
{
    *it = (struct patient){.facts = {.reachable = true,
                                     .own_version = "0.3.0",
                                     .round_trip_us = 100,
                                     .l2_round_trip_us = 200,
                                     .l2_error = "",
                                     .clock_known = true,
                                     .info = slice_of(well),
                                     .memory = slice_of("used_memory_rss:1000\r\n"),
                                     .node_time_s = 100000}};
    read_tree(NODES_WELL, &it->nodes, &it->facts.nodes);
    read_tree(LISTEN_WELL, &it->settings, &it->facts.settings);
    read_tree(USER_NO_PASS, &it->user, &it->facts.default_user);
    read_tree("*0\r\n", &it->slow, &it->facts.slow);
}

static void patient_done(struct patient *it)
{
    tree_done(&it->nodes);
    tree_done(&it->settings);
    tree_done(&it->user);
    tree_done(&it->slow);
}

/* The finding of a check; all others are ok. NULL: the check does not apply. */
static const struct finding *only(const struct patient *it, const char *check)
{
    static struct finding findings[FINDINGS_MAX];
    const struct finding *found = NULL;
    const size_t count = diagnose(&it->facts, findings);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(findings[i].check, check) == 0) {
            found = &findings[i];
        } else if (findings[i].verdict != VERDICT_OK) {
            fail_msg("%s: %s", findings[i].check, findings[i].seen);
        }
        assert_true((findings[i].advice[0] != '\0') == (findings[i].verdict != VERDICT_OK));
    }
    return found;
}

static void assert_verdict(const struct patient *it, const char *check, enum verdict verdict)
{
    const struct finding *finding = only(it, check);
    assert_non_null(finding);
    if (finding->verdict != verdict) {
        fail_msg("%s is %s: %s", check, verdict_name(finding->verdict), finding->seen);
    }
}

static void a_well_node_is_well(void **state)
{
    (void)state;
    struct patient it;
    patient_open(&it);
    assert_verdict(&it, "reachable", VERDICT_OK);
    patient_done(&it);
}

/* The text of INFO with the line of this name in the place of its own. */
static const char *with(const char *line)
{
    static char text[2048];
    const size_t name = strcspn(line, ":") + 1;
    const char *old = well;
    while (strncmp(old, line, name) != 0) {
        old = strstr(old, "\r\n");
        assert_non_null(old);
        old += 2;
    }
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(old - well), well, line,
                   strstr(old, "\r\n"));
    return text;
}

static void each_line_of_info_is_judged(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *check;
        enum verdict verdict;
    } lines[] = {
        {"terrace_version:0.2.9", "version", VERDICT_WARN},
        {"coherence_state:CATCHUP", "coherence", VERDICT_WARN},
        {"coherence_state:SUSPECT", "coherence", VERDICT_WARN},
        {"coherence_state:DETACHED", "coherence", VERDICT_FAIL},
        {"l2_state:down", "l2", VERDICT_FAIL},
        {"l2_rights:unknown", "l2-rights", VERDICT_WARN},
        {"l2_rights:refused", "l2-rights", VERDICT_FAIL},
        {"l2_rights_missing:CLIENT TRACKING", "l2-rights", VERDICT_WARN},
        {"l2_maxmemory:0", "l2-memory", VERDICT_WARN},
        {"l2_maxmemory_policy:noeviction", "l2-memory", VERDICT_WARN},
        {"l2_may_evict_nodes_keys:1", "l2-memory", VERDICT_WARN},
        {"l2_clock_ahead_ms:-400", "l2-clock", VERDICT_OK},
        {"l2_clock_ahead_ms:-900", "l2-clock", VERDICT_WARN},
        {"l2_clock_ahead_ms:6000", "l2-clock", VERDICT_FAIL},
        {"coherence_tracking:no: NOPERM", "tracking", VERDICT_FAIL},
        {"coherence_nodes_disagreeing:1", "namespaces", VERDICT_FAIL},
        {"connected_clients:700", "clients", VERDICT_WARN},
        {"connected_clients:950", "clients", VERDICT_FAIL},
        {"max_open_files:1024", "clients", VERDICT_FAIL},
        {"l1_bytes_max:800000000", "memory", VERDICT_WARN},
        {"l1_bytes_max:950000000", "memory", VERDICT_FAIL},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct patient it;
        patient_open(&it);
        it.facts.info = slice_of(with(lines[i].line));
        assert_verdict(&it, lines[i].check, lines[i].verdict);
        patient_done(&it);
    }
}

static void a_node_without_an_l2_is_not_asked_for_one(void **state)
{
    (void)state;
    struct patient it;
    patient_open(&it);
    it.facts.info = slice_of(
        "terrace_version:0.3.0\r\nmaxclients:10\r\nl2_configured:0\r\ncoherence_state:ALONE\r\n");
    it.facts.l2_round_trip_us = -1;
    assert_null(only(&it, "l2"));
    assert_null(only(&it, "l2-latency"));
    assert_null(only(&it, "tracking"));
    assert_null(only(&it, "namespaces"));
    assert_verdict(&it, "coherence", VERDICT_OK);
    patient_done(&it);
}

static void who_cannot_be_reached_has_one_finding(void **state)
{
    (void)state;
    struct finding findings[FINDINGS_MAX];
    const struct facts facts = {.error = "Connection refused", .own_version = "0.3.0"};
    assert_int_equal(diagnose(&facts, findings), 1);
    assert_int_equal(findings[0].verdict, VERDICT_FAIL);
    assert_string_equal(findings[0].seen, "Connection refused");
}

static void a_clock_is_wrong_by_what_the_round_trip_leaves(void **state)
{
    (void)state;
    struct patient it;
    patient_open(&it);
    it.facts.clock_ahead_us = -400000;
    assert_verdict(&it, "clock", VERDICT_OK);
    it.facts.clock_ahead_us = -700000;
    assert_verdict(&it, "clock", VERDICT_WARN);
    it.facts.clock_ahead_us = 9000000;
    assert_verdict(&it, "clock", VERDICT_FAIL);
    patient_done(&it);
}

static void an_l2_that_is_far_away_or_silent_is_told(void **state)
{
    (void)state;
    struct patient it;
    patient_open(&it);
    it.facts.l2_round_trip_us = 9000;
    assert_verdict(&it, "l2-latency", VERDICT_OK);
    it.facts.l2_round_trip_us = 11000;
    assert_verdict(&it, "l2-latency", VERDICT_WARN);
    it.facts.l2_round_trip_us = 251000;
    assert_verdict(&it, "l2-latency", VERDICT_FAIL);
    it.facts.l2_round_trip_us = -1;
    assert_verdict(&it, "l2-latency", VERDICT_FAIL);
    patient_done(&it);
}

static void what_listens_to_all_wants_a_password_and_tls(void **state)
{
    (void)state;
    static const struct {
        const char *listen;
        const char *user;
        enum verdict verdict;
    } cases[] = {
        {"%1\r\n+listen\r\n+127.0.0.1:1 tls://[::1]:2,localhost:3\r\n", USER_NO_PASS, VERDICT_OK},
        {"%1\r\n+listen\r\n+0.0.0.0:7379\r\n", USER_NO_PASS, VERDICT_FAIL},
        {"%1\r\n+listen\r\n+127.0.0.1:1 tls://0.0.0.0:2\r\n", USER_NO_PASS, VERDICT_FAIL},
        {"%1\r\n+listen\r\n+0.0.0.0:7379\r\n", USER_PASSWORD, VERDICT_WARN},
        {"%1\r\n+listen\r\n+127.0.0.1:1,tls://10.0.0.1:2\r\n", USER_PASSWORD, VERDICT_OK},
        {"%1\r\n+listen\r\n+\r\n", USER_NO_PASS, VERDICT_OK}, /* a Unix socket alone */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct patient it;
        patient_open(&it);
        read_tree(cases[i].listen, &it.settings, &it.facts.settings);
        read_tree(cases[i].user, &it.user, &it.facts.default_user);
        assert_verdict(&it, "exposure", cases[i].verdict);
        patient_done(&it);
    }
}

static void a_token_beyond_loopback_is_a_warning(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        enum verdict verdict;
    } cases[] = {
        {"%3\r\n+listen\r\n+\r\n+admin\r\n+127.0.0.1:1\r\n+admin-token\r\n+x\r\n", VERDICT_OK},
        {"%3\r\n+listen\r\n+\r\n+admin\r\n+0.0.0.0:1\r\n+admin-token\r\n+\r\n", VERDICT_OK},
        {"%3\r\n+listen\r\n+\r\n+admin\r\n+0.0.0.0:1\r\n+admin-token\r\n+x\r\n", VERDICT_WARN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct patient it;
        patient_open(&it);
        read_tree(cases[i].settings, &it.settings, &it.facts.settings);
        assert_verdict(&it, "admin", cases[i].verdict);
        patient_done(&it);
    }
}

static void a_warm_job_that_failed_is_a_warning(void **state)
{
    (void)state;
    struct patient it;
    struct tree jobs = {0};
    patient_open(&it);
    assert_null(only(&it, "warming")); /* a node without an L2 */
    read_tree("*1\r\n%2\r\n+state\r\n+running\r\n+failed\r\n:0\r\n", &jobs, &it.facts.warm);
    assert_verdict(&it, "warming", VERDICT_OK);
    read_tree(
        "*2\r\n%2\r\n+id\r\n:7\r\n+state\r\n+failed\r\n%3\r\n+id\r\n:3\r\n+state\r\n+done\r\n+failed\r\n:2\r\n",
        &jobs, &it.facts.warm);
    assert_verdict(&it, "warming", VERDICT_WARN);
    assert_non_null(strstr(only(&it, "warming")->seen, "2 warm jobs with failures, last 7"));
    it.facts.warm = (struct fact){.error = "NOPERM no"};
    assert_verdict(&it, "warming", VERDICT_WARN);
    tree_done(&jobs);
    patient_done(&it);
}

static void what_may_not_be_seen_is_a_warning(void **state)
{
    (void)state;
    struct patient it;
    patient_open(&it);
    it.facts.slow = (struct fact){.error = "NOPERM this user"};
    const struct finding *finding = only(&it, "slow-log");
    assert_int_equal(finding->verdict, VERDICT_WARN);
    assert_string_equal(finding->seen, "cannot be seen: NOPERM this user");
    patient_done(&it);
}

static void an_old_entry_of_the_slow_log_is_forgotten(void **state)
{
    (void)state;
    struct patient it;
    patient_open(&it);
    read_tree("*1\r\n*6\r\n:1\r\n:90000\r\n:15000\r\n*2\r\n+GET\r\n+k\r\n+\r\n+\r\n", &it.slow,
              &it.facts.slow);
    assert_verdict(&it, "slow-log", VERDICT_OK);
    read_tree("*1\r\n*6\r\n:1\r\n:99990\r\n:15000\r\n*2\r\n+GET\r\n+k\r\n+\r\n+\r\n", &it.slow,
              &it.facts.slow);
    const struct finding *finding = only(&it, "slow-log");
    assert_int_equal(finding->verdict, VERDICT_WARN);
    assert_non_null(strstr(finding->seen, "10s ago GET k took 15ms"));
    patient_done(&it);
}

static void a_node_that_is_gone_is_named(void **state)
{
    (void)state;
    struct patient it;
    patient_open(&it);
    read_tree(
        "*3\r\n%2\r\n+address\r\n+h:1\r\n+state\r\n+SYNCED\r\n%2\r\n+address\r\n+h:2\r\n+state\r\n+GONE\r\n"
        "%2\r\n+address\r\n+h:3\r\n+state\r\n+LEFT\r\n",
        &it.nodes, &it.facts.nodes);
    const struct finding *finding = only(&it, "nodes");
    assert_int_equal(finding->verdict, VERDICT_WARN);
    assert_string_equal(finding->seen, "1 heard, 1 in trouble: h:2 GONE");
    patient_done(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_well_node_is_well),
        cmocka_unit_test(each_line_of_info_is_judged),
        cmocka_unit_test(a_node_without_an_l2_is_not_asked_for_one),
        cmocka_unit_test(who_cannot_be_reached_has_one_finding),
        cmocka_unit_test(a_clock_is_wrong_by_what_the_round_trip_leaves),
        cmocka_unit_test(an_l2_that_is_far_away_or_silent_is_told),
        cmocka_unit_test(what_listens_to_all_wants_a_password_and_tls),
        cmocka_unit_test(a_token_beyond_loopback_is_a_warning),
        cmocka_unit_test(a_warm_job_that_failed_is_a_warning),
        cmocka_unit_test(what_may_not_be_seen_is_a_warning),
        cmocka_unit_test(an_old_entry_of_the_slow_log_is_forgotten),
        cmocka_unit_test(a_node_that_is_gone_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
