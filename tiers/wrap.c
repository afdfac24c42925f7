/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/wrap.h"

#include "protocol/check.h"
#include "protocol/limits.h"
#include "tiers/dictionary_desk.h"
#include "tiers/window.h"

#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH_KEPT = 256 << 10
};

/* NULL: no memory; values then are as if there were no dictionaries. Who finds it here may not have gone by the lock
 * under which it was made: so it is released, and acquired, with the pointer. */
static struct dictionary_space *space_of(struct tiers_window *window, struct namespace *ns)
{
    struct dictionary_space *space = atomic_load_explicit(&ns->dictionaries, memory_order_acquire);
    if (space == NULL) {
        space = dictionaries_at(tiers_dictionaries(window->options.tiers), slice_of(ns->name));
        atomic_store_explicit(&ns->dictionaries, space, memory_order_release);
    }
    return space;
}

/* Makes the body smaller, if that is worth it; it lies in the window's scratch then. */
static void squeeze(struct tiers_window *window, struct dictionary_space *space, struct slice value,
                    struct envelope *envelope)
{
    if (!dictionary_tries(space)) {
        return;
    }
    struct buf *block = &window->block;
    const struct dictionary dictionary = dictionary_current(space);
    bool used = false;
    block->size = 0;
    const bool saved = codec_compress(block, value, dictionary.codec, &used) == OK;
    dictionary_tell(space, saved);
    if (saved) {
        envelope->kind = used ? ENVELOPE_LZ4_DICTIONARY : ENVELOPE_LZ4;
        envelope->dictionary = used ? dictionary.number : 0;
        envelope->body = buf_slice(block);
    }
}

static bool is_worth_trying(const struct namespace *ns, struct slice value)
{
    const int64_t compress_min = namespace_rules(ns).compress_min;
    return compress_min > 0 && value.size >= (uint64_t)compress_min &&
           value.size <= WRAP_COMPRESS_MAX;
}

static void count_written(struct tiers_window *window, const struct envelope *envelope)
{
    static const enum metric kinds[] = {[ENVELOPE_RAW] = M_WRAPPED_RAW,
                                        [ENVELOPE_LZ4] = M_WRAPPED_LZ4,
                                        [ENVELOPE_LZ4_DICTIONARY] = M_WRAPPED_DICTIONARY,
                                        [ENVELOPE_NEGATIVE] = M_WRAPPED_NEGATIVE};
    struct metrics *metrics = window->options.metrics;
    metrics_count(metrics, kinds[envelope->kind]);
    metrics_add(metrics, M_WRAPPED_VALUE_BYTES, envelope->value_size);
    metrics_add(metrics, M_WRAPPED_BODY_BYTES, envelope->body.size);
}

static void block_done(struct tiers_window *window)
{
    if (window->block.capacity > SCRATCH_KEPT) {
        buf_done(&window->block);
    }
}

enum status wrap_value(struct tiers_window *window, struct namespace *ns,
                       const struct envelope *head, const struct slice *tags, struct slice value,
                       struct buf *out)
{
    CHECK(head->kind != ENVELOPE_NEGATIVE || value.size == 0);
    if (value.size > LIMIT_BULK) {
        return TOO_BIG;
    }
    struct envelope envelope = *head;
    envelope.kind = head->kind == ENVELOPE_NEGATIVE ? ENVELOPE_NEGATIVE : ENVELOPE_RAW;
    envelope.value_size = (uint32_t)value.size;
    envelope.dictionary = 0;
    envelope.body = value;
    struct dictionary_space *space = is_worth_trying(ns, value) ? space_of(window, ns) : NULL;
    if (space != NULL) {
        dictionary_sample(space, value);
        squeeze(window, space, value, &envelope);
    }
    const enum status status = envelope_write(out, &envelope, tags);
    if (status == OK) {
        count_written(window, &envelope);
    }
    block_done(window);
    return status;
}

/* --- one envelope for another ------------------------------------------------------------------------------------------ */

/* Of what was read. */
static enum status write_anew(const struct envelope *envelope, struct buf *out)
{
    struct slice tags[ENVELOPE_TAGS_MAX];
    size_t at = 0;
    for (unsigned i = 0; i < envelope->tag_count && envelope_next_tag(envelope, &at, &tags[i]);
         i++) {
    }
    return envelope_write(out, envelope, tags);
}

enum status wrap_loosen(struct tiers_window *window, struct namespace *ns, struct slice bytes,
                        struct buf *out)
{
    struct envelope envelope;
    enum status status = envelope_read(bytes, &envelope);
    if (status != OK || envelope.kind != ENVELOPE_LZ4_DICTIONARY) {
        return MISS;
    }
    status = unwrap_size(window, ns, &envelope);
    if (status != OK) {
        return INVALID;
    }
    char *value = malloc(envelope.value_size + 1);
    if (value == NULL) {
        return NO_MEMORY;
    }
    status = unwrap_value(window, ns, &envelope, value);
    if (status == OK) {
        envelope.kind = ENVELOPE_RAW;
        envelope.dictionary = 0;
        envelope.body = (struct slice){value, envelope.value_size};
        status = write_anew(&envelope, out);
    }
    free(value);
    return status == OK || status == NO_MEMORY ? status : INVALID;
}

enum status wrap_tighten(struct tiers_window *window, struct namespace *ns, struct slice bytes,
                         struct buf *out)
{
    struct envelope envelope;
    if (!ns->managed || envelope_read(bytes, &envelope) != OK || envelope.kind != ENVELOPE_RAW ||
        !is_worth_trying(ns, envelope.body)) {
        return MISS;
    }
    struct dictionary_space *space = space_of(window, ns);
    if (space != NULL) {
        squeeze(window, space, envelope.body, &envelope);
    }
    const enum status status = envelope.kind == ENVELOPE_RAW ? MISS : write_anew(&envelope, out);
    block_done(window);
    return status == OK || status == NO_MEMORY ? status : MISS;
}

/* --- out of it ------------------------------------------------------------------------------------------------------- */

enum status unwrap_size(struct tiers_window *window, struct namespace *ns,
                        const struct envelope *envelope)
{
    if (envelope->kind == ENVELOPE_RAW || envelope->kind == ENVELOPE_NEGATIVE) {
        return OK;
    }
    if (!codec_fits(envelope->body.size, envelope->value_size)) {
        return MALFORMED;
    }
    if (envelope->kind == ENVELOPE_LZ4) {
        return OK;
    }
    struct dictionary_space *space = space_of(window, ns);
    enum status status = space == NULL ? MISS : OK;
    if (space != NULL && dictionary_find(space, envelope->dictionary) == NULL) {
        status = desk_want(window->desk, space, envelope->dictionary);
    }
    if (status == MISS) {
        metrics_count(window->options.metrics, M_DICTIONARIES_MISSING);
    }
    return status;
}

void unwrap_wait(struct tiers_window *window, struct namespace *ns, const struct envelope *envelope,
                 struct desk_waiter *waiter)
{
    desk_wait(window->desk, space_of(window, ns), envelope->dictionary, waiter);
}

enum status unwrap_value(struct tiers_window *window, struct namespace *ns,
                         const struct envelope *envelope, char *dst)
{
    const struct codec_dictionary *codec = NULL;
    if (envelope->kind == ENVELOPE_LZ4_DICTIONARY) {
        codec = dictionary_find(space_of(window, ns), envelope->dictionary);
        CHECK(codec != NULL);
    }
    if (envelope->kind == ENVELOPE_LZ4 || envelope->kind == ENVELOPE_LZ4_DICTIONARY) {
        return codec_decompress(dst, envelope->value_size, envelope->body, codec);
    }
    if (envelope->body.size > 0) {
        memcpy(dst, envelope->body.data, envelope->body.size);
    }
    return OK;
}
