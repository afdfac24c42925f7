/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/verdict.h"

#include "protocol/resp_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The script's text, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global verdict_script\n"
        ".type verdict_script, %object\n"
        "verdict_script:\n"
        ".incbin \"tiers/scripts/verdict.lua\"\n"
        ".byte 0\n"
        ".size verdict_script, . - verdict_script\n"
        ".popsection\n");

enum {
    WORDS_BEFORE_TAGS = 11,
    NUMBER_MAX = 24,
    EPOCH_RANDOM_SIZE = 8
};

enum status verdict_write(struct buf *out, const struct verdict_question *question)
{
    const struct bans_reach *reach = &question->reach;
    struct envelope envelope = {0};
    const enum status status = question->size > question->bytes.size
                                   ? envelope_begin(question->bytes, question->size, &envelope)
                                   : envelope_read(question->bytes, &envelope);
    const bool is_foreign = status != OK;
    char db[NUMBER_MAX];
    char counter[NUMBER_MAX];
    char random[EPOCH_RANDOM_SIZE];
    char seq[NUMBER_MAX];
    char version[NUMBER_MAX];
    (void)snprintf(db, sizeof db, "%u", question->coherence_db);
    (void)snprintf(counter, sizeof counter, "%" PRIu64, reach->epoch.counter);
    (void)snprintf(seq, sizeof seq, "%" PRIu64, reach->seq);
    (void)snprintf(version, sizeof version, "%" PRIu64, is_foreign ? 0 : envelope.version);
    put_u64le(random, reach->epoch.random);
    struct slice words[WORDS_BEFORE_TAGS + ENVELOPE_TAGS_MAX] = {
        SLICE_LITERAL("EVAL"),
        slice_of(verdict_script),
        SLICE_LITERAL("0"),
        slice_of(db),
        slice_of(counter),
        {random, sizeof random},
        slice_of(seq),
        slice_of(version),
        is_foreign ? SLICE_LITERAL("1") : SLICE_LITERAL("0"),
        slice_of(question->ns->name),
        question->key,
    };
    size_t count = WORDS_BEFORE_TAGS;
    size_t at = 0;
    struct slice tag;
    while (!is_foreign && envelope_next_tag(&envelope, &at, &tag)) {
        words[count++] = tag;
    }
    return resp_append_request(out, count, words);
}

enum ban_verdict verdict_read(struct slice reply)
{
    return slice_is(reply, "+NONE\r\n")   ? BAN_NONE
           : slice_is(reply, "+SOFT\r\n") ? BAN_SOFT
           : slice_is(reply, "+HARD\r\n") ? BAN_HARD
                                          : BAN_UNKNOWN;
}
