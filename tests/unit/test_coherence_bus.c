/* SPDX-License-Identifier: BSD-3-Clause */
/* The bus' connection and its announcements: COHERENCE T2, T8 and invariant I6. */
#include "tests/unit/coherence_help.h"
#include "tests/unit/seed_help.h"

#include <pthread.h>

/* --- the bus' connection ----------------------------------------------------------------------------------------- */

static void the_bus_is_greeted_with_tracking_then_both_subscriptions(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(coherence_bus_greeting(&out, 4711), OK);
    assert_true(slice_is(
        buf_slice(&out),
        "*6\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n$8\r\nREDIRECT\r\n$4\r\n4711\r\n$5\r\nBCAST"
        "\r\n*3\r\n$9\r\nSUBSCRIBE\r\n$20\r\n__redis__:invalidate\r\n$11\r\nterrace:bus\r\n"));
    buf_done(&out);
}

static void the_bus_is_confirmed_by_all_three_answers_only(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    stage_bus_up(&stage);
    const uint64_t generation = stage_generation(&stage);
    STAGE_SAYS(&stage, "+OK\r\n");
    STAGE_SAYS(&stage, "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
    assert_int_equal(stage_described(&stage).state, COHERENCE_DETACHED);
    assert_int_equal(stage_generation(&stage), generation);
    STAGE_SAYS(&stage, "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n");
    assert_int_equal(stage_described(&stage).state, COHERENCE_CATCHUP);
    assert_int_equal(stage_generation(&stage), generation + 1);
    assert_int_equal(stage_floor(&stage), stage.now_ms + 1);
    stage_done(&stage);
}

static void subscriptions_without_tracking_confirm_nothing(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    stage_bus_up(&stage);
    STAGE_SAYS(&stage, "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
    STAGE_SAYS(&stage, "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n");
    assert_int_equal(stage_described(&stage).state, COHERENCE_DETACHED);
    STAGE_SAYS(
        &stage,
        "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n"); /* twice is once too often */
    assert_int_equal(stage_count(&stage, M_BUS_MALFORMED), 1);
    stage_done(&stage);
}

static void a_refused_greeting_says_why_and_gives_the_bus_up(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    stage_bus_up(&stage);
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    STAGE_SAYS(&stage, "+OK\r\n"); /* to CLIENT TRACKING */
    STAGE_SAYS(&stage, "-NOPERM no permission to access one of the channels\r\n");
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    stage_confirm(&stage); /* what was granted of it does not help */
    assert_int_equal(stage_described(&stage).state, COHERENCE_DETACHED);
    coherence_on_bus_lost(stage.coherence, "closed", stage.now_ms);
    assert_false(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    assert_non_null(strstr(stage_described(&stage).reason, "NOPERM no permission"));
    stage_bus_up(&stage);
    stage_confirm(&stage);
    assert_int_equal(stage_described(&stage).state, COHERENCE_CATCHUP);
    stage_done(&stage);
}

/* --- no tracking ------------------------------------------------------------------------------------------------- */

static void say_frames_only(struct stage *stage, const char *refusal)
{
    stage_reply(stage, slice_of(refusal));
    STAGE_SAYS(stage, "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
    STAGE_SAYS(stage, "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n");
}

static void where_tracking_cannot_be_had_the_bus_goes_on_with_frames(void **state)
{
    (void)state;
    static const char *const refusals[] = {
        "-NOPERM this user has no permissions to run the 'client|tracking' command\r\n",
        "-ERR unknown command 'CLIENT', with args beginning with: 'TRACKING'\r\n",
        "-ERR Unknown subcommand or wrong number of arguments for 'TRACKING'\r\n"};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct stage stage;
        stage_open(&stage);
        stage_bus_up(&stage);
        say_frames_only(&stage, refusals[i]);
        assert_int_equal(stage_described(&stage).state, COHERENCE_CATCHUP);
        assert_false(stage_described(&stage).tracks);
        assert_int_equal(strncmp(stage_described(&stage).untracked_why, refusals[i] + 1, 10), 0);
        assert_int_equal(namespace_kind(namespaces_default(stage.namespaces)), NAMESPACE_TTL);
        coherence_on_bus_lost(stage.coherence, "closed", stage.now_ms);
        stage_bus_up(&stage);
        stage_confirm(&stage); /* somebody has granted it */
        assert_true(stage_described(&stage).tracks);
        assert_int_equal(namespace_kind(namespaces_default(stage.namespaces)), NAMESPACE_BOUNDED);
        stage_done(&stage);
    }
}

static void another_error_of_tracking_refuses_the_bus(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    stage_bus_up(&stage);
    say_frames_only(&stage, "-ERR something else\r\n");
    assert_int_equal(stage_described(&stage).state, COHERENCE_DETACHED);
    assert_true(coherence_bus_is_dead(stage.coherence, stage.now_ms));
    stage_done(&stage);
}

/* --- what nodes announce themselves ------------------------------------------------------------------------------ */

static void an_unnumbered_frame_is_an_announcement(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const uint64_t seq = stage_described(&stage).seq;
    struct buf body = {0};
    help_set(stage.l1, 0, "k", "v", ITEM_NEVER, stage.now_ms);
    help_set(stage.l1, 3, "other", "v", ITEM_NEVER, stage.now_ms);
    assert_int_equal(frame_append_key(&body, 0, slice_of("k")), OK);
    struct frame frame = {.type = FRAME_KEYS, .count = 1, .node = PEER, .body = buf_slice(&body)};
    stage_publish(&stage, &frame);
    assert_false(help_is(stage.l1, 0, "k", "v", stage.now_ms));
    assert_true(help_is(stage.l1, 3, "other", "v", stage.now_ms));
    assert_int_equal(stage_described(&stage).state, COHERENCE_SYNCED);
    assert_int_equal(stage_described(&stage).seq, seq);
    assert_int_equal(stage_count(&stage, M_BUS_TOLD), 1);
    stage_peer(&stage); /* the numbering goes on */
    assert_int_equal(stage_described(&stage).state, COHERENCE_SYNCED);
    assert_int_equal(stage_count(&stage, M_BUS_HOLES), 0);
    char room[FRAME_FLUSH_BODY_MAX];
    const struct frame_flush flush = {.kind = FRAME_FLUSH_SUSPECT};
    frame.type = FRAME_FLUSH;
    frame.body = frame_flush_write(room, &flush);
    stage_publish(&stage, &frame);
    assert_int_equal(stage_count(&stage, M_FLOORS_FLUSH), 1);
    assert_int_equal(stage_described(&stage).state, COHERENCE_SYNCED);
    buf_done(&body);
    stage_done(&stage);
}

static void an_unnumbered_frame_changes_the_stream_hash(void **state)
{
    (void)state;
    uint64_t hashes[2];
    for (int told = 0; told < 2; told++) {
        struct stage stage;
        struct buf body = {0};
        stage_open_synced(&stage);
        stage_peer(&stage);
        assert_int_equal(frame_append_key(&body, 0, slice_of("k")), OK);
        const struct frame frame = {
            .type = FRAME_KEYS, .count = 1, .node = PEER, .body = buf_slice(&body)};
        if (told == 1) {
            stage_publish(&stage, &frame);
        }
        stage_peer(&stage);
        hashes[told] = stage_described(&stage).stream_hash;
        buf_done(&body);
        stage_done(&stage);
    }
    assert_true(hashes[0] != hashes[1]);
}

static void a_lost_bus_ends_tokens_but_flushes_nothing_and_the_fence_closes_by_the_clock(
    void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    assert_int_equal(stage_fill(&stage, "kept", stage_claim(&stage, "kept"), stage.now_ms), OK);
    const struct l1_claim claim = stage_claim(&stage, "asked");
    const uint64_t generation = stage_generation(&stage);
    const int64_t horizon_ms = stage_horizon(&stage);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    assert_int_equal(stage_horizon(&stage), horizon_ms);
    assert_true(coherence_fresh(stage.view, horizon_ms + T_MS));
    assert_false(coherence_fresh(stage.view, horizon_ms + T_MS + 1));
    assert_false(atomic_load(&stage.view->may_install));
    assert_int_equal(stage_generation(&stage), generation + 1);
    assert_int_equal(stage_fill(&stage, "asked", claim, stage.now_ms), STALE);
    assert_int_equal(l1_count(stage.l1, 0), 1);
    assert_int_equal(stage_described(&stage).state, COHERENCE_DETACHED);
    assert_non_null(strstr(stage_described(&stage).reason, "reset"));
    assert_int_equal(stage_count(&stage, M_BUS_LOSSES), 1);
    coherence_on_bus_lost(stage.coherence, "still",
                          stage.now_ms); /* an attempt that failed is no second loss */
    assert_int_equal(stage_count(&stage, M_BUS_LOSSES), 1);
    assert_int_equal(stage_generation(&stage), generation + 1);
    stage_done(&stage);
}

/* The mutant "generation bumped once" dies here: a read issued between loss and confirmation may have missed an
 * announcement, so its token must end with the confirmation. */
static void a_token_from_between_loss_and_confirmation_installs_nothing(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage.now_ms += 10;
    const struct l1_claim claim = stage_claim(&stage, "k");
    const int64_t issued_at_ms = stage.now_ms;
    stage.now_ms += 500;
    stage_bus_up(&stage);
    stage_confirm(&stage);
    stage_sync(&stage);
    assert_true(atomic_load(&stage.view->may_install));
    assert_int_equal(stage_fill(&stage, "k", claim, issued_at_ms), STALE);
    assert_false(stage_serves(&stage, "k"));
    stage_done(&stage);
}

static void entries_from_before_the_reconnection_are_suspects(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    assert_int_equal(stage_fill(&stage, "old", stage_claim(&stage, "old"), stage.now_ms), OK);
    assert_true(stage_serves(&stage, "old"));
    stage.now_ms += 10;
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage.now_ms += 500;
    stage_bus_up(&stage);
    stage_confirm(&stage);
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    assert_false(stage_serves(&stage, "old"));
    assert_int_equal(l1_count(stage.l1, 0), 1); /* there, and may be revalidated */
    stage_done(&stage);
}

/* Milliseconds are coarse: a stamp of the very millisecond of the event may be older than the event. */
static void a_stamp_of_the_same_millisecond_is_suspect_and_the_next_is_not(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    assert_int_equal(stage_fill(&stage, "same", stage_claim(&stage, "same"), stage.now_ms), OK);
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n");
    assert_false(stage_serves(&stage, "same"));
    stage.now_ms += 1;
    assert_int_equal(stage_fill(&stage, "next", stage_claim(&stage, "next"), stage.now_ms), OK);
    assert_true(stage_serves(&stage, "next"));
    stage_done(&stage);
}

static void installing_waits_for_the_first_echo_of_the_new_connection(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage_bus_up(&stage);
    stage_confirm(&stage);
    stage.now_ms += 10;
    assert_int_equal(stage_fill(&stage, "k", stage_claim(&stage, "k"), stage.now_ms), STALE);
    stage_sync(&stage);
    assert_int_equal(stage_fill(&stage, "k", stage_claim(&stage, "k"), stage.now_ms), OK);
    stage_done(&stage);
}

static void a_beat_sent_before_the_subscription_proves_nothing(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const int64_t proved_ms = stage_horizon(&stage);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage.now_ms += 10;
    stage_beat(&stage);
    const uint64_t while_down = stage.nonce;
    stage_bus_up(&stage);
    stage_beat(&stage);
    const uint64_t while_asked = stage.nonce;
    stage_confirm(&stage);
    stage_echo_of(&stage, while_down);
    stage_echo_of(&stage, while_asked);
    assert_int_equal(stage_horizon(&stage), proved_ms);
    stage_answer(&stage);
    stage_answer(&stage);
    stage.now_ms += 2 * T_MS;
    stage_peer(&stage);
    assert_false(
        coherence_bus_is_dead(stage.coherence, stage.now_ms)); /* and is not missed either */
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void a_second_connection_without_a_loss_counts_as_one(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const uint64_t generation = stage_generation(&stage);
    stage_bus_up(&stage);
    assert_int_equal(stage_generation(&stage), generation + 1);
    assert_false(atomic_load(&stage.view->may_install));
    stage_done(&stage);
}

static void replies_of_a_bus_that_is_down_are_ignored(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const int64_t proved_ms = stage_horizon(&stage);
    stage.now_ms += 10;
    stage_beat(&stage);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage_echo(&stage);
    STAGE_SAYS(&stage, "+junk\r\n");
    assert_int_equal(stage_horizon(&stage), proved_ms);
    assert_int_equal(stage_count(&stage, M_BUS_MALFORMED), 0);
    stage_done(&stage);
}

/* --- announcements ----------------------------------------------------------------------------------------------- */

static void announced_keys_lose_entry_and_token_in_every_database(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    help_set(stage.l1, 0, "k", "v", ITEM_NEVER, stage.now_ms);
    help_set(stage.l1, 9, "k", "v", ITEM_NEVER, stage.now_ms);
    help_set(stage.l1, 0, "other", "v", ITEM_NEVER, stage.now_ms);
    const struct l1_claim claim = stage_claim(&stage, "asked");
    const uint64_t before = stage_count(&stage, M_ANNOUNCED_KEYS);
    STAGE_SAYS(
        &stage,
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*2\r\n$1\r\nk\r\n$5\r\nasked\r\n");
    assert_true(help_is(stage.l1, 0, "k", NULL, stage.now_ms));
    assert_true(help_is(stage.l1, 9, "k", NULL, stage.now_ms));
    assert_true(help_is(stage.l1, 0, "other", "v", stage.now_ms));
    assert_int_equal(stage_fill(&stage, "asked", claim, stage.now_ms), STALE);
    assert_int_equal(stage_count(&stage, M_ANNOUNCED_KEYS), before + 2);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

/* The mutant "own echo suppressed" dies here: after our own write of k its announcement comes home, and it is obeyed
 * like any other, for a stranger's write of k may hide in it. */
static void the_announcement_of_our_own_write_is_obeyed_too(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const struct l1_key key = l1_key(stage.l1, 0, slice_of("k"));
    l1_invalidate(stage.l1, &key); /* sent */
    l1_invalidate(stage.l1, &key); /* answered */
    assert_int_equal(stage_fill(&stage, "k", stage_claim(&stage, "k"), stage.now_ms), OK);
    assert_true(stage_serves(&stage, "k"));
    stage_announce(&stage, "k"); /* ours, merged with whoever wrote in the same cycle */
    assert_false(stage_serves(&stage, "k"));
    stage_done(&stage);
}

static void announcements_are_obeyed_before_the_subscription_is_complete(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    help_set(stage.l1, 0, "k", "v", ITEM_NEVER, stage.now_ms);
    stage_bus_up(&stage);
    stage_announce(&stage, "k");
    assert_true(help_is(stage.l1, 0, "k", NULL, stage.now_ms));
    stage_done(&stage);
}

static void keys_of_any_bytes_and_an_empty_list_are_fine(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const struct l1_key key = l1_key(stage.l1, 0, (struct slice){"a\r\n\0b", 5});
    assert_int_equal(help_swap(stage.l1, &key, L1_ANY, "v", ITEM_NEVER, stage.now_ms), OK);
    STAGE_SAYS(
        &stage,
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*2\r\n$5\r\na\r\n\0b\r\n$0\r\n\r\n");
    assert_int_equal(l1_count(stage.l1, 0), 0);
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*0\r\n");
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_count(&stage, M_BUS_MALFORMED), 0);
    stage_done(&stage);
}

static void a_flush_ends_every_entry_and_token_and_the_next_beat_comes_at_once(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const struct l1_claim claim = stage_claim(&stage, "asked");
    assert_int_equal(stage_fill(&stage, "k", stage_claim(&stage, "k"), stage.now_ms), OK);
    assert_int_equal(stage_fill(&stage, "l", stage_claim(&stage, "l"), stage.now_ms), OK);
    const int64_t floor_ms = stage_floor(&stage);
    stage.now_ms += 10;
    assert_false(coherence_beat_due(stage.coherence, stage.now_ms));
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n");
    assert_int_equal(l1_count(stage.l1, 0), 0);
    assert_int_equal(stage_fill(&stage, "asked", claim, stage.now_ms), STALE);
    assert_int_equal(stage_count(&stage, M_ANNOUNCED_FLUSHES), 1);
    assert_true(coherence_beat_due(stage.coherence, stage.now_ms));
    /* As an announcement of each key: what is asked for from here on is as good as ever. */
    assert_int_equal(stage_floor(&stage), floor_ms);
    assert_int_equal(stage_fill(&stage, "k", stage_claim(&stage, "k"), stage.now_ms), OK);
    assert_true(stage_serves(&stage, "k"));
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n");
    assert_int_equal(stage_count(&stage, M_ANNOUNCED_FLUSHES), 2);
    assert_int_equal(l1_count(stage.l1, 0), 0);
    stage_done(&stage);
}

static void a_forged_announcement_makes_everything_suspect(void **state)
{
    (void)state;
    static const char *const forged[] = {
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$1\r\nk\r\n",
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n:1\r\n",
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n:1\r\n",
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*2\r\n$1\r\nk\r\n$-1\r\n",
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n*1\r\n$1\r\nk\r\n",
    };
    for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++) {
        struct stage stage;
        stage_open_synced(&stage);
        assert_int_equal(stage_fill(&stage, "x", stage_claim(&stage, "x"), stage.now_ms), OK);
        stage_reply(&stage, slice_of(forged[i]));
        assert_false(stage_serves(&stage, "x"));
        assert_int_equal(stage_floor(&stage), stage.now_ms + 1);
        assert_int_equal(stage_count(&stage, M_BUS_MALFORMED), 1);
        stage_done(&stage);
    }
}

static void what_is_not_understood_closes_the_fence_until_an_echo(void **state)
{
    (void)state;
    static const char *const strange[] = {
        "+OK\r\n",
        "-ERR no\r\n",
        ":1\r\n",
        "$-1\r\n",
        "*0\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$5\r\nother\r\n:2\r\n",
        "*3\r\n$7\r\nmessage\r\n$5\r\nother\r\n$1\r\nx\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n$11\r\nterrace:bus\r\n:1\r\n",
        "%1\r\n+a\r\n+b\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    };
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        struct stage stage;
        stage_open_synced(&stage);
        stage_reply(&stage, slice_of(strange[i]));
        if (stage_fresh(&stage) || stage_floor(&stage) != stage.now_ms + 1) {
            fail_msg("believed: %s", strange[i]);
        }
        assert_int_equal(stage_described(&stage).state, COHERENCE_CATCHUP);
        assert_true(strlen(stage_described(&stage).reason) > 0);
        stage_sync(&stage);
        assert_true(stage_fresh(&stage));
        stage_done(&stage);
    }
}

static void a_pong_is_nothing_special(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    STAGE_SAYS(&stage, "*2\r\n$4\r\npong\r\n$3\r\nabc\r\n");
    STAGE_SAYS(&stage, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void the_floor_never_goes_down(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n");
    const int64_t floor_ms = stage_floor(&stage);
    stage.now_ms -= 50;
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n");
    assert_int_equal(stage_floor(&stage), floor_ms);
    stage_done(&stage);
}

/* --- the order that I6 promises, seen by another thread ---------------------------------------------------------- */

struct watcher {
    struct stage *stage;
    _Atomic bool stop;
    unsigned looked;
    unsigned overtaken;
};

/* Whoever sees the horizon must not find an entry from before it. */
static void *watch(void *arg)
{
    struct watcher *watcher = arg;
    const struct l1_key key = l1_key(watcher->stage->l1, 0, slice_of("k"));
    while (!atomic_load(&watcher->stop)) {
        const int64_t horizon_ms =
            atomic_load_explicit(&watcher->stage->view->horizon_ms, memory_order_acquire);
        struct item *item = l1_hold(watcher->stage->l1, &key, START_MS);
        if (item != NULL) {
            watcher->looked++;
            watcher->overtaken += item_stamped_at_ms(item) < horizon_ms;
            item_release(item);
        }
        struct coherence_description description;
        coherence_describe(watcher->stage->coherence, &description);
    }
    return NULL;
}

static void the_horizon_never_overtakes_an_announcement(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    struct watcher watcher = {.stage = &stage};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, watch, &watcher), 0);
    for (int i = 0; i < HELP_ROUNDS(20000); i++) {
        const struct l1_key key = l1_key(stage.l1, 0, slice_of("k"));
        struct item *item = help_item(&key, "v", ITEM_NEVER, stage.now_ms);
        const struct l1_change change = {.l1 = stage.l1, .key = key, .seen = L1_ANY, .item = item};
        assert_int_equal(l1_commit(&change, 1, stage.now_ms), OK);
        item_release(item);
        stage.now_ms++;
        stage_beat(&stage); /* after the write of k, so behind its announcement */
        stage_answer(&stage);
        stage_announce(&stage, "k");
        stage_echo(&stage);
    }
    atomic_store(&watcher.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(watcher.overtaken, 0);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bus_is_greeted_with_tracking_then_both_subscriptions),
        cmocka_unit_test(the_bus_is_confirmed_by_all_three_answers_only),
        cmocka_unit_test(subscriptions_without_tracking_confirm_nothing),
        cmocka_unit_test(a_refused_greeting_says_why_and_gives_the_bus_up),
        cmocka_unit_test(where_tracking_cannot_be_had_the_bus_goes_on_with_frames),
        cmocka_unit_test(another_error_of_tracking_refuses_the_bus),
        cmocka_unit_test(an_unnumbered_frame_is_an_announcement),
        cmocka_unit_test(an_unnumbered_frame_changes_the_stream_hash),
        cmocka_unit_test(
            a_lost_bus_ends_tokens_but_flushes_nothing_and_the_fence_closes_by_the_clock),
        cmocka_unit_test(a_token_from_between_loss_and_confirmation_installs_nothing),
        cmocka_unit_test(entries_from_before_the_reconnection_are_suspects),
        cmocka_unit_test(a_stamp_of_the_same_millisecond_is_suspect_and_the_next_is_not),
        cmocka_unit_test(installing_waits_for_the_first_echo_of_the_new_connection),
        cmocka_unit_test(a_beat_sent_before_the_subscription_proves_nothing),
        cmocka_unit_test(a_second_connection_without_a_loss_counts_as_one),
        cmocka_unit_test(replies_of_a_bus_that_is_down_are_ignored),
        cmocka_unit_test(announced_keys_lose_entry_and_token_in_every_database),
        cmocka_unit_test(the_announcement_of_our_own_write_is_obeyed_too),
        cmocka_unit_test(announcements_are_obeyed_before_the_subscription_is_complete),
        cmocka_unit_test(keys_of_any_bytes_and_an_empty_list_are_fine),
        cmocka_unit_test(a_flush_ends_every_entry_and_token_and_the_next_beat_comes_at_once),
        cmocka_unit_test(a_forged_announcement_makes_everything_suspect),
        cmocka_unit_test(what_is_not_understood_closes_the_fence_until_an_echo),
        cmocka_unit_test(a_pong_is_nothing_special),
        cmocka_unit_test(the_floor_never_goes_down),
        cmocka_unit_test(the_horizon_never_overtakes_an_announcement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
