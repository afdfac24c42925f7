/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker's window serves in each mode, with L2 there and away, with the fence open and closed. */
#include "tests/unit/window_help.h"

enum {
    T_MS = 1000,
    G_MS = 5000
};

static struct namespace_spec spec_in(enum namespace_kind kind)
{
    struct namespace_spec spec = spec_of("default", "", T_MS);
    spec.settings.mode.kind = kind;
    spec.settings.mode.grace_ms = G_MS;
    spec.settings.ttl_ms = kind == NAMESPACE_TTL ? 3600000 : 0;
    return spec;
}

/* L2 answers, and all nodes have applied it at once. */
static void answer(struct stage *stage, const char *text)
{
    help_feed(&stage->roof, slice_of(text), HELP_NOW);
    while (stage->confirm_count > 0) {
        stage->confirm_count--;
        stage->confirms[stage->confirm_count]->on_confirmed(stage->confirms[stage->confirm_count],
                                                            OK);
    }
}

/* The value of k, read from L2 and kept. */
static void stage_with_value(struct stage *stage, enum namespace_kind kind)
{
    const struct namespace_spec spec = spec_in(kind);
    struct reading asked;
    stage_open(stage, &spec, 1);
    assert_int_equal(ask(stage, &asked, "k"), PENDING);
    answer(stage, ":-1\r\n$1\r\nv\r\n");
    expect_ended(&asked, "v");
    assert_int_equal(ask(stage, &asked, "k"), OK);
}

/* Everything that stands becomes suspect, as coherence would say it; a new horizon is there at once. */
static void suspect_all(struct stage *stage, int64_t now_ms)
{
    atomic_store(&stage->view->plain.prior_floor_ms, atomic_load(&stage->view->plain.floor_ms));
    atomic_store(&stage->view->plain.proven_ms, atomic_load(&stage->view->horizon_ms));
    atomic_store(&stage->view->plain.floor_ms, now_ms + 1);
    atomic_store(&stage->view->horizon_ms, now_ms);
    tiers_window_begin(stage->window, now_ms);
}

/* The connection is lost, and the next attempt fails: from then on L2 refuses at once. */
static void lose_l2(struct stage *stage)
{
    const int64_t now_ms = stage->window->now_ms;
    link_on_lost(stage->roof.link, "a test", now_ms);
    for (int64_t ms = 0; !link_is_down(stage->roof.link); ms += 100) {
        assert_true(ms < 10000);
        link_tick(stage->roof.link, now_ms + ms);
        if (link_state(stage->roof.link) == LINK_CONNECTING) {
            link_on_lost(stage->roof.link, "a test", now_ms + ms);
        }
    }
}

static uint64_t stale_served(const struct stage *stage)
{
    return metrics_read(&stage->metrics, M_STALE_SERVED);
}

static void with_the_fence_closed_each_mode_serves_what_it_may(void **state)
{
    (void)state;
    static const struct {
        enum namespace_kind kind;
        int64_t until_ms; /* the last moment of a hit; the horizon is that of HELP_NOW */
    } rows[] = {{NAMESPACE_BOUNDED, T_MS},
                {NAMESPACE_STRICT, T_MS},
                {NAMESPACE_AVAILABLE, G_MS},
                {NAMESPACE_TTL, 3600000 - 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stage stage;
        struct reading asked;
        stage_with_value(&stage, rows[i].kind);
        tiers_window_begin(stage.window, HELP_NOW + rows[i].until_ms);
        assert_int_equal(ask(&stage, &asked, "k"), OK);
        tiers_window_begin(stage.window, HELP_NOW + rows[i].until_ms + 1);
        assert_int_equal(ask(&stage, &asked, "k"), PENDING);
        stage_done(&stage);
    }
}

static void what_is_older_than_t_is_counted(void **state)
{
    (void)state;
    struct stage stage;
    struct reading asked;
    stage_with_value(&stage, NAMESPACE_AVAILABLE);
    tiers_window_begin(stage.window, HELP_NOW + T_MS);
    assert_int_equal(ask(&stage, &asked, "k"), OK);
    assert_int_equal(stale_served(&stage), 0);
    tiers_window_begin(stage.window, HELP_NOW + T_MS + 1);
    assert_int_equal(ask(&stage, &asked, "k"), OK);
    assert_int_equal(stale_served(&stage), 1);
    stage_done(&stage);
}

static void available_asks_l2_for_a_suspect_and_serves_it_when_l2_is_lost(void **state)
{
    (void)state;
    struct stage stage;
    struct reading first;
    struct reading second;
    stage_with_value(&stage, NAMESPACE_AVAILABLE);
    suspect_all(&stage, HELP_NOW + 10);
    assert_int_equal(ask(&stage, &first, "k"), PENDING);
    assert_int_equal(ask(&stage, &second, "k"), PENDING); /* joins */
    lose_l2(&stage);
    expect_ended(&first, "v");
    expect_ended(&second, "v");
    assert_true(first.is_spare && second.is_spare);
    assert_int_equal(stale_served(&stage), 0);      /* it is 10 ms old */
    assert_int_equal(ask(&stage, &first, "k"), OK); /* L2 refuses at once: the same */
    tiers_window_begin(stage.window, HELP_NOW + G_MS);
    assert_int_equal(ask(&stage, &first, "k"), OK);
    assert_int_equal(stale_served(&stage), 1);
    stage_done(&stage);
}

static void bounded_and_strict_serve_no_suspect_when_l2_is_lost(void **state)
{
    (void)state;
    static const enum namespace_kind kinds[] = {NAMESPACE_BOUNDED, NAMESPACE_STRICT};
    for (size_t i = 0; i < 2; i++) {
        struct stage stage;
        struct reading asked;
        stage_with_value(&stage, kinds[i]);
        suspect_all(&stage, HELP_NOW + 10);
        assert_int_equal(ask(&stage, &asked, "k"), PENDING);
        lose_l2(&stage);
        assert_int_equal(asked.ends, 1);
        assert_int_equal(asked.status, L2_DOWN);
        assert_int_equal(ask(&stage, &asked, "k"), L2_DOWN);
        stage_done(&stage);
    }
}

static void an_invalidated_value_is_served_in_no_mode(void **state)
{
    (void)state;
    static const struct wish any = {.kind = WISH_ANY};
    for (int kind = NAMESPACE_BOUNDED; kind <= NAMESPACE_TTL; kind++) {
        struct stage stage;
        struct reading asked;
        stage_with_value(&stage, (enum namespace_kind)kind);
        (void)namespaces_forget(stage.namespaces, slice_of("k"));
        assert_int_equal(ask_with(&stage, &asked, "k", &any), PENDING);
        lose_l2(&stage);
        assert_int_equal(asked.status, L2_DOWN);
        stage_done(&stage);
    }
}

static void an_expired_value_is_served_in_no_mode(void **state)
{
    (void)state;
    static const struct wish any = {.kind = WISH_ANY};
    for (int kind = NAMESPACE_BOUNDED; kind <= NAMESPACE_TTL; kind++) {
        const struct namespace_spec spec = spec_in((enum namespace_kind)kind);
        struct stage stage;
        struct reading asked;
        stage_open(&stage, &spec, 1);
        assert_int_equal(ask(&stage, &asked, "k"), PENDING);
        answer(&stage, ":300\r\n$1\r\nv\r\n");
        tiers_window_begin(stage.window, HELP_NOW + 299);
        assert_int_equal(ask_with(&stage, &asked, "k", &any), OK);
        tiers_window_begin(stage.window, HELP_NOW + 300);
        assert_int_equal(ask_with(&stage, &asked, "k", &any), PENDING);
        stage_done(&stage);
    }
}

/* -BUSY says nothing about the key: what stood stays, and is served where the contract allows. */
static void an_error_of_l2_ends_nothing(void **state)
{
    (void)state;
    static const struct wish any = {.kind = WISH_ANY, .patient = true};
    struct stage stage;
    struct reading bounded;
    struct reading lenient;
    stage_with_value(&stage, NAMESPACE_BOUNDED);
    suspect_all(&stage, HELP_NOW + 10);
    assert_int_equal(ask(&stage, &bounded, "k"), PENDING);
    assert_int_equal(ask_with(&stage, &lenient, "k", &any), PENDING);
    answer(&stage, "-BUSY a script\r\n-BUSY a script\r\n");
    assert_int_equal(bounded.status, L2_ERROR);
    expect_ended(&lenient, "v");
    assert_true(lenient.is_spare);
    assert_int_equal(ask(&stage, &bounded, "k"), PENDING);
    assert_int_equal(ask_with(&stage, &lenient, "k", &any), PENDING);
    answer(&stage, ":-1\r\n-WRONGTYPE Operation\r\n");
    assert_int_equal(bounded.status, L2_ERROR);
    assert_int_equal(lenient.status, L2_ERROR); /* that is about the key */
    assert_true(stands(&stage, "k", NULL));
    stage_done(&stage);
}

static void a_fresh_read_joins_none_and_installs(void **state)
{
    (void)state;
    static const struct wish fresh = {.kind = WISH_FRESH};
    struct stage stage;
    struct reading first;
    struct reading second;
    stage_with_value(&stage, NAMESPACE_BOUNDED);
    assert_int_equal(ask_with(&stage, &first, "k", &fresh), PENDING);
    assert_int_equal(ask_with(&stage, &second, "k", &fresh), PENDING);
    answer(&stage, ":-1\r\n$1\r\nw\r\n");
    expect_ended(&first, "w");
    assert_int_equal(second.ends, 0);
    assert_true(stands(&stage, "k", NULL)); /* the second took the token */
    answer(&stage, ":-1\r\n$1\r\nx\r\n");
    expect_ended(&second, "x");
    assert_int_equal(ask_with(&stage, &first, "k", &fresh), PENDING);
    answer(&stage, ":-1\r\n$1\r\ny\r\n");
    assert_int_equal(ask(&stage, &first, "k"), OK);
    assert_true(stands(&stage, "k", "y"));
    stage_done(&stage);
}

static void a_seq_not_applied_here_is_asked_of_l2(void **state)
{
    (void)state;
    struct wish wish = {.atleast_seq = 5};
    struct stage stage;
    struct reading asked;
    struct reading other;
    stage_with_value(&stage, NAMESPACE_TTL);
    atomic_store(&stage.view->applied_seq, 5);
    tiers_window_begin(stage.window, HELP_NOW + 1);
    assert_int_equal(ask_with(&stage, &asked, "k", &wish), OK);
    wish.atleast_seq = 6;
    assert_int_equal(ask_with(&stage, &asked, "k", &wish), PENDING);
    assert_int_equal(ask_with(&stage, &other, "k", &wish), PENDING);
    answer(&stage, ":-1\r\n$1\r\nw\r\n");
    expect_ended(&asked, "w");
    assert_int_equal(other.ends, 0); /* it did not join */
    stage_done(&stage);
}

/* A reader that wants its link proved more closely does not take the word of one that was not. */
static void a_read_joins_none_whose_link_is_proved_less(void **state)
{
    (void)state;
    static const struct wish close = {.kind = WISH_MAXSTALE, .max_stale_ms = 400};
    struct stage stage;
    struct reading wide;
    struct reading narrow;
    const struct namespace_spec spec = spec_in(NAMESPACE_BOUNDED);
    stage_open(&stage, &spec, 1);
    assert_int_equal(ask(&stage, &wide, "k"), PENDING);
    assert_int_equal(ask_with(&stage, &narrow, "k", &close), PENDING);
    answer(&stage, ":-1\r\n$1\r\nv\r\n");
    expect_ended(&wide, "v");
    assert_int_equal(narrow.ends, 0);
    answer(&stage, ":-1\r\n$1\r\nv\r\n");
    expect_ended(&narrow, "v");
    stage_done(&stage);
}

static void ttl_installs_without_the_bus_and_the_others_do_not(void **state)
{
    (void)state;
    for (int kind = NAMESPACE_BOUNDED; kind <= NAMESPACE_TTL; kind++) {
        const struct namespace_spec spec = spec_in((enum namespace_kind)kind);
        struct stage stage;
        struct reading asked;
        stage_open(&stage, &spec, 1);
        atomic_store(&stage.view->may_install, false);
        assert_int_equal(ask(&stage, &asked, "k"), PENDING);
        answer(&stage, ":-1\r\n$1\r\nv\r\n");
        expect_ended(&asked, "v");
        assert_true(stands(&stage, "k", kind == NAMESPACE_TTL ? "v" : NULL));
        assert_int_equal(ask(&stage, &asked, "j"), PENDING);
        (void)namespaces_forget(stage.namespaces, slice_of("j")); /* ends the token all the same */
        answer(&stage, ":-1\r\n$1\r\nv\r\n");
        assert_true(stands(&stage, "j", NULL));
        stage_done(&stage);
    }
}

/* --- strict ------------------------------------------------------------------------------------------------------ */

static void strict_open(struct stage *stage)
{
    struct namespace_spec specs[] = {spec_of("default", "", T_MS), spec_of("strict", "s:", T_MS)};
    specs[1].settings.mode.kind = NAMESPACE_STRICT;
    stage_open(stage, specs, 2);
}

static void a_strict_read_is_told_and_kept_when_all_nodes_have_applied(void **state)
{
    (void)state;
    struct stage stage;
    struct reading first;
    struct reading second;
    strict_open(&stage);
    assert_int_equal(ask(&stage, &first, "s:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
    assert_int_equal(stage.confirm_count, 1);
    assert_int_equal(first.ends, 0);
    assert_true(stands(&stage, "s:k", NULL));
    assert_int_equal(ask(&stage, &second, "s:k"), PENDING); /* joins: the token stands */
    confirm(&stage, 0, OK);
    expect_ended(&first, "v");
    expect_ended(&second, "v");
    assert_true(stands(&stage, "s:k", "v"));
    stage_done(&stage);
}

static void a_change_meanwhile_ends_what_would_be_kept(void **state)
{
    (void)state;
    struct stage stage;
    struct reading first;
    struct reading second;
    strict_open(&stage);
    assert_int_equal(ask(&stage, &first, "s:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
    (void)namespaces_forget(stage.namespaces, slice_of("s:k"));
    assert_int_equal(ask(&stage, &second, "s:k"), PENDING); /* asks for itself */
    confirm(&stage, 0, OK);
    expect_ended(&first, "v");
    assert_int_equal(second.ends, 0);
    assert_true(stands(&stage, "s:k", NULL));
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nw\r\n");
    confirm(&stage, 1, OK);
    expect_ended(&second, "w");
    stage_done(&stage);
}

static void a_strict_read_that_cannot_be_confirmed_is_stale(void **state)
{
    (void)state;
    struct stage stage;
    struct reading asked;
    strict_open(&stage);
    assert_int_equal(ask(&stage, &asked, "s:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
    confirm(&stage, 0, TIMEOUT);
    assert_int_equal(asked.status, STALE);
    assert_string_equal(asked.text, "");
    assert_true(stands(&stage, "s:k", NULL));
    stage.refuses = true;
    assert_int_equal(ask(&stage, &asked, "s:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$-1\r\n");
    assert_int_equal(asked.status, STALE);
    stage_done(&stage);
}

/* WRONGTYPE says what the key holds; that Redis is busy says nothing. */
static void a_strict_error_about_the_key_waits_as_a_value_does(void **state)
{
    (void)state;
    struct stage stage;
    struct reading asked;
    strict_open(&stage);
    assert_int_equal(ask(&stage, &asked, "s:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n-WRONGTYPE x\r\n");
    assert_int_equal(asked.ends, 0);
    assert_int_equal(stage.confirm_count, 1);
    confirm(&stage, 0, OK);
    assert_int_equal(asked.status, L2_ERROR);
    assert_int_equal(ask(&stage, &asked, "s:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n-WRONGTYPE x\r\n");
    confirm(&stage, 1, TIMEOUT);
    assert_int_equal(asked.status, STALE);
    assert_int_equal(ask(&stage, &asked, "s:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n-BUSY x\r\n");
    assert_int_equal(asked.status, L2_ERROR);
    stage_done(&stage);
}

static void strict_reads_wait_up_to_so_many_bytes(void **state)
{
    (void)state;
    struct stage stage;
    struct reading first;
    struct reading second;
    strict_open(&stage);
    assert_int_equal(ask(&stage, &first, "s:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$4\r\nfour\r\n");
    assert_int_equal(stage.window->kept_bytes, 4);
    stage.window->kept_bytes += WINDOW_KEPT_BYTES_MAX; /* as if others were under way */
    assert_int_equal(ask(&stage, &second, "s:l"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
    assert_int_equal(second.status, STALE);
    stage.window->kept_bytes -= WINDOW_KEPT_BYTES_MAX;
    confirm(&stage, 0, OK);
    expect_ended(&first, "four");
    assert_int_equal(stage.window->kept_bytes, 0);
    stage_done(&stage);
}

static void strict_joins_none_while_its_fence_is_closed(void **state)
{
    (void)state;
    struct stage stage;
    struct reading first;
    struct reading second;
    strict_open(&stage);
    tiers_window_begin(stage.window, HELP_NOW + T_MS + 1);
    assert_int_equal(ask(&stage, &first, "s:k"), PENDING);
    assert_int_equal(ask(&stage, &second, "s:k"), PENDING);
    stage.view->horizon_ms = HELP_NOW + T_MS + 1;
    stage_done(&stage);
    assert_int_equal(first.ends + second.ends, 2);
    assert_int_equal(metrics_read(&stage.metrics, M_COALESCED), 0);
}

struct write {
    struct tiers_relay relay;
    unsigned ends;
    enum status status;
    char reply[64];
    unsigned kept;
};

static void on_write(struct tiers_relay *relay, enum status status, struct slice reply)
{
    struct write *write = (struct write *)(void *)relay;
    write->ends++;
    write->status = status;
    if (reply.size > 0) {
        assert_true(reply.size < sizeof write->reply);
        memcpy(write->reply, reply.data, reply.size);
    }
}

static void send_write(struct stage *stage, struct write *write, struct l1_key *key,
                       const char *name)
{
    *write = (struct write){.relay = {.on_reply = on_write, .keys = key, .writes = true}};
    if (name != NULL) {
        *key = namespaces_key(stage->namespaces, 0, slice_of(name)).at;
        write->relay.key_count = 1;
    }
    assert_int_equal(
        tiers_relay(stage->window, &write->relay, 2, SLICE_LITERAL("*1\r\n$1\r\nX\r\n")), OK);
}

static void a_strict_write_is_acknowledged_when_all_nodes_have_applied_it(void **state)
{
    (void)state;
    struct stage stage;
    struct write write;
    struct l1_key key;
    strict_open(&stage);
    send_write(&stage, &write, &key, "s:k");
    HELP_SAY(&stage.roof, "+OK\r\n");
    assert_int_equal(write.ends, 0);
    confirm(&stage, 0, OK);
    assert_int_equal(write.status, OK);
    assert_string_equal(write.reply, "+OK\r\n");
    send_write(&stage, &write, &key, "s:k");
    HELP_SAY(&stage.roof, ":1\r\n");
    confirm(&stage, 1, L2_DOWN);
    assert_int_equal(write.status, STALE);
    stage.refuses = true;
    send_write(&stage, &write, &key, "s:k");
    HELP_SAY(&stage.roof, ":1\r\n");
    assert_int_equal(write.status, STALE);
    stage_done(&stage);
}

static void on_kept(struct tiers_relay *relay, struct slice reply)
{
    struct write *write = (struct write *)(void *)relay;
    assert_int_equal(write->ends, 0);
    assert_true(slice_equal(reply, SLICE_LITERAL(":1\r\n")));
    write->kept++;
}

static void who_can_keep_a_reply_gets_it_when_it_is_here(void **state)
{
    (void)state;
    struct stage stage;
    struct write write = {
        .relay = {.on_kept = on_kept, .on_reply = on_write, .key_count = 1, .writes = true}};
    struct l1_key key;
    strict_open(&stage);
    key = namespaces_key(stage.namespaces, 0, SLICE_LITERAL("s:k")).at;
    write.relay.keys = &key;
    assert_int_equal(tiers_relay(stage.window, &write.relay, 2, SLICE_LITERAL("*1\r\n$1\r\nX\r\n")),
                     OK);
    HELP_SAY(&stage.roof, ":1\r\n");
    assert_int_equal(write.kept, 1);
    confirm(&stage, 0, TIMEOUT);
    assert_int_equal(write.ends, 1);
    assert_int_equal(write.status, STALE);
    assert_string_equal(write.reply, "");
    assert_int_equal(write.kept, 1);
    stage_done(&stage);
}

/* All that was sent is lost with its link, whose connection is killed over the next one. */
static void lose_what_was_sent(struct stage *stage)
{
    struct roof *roof = &stage->roof;
    struct buf sent = help_written(roof);
    buf_done(&sent);
    link_on_lost(roof->link, "a test", HELP_NOW);
    link_tick(roof->link, HELP_NOW);
    link_on_connected(roof->link, HELP_NOW);
    sent = help_written(roof);
    buf_done(&sent);
    HELP_SAY(roof, ":8\r\n" HELP_BEAT_ANSWER HELP_SELECTED_8 HELP_SELECTED_8 ":1\r\n");
    assert_int_equal(link_state(roof->link), LINK_READY);
}

static void unknown_is_told_when_no_node_shows_what_was_before(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool refuses;
        unsigned waits;
        enum status ends; /* of the wait */
        bool confirmed;
    } rows[] = {{"s:k", false, 1, OK, true},
                {"s:k", false, 1, TIMEOUT, false},
                {"s:k", true, 0, OK, false},
                {"k", false, 0, OK, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stage stage;
        struct write write = {
            .relay = {.on_kept = on_kept, .on_reply = on_write, .key_count = 1, .writes = true}};
        strict_open(&stage);
        struct l1_key key = namespaces_key(stage.namespaces, 0, slice_of(rows[i].key)).at;
        write.relay.keys = &key;
        stage.refuses = rows[i].refuses;
        assert_int_equal(
            tiers_relay(stage.window, &write.relay, 2, SLICE_LITERAL("*1\r\n$1\r\nX\r\n")), OK);
        lose_what_was_sent(&stage);
        assert_int_equal(stage.confirm_count, rows[i].waits);
        assert_int_equal(write.ends, rows[i].waits == 0);
        if (rows[i].waits > 0) {
            confirm(&stage, 0, rows[i].ends);
        }
        assert_int_equal(write.ends, 1);
        assert_int_equal(write.status, UNKNOWN);
        assert_int_equal(write.relay.confirmed, rows[i].confirmed);
        assert_int_equal(write.kept, 0); /* nobody answered */
        assert_int_equal(metrics_read(&stage.metrics, M_L2_UNKNOWN), 1);
        stage_done(&stage);
    }
}

static void who_waits_for_all_nodes_and_who_does_not(void **state)
{
    (void)state;
    static const struct {
        const char *key; /* NULL: none is known */
        bool writes;
        bool keys_unknown;
        uint16_t ends_dbs;
        const char *reply;
        bool waits;
        bool runs_code;
    } rows[] = {
        {"s:k", true, false, 0, "+OK\r\n", true, false},
        {"s:k", false, false, 0, ":1\r\n", true, false},
        {"s:k", true, false, 0, "-ERR x\r\n", true, false},
        {"s:k", true, true, 0, "-ERR\r\n", true, false},
        {"s:k", false, false, 0, "-WRONGTYPE x\r\n", true, false},
        {"s:k", true, false, 0, "-BUSYKEY x\r\n", true, false},
        {"s:k", true, false, 0, "-BUSY x\r\n", false, false},
        {"s:k", true, false, 0, "-READONLY x\r\n", false, false},
        {"s:k", true, false, 0, "-OOM x\r\n", false, false},
        {"s:k", true, true, 0, "-OOM x\r\n", true, false},
        {"s:k", true, false, 0, "-ERR syntax error\r\n", true, false},
        {"s:k", true, false, 0, "-ERR wrong number of arguments for 'x'\r\n", false, false},
        {NULL, true, true, 0, "-ERR unknown command 'x'\r\n", false, false},
        {NULL, true, true, 0, "-ERR unknown subcommand 'x'\r\n", false, false},
        {NULL, true, true, 0, "-ERR unknown command 'x'\r\n", true, true},
        {"k", true, false, 0, "-ERR x\r\n", false, false},
        {"k", true, false, 0, "+OK\r\n", false, false},
        {"k", false, false, 0, ":1\r\n", false, false},
        {"k", true, true, 0, "+OK\r\n", true, false},
        {"k", true, false, 1, "+OK\r\n", true, false},
        {NULL, true, false, 0, "+OK\r\n", true, false},
        {NULL, false, false, 0, "+OK\r\n", false, false},
        {NULL, false, true, 0, "+OK\r\n", true, false},
        {"k", false, true, 0, "+OK\r\n", true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stage stage;
        struct write write = {.relay = {.on_reply = on_write,
                                        .writes = rows[i].writes,
                                        .keys_unknown = rows[i].keys_unknown,
                                        .runs_code = rows[i].runs_code,
                                        .ends_dbs = rows[i].ends_dbs}};
        struct l1_key key;
        strict_open(&stage);
        if (rows[i].key != NULL) {
            key = namespaces_key(stage.namespaces, 0, slice_of(rows[i].key)).at;
            write.relay.keys = &key;
            write.relay.key_count = 1;
        }
        assert_int_equal(
            tiers_relay(stage.window, &write.relay, 2, SLICE_LITERAL("*1\r\n$1\r\nX\r\n")), OK);
        help_feed(&stage.roof, slice_of(rows[i].reply), HELP_NOW);
        if (stage.confirm_count != rows[i].waits || write.ends != !rows[i].waits) {
            fail_msg("row %zu", i);
        }
        if (rows[i].waits) {
            confirm(&stage, 0, OK);
        }
        assert_string_equal(write.reply, rows[i].reply);
        stage_done(&stage);
    }
}

static void what_makes_others_suspect_ends_what_looks_at_no_floor(void **state)
{
    (void)state;
    struct namespace_spec specs[] = {spec_in(NAMESPACE_TTL), spec_of("other", "o:", T_MS)};
    struct stage stage;
    stage_open(&stage, specs, 2);
    help_set(stage.namespaces->at[0]->l1, 0, "k", "v", 0, HELP_NOW);
    help_set(stage.namespaces->at[1]->l1, 0, "o:k", "v", 0, HELP_NOW);
    namespaces_flush_floorless(stage.namespaces);
    assert_true(stands(&stage, "k", NULL));
    assert_true(stands(&stage, "o:k", "v"));
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_the_fence_closed_each_mode_serves_what_it_may),
        cmocka_unit_test(what_is_older_than_t_is_counted),
        cmocka_unit_test(available_asks_l2_for_a_suspect_and_serves_it_when_l2_is_lost),
        cmocka_unit_test(bounded_and_strict_serve_no_suspect_when_l2_is_lost),
        cmocka_unit_test(an_invalidated_value_is_served_in_no_mode),
        cmocka_unit_test(an_expired_value_is_served_in_no_mode),
        cmocka_unit_test(an_error_of_l2_ends_nothing),
        cmocka_unit_test(a_fresh_read_joins_none_and_installs),
        cmocka_unit_test(a_seq_not_applied_here_is_asked_of_l2),
        cmocka_unit_test(a_read_joins_none_whose_link_is_proved_less),
        cmocka_unit_test(ttl_installs_without_the_bus_and_the_others_do_not),
        cmocka_unit_test(a_strict_read_is_told_and_kept_when_all_nodes_have_applied),
        cmocka_unit_test(a_change_meanwhile_ends_what_would_be_kept),
        cmocka_unit_test(a_strict_read_that_cannot_be_confirmed_is_stale),
        cmocka_unit_test(a_strict_error_about_the_key_waits_as_a_value_does),
        cmocka_unit_test(strict_reads_wait_up_to_so_many_bytes),
        cmocka_unit_test(strict_joins_none_while_its_fence_is_closed),
        cmocka_unit_test(a_strict_write_is_acknowledged_when_all_nodes_have_applied_it),
        cmocka_unit_test(who_can_keep_a_reply_gets_it_when_it_is_here),
        cmocka_unit_test(unknown_is_told_when_no_node_shows_what_was_before),
        cmocka_unit_test(who_waits_for_all_nodes_and_who_does_not),
        cmocka_unit_test(what_makes_others_suspect_ends_what_looks_at_no_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
