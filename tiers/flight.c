/* SPDX-License-Identifier: BSD-3-Clause */
/* flight.c -- one question to L2 for many who ask (journey 2).
 *
 *      worker 1: l1_ask -> CLAIMED   flight 7 begins: PTTL k, GET k
 *      worker 1: l1_ask -> TAKEN     reader 2 joins flight 7
 *      worker 2: l1_ask -> TAKEN     a letter to worker 1: join flight 7;  ...  a letter back with the shared item
 *
 * A flight lands once: it installs if its token stands, then tells its readers. A letter that comes too late for its
 * flight goes back as MISSED, and its sender looks again: what landed is in L1 now, or the key was written meanwhile.
 *      A hash is asked for by HSCAN in place of GET. What is no whole hash, or cannot be kept, is landed as TOO_BIG: nothing
 * stands for the key then, and each reader asks for what it wants of it.
 *      A reader who joined after the life of the value was over is not told of it, but asks again. Not of nothing, either:
 * who knows whether the key was written before its life ended. */
#include "protocol/check.h"
#include "protocol/fields.h"
#include "protocol/resp_write.h"
#include "tiers/window.h"

#include <stdlib.h>
#include <string.h>

/* A reader on another worker, waiting for this one's flight. Travels there and back. */
struct flight_guest {
    struct tiers_post post;
    struct flight_guest *next;
    struct tiers_window *home; /* the reader's */
    struct tiers_reader *reader;
    uint64_t token;
    int64_t fence_ms;
    int proto;
    bool of_hash; /* as the reader */
    /* the result, for the way back */
    bool missed;
    enum status status;
    struct item *item;
    struct buf error;
    struct l1_key key; /* bytes in `bytes` */
    char bytes[];
};

struct flight {
    struct tiers_window *window;
    const struct link *link; /* that carries the question; of no use when it has landed */
    uint64_t target;         /* of that link, when it landed */
    struct list in_window;
    uint64_t token; /* 0: a read without a claim, which nobody can join */
    bool of_hash;
    struct link_request ttl_request;
    struct link_request get_request;
    enum status refused; /* of the second request, if the link did not take it */
    int64_t issued_at_ms;
    int64_t fence_ms; /* how old the proof of its link may be */
    int64_t pttl_ms; /* -1: does not expire; FLIGHT_TTL_NONE: not known, so the value is not kept */
    struct item
        *item; /* the answer, while all nodes are waited for; or what it was in its place: */
    struct buf error;
    struct tiers_confirm confirm;
    struct tiers_reader *readers;
    struct tiers_reader **last_reader;
    struct flight_guest *guests;
    struct l1_key key; /* bytes in `bytes` */
    char bytes[];
};

enum {
    FLIGHT_TTL_NONE = -3
};

static struct list *flight_bucket(struct tiers_window *window, uint64_t token)
{
    return &window->flights[(token * 0x9e3779b97f4a7c15u) >> 56];
}

/* Tokens are unique in an L1, and there is one per namespace: so the key decides, too. */
static struct flight *flight_find(struct tiers_window *window, const struct l1_key *key,
                                  uint64_t token)
{
    struct list *bucket = flight_bucket(window, token);
    for (struct list *node = bucket->next; node != bucket; node = node->next) {
        struct flight *flight = LIST_ENTRY(node, struct flight, in_window);
        if (flight->token == token && flight->key.db == key->db &&
            slice_equal(flight->key.bytes, key->bytes)) {
            return flight;
        }
    }
    return NULL;
}

/* --- landing ------------------------------------------------------------------------------------------------------- */

static void guest_on_home(struct tiers_post *post, struct tiers_window *at);

static void guest_free(struct flight_guest *guest)
{
    item_release(guest->item);
    buf_done(&guest->error);
    free(guest);
}

/* Sends a guest home. The way back is not optional: the roof posts it past the limit of the mailbox, and only a worker
 * that has ended, whose readers are gone with it, does not get it. */
static void guest_send_home(struct tiers_window *window, struct flight_guest *guest)
{
    guest->post.open = guest_on_home;
    if (window->options.post(window->options.io.roof, guest->home->options.worker, &guest->post,
                             true) != OK) {
        guest_free(guest);
    }
}

/* An error that says nothing about the key: Redis is busy with a script, or loads its data. */
static bool error_is_of_l2(struct slice error)
{
    static const char of_key[] = "WRONGTYPE";
    return error.size < sizeof(of_key) - 1 || memcmp(error.data, of_key, sizeof(of_key) - 1) != 0;
}

static bool is_no_answer(enum status status, struct slice error)
{
    return status == L2_DOWN || (status == L2_ERROR && error_is_of_l2(error));
}

/* Its life, counted from the question, ended before this reader asked. Whoever asked in the same millisecond did so in
 * time: PTTL says 0 of what has less than one to live. */
static bool is_over_for(const struct tiers_reader *reader, const struct item *item)
{
    return item != NULL && reader->asked_ms > item_stamped_at_ms(item) &&
           item_expired(item, reader->asked_ms);
}

/* At most once: the next question is a later one than the reader's. All who do so share it. */
static void reader_ask_again(struct tiers_window *window, const struct ns_key *key,
                             struct tiers_reader *reader)
{
    struct l1_value found = {0};
    bool foreign = false; /* whoever joined waits as for a foreign one */
    const enum status status = tiers_get(window, key, 2, &found, reader, &foreign);
    if (status != PENDING) {
        const struct tiers_value value = {.item = found.item};
        reader->on_value(reader, status, &value);
        item_release(found.item);
    }
}

/* The answer, or what L1 holds instead if there is none and the reader's contract goes so far. To one in the background
 * what L1 holds is no answer: it is the suspect that was to be read anew. */
static void reader_tell(struct tiers_window *window, const struct l1_key *key,
                        struct tiers_reader *reader, enum status status,
                        const struct tiers_value *value)
{
    struct l1_value found = {0};
    const struct ns_key home = window_key(window, key);
    const bool unanswered = is_no_answer(status, value->error);
    if (status == TOO_BIG) {
        window_refuse_hash(window, key);
    }
    if (reader->in_background) {
        reader->on_value(reader, unanswered ? L2_DOWN : status, value);
        return;
    }
    if (unanswered && tiers_spare(window, &home, reader->wish, &found) == OK) {
        const struct tiers_value spare = {.item = found.item, .is_spare = true};
        reader->on_value(reader, OK, &spare);
        item_release(found.item);
        return;
    }
    if (status == OK && is_over_for(reader, value->item)) {
        reader_ask_again(window, &home, reader);
        return;
    }
    reader->on_value(reader, status, value);
}

static void flight_tell(struct flight *flight, enum status status, const struct tiers_value *answer)
{
    const struct tiers_value nothing = {.error = answer->error};
    const struct tiers_value *value = status == OK ? answer : &nothing;
    struct tiers_reader *reader = flight->readers;
    while (reader != NULL) {
        struct tiers_reader *next = reader->next; /* the reader may free itself */
        reader_tell(flight->window, &flight->key, reader, status, value);
        reader = next;
    }
    struct flight_guest *guest = flight->guests;
    while (guest != NULL) {
        struct flight_guest *next = guest->next;
        guest->status = status;
        guest->item = value->item == NULL ? NULL : item_ref(value->item);
        if (value->error.size > 0 && buf_append_slice(&guest->error, value->error) != OK) {
            guest->status = NO_MEMORY;
        }
        guest_send_home(flight->window, guest);
        guest = next;
    }
}

/* The value as an item, which lives as long as L2 says, or as its namespace allows. */
static struct item *flight_item(const struct flight *flight, struct slice value)
{
    const struct namespace *ns = window_key(flight->window, &flight->key).ns;
    const int64_t ttl_ms = namespace_ttl_ms(ns);
    const bool is_capped = ttl_ms > 0 && (flight->pttl_ms < 0 || flight->pttl_ms > ttl_ms);
    const int64_t life_ms = is_capped ? ttl_ms : flight->pttl_ms;
    const struct item_spec spec = {
        .db = flight->key.db,
        .key = flight->key.bytes,
        .value_size = value.size,
        .expire_at_ms = life_ms >= 0 ? flight->issued_at_ms + life_ms : ITEM_NEVER,
        .stamped_at_ms = flight->issued_at_ms,
        .look = flight->of_hash ? ITEM_LOOK_PACKED : ITEM_LOOK_PLAIN,
        .capped = is_capped,
    };
    /* Without a token it will not stand anywhere. */
    return item_write(
        flight->token == 0 ? item_new(&spec) : l1_item_new(ns->l1, flight->key.hash, &spec), value);
}

/* That L2 will not run HSCAN for us says nothing of what the reader wants. */
static bool is_about_hscan(struct slice error)
{
    static const char no_right[] = "NOPERM";
    static const char other[] = "ERR";
    return (error.size >= sizeof no_right - 1 &&
            memcmp(error.data, no_right, sizeof no_right - 1) == 0) ||
           (error.size >= sizeof other - 1 && memcmp(error.data, other, sizeof other - 1) == 0);
}

/* The reply to HSCAN as an item, NULL for nil. */
static enum status flight_read_hash(const struct flight *flight, struct slice reply,
                                    struct item **ret_item)
{
    const struct tiers_window *window = flight->window;
    struct fields_draft draft;
    enum status status = fields_open(&draft, l1_secret(window_key(window, &flight->key).ns->l1),
                                     (struct slice){0}, reply.size < LIMIT_HASH ? reply.size : 0);
    if (status == OK) {
        status = reply.size > LIMIT_HASH ? TOO_BIG : fields_read_scan(&draft, reply);
    }
    const struct slice fields = fields_bytes(&draft);
    if (status == OK && fields_count(fields) > (size_t)window->hash_fields_max) {
        status = TOO_BIG;
    }
    if (status == OK) {
        *ret_item = flight_item(flight, fields);
        status = *ret_item != NULL ? OK : NO_MEMORY;
    }
    fields_close(&draft);
    return status == MISS ? OK : status == MALFORMED ? L2_DOWN : status;
}

/* The reply to GET, or HSCAN, as an item, NULL for nil. */
static enum status flight_read_value(struct flight *flight, struct slice reply,
                                     struct item **ret_item, struct slice *ret_error)
{
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (reply_next(&cursor, &element) != OK) {
        return L2_DOWN;
    }
    if (element.type == REPLY_NULL) {
        return OK;
    }
    if (element.type == REPLY_ERROR || element.type == REPLY_BULK_ERROR) {
        *ret_error = element.text;
        return flight->of_hash && is_about_hscan(element.text) ? TOO_BIG : L2_ERROR;
    }
    if (flight->of_hash) {
        return flight_read_hash(flight, reply, ret_item);
    }
    if (element.type != REPLY_BULK) {
        return L2_DOWN;
    }
    *ret_item = flight_item(flight, element.text);
    return *ret_item != NULL ? OK : NO_MEMORY;
}

/* Namespaces change: a token of the old ones must not meet a claim of the new ones that happens to have its number. The
 * claim is handed back as if L2 could not be asked; the landing will find no token, keep nothing and drop what stands. */
void tiers_window_forget_claims(struct tiers_window *window)
{
    CHECK_MAGIC(window, WINDOW_MAGIC);
    for (unsigned i = 0; i < WINDOW_FLIGHT_BUCKETS; i++) {
        while (!list_empty(&window->flights[i])) {
            struct flight *flight = LIST_ENTRY(window->flights[i].next, struct flight, in_window);
            l1_unclaim(window_key(window, &flight->key).ns->l1, &flight->key, flight->token);
            flight->token = 0;
            list_remove(&flight->in_window);
        }
    }
}

/* What came from another Redis than the node's, or of another epoch, may be told but not kept. If the node changes its
 * target a moment later, its floor rises above the stamp of what was kept. */
static bool flight_is_on_target(const struct flight *flight)
{
    const uint64_t target =
        atomic_load_explicit(&flight->window->view->target, memory_order_acquire);
    return target != 0 && target == flight->target;
}

/* A value of `ttl` needs no bus: nobody relies on being told of its changes. While the node knows of no target, that
 * cannot decide either. */
static bool flight_may_install(const struct flight *flight, const struct namespace *ns)
{
    const struct coherence_view *view = flight->window->view;
    if (namespace_kind(ns) == NAMESPACE_TTL) {
        return atomic_load_explicit(&view->target, memory_order_acquire) == 0 ||
               flight_is_on_target(flight);
    }
    return flight_is_on_target(flight) &&
           atomic_load_explicit(&view->may_install, memory_order_acquire);
}

/* Nobody waits for it but the node itself (revalidate.h). */
static bool flight_is_in_background(const struct flight *flight)
{
    return flight->guests == NULL && flight->readers->in_background &&
           flight->readers->next == NULL;
}

/* T3: keep the value iff the token stands, its life is known, and it came from the node's own Redis; whatever else lands
 * drops what stands. */
static void flight_keep(struct flight *flight, enum status status, const struct tiers_value *value)
{
    struct tiers_window *window = flight->window;
    const struct namespace *ns = window_key(window, &flight->key).ns;
    struct l1 *l1 = ns->l1;
    struct item *item = value->item;
    if (is_no_answer(status, value->error)) {
        l1_unclaim(l1, &flight->key, flight->token);
        return;
    }
    if (item == NULL || status != OK) {
        l1_land(l1, &flight->key);
        return;
    }
    struct l1_landing landing = {
        .token = flight->token,
        .generation = atomic_load_explicit(&window->view->generation, memory_order_acquire),
        .install = flight->pttl_ms >= -1 && flight_may_install(flight, ns),
        .unused = flight_is_in_background(flight),
        .now_ms = window->now_ms,
    };
    (void)l1_fill(l1, &flight->key, &landing,
                  item); /* STALE is an answer: the readers get the value anyway */
}

static void flight_end(struct flight *flight, enum status status, const struct tiers_value *value)
{
    struct metrics *metrics = flight->window->options.metrics;
    list_remove(&flight->in_window);
    flight_keep(flight, status, value);
    if (!flight_is_in_background(flight)) {
        metrics_count(metrics, status == TOO_BIG     ? M_HASHES_TOO_LARGE
                               : status != OK        ? M_L2_ERRORS
                               : value->item != NULL ? M_L2_HITS
                                                     : M_L2_MISSES);
    }
    flight_tell(flight, status, value);
    item_release(value->item);
    buf_done(&flight->error);
    free(flight);
}

static size_t flight_kept_bytes(const struct flight *flight)
{
    return flight->item == NULL ? 0 : item_value(flight->item).size;
}

static void flight_on_confirmed(struct tiers_confirm *confirm, enum status status)
{
    struct flight *flight = LIST_ENTRY(confirm, struct flight, confirm);
    struct tiers_value value = {.item = flight->item};
    flight->window->kept_bytes -= flight_kept_bytes(flight);
    if (status != OK) {
        flight_end(flight, STALE, &value);
        return;
    }
    value.error = buf_slice(&flight->error);
    flight_end(flight, value.error.size > 0 ? L2_ERROR : OK, &value);
}

/* false: it cannot be waited, or too much waits already. */
static bool flight_wait(struct flight *flight, const struct tiers_value *value)
{
    struct tiers_window *window = flight->window;
    flight->item = value->item;
    flight->confirm.on_confirmed = flight_on_confirmed;
    if (window->kept_bytes > WINDOW_KEPT_BYTES_MAX ||
        (value->error.size > 0 && buf_append_slice(&flight->error, value->error) != OK) ||
        window_confirm(window, &flight->confirm) != OK) {
        return false;
    }
    window->kept_bytes += flight_kept_bytes(flight);
    return true;
}

/* Strict: nobody may see the answer, be it in L1 or not, before all nodes are rid of what is older; an error that tells
 * what the key holds (WRONGTYPE) is an answer, too. Until then the flight may be joined, as long as its token stands. */
static void flight_land(struct flight *flight, enum status status, struct slice reply)
{
    struct tiers_window *window = flight->window;
    struct tiers_value value = {0};
    if (status == OK) {
        flight->target = link_target(flight->link);
        status = flight_read_value(flight, reply, &value.item, &value.error);
    }
    const bool is_told = status == OK || (status == L2_ERROR && !error_is_of_l2(value.error));
    if (is_told && namespace_kind(window_key(window, &flight->key).ns) == NAMESPACE_STRICT) {
        if (flight_wait(flight, &value)) {
            return;
        }
        status = STALE;
    }
    flight_end(flight, status, &value);
}

static void flight_on_get(struct link_request *request, enum status status, struct slice reply)
{
    flight_land(LIST_ENTRY(request, struct flight, get_request), status, reply);
}

static void flight_on_ttl(struct link_request *request, enum status status, struct slice reply)
{
    struct flight *flight = LIST_ENTRY(request, struct flight, ttl_request);
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (status == OK && reply_next(&cursor, &element) == OK && element.type == REPLY_INTEGER &&
        element.number >= -1) {
        flight->pttl_ms = element.number;
    }
    if (flight->refused != OK) {
        flight_land(flight, flight->refused, (struct slice){0});
    }
}

/* --- asking -------------------------------------------------------------------------------------------------------- */

static enum status flight_send(struct flight *flight, struct link *link,
                               struct link_request *request, const struct slice *words,
                               size_t count)
{
    struct buf *scratch = &flight->window->scratch;
    scratch->size = 0;
    enum status status = resp_append_request(scratch, count, words);
    return status != OK ? status : link_ask(link, request, flight->key.db, buf_slice(scratch));
}

static enum status flight_ask_ttl(struct flight *flight, struct link *link)
{
    const struct slice words[] = {SLICE_LITERAL("PTTL"), flight->key.bytes};
    return flight_send(flight, link, &flight->ttl_request, words, 2);
}

/* COUNT counts fields and values, and Redis ends a step that has so many: with one more, all are there if they are as many
 * as may be kept. */
static enum status flight_ask_value(struct flight *flight, struct link *link)
{
    char digits[I64_DIGITS_MAX];
    const int64_t count = 2 * flight->window->hash_fields_max + 1;
    const struct slice whole[] = {SLICE_LITERAL("HSCAN"),
                                  flight->key.bytes,
                                  SLICE_LITERAL("0"),
                                  SLICE_LITERAL("COUNT"),
                                  {digits, i64_format(digits, count)}};
    const struct slice words[] = {SLICE_LITERAL("GET"), flight->key.bytes};
    return flight->of_hash ? flight_send(flight, link, &flight->get_request, whole, 5)
                           : flight_send(flight, link, &flight->get_request, words, 2);
}

static void flight_add_reader(struct flight *flight, struct tiers_reader *reader)
{
    reader->next = NULL;
    *flight->last_reader = reader;
    flight->last_reader = &reader->next;
}

static enum status flight_begin(struct tiers_window *window, const struct ns_key *wanted, int proto,
                                uint64_t token, int64_t fence_ms, struct tiers_reader *reader)
{
    const struct l1_key *key = &wanted->at;
    struct link *link = window_link(window, proto);
    struct flight *flight = link == NULL ? NULL : malloc(sizeof(*flight) + key->bytes.size);
    if (flight == NULL) {
        l1_unclaim(wanted->ns->l1, key, token);
        return NO_MEMORY;
    }
    *flight = (struct flight){.window = window,
                              .link = link,
                              .token = token,
                              .of_hash = reader->of_hash,
                              .issued_at_ms = window->now_ms,
                              .fence_ms = fence_ms,
                              .pttl_ms = FLIGHT_TTL_NONE,
                              .key = *key};
    memcpy(flight->bytes, key->bytes.data, key->bytes.size);
    flight->key.bytes.data = flight->bytes;
    flight->last_reader = &flight->readers;
    flight->ttl_request = (struct link_request){
        .on_reply = flight_on_ttl,
        .deadline_ms = window->now_ms + window->read_timeout_ms,
        .fence_ms = fence_ms,
        .asked_ms = window->now_ms,
    };
    flight->get_request = flight->ttl_request;
    flight->get_request.on_reply = flight_on_get;
    list_init(&flight->in_window);

    enum status status = flight_ask_ttl(flight, link);
    if (status != OK) {
        l1_unclaim(wanted->ns->l1, key, token);
        free(flight);
        return status;
    }
    flight->refused = flight_ask_value(flight, link);
    flight_add_reader(flight, reader);
    if (token != 0) {
        list_push_back(flight_bucket(window, token), &flight->in_window);
    }
    return PENDING;
}

/* --- guests: readers of other workers --------------------------------------------------------------------------------- */

/* The flight had landed: look once more, and read alone if there is nothing. */
static enum status guest_look_again(struct flight_guest *guest, struct tiers_window *at,
                                    struct tiers_value *ret_value)
{
    struct l1_value found = {0};
    const struct ns_key key = window_key(at, &guest->key);
    const struct contract contract = window_contract(at, key.ns, guest->reader->wish);
    const enum status status =
        l1_get(key.ns->l1, &key.at, at->now_ms, contract.serve_from_ms, &found);
    if (status == OK) {
        ret_value->item = guest->item = found.item;
        return OK;
    }
    return flight_begin(at, &key, guest->proto, 0, contract.fence_ms, guest->reader);
}

/* Back on the reader's loop. */
static void guest_on_home(struct tiers_post *post, struct tiers_window *at)
{
    struct flight_guest *guest = (struct flight_guest *)(void *)post;
    struct tiers_value value = {.item = guest->item, .error = buf_slice(&guest->error)};
    enum status status = guest->status;
    if (guest->missed) {
        status = guest_look_again(guest, at, &value);
    }
    if (status != PENDING) {
        reader_tell(at, &guest->key, guest->reader, status, &value);
    }
    guest_free(guest);
}

/* On the loop that owns the flight. */
static void guest_on_arrival(struct tiers_post *post, struct tiers_window *at)
{
    struct flight_guest *guest = (struct flight_guest *)(void *)post;
    struct flight *flight = flight_find(at, &guest->key, guest->token);
    if (flight == NULL || flight->fence_ms > guest->fence_ms || flight->of_hash != guest->of_hash) {
        guest->missed = true;
        guest_send_home(at, guest);
        return;
    }
    guest->next = flight->guests;
    flight->guests = guest;
}

static enum status flight_visit(struct tiers_window *window, const struct l1_key *key, int proto,
                                const struct l1_claim *claim, int64_t fence_ms,
                                struct tiers_reader *reader)
{
    struct flight_guest *guest = malloc(sizeof(*guest) + key->bytes.size);
    if (guest == NULL) {
        return NO_MEMORY;
    }
    *guest = (struct flight_guest){.post = {.open = guest_on_arrival},
                                   .home = window,
                                   .reader = reader,
                                   .token = claim->token,
                                   .fence_ms = fence_ms,
                                   .proto = proto,
                                   .of_hash = reader->of_hash,
                                   .key = *key};
    memcpy(guest->bytes, key->bytes.data, key->bytes.size);
    guest->key.bytes.data = guest->bytes;
    if (window->options.post(window->options.io.roof, claim->owner, &guest->post, false) != OK) {
        free(guest);
        return BUSY;
    }
    return PENDING;
}

enum status flight_join(struct tiers_window *window, const struct ns_key *key, int proto,
                        enum status status, const struct l1_claim *claim, int64_t fence_ms,
                        struct tiers_reader *reader, bool *ret_foreign)
{
    *ret_foreign = false;
    if (status == CLAIMED) {
        return flight_begin(window, key, proto, claim->token, fence_ms, reader);
    }
    if (status == TAKEN && claim->owner == window->options.worker) {
        struct flight *flight = flight_find(window, &key->at, claim->token);
        if (flight != NULL && flight->fence_ms <= fence_ms && flight->of_hash == reader->of_hash) {
            metrics_count(window->options.metrics, M_COALESCED);
            flight_add_reader(flight, reader);
            *ret_foreign = true; /* it may travel on the other protocol's link */
            return PENDING;
        }
    }
    if (status == TAKEN && claim->owner != window->options.worker &&
        flight_visit(window, &key->at, proto, claim, fence_ms, reader) == PENDING) {
        metrics_count(window->options.metrics, M_COALESCED);
        *ret_foreign = true;
        return PENDING;
    }
    return flight_begin(window, key, proto, 0, fence_ms, reader);
}
