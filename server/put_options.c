/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/put_options.h"

#include "protocol/envelope.h"
#include "server/faults.h"

#include <inttypes.h>
#include <stdio.h>

#define MS_MAX (INT64_C(1) << 52)

static bool read_ms(struct call *call, uint32_t i, const char *name, int64_t least_ms,
                    int64_t *ret_ms)
{
    if (*ret_ms != PUT_UNSAID) {
        fault_twice(call, i - 1);
        return false;
    }
    if (i >= call->argc) {
        fault_word(call, i, "milliseconds");
        return false;
    }
    if (slice_to_i64(call->argv[i], ret_ms) != OK || *ret_ms < least_ms || *ret_ms > MS_MAX) {
        char text[96];
        (void)snprintf(text, sizeof(text),
                       "ERR %s must be milliseconds from %" PRId64 " to %" PRId64, name, least_ms,
                       MS_MAX);
        fault_value(call, i, text);
        return false;
    }
    return true;
}

/* n at argv[*i], which moves to the last tag. */
static bool read_tags(struct call *call, uint32_t *i, struct put_options *options)
{
    int64_t count = 0;
    if (options->tags != NULL) {
        fault_twice(call, *i - 1);
        return false;
    }
    if (*i >= call->argc) {
        fault_word(call, *i, "the number of tags, and the tags");
        return false;
    }
    if (slice_to_i64(call->argv[*i], &count) != OK || count < 1 || count > ENVELOPE_TAGS_MAX) {
        fault_value(call, *i, "ERR TAGS must be a number from 1 to 64, and so many tags");
        return false;
    }
    if (call->argc - 1 - *i < (uint64_t)count) {
        fault_word(call, call->argc, "as many tags as TAGS says");
        return false;
    }
    options->tags = &call->argv[*i + 1];
    options->tag_count = (unsigned)count;
    for (unsigned n = 0; n < options->tag_count; n++) {
        if (options->tags[n].size < 1 || options->tags[n].size > ENVELOPE_TAG_MAX) {
            reply_errorf(call->reply,
                         "ERR a tag has 1 to %d bytes, the one at argument %" PRIu32 " has %zu",
                         ENVELOPE_TAG_MAX, *i + 1 + n, options->tags[n].size);
            return false;
        }
    }
    *i += options->tag_count;
    return true;
}

_Static_assert(ENVELOPE_TAGS_MAX == 64, "the text above says so");

bool put_options_parse(struct call *call, uint32_t from, struct put_options *ret_options)
{
    *ret_options =
        (struct put_options){.px_ms = PUT_UNSAID, .swr_ms = PUT_UNSAID, .sie_ms = PUT_UNSAID};
    for (uint32_t i = from; i < call->argc; i++) {
        const struct slice word = call->argv[i];
        bool read = false;
        if (slice_is_nocase(word, "px")) {
            read = read_ms(call, ++i, "PX", 1, &ret_options->px_ms);
        } else if (slice_is_nocase(word, "swr")) {
            read = read_ms(call, ++i, "SWR", 0, &ret_options->swr_ms);
        } else if (slice_is_nocase(word, "sie")) {
            read = read_ms(call, ++i, "SIE", 0, &ret_options->sie_ms);
        } else if (slice_is_nocase(word, "tags")) {
            ++i;
            read = read_tags(call, &i, ret_options);
        } else {
            fault_word(call, i, "PX ms, SWR ms, SIE ms or TAGS n tag ...");
        }
        if (!read) {
            return false;
        }
    }
    return true;
}
