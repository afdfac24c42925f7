/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/window.h"

#include "protocol/check.h"
#include "tiers/base/rand.h"
#include "tiers/beat.h"
#include "tiers/line.h"
#include "tiers/revalidate.h"

#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH_KEPT = 256 * 1024
};

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
    line_pool_open(&window->lines);
    for (unsigned i = 0; i < WINDOW_FLIGHT_BUCKETS; i++) {
        list_init(&window->flights[i]);
    }
    if (options->revalidates) {
        window->revalidate = revalidate_new(window);
    }
    if ((options->revalidates && window->revalidate == NULL) || window_link(window, 2) == NULL) {
        revalidate_free(window->revalidate);
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
    free(window->promotion);
    buf_done(&window->scratch);
    window->magic = 0;
    free(window);
}

static void window_tell_reads(struct tiers_window *window)
{
    const struct metrics *metrics = window->options.metrics;
    const uint64_t reads = metrics_read(metrics, M_L2_HITS) + metrics_read(metrics, M_L2_MISSES);
    tiers_add_reads(window->options.tiers, reads - window->reads_told);
    window->reads_told = reads;
}

void tiers_window_tick(struct tiers_window *window, int64_t now_ms)
{
    CHECK_MAGIC(window, WINDOW_MAGIC);
    tiers_window_begin(window, now_ms);
    window_links_tick(window, now_ms);
    window_tell_reads(window);
    if (window->revalidate != NULL && !window->ended) {
        revalidate_tick(window->revalidate);
    }
}

void tiers_window_begin(struct tiers_window *window, int64_t now_ms)
{
    window->now_ms = now_ms;
    proof_take(&window->proof, window->view, now_ms);
    window->generation = atomic_load_explicit(&window->view->generation, memory_order_relaxed);
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

const char *tiers_why_down(const struct tiers_window *window)
{
    return window->links[0] == NULL ? "the node is ending" : link_why_down(window->links[0]);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

/* Bounded reads need no look: what they are served is within their T. */
static inline void window_count_stale(const struct tiers_window *window, const struct namespace *ns,
                                      const struct wish *wish, int64_t stamp_ms)
{
    if (wish != NULL || namespace_kind(ns) != NAMESPACE_BOUNDED) {
        const struct namespace_mode mode = namespace_mode(ns);
        metrics_add(window->options.metrics, M_STALE_SERVED,
                    contract_is_stale(&window->proof, &mode, stamp_ms) ? 1 : 0);
    }
}

enum status tiers_spare(struct tiers_window *window, const struct ns_key *key,
                        const struct wish *wish, struct l1_value *value)
{
    const struct contract contract = window_contract(window, key->ns, wish);
    if (contract.spare_from_ms == INT64_MAX) {
        return MISS;
    }
    const enum status status =
        l1_get(key->ns->l1, &key->at, window->now_ms, contract.spare_from_ms, value);
    if (status == OK) {
        window_count_stale(window, key->ns, wish, value->stamped_at_ms);
    }
    return status;
}

struct tiers_age tiers_age(const struct tiers_window *window, const struct namespace *ns,
                           int64_t stamp_ms)
{
    const struct namespace_mode mode = namespace_mode(ns);
    return (struct tiers_age){
        .age_ms = proof_age_ms(&window->proof, stamp_ms),
        .is_stale = contract_is_stale(&window->proof, &mode, stamp_ms),
    };
}

static struct promotion_key *window_promotion(struct tiers_window *window, const struct l1_key *key)
{
    if (window->promotion == NULL) {
        window->promotion = calloc(1, sizeof *window->promotion);
        if (window->promotion == NULL) {
            return NULL;
        }
    }
    /* Of one key in two databases something else may be known: a number that spreads over all bits. */
    return promotion_at(window->promotion, key->hash ^ key->db * UINT64_C(0x9e3779b97f4a7c15),
                        window->now_ms);
}

void window_refuse_hash(struct tiers_window *window, const struct l1_key *key)
{
    struct promotion_key *known = window_promotion(window, key);
    if (known != NULL) {
        promotion_refuse(known, window->now_ms);
    }
}

/* Whether L1 shall have the hash if it has nothing of it. */
static bool window_wants(const struct tiers_window *window, const struct promotion_key *known)
{
    return window->hash_fields_max > 0 && known != NULL && promotion_wants(known, window->now_ms);
}

static void window_note_hash(const struct tiers_window *window, struct promotion_key *known,
                             enum status status)
{
    if (known == NULL) {
        return;
    }
    if (status == OK) {
        promotion_hit(known, window->now_ms);
    } else if (status == MISS) {
        promotion_passed(known, window->now_ms);
    } else if (status == CLAIMED) {
        promotion_taken(known, window->now_ms);
    }
}

/* Of reads that began from the floor on. */
static int64_t window_join_ms(const struct tiers_window *window, int64_t join_ms)
{
    const int64_t since_floor_ms = window->now_ms - window->proof.floor_ms;
    return since_floor_ms < join_ms ? since_floor_ms : join_ms;
}

static struct l1_ask window_ask(const struct tiers_window *window, const struct contract *contract)
{
    return (struct l1_ask){
        .now_ms = window->now_ms,
        .floor_ms = contract->serve_from_ms,
        .worker = window->options.worker,
        .generation = window->generation,
        .join_ms = window->tracks ? window_join_ms(window, contract->join_ms) : contract->join_ms,
    };
}

static enum status window_ask_for_hash(struct tiers_window *window, const struct ns_key *key,
                                       struct l1_ask *ask, struct l1_value *value,
                                       struct l1_claim *ret_claim)
{
    struct promotion_key *known = window_promotion(window, &key->at);
    ask->claims_known_only = !window_wants(window, known);
    const enum status status = l1_ask(key->ns->l1, &key->at, ask, value, ret_claim);
    window_note_hash(window, known, status);
    return status;
}

enum status tiers_get(struct tiers_window *window, const struct ns_key *key, int proto,
                      struct l1_value *value, struct tiers_reader *reader, bool *ret_foreign)
{
    struct l1_claim claim = {0};
    const struct contract contract = window_contract(window, key->ns, reader->wish);
    struct l1_ask ask = window_ask(window, &contract);
    enum status status = reader->of_hash ? window_ask_for_hash(window, key, &ask, value, &claim)
                                         : l1_ask(key->ns->l1, &key->at, &ask, value, &claim);
    if (status == OK) {
        metrics_count(window->options.metrics, M_L1_HITS);
        window_count_stale(window, key->ns, reader->wish, value->stamped_at_ms);
        return OK;
    }
    metrics_count(window->options.metrics, M_L1_MISSES);
    if (status == MISS) {
        return MISS;
    }
    reader->asked_ms = reader->asked_ms != 0 ? reader->asked_ms : window->now_ms;
    status =
        flight_join(window, key, proto, status, &claim, contract.fence_ms, reader, ret_foreign);
    return status == L2_DOWN && tiers_spare(window, key, reader->wish, value) == OK ? OK : status;
}

enum status tiers_peek(struct tiers_window *window, const struct ns_key *key, struct l1_peek *ret)
{
    const int64_t from_ms = window_contract(window, key->ns, NULL).serve_from_ms;
    return from_ms == INT64_MAX ? MISS
                                : l1_peek(key->ns->l1, &key->at, window->now_ms, from_ms, ret);
}

enum status tiers_get_here(struct tiers_window *window, const struct ns_key *key,
                           struct l1_value *value)
{
    const int64_t from_ms = window_contract(window, key->ns, NULL).serve_from_ms;
    return from_ms == INT64_MAX ? MISS
                                : l1_get(key->ns->l1, &key->at, window->now_ms, from_ms, value);
}

/* What landed now would be kept: otherwise it would end the suspect that it was to make fresh. */
static bool window_may_keep(const struct tiers_window *window)
{
    const struct coherence_view *view = window->view;
    const struct link *link = window->links[0];
    const uint64_t target = atomic_load_explicit(&view->target, memory_order_acquire);
    return link != NULL && target != 0 && link_target(link) == target &&
           atomic_load_explicit(&view->may_install, memory_order_acquire);
}

enum status tiers_revalidate(struct tiers_window *window, const struct ns_key *key,
                             struct tiers_reader *reader, struct item **ret_suspect)
{
    struct l1_claim claim = {0};
    struct item *suspect = NULL;
    bool foreign = false;
    const struct contract contract = window_contract(window, key->ns, NULL);
    const struct l1_ask ask = {
        .now_ms = window->now_ms,
        .floor_ms = window->proof.floor_ms,
        .worker = window->options.worker,
        .generation = window->generation,
    };
    CHECK(reader->in_background);
    if (!window_may_keep(window)) {
        return BUSY;
    }
    enum status status = l1_claim_suspect(key->ns->l1, &key->at, &ask, &suspect, &claim);
    if (status == CLAIMED) {
        reader->of_hash = item_is_hash(suspect);
        status = flight_join(window, key, 2, CLAIMED, &claim, contract.fence_ms, reader, &foreign);
    }
    if (status != PENDING) {
        item_release(suspect);
        return status;
    }
    *ret_suspect = suspect;
    return PENDING;
}

/* --- passing on ---------------------------------------------------------------------------------------------------- */

/* T1: before the bytes go out, and again when the answer is here. */
static void relay_end_keys(struct tiers_relay *relay)
{
    struct namespaces *namespaces = relay->window->namespaces;
    namespaces_flush_dbs(namespaces, NULL, relay->ends_dbs);
    for (size_t i = 0; i < relay->key_count; i++) {
        const struct l1_key *key = &relay->keys[i];
        relay->dropped += l1_invalidate(namespace_of(namespaces, key->bytes)->l1, key);
    }
}

/* How old the proof of the link may be: the least bound of the keys' namespaces; where keys are not known, of all. */
static int64_t relay_fence_ms(const struct tiers_relay *relay)
{
    const struct tiers_window *window = relay->window;
    if (relay->key_count == 0 || relay->keys_unknown) {
        return (int64_t)atomic_load_explicit(&window->view->bound_ms, memory_order_relaxed);
    }
    int64_t least_ms = INT64_MAX;
    for (size_t i = 0; i < relay->key_count; i++) {
        int64_t bound_ms = namespace_bound_ms(window_key(window, &relay->keys[i]).ns);
        least_ms = bound_ms < least_ms ? bound_ms : least_ms;
    }
    return least_ms;
}

enum status window_confirm(struct tiers_window *window, struct tiers_confirm *confirm)
{
    const int64_t patience_ms = namespaces_most_bound_ms(window->namespaces);
    if (window->options.confirm == NULL) {
        return BUSY;
    }
    return window->options.confirm(window->options.io.roof, confirm,
                                   window->now_ms + patience_ms + patience_ms / 100 +
                                       window->read_timeout_ms);
}

/* Whether it touches a strict namespace, or may. A read, too: what it shows nobody may read older afterwards. */
static bool relay_is_strict(const struct tiers_relay *relay)
{
    for (size_t i = 0; i < relay->key_count; i++) {
        if (namespace_kind(window_key(relay->window, &relay->keys[i]).ns) == NAMESPACE_STRICT) {
            return true;
        }
    }
    const bool any = relay->keys_unknown || (relay->writes && !relay->keyless &&
                                             (relay->key_count == 0 || relay->ends_dbs != 0));
    return any && namespaces_any_strict(relay->window->namespaces);
}

static void relay_on_confirmed(struct tiers_confirm *confirm, enum status status)
{
    struct tiers_relay *relay = LIST_ENTRY(confirm, struct tiers_relay, confirm);
    struct buf kept = relay->kept; /* the relay is the asker's when it is told */
    if (relay->is_unknown) {
        relay->confirmed = status == OK;
        relay->on_reply(relay, UNKNOWN, (struct slice){0});
    } else {
        relay->on_reply(relay, status == OK ? OK : STALE, buf_slice(&kept));
    }
    buf_done(&kept);
}

static bool begins_with_one_of(struct slice reply, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const size_t size = strlen(words[i]);
        if (reply.size > size + 1 && reply.data[0] == REPLY_ERROR &&
            memcmp(reply.data + 1, words[i], size) == 0) {
            return true;
        }
    }
    return false;
}

/* An error that speaks of Redis itself, or of who asks: it tells nothing about a key, and while it lasts no marker may
 * come home either. */
static bool is_refusal(struct slice reply)
{
    static const char *const words[] = {"READONLY ", "NOREPLICAS ", "OOM ",         "MISCONF ",
                                        "LOADING ",  "BUSY ",       "MASTERDOWN ",  "NOAUTH ",
                                        "NOPERM ",   "NOSCRIPT ",   "CLUSTERDOWN ", "EXECABORT ",
                                        "UNBLOCKED "};
    return begins_with_one_of(reply, words, sizeof(words) / sizeof(words[0]));
}

/* What Redis says before it runs anything. Not syntax errors: GEORADIUS looks at its key first, so that one tells that the
 * key holds nothing of another type. */
static bool is_no_call(struct slice reply)
{
    static const char *const words[] = {"ERR unknown command ", "ERR unknown subcommand ",
                                        "ERR wrong number of arguments for "};
    return begins_with_one_of(reply, words, sizeof(words) / sizeof(words[0]));
}

/* Other errors tell what a key holds (WRONGTYPE, no such key, not an integer), as values do. A script keeps what ran
 * before its error, whichever it is, and makes up errors. */
static bool relay_must_wait(const struct tiers_relay *relay, struct slice reply)
{
    const bool tells_nothing =
        (!relay->runs_code && is_no_call(reply)) || (!relay->keys_unknown && is_refusal(reply));
    return !tells_nothing && relay_is_strict(relay);
}

/* false: it cannot be waited. Where the outcome is not known there is no reply to keep. */
static bool relay_wait(struct tiers_relay *relay, struct slice reply)
{
    relay->confirm.on_confirmed = relay_on_confirmed;
    relay->kept = (struct buf){0};
    if ((relay->on_kept != NULL || buf_append_slice(&relay->kept, reply) == OK) &&
        window_confirm(relay->window, &relay->confirm) == OK) {
        if (relay->on_kept != NULL && !relay->is_unknown) {
            relay->on_kept(relay, reply);
        }
        return true;
    }
    buf_done(&relay->kept);
    return false;
}

/* Whether the write must tell the other nodes itself, and of which keys: those of namespaces where Redis does not. They
 * move to the front. */
static bool relay_announces(struct tiers_relay *relay, size_t *ret_count)
{
    const struct namespaces *namespaces = relay->window->namespaces;
    *ret_count = 0;
    if (!relay->writes || (relay->blocks && !relay->runs_code)) {
        return false;
    }
    if (relay->strays || relay->ends_dbs != 0) {
        return namespaces_any_told(namespaces);
    }
    for (size_t i = 0; i < relay->key_count; i++) {
        const struct l1_key key = relay->keys[i];
        if (namespace_told(namespace_of(namespaces, key.bytes))) {
            relay->keys[i] = relay->keys[*ret_count];
            relay->keys[(*ret_count)++] = key;
        }
    }
    return *ret_count > 0;
}

static bool relay_skip_part(struct link_request *request, struct slice reply)
{
    (void)request;
    (void)reply;
    return true;
}

static bool relay_on_part(struct link_request *request, struct slice reply)
{
    struct tiers_relay *relay = LIST_ENTRY(request, struct tiers_relay, request);
    announce_take(&relay->refusal, reply);
    if (!relay->opened) {
        relay->opened = announce_is_open(reply);
        relay->is_refused = !relay->opened;
    }
    return relay->opened;
}

/* MULTI was refused, and the connection is gone: nothing ran, and L2's own words are the answer. */
static bool relay_was_refused(const struct tiers_relay *relay, enum status status)
{
    return relay->wrapped && relay->is_refused &&
           (status == L2_DOWN || (status == UNKNOWN && relay->confirmed));
}

/* The request with its announcement, or all of a block, in the window's scratch. */
static enum status relay_wrap(struct tiers_relay *relay, bool announces, size_t count,
                              struct slice *bytes)
{
    struct tiers_window *window = relay->window;
    const struct announce announce = {.node = tiers_node(window->options.tiers),
                                      .keys = relay->keys,
                                      .key_count = count,
                                      .silent = !announces,
                                      .commands = *bytes,
                                      .command_count = relay->is_block ? relay->commands : 1};
    relay->wrapped = true;
    relay->refusal.size = 0;
    relay->opened = false;
    relay->is_refused = false;
    relay->request.on_part = relay_on_part;
    window->scratch.size = 0;
    const enum status status = announce_write(&window->scratch, &announce, &relay->request.parts);
    *bytes = buf_slice(&window->scratch);
    metrics_add(window->options.metrics, M_TOLD_WRITES, announces ? 1 : 0);
    return status;
}

/* What is the asker's of the reply to a request that was wrapped. */
static enum status relay_unwrap(struct tiers_relay *relay, struct slice *reply)
{
    return relay->is_block
               ? announce_replies(&relay->refusal, relay->commands, *reply, reply, &relay->frames)
               : announce_reply(&relay->refusal, *reply, reply);
}

static void relay_on_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct tiers_relay *relay = LIST_ENTRY(request, struct tiers_relay, request);
    struct metrics *metrics = relay->window->options.metrics;
    relay_end_keys(relay);
    relay->confirmed = request->confirmed;
    if (relay_was_refused(relay, status)) {
        relay->run = 0;
        relay->on_reply(relay, OK,
                        (struct slice){.data = relay->refusal.text, .size = relay->refusal.size});
        return;
    }
    if (relay->wrapped && status == OK && relay_unwrap(relay, &reply) != OK) {
        status = UNKNOWN; /* what answered is no Redis */
        relay->confirmed = true;
    }
    if (status == UNKNOWN) {
        metrics_count(metrics, M_L2_UNKNOWN);
    }
    relay->run = status == OK ? link_run(relay->link) : 0;
    /* Who is told that a write cannot run any more looks whether it did: no node may show what was before it then. */
    relay->is_unknown = status == UNKNOWN && relay->confirmed && relay_is_strict(relay);
    if (relay->is_unknown) {
        if (relay_wait(relay, (struct slice){0})) {
            return;
        }
        relay->confirmed = false;
    }
    if (status == OK && relay->of_hash && relay->key_count == 1 && reply.size > LIMIT_HASH) {
        window_refuse_hash(relay->window, &relay->keys[0]);
    }
    if (status == OK && relay_must_wait(relay, reply)) {
        if (relay_wait(relay, reply)) {
            return;
        }
        status = STALE;
    }
    if (status == L2_DOWN) {
        metrics_count(metrics, M_L2_DOWN);
    }
    relay->on_reply(relay, status, reply);
}

static int64_t relay_deadline_ms(const struct tiers_relay *relay)
{
    const struct tiers_window *window = relay->window;
    const int64_t most_ms = relay->patient ? window->relay_timeout_ms : window->read_timeout_ms;
    return relay->blocks ? 0 : window->now_ms + most_ms;
}

static enum status relay_ask(struct tiers_relay *relay, int proto, struct slice bytes)
{
    if (relay->line != NULL) {
        relay->link = line_link(relay->line);
        return line_ask(relay->line, &relay->request, relay->db, bytes);
    }
    struct link *link = window_link(relay->window, proto);
    relay->link = link;
    return link == NULL ? NO_MEMORY : link_ask(link, &relay->request, relay->db, bytes);
}

enum status tiers_relay(struct tiers_window *window, struct tiers_relay *relay, int proto,
                        struct slice bytes)
{
    CHECK(!relay->blocks || relay->line != NULL);
    relay->window = window;
    relay->dropped = 0;
    relay->request = (struct link_request){
        .on_reply = relay_on_reply,
        .on_part = relay_skip_part,
        .deadline_ms = relay_deadline_ms(relay),
        .fence_ms = relay->writes ? 0 : relay_fence_ms(relay),
        .asked_ms = window->now_ms,
        .parts = relay->parts,
        .writes = relay->writes,
    };
    size_t announced = 0;
    enum status status = OK;
    relay->wrapped = false;
    relay->frames = 0;
    const bool announces = relay_announces(relay, &announced);
    if (announces || relay->is_block) {
        status = relay_wrap(relay, announces, announced, &bytes);
    }
    relay_end_keys(relay);
    if (status == OK) {
        status = relay_ask(relay, proto, bytes);
    }
    if (relay->wrapped && window->scratch.capacity > SCRATCH_KEPT) {
        buf_done(&window->scratch);
    }
    if (status == OK) {
        metrics_count(window->options.metrics, M_RELAYED);
    } else if (status == L2_DOWN) {
        metrics_count(window->options.metrics, M_L2_DOWN);
    }
    return status;
}

uint64_t tiers_relay_carrier(const struct tiers_relay *relay)
{
    return link_client_id(relay->link);
}
