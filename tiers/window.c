/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/window.h"

#include "protocol/check.h"
#include "protocol/resp_write.h"
#include "tiers/bans.h"
#include "tiers/base/rand.h"
#include "tiers/beat.h"
#include "tiers/behind_desk.h"
#include "tiers/dictionary_desk.h"
#include "tiers/foreseen.h"
#include "tiers/load.h"
#include "tiers/managed_write.h"
#include "tiers/revalidate.h"

#include <stdlib.h>

struct tiers_window *tiers_window_new(const struct tiers_window_options *options)
{
    struct tiers_window *window = calloc(1, sizeof(*window));
    if (window == NULL) {
        return NULL;
    }
    window->magic = WINDOW_MAGIC;
    window->seat.window = window;
    window->options = *options;
    window->namespaces = tiers_namespaces(options->tiers);
    window->view = coherence_view(tiers_coherence(options->tiers));
    window->foreseen = tiers_foreseen(options->tiers);
    window->hot = options->hot != NULL ? options->hot : &window->no_hot;
    window->spares = options->spares != NULL ? options->spares : &window->own_spares;
    line_pool_open(&window->lines);
    stream_hall_open(&window->streams);
    list_init(&window->row);
    for (unsigned i = 0; i < WINDOW_FLIGHT_BUCKETS; i++) {
        list_init(&window->flights[i]);
    }
    window->desk = desk_new(window);
    if (options->revalidates) {
        window->revalidate = revalidate_new(window);
    }
    struct behind *behind = tiers_behind(options->tiers);
    window->behind = behind == NULL ? NULL : behind_desk_new(window, behind, options->worker == 0);
    rand_seed(&window->rand, options->seed);
    window->bans_memo = bans_memo_new(tiers_bans(options->tiers));
    if (window->bans_memo == NULL || (options->revalidates && window->revalidate == NULL) ||
        window->desk == NULL || (behind != NULL && window->behind == NULL) ||
        window_link(window, 2) == NULL) {
        behind_desk_free(window->behind);
        bans_memo_free(window->bans_memo);
        revalidate_free(window->revalidate);
        desk_free(window->desk);
        free(window);
        return NULL;
    }
    return window;
}

void tiers_window_free(struct tiers_window *window)
{
    if (window == NULL) {
        return;
    }
    tiers_window_end_links(window);
    revalidate_free(window->revalidate);
    bans_memo_free(window->bans_memo);
    behind_desk_free(window->behind);
    managed_write_free(window->managed_writes);
    load_free(window->loads);
    desk_free(window->desk);
    free(window->promotion);
    stream_hall_done(&window->streams);
    buf_done(&window->scratch);
    buf_done(&window->block);
    spares_done(&window->own_spares);
    window->magic = 0;
    free(window);
}

static void window_tell_reads(struct tiers_window *window)
{
    const struct metrics *metrics = window->options.metrics;
    const uint64_t reads = metrics_read(metrics, M_L2_HITS) + metrics_read(metrics, M_L2_MISSES);
    const bool calm = !tiers_is_returning(window->options.tiers, window->now_ms);
    turnstile_tick(&window->turnstile, reads - window->reads_told, calm, window->now_ms);
    tiers_add_reads(window->options.tiers, reads - window->reads_told);
    window->reads_told = reads;
}

void tiers_window_tick(struct tiers_window *window, int64_t now_ms)
{
    CHECK_MAGIC(window, WINDOW_MAGIC);
    tiers_window_begin(window, now_ms);
    window->verdicts = 0;
    window_links_tick(window, now_ms);
    if (window->behind != NULL && !window->ended) {
        behind_desk_tick(window->behind);
    }
    managed_write_tick(window);
    window_tell_reads(window);
    flights_tick(window);
    stream_hall_tick(window);
    load_tick(window);
    desk_tick(window->desk);
    if (window->revalidate != NULL && !window->ended) {
        revalidate_tick(window->revalidate);
    }
}

void tiers_window_behind(struct tiers_window *window)
{
    if (window->behind != NULL && !window->ended) {
        behind_desk_turn(window->behind);
    }
}

void tiers_window_begin(struct tiers_window *window, int64_t now_ms)
{
    window->now_ms = now_ms;
    proof_take(&window->proofs[false], window->view, &window->view->plain, now_ms);
    proof_take(&window->proofs[true], window->view, &window->view->managed, now_ms);
    window->generation = atomic_load_explicit(&window->view->generation, memory_order_relaxed);
    bans_quiet(window->bans_memo);
}

void tiers_window_tracks(struct tiers_window *window, bool tracks, int64_t now_ms)
{
    window->tracks = tracks;
    if (tracks) {
        tiers_window_begin(window, now_ms);
    }
}

void tiers_window_timeouts(struct tiers_window *window, int64_t read_ms, int64_t relay_ms)
{
    window->read_timeout_ms = read_ms;
    window->relay_timeout_ms = relay_ms;
}

void tiers_window_hash_fields(struct tiers_window *window, int64_t fields_max)
{
    window->hash_fields_max = fields_max;
}

void tiers_window_return_load(struct tiers_window *window, int64_t percent)
{
    window->turnstile.percent = percent;
}

void tiers_window_revalidate(struct tiers_window *window, int64_t rate)
{
    if (window->revalidate != NULL) {
        revalidate_set_rate(window->revalidate, rate);
    }
}

enum status tiers_write_announced(struct tiers_window *window, const struct frame_flush *flush,
                                  const struct slice *words, size_t count, struct buf *out)
{
    uint64_t random[2];
    char body[FRAME_FLUSH_BODY_MAX];
    rand_secret(random, sizeof(random));
    const struct frame frame = {.type = FRAME_FLUSH,
                                .count = 1,
                                .node = tiers_node(window->options.tiers),
                                .nonce = random[0],
                                .body = frame_flush_write(body, flush)};
    const struct beat_request request = {
        .coherence_db = tiers_coherence_db(window->options.tiers),
        .known_epoch = atomic_load_explicit(&window->view->known_epoch, memory_order_relaxed),
        .fresh_random = random[1],
        .node = frame.node,
        .deadline_ms = window->now_ms + 10 * (int64_t)atomic_load_explicit(&window->view->bound_ms,
                                                                           memory_order_relaxed),
        .publish = true,
        .frame = &frame,
        .command = words,
        .command_words = count,
    };
    return count > BEAT_COMMAND_WORDS_MAX ? TOO_BIG : beat_write(out, &request);
}

bool tiers_is_down(const struct tiers_window *window)
{
    const struct link *link = window->links[0];
    return link == NULL || (link_is_down(link) && link_state(link) != LINK_READY);
}

const char *tiers_why_down(const struct tiers_window *window)
{
    return window->links[0] == NULL ? "the node is ending" : link_why_down(window->links[0]);
}

enum status tiers_ask(struct tiers_window *window, struct link_request *request,
                      const struct slice *words, size_t count)
{
    struct link *link = window_link(window, 2);
    if (link == NULL) {
        return L2_DOWN;
    }
    request->deadline_ms = window->now_ms + window->read_timeout_ms;
    window->scratch.size = 0;
    const enum status status = resp_append_request(&window->scratch, count, words);
    return status != OK ? status
                        : link_ask(link, request, (int)tiers_coherence_db(window->options.tiers),
                                   buf_slice(&window->scratch));
}

void window_note_foreseen(struct tiers_window *window, const struct l1_key *key, bool is_hit)
{
    if (foreseen_on_read(window->foreseen, key, is_hit, window->now_ms)) {
        metrics_count(window->options.metrics, M_WARM_PREVENTED);
    }
}
