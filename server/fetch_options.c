/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/fetch_options.h"

#include "server/faults.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MS_MAX (INT64_C(24) * 3600 * 1000)

static bool read_ms(struct call *call, uint32_t i, const char *name, int64_t *ret_ms)
{
    if (i >= call->argc) {
        fault_word(call, i, "milliseconds");
        return false;
    }
    if (slice_to_i64(call->argv[i], ret_ms) != OK || *ret_ms < 0 || *ret_ms > MS_MAX) {
        char text[64];
        (void)snprintf(text, sizeof(text), "ERR %s must be milliseconds from 0 to %" PRId64, name,
                       MS_MAX);
        fault_value(call, i, text);
        return false;
    }
    return true;
}

static bool read_seq(struct call *call, uint32_t i, uint64_t *ret_seq)
{
    int64_t seq = 0;
    if (i >= call->argc) {
        fault_word(call, i, "a seq");
        return false;
    }
    if (slice_to_i64(call->argv[i], &seq) != OK || seq < 0) {
        fault_value(call, i, "ERR seq is not an integer or out of range");
        return false;
    }
    *ret_seq = (uint64_t)seq;
    return true;
}

static bool set_kind(struct call *call, struct wish *wish, enum wish_kind kind)
{
    if (wish->kind != WISH_NOTHING) {
        reply_error(call->reply, "ERR only one of MAXSTALE, FRESH and ANY may be given");
        return false;
    }
    wish->kind = kind;
    return true;
}

/* One option at argv[*i], which moves to its last word. false: an error is answered. */
static bool read_option(struct call *call, uint32_t *i, struct fetch_options *options)
{
    struct wish *wish = &options->wish;
    const struct slice word = call->argv[*i];
    if (slice_is_nocase(word, "soft")) {
        wish->patient = true;
        return read_ms(call, ++*i, "SOFT", &options->soft_ms);
    }
    if (slice_is_nocase(word, "hard")) {
        return read_ms(call, ++*i, "HARD", &options->hard_ms);
    }
    if (slice_is_nocase(word, "maxstale")) {
        return set_kind(call, wish, WISH_MAXSTALE) &&
               read_ms(call, ++*i, "MAXSTALE", &wish->max_stale_ms);
    }
    if (slice_is_nocase(word, "fresh")) {
        return set_kind(call, wish, WISH_FRESH);
    }
    if (slice_is_nocase(word, "any")) {
        return set_kind(call, wish, WISH_ANY);
    }
    if (slice_is_nocase(word, "atleast")) {
        return read_seq(call, ++*i, &wish->atleast_seq);
    }
    fault_word(call, *i, "SOFT ms, HARD ms, MAXSTALE ms, FRESH, ANY, ATLEAST seq or NOLOAD");
    return false;
}

/* Each GET in frames says so (native.h), in these letters. */
static bool is_no_load(struct slice word)
{
    static const char usual[] = "NOLOAD";
    const size_t size = sizeof(usual) - 1;
    return word.size == size &&
           (memcmp(word.data, usual, size) == 0 || slice_is_nocase(word, usual));
}

bool fetch_read_options(struct call *call, struct fetch_options *options)
{
    *options = (struct fetch_options){.soft_ms = FETCH_NO_BUDGET, .hard_ms = FETCH_NO_BUDGET};
    for (uint32_t i = 2; i < call->argc; i++) {
        if (is_no_load(call->argv[i])) {
            options->no_load = true;
            continue;
        }
        options->has_wish = true;
        if (!read_option(call, &i, options)) {
            return false;
        }
    }
    if (call->argv[1].size >= LIMIT_L1_KEY) {
        reply_error(call->reply, "ERR a key of 64 KiB or more passes by the cache: use GET");
        return false;
    }
    return true;
}
