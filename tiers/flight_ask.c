/* SPDX-License-Identifier: BSD-3-Clause */
/* flight_ask.c -- the words of a question to L2, and what follows an answer that is not whole.
 *
 * Who waits gets the value in one step, PTTL and GET (or HSCAN), and whatever L1 would not keep is passed over or gathered for
 * him. What nobody waits for (prefetch.h, revalidate.h) is not worth that: a value of 500 MB would hold up all clients of the
 * link, to be thrown away. So in the background no more is asked for than L1 would keep:
 *
 *      PTTL k, GETRANGE k 0 65536 --shorter---------------------------------------------> it is the value
 *                  |   \--empty: there is no key, by PTTL; or else -------> PTTL k, GET k -> as for a client
 *                  |--full: STRLEN k --as much as L1 keeps: PTTL k, GETRANGE k 0 MOST --shorter--> it is the value
 *                                 \--more: TOO_BIG                                \--full: it has grown; TOO_BIG
 *
 * A part of a value is never told, nor put together from parts of different moments: each answer is whole, or it is dropped
 * and asked for anew, PTTL included. Of a managed one the beginning is held until its size is known, for it says what the
 * rest would be worth. The token is that of the claim, from before the first question: a write between two of them ends it.
 * A client who joins meanwhile waits for an answer as to his own question: what is not whole by then is followed by GET, and
 * so is a refusal of GETRANGE or STRLEN, which the node's user may lack.
 *
 * A hash in the background comes by a script (whole_hash.lua) that counts its bytes first, in the shape of HSCAN's answer; by
 * HSCAN, if it is refused and somebody waits by then. */
#include "protocol/envelope.h"
#include "protocol/resp_write.h"
#include "tiers/flight_inner.h"
#include "tiers/managed.h"

/* The script's text, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global whole_hash_script\n"
        ".type whole_hash_script, %object\n"
        "whole_hash_script:\n"
        ".incbin \"tiers/scripts/whole_hash.lua\"\n"
        ".byte 0\n"
        ".size whole_hash_script, . - whole_hash_script\n"
        ".popsection\n");

/* --- words ---------------------------------------------------------------------------------------------------------- */

static enum status flight_send(struct flight *flight, struct link *link,
                               struct link_request *request, const struct slice *words,
                               size_t count)
{
    struct buf *scratch = &flight->window->scratch;
    scratch->size = 0;
    enum status status = resp_append_request(scratch, count, words);
    return status != OK ? status : link_ask(link, request, flight->key.db, buf_slice(scratch));
}

static enum status ask_ttl(struct flight *flight, struct link *link)
{
    const struct slice words[] = {SLICE_LITERAL("PTTL"), flight->key.bytes};
    return flight_send(flight, link, &flight->ttl_request, words, 2);
}

static enum status ask_get(struct flight *flight, struct link *link)
{
    const struct slice words[] = {SLICE_LITERAL("GET"), flight->key.bytes};
    return flight_send(flight, link, &flight->get_request, words, 2);
}

/* One byte more than is wanted: if it comes, the value is longer. */
static enum status ask_piece(struct flight *flight, struct link *link)
{
    char digits[I64_DIGITS_MAX];
    const struct slice words[] = {SLICE_LITERAL("GETRANGE"),
                                  flight->key.bytes,
                                  SLICE_LITERAL("0"),
                                  {digits, i64_format(digits, (int64_t)flight->most)}};
    return flight_send(flight, link, &flight->get_request, words, 4);
}

static enum status ask_size(struct flight *flight, struct link *link)
{
    const struct slice words[] = {SLICE_LITERAL("STRLEN"), flight->key.bytes};
    return flight_send(flight, link, &flight->get_request, words, 2);
}

/* COUNT counts fields and values, and Redis ends a step that has so many: with one more, all are there if they are as many
 * as may be kept. */
static enum status ask_scan(struct flight *flight, struct link *link)
{
    char digits[I64_DIGITS_MAX];
    const int64_t count = 2 * flight->window->hash_fields_max + 1;
    const struct slice words[] = {SLICE_LITERAL("HSCAN"),
                                  flight->key.bytes,
                                  SLICE_LITERAL("0"),
                                  SLICE_LITERAL("COUNT"),
                                  {digits, i64_format(digits, count)}};
    return flight_send(flight, link, &flight->get_request, words, 5);
}

static enum status ask_hash(struct flight *flight, struct link *link)
{
    char fields[I64_DIGITS_MAX];
    char bytes[I64_DIGITS_MAX];
    const struct slice words[] = {SLICE_LITERAL("EVAL"),
                                  slice_of(whole_hash_script),
                                  SLICE_LITERAL("1"),
                                  flight->key.bytes,
                                  {fields, i64_format(fields, flight->window->hash_fields_max)},
                                  {bytes, i64_format(bytes, LIMIT_HASH)}};
    return flight_send(flight, link, &flight->get_request, words, 6);
}

static enum status ask_value(struct flight *flight, struct link *link)
{
    switch (flight->step) {
    case FLIGHT_GET: return ask_get(flight, link);
    case FLIGHT_PIECE: return ask_piece(flight, link);
    case FLIGHT_SIZE: return ask_size(flight, link);
    case FLIGHT_SCAN: return ask_scan(flight, link);
    case FLIGHT_HASH: return ask_hash(flight, link);
    }
    return NO_MEMORY;
}

/* --- what is large -------------------------------------------------------------------------------------------------- */

static size_t kept_max(const struct flight *flight)
{
    return stream_kept_max(window_key(flight->window, &flight->key).ns);
}

/* Larger than L1 keeps: each who waits asks for it by himself, in pieces, if all can. Of a managed one what it is worth is
 * found here, by its beginning, and kept. */
static enum link_way flight_on_large(struct link_request *request,
                                     const struct link_large_reply *reply)
{
    struct flight *flight = LIST_ENTRY(request, struct flight, get_request);
    if (reply->size <= kept_max(flight) || !flight_guests_take_large(flight) ||
        stream_knows_broken(flight->window, &flight->key) ||
        (flight->managed && !managed_may_be_large(reply->beginning, reply->value_size))) {
        return LINK_GATHER;
    }
    for (struct tiers_reader *reader = flight->readers; reader != NULL; reader = reader->next) {
        if (!reader->in_background &&
            (reader->takes_large == NULL || !reader->takes_large(reader))) {
            return LINK_GATHER;
        }
    }
    flight->large_size = reply->value_size;
    return LINK_PASS_OVER;
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void flight_on_ttl(struct link_request *request, enum status status, struct slice reply)
{
    struct flight *flight = LIST_ENTRY(request, struct flight, ttl_request);
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (status == OK && reply_next(&cursor, &element) == OK && element.type == REPLY_INTEGER &&
        element.number >= FLIGHT_TTL_NO_KEY) {
        const int64_t most_ms = INT64_MAX - flight->issued_at_ms; /* Redis' clock may be behind */
        flight->pttl_ms = element.number < most_ms ? element.number : most_ms;
    }
    if (flight->refused != OK) {
        flight_land(flight, flight->refused, (struct slice){0});
    }
}

static void land_unasked(struct flight *flight, enum status status)
{
    flight_land(flight, status == NO_MEMORY ? NO_MEMORY : L2_DOWN, (struct slice){0});
}

/* What came is dropped. */
static void ask_anew(struct flight *flight, enum flight_step step)
{
    buf_done(&flight->reply);
    flight->step = step;
    flight->in_steps = true;
    const enum status status = flight_ask(flight);
    if (status != OK) {
        land_unasked(flight, status);
    }
}

/* Nobody waits for it, and L1 would not keep it. Of a managed value what its beginning says of it. */
static void land_large(struct flight *flight, uint64_t size)
{
    struct buf beginning = flight->reply;
    flight->reply = (struct buf){0};
    if (!flight->managed || managed_may_be_large(buf_slice(&beginning), size)) {
        flight->large_size = size;
        flight_land(flight, TOO_BIG, buf_slice(&beginning));
    } else {
        flight_landed(flight, TOO_BIG, &(struct tiers_value){0});
    }
    buf_done(&beginning);
}

static enum status ask_size_of(struct flight *flight, struct slice bytes)
{
    struct tiers_window *window = flight->window;
    struct link *link = window_link(window, flight->proto);
    const size_t wanted = bytes.size < ENVELOPE_BEGINNING ? bytes.size : ENVELOPE_BEGINNING;
    if (link == NULL || (flight->managed && buf_append(&flight->reply, bytes.data, wanted) != OK)) {
        return NO_MEMORY;
    }
    flight->step = FLIGHT_SIZE;
    flight->in_steps = true;
    flight->get_request.asked_ms = window->now_ms;
    return ask_value(flight, link);
}

/* There is more of it than this. */
static void on_cut(struct flight *flight, struct slice bytes)
{
    if (!flight_is_in_background(flight)) {
        ask_anew(flight, FLIGHT_GET);
    } else if (flight->most >= kept_max(flight)) {
        flight_landed(flight, TOO_BIG, &(struct tiers_value){0}); /* it has grown */
    } else {
        const enum status status = ask_size_of(flight, bytes);
        if (status != OK) {
            land_unasked(flight, status);
        }
    }
}

static bool on_piece(struct flight *flight, struct slice bytes)
{
    static const struct slice nothing = SLICE_LITERAL("$-1\r\n");
    if (bytes.size > flight->most) {
        on_cut(flight, bytes);
        return true;
    }
    if (bytes.size > 0) {
        return false;
    }
    if (flight->pttl_ms == FLIGHT_TTL_NO_KEY) {
        flight_land(flight, OK, nothing);
    } else {
        ask_anew(flight, FLIGHT_GET); /* an empty value, or one that went meanwhile */
    }
    return true;
}

static void on_size(struct flight *flight, uint64_t size)
{
    if (!flight_is_in_background(flight)) {
        ask_anew(flight, FLIGHT_GET);
    } else if (size > kept_max(flight)) {
        land_large(flight, size);
    } else {
        flight->most = kept_max(flight);
        ask_anew(flight, FLIGHT_PIECE);
    }
}

/* He did not ask for a piece, nor by a script: that we may not is no answer to him. */
static bool is_refused_to_client(const struct flight *flight, const struct reply_element *answer)
{
    return flight->step != FLIGHT_GET && flight->step != FLIGHT_SCAN &&
           answer->type == REPLY_ERROR && flight_error_is_of_words(answer->text) &&
           !flight_is_in_background(flight);
}

/* False: it is the answer, or an error. */
static bool goes_on(struct flight *flight, struct slice reply)
{
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (reply_next(&cursor, &element) != OK) {
        return false;
    }
    if (is_refused_to_client(flight, &element)) {
        ask_anew(flight, flight->of_hash ? FLIGHT_SCAN : FLIGHT_GET);
        return true;
    }
    if (flight->step == FLIGHT_PIECE && element.type == REPLY_BULK) {
        return on_piece(flight, element.text);
    }
    if (flight->step == FLIGHT_SIZE && element.type == REPLY_INTEGER && element.number >= 0) {
        on_size(flight, (uint64_t)element.number);
        return true;
    }
    return false;
}

static void flight_on_value(struct link_request *request, enum status status, struct slice reply)
{
    struct flight *flight = LIST_ENTRY(request, struct flight, get_request);
    if (status != OK || !goes_on(flight, reply)) {
        flight_land(flight, status, reply);
    }
}

/* --- asking --------------------------------------------------------------------------------------------------------- */

void flight_prepare(struct flight *flight, const struct tiers_reader *reader)
{
    const struct tiers_window *window = flight->window;
    const bool spares = reader->in_background;
    flight->step = reader->of_hash ? spares ? FLIGHT_HASH : FLIGHT_SCAN
                   : spares        ? FLIGHT_PIECE
                                   : FLIGHT_GET;
    flight->most = window->options.look_bytes > 0 ? window->options.look_bytes : FLIGHT_LOOK_BYTES;
    flight->ttl_request = (struct link_request){
        .on_reply = flight_on_ttl,
        .deadline_ms = window->now_ms + window->read_timeout_ms,
        .fence_ms = flight->fence_ms,
    };
    flight->get_request = flight->ttl_request;
    flight->get_request.on_reply = flight_on_value;
    flight->get_request.beginning = reader->managed ? ENVELOPE_BEGINNING : 0;
}

enum status flight_ask(struct flight *flight)
{
    struct tiers_window *window = flight->window;
    struct link *link = window_link(window, flight->proto);
    if (link == NULL) {
        return NO_MEMORY;
    }
    flight->link = link;
    flight->pttl_ms = FLIGHT_TTL_NONE;
    flight->issued_at_ms = window->now_ms;
    flight->ttl_request.asked_ms = window->now_ms;
    flight->get_request.asked_ms = window->now_ms;
    flight->get_request.on_large = flight->step == FLIGHT_GET ? flight_on_large : NULL;
    const enum status status = ask_ttl(flight, link);
    if (status == OK) {
        flight->refused = ask_value(flight, link);
    }
    return status;
}
