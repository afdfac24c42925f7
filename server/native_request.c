/* SPDX-License-Identifier: BSD-3-Clause */
/* native_request.c -- the words of the command that a frame asks for.
 *
 *      GET, FETCH, each key of MGET    CACHE.FETCH key [MAXSTALE ms | FRESH | ANY] [ATLEAST seq] [SOFT ms] [NOLOAD]; of a key that
 *                                      is too long for L1 GET
 *      SET                             SET key body [PX ms] [NX | XX], or CACHE.SET where more is said
 *      DELETE, FILL, FAIL, INVALIDATE  DEL, CACHE.FILL, CACHE.FAIL, CACHE.INVALIDATE
 *      WATCH, UNWATCH                  CLIENT TRACKING ON [BCAST [PREFIX p ...]], OFF
 *      STATS, TOPOLOGY, CALL           INFO, CACHE.NODES, the words themselves
 *      WARM, HOT                       CACHE.WARM verb [id | job] [rate], CACHE.HOT [n]
 *
 * Words borrow from the frame, its metadata, and the digits of the desk. */
#include "protocol/limits.h"
#include "server/native_inner.h"

static void word(struct native_words *words, struct slice text)
{
    words->at[words->count++] = text;
}

static void word_text(struct native_words *words, const char *text)
{
    word(words, slice_of(text));
}

static void word_number(struct native_words *words, uint64_t number)
{
    struct native_desk *desk = words->desk;
    char *digits = desk->digits + desk->digits_used;
    const size_t size = i64_format(digits, number > INT64_MAX ? INT64_MAX : (int64_t)number);
    desk->digits_used += size;
    word(words, (struct slice){digits, size});
}

static void word_pair(struct native_words *words, const char *name, uint64_t number)
{
    word_text(words, name);
    word_number(words, number);
}

/* All keys of the frame. */
static void word_keys(struct native_words *words, const struct native_frame *frame,
                      const struct native_request *request)
{
    struct slice rest = frame->keys;
    struct slice key;
    size_t at = 0;
    while (native_next_key(&rest, request->key_sizes, request->key_count, &at, &key)) {
        word(words, key);
    }
}

/* --- reads ------------------------------------------------------------------------------------------------------------ */

enum {
    CONTRACT_NONE,
    CONTRACT_MAXSTALE,
    CONTRACT_FRESH,
    CONTRACT_ANY
};

const char *native_refuse_read(const struct native_request *request)
{
    return request->contract > CONTRACT_ANY ? "no such contract" : NULL;
}

static const char *read_words(struct native_words *words, const struct native_frame *frame,
                              const struct native_request *request)
{
    if (frame->keys.size >= LIMIT_L1_KEY) { /* it passes by the cache: L2's own answer, always */
        word_text(words, "GET");
        word(words, frame->keys);
        return native_refuse_read(request);
    }
    word(words, SLICE_LITERAL("CACHE.FETCH"));
    word(words, frame->keys);
    if (request->contract == CONTRACT_MAXSTALE) {
        word_pair(words, "MAXSTALE", request->max_stale_ms);
    } else if (request->contract != CONTRACT_NONE) {
        word_text(words, request->contract == CONTRACT_FRESH ? "FRESH" : "ANY");
    }
    if (request->atleast_seq > 0) {
        word_pair(words, "ATLEAST", request->atleast_seq);
    }
    if (request->soft_ms > 0) {
        word_pair(words, "SOFT", request->soft_ms);
    }
    if (frame->header.op != NATIVE_FETCH) {
        word(words, SLICE_LITERAL("NOLOAD"));
    }
    return native_refuse_read(request);
}

/* --- writes ----------------------------------------------------------------------------------------------------------- */

/* How long the value is good for, and by what it can be invalidated, as CACHE.SET and CACHE.FILL say it. */
static void life_words(struct native_words *words, const struct native_request *request)
{
    if (request->px_ms > 0) {
        word_pair(words, "PX", request->px_ms);
    }
    if (request->has_swr) {
        word_pair(words, "SWR", request->swr_ms);
    }
    if (request->has_sie) {
        word_pair(words, "SIE", request->sie_ms);
    }
    if (request->tag_count > 0) {
        word_pair(words, "TAGS", request->tag_count);
    }
    for (size_t i = 0; i < request->tag_count; i++) {
        word(words, request->tags[i]);
    }
}

static const char *set_words(struct native_words *words, const struct native_frame *frame,
                             const struct native_request *request)
{
    const bool says_more =
        request->has_swr || request->has_sie || request->tag_count > 0 || request->want_seq;
    if (request->condition > 2) {
        return "no such condition";
    }
    if (request->condition != 0 && says_more) {
        return "a condition does not go with tags, swr, sie or want_seq";
    }
    word_text(words, says_more ? "CACHE.SET" : "SET");
    word(words, frame->keys);
    word(words, frame->body);
    life_words(words, request);
    if (request->condition != 0) {
        word_text(words, request->condition == 1 ? "NX" : "XX");
    }
    return NULL;
}

static const char *fill_words(struct native_words *words, const struct native_frame *frame,
                              const struct native_request *request)
{
    word_text(words, "CACHE.FILL");
    word(words, frame->keys);
    word(words, request->token);
    word(words, frame->body);
    life_words(words, request);
    return NULL;
}

static const char *fail_words(struct native_words *words, const struct native_frame *frame,
                              const struct native_request *request)
{
    word_text(words, "CACHE.FAIL");
    word(words, frame->keys);
    word(words, request->token);
    if (request->negative_ms > 0) {
        word_pair(words, "NEG", request->negative_ms);
    }
    return NULL;
}

/* --- invalidation ----------------------------------------------------------------------------------------------------- */

/* The command finds its options from the end, whatever stands in front of them is a key. */
static bool is_option(struct slice text)
{
    static const char *const options[] = {"soft", "dryrun", "any", "all", "ns", "sync"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (slice_is_nocase(text, options[i])) {
            return true;
        }
    }
    return false;
}

static void invalidate_options(struct native_words *words, const struct native_request *request)
{
    if (request->match_all) {
        word_text(words, "ALL");
    }
    if (request->ns.size > 0) {
        word_text(words, "NS");
        word(words, request->ns);
    }
    if (request->soft) {
        word_text(words, "SOFT");
    }
    if (request->sync_ms > 0) {
        word_pair(words, "SYNC", request->sync_ms);
    }
    if (request->dry_run) {
        word_text(words, "DRYRUN");
    }
}

static const char *invalidate_words(struct native_words *words, const struct native_frame *frame,
                                    const struct native_request *request)
{
    static const char *const targets[] = {"KEY", "TAG", "PREFIX", "PATTERN", "ALL"};
    const uint32_t count = sizeof(targets) / sizeof(targets[0]);
    const bool is_all = request->target == count;
    if (request->target == 0 || request->target > count) {
        return "no such target";
    }
    if (is_all && (frame->keys.size > 0 || request->key_count > 0)) {
        return "target ALL has no keys";
    }
    if (request->match_all && request->target != 2) {
        return "match_all is of target TAG";
    }
    word_text(words, "CACHE.INVALIDATE");
    word_text(words, targets[request->target - 1]);
    const uint32_t first = words->count;
    if (!is_all) {
        word_keys(words, frame, request);
    }
    for (uint32_t i = first + 1; i < words->count; i++) {
        if (is_option(words->at[i])) {
            return "a key that is an option of CACHE.INVALIDATE needs a request to itself";
        }
    }
    invalidate_options(words, request);
    return NULL;
}

/* --- the others ------------------------------------------------------------------------------------------------------- */

static const char *watch_words(struct native_words *words, const struct native_frame *frame,
                               const struct native_request *request)
{
    struct slice rest = frame->keys;
    struct slice prefix;
    size_t at = 0;
    if (request->watch > 1) {
        return "no such watch";
    }
    word_text(words, "CLIENT");
    word_text(words, "TRACKING");
    word_text(words, "ON");
    if (request->watch == 1) {
        word_text(words, "BCAST");
    }
    while (request->watch == 1 && frame->keys.size > 0 &&
           native_next_key(&rest, request->key_sizes, request->key_count, &at, &prefix)) {
        word_text(words, "PREFIX");
        word(words, prefix);
    }
    return NULL;
}

static const char *words_of_call(struct native_words *words, const struct native_frame *frame,
                                 const struct native_request *request)
{
    word_keys(words, frame, request);
    return words->at[0].size == 0 ? "no command is named" : NULL;
}

/* --- warming ---------------------------------------------------------------------------------------------------------- */

static const char *warm_words(struct native_words *words, const struct native_frame *frame,
                              const struct native_request *request)
{
    static const char *const verbs[] = {
        [NATIVE_WARM_SUBMIT] = "SUBMIT", [NATIVE_WARM_REGISTER] = "REGISTER",
        [NATIVE_WARM_LIST] = "LIST",     [NATIVE_WARM_STATUS] = "STATUS",
        [NATIVE_WARM_PAUSE] = "PAUSE",   [NATIVE_WARM_RESUME] = "RESUME",
        [NATIVE_WARM_CANCEL] = "CANCEL", [NATIVE_WARM_SETRATE] = "SETRATE",
    };
    if (request->warm == 0 || request->warm >= sizeof(verbs) / sizeof(verbs[0])) {
        return "no such thing is done with a warm job";
    }
    word_text(words, "CACHE.WARM");
    word_text(words, verbs[request->warm]);
    if (request->warm == NATIVE_WARM_SUBMIT || request->warm == NATIVE_WARM_REGISTER) {
        word(words, frame->body);
    } else if (request->warm != NATIVE_WARM_LIST) {
        word_number(words, request->warm_id);
    }
    if (request->warm == NATIVE_WARM_SETRATE) {
        word_number(words, request->warm_rate);
    }
    return NULL;
}

static const char *hot_words(struct native_words *words, const struct native_request *request)
{
    word_text(words, "CACHE.HOT");
    if (request->hot > 0) {
        word_number(words, request->hot);
    }
    return NULL;
}

static bool takes_several(uint8_t op)
{
    return op == NATIVE_DELETE || op == NATIVE_INVALIDATE || op == NATIVE_WATCH ||
           op == NATIVE_CALL;
}

const char *native_write_words(struct native_words *words, const struct native_frame *frame,
                               const struct native_request *request)
{
    if (request->key_count > 1 && !takes_several(frame->header.op)) {
        return "it takes one key";
    }
    switch (frame->header.op) {
    case NATIVE_GET:
    case NATIVE_FETCH:
    case NATIVE_MGET: return read_words(words, frame, request);
    case NATIVE_SET: return set_words(words, frame, request);
    case NATIVE_DELETE:
        word_text(words, "DEL");
        word_keys(words, frame, request);
        return NULL;
    case NATIVE_FILL: return fill_words(words, frame, request);
    case NATIVE_FAIL: return fail_words(words, frame, request);
    case NATIVE_INVALIDATE: return invalidate_words(words, frame, request);
    case NATIVE_WATCH: return watch_words(words, frame, request);
    case NATIVE_UNWATCH:
        word_text(words, "CLIENT");
        word_text(words, "TRACKING");
        word_text(words, "OFF");
        return NULL;
    case NATIVE_STATS:
        word_text(words, "INFO");
        if (frame->keys.size > 0) {
            word(words, frame->keys);
        }
        return NULL;
    case NATIVE_TOPOLOGY: word_text(words, "CACHE.NODES"); return NULL;
    case NATIVE_CALL: return words_of_call(words, frame, request);
    case NATIVE_WARM: return warm_words(words, frame, request);
    case NATIVE_HOT: return hot_words(words, request);
    default: return "no such request";
    }
}
