/* SPDX-License-Identifier: BSD-3-Clause */
/* codec.h -- values made smaller: LZ4 blocks, alone or with a dictionary.
 *
 * A DICTIONARY is bytes that both sides have, in front of the value as it were: a short value says "as there" where it
 * would otherwise have to spell. Compressing with one begins with a copy of the table that was made of it once.
 *
 * What is decoded may come from anybody. The memory for it is the caller's, who asks codec_fits first: a block cannot
 * become more than CODEC_EXPANSION_MAX times its size, so a hundred bytes never get half a gigabyte.
 *
 * Owns:    a dictionary has its own copy of the bytes and is never changed: any thread reads it.
 * Threads: pure.
 * Limits:  CODEC_DICTIONARY_MAX, which is what an LZ4 block can look back; values of LIMIT_BULK.
 * Errors:  MISS: it is not worth it; MALFORMED; NO_MEMORY. */
#ifndef TERRACE_PROTOCOL_CODEC_H
#define TERRACE_PROTOCOL_CODEC_H

#include "protocol/bytes.h"

enum {
    CODEC_SAVING_PERCENT = 12, /* at least, or the value stays as it is */
    CODEC_EXPANSION_MAX = 255, /* a byte of length stands for so many bytes (LZ4 block format) */
    CODEC_DICTIONARY_MAX = 64 << 10,
    /* A longer value has enough of its own to look back to. */
    CODEC_DICTIONARY_VALUE_MAX = 64 << 10,
};

struct codec_dictionary;

/* NULL: no memory, or more than CODEC_DICTIONARY_MAX, or none. */
struct codec_dictionary *codec_dictionary_new(struct slice bytes);
void codec_dictionary_free(struct codec_dictionary *dictionary);
struct slice codec_dictionary_bytes(const struct codec_dictionary *dictionary);
size_t codec_dictionary_footprint(const struct codec_dictionary *dictionary); /* about */

/* Appends the block. `dictionary`: NULL for none; values above CODEC_DICTIONARY_VALUE_MAX do without, too, which
 * *ret_used tells. MISS: it would not save CODEC_SAVING_PERCENT, and nothing was appended. */
enum status codec_compress(struct buf *out, struct slice value,
                           const struct codec_dictionary *dictionary, bool *ret_used) MUST_USE;
/* Whether a block can become so many bytes at all. */
bool codec_fits(size_t block_size, size_t value_size);
/* Exactly `size` bytes at `dst`, or MALFORMED: then they are of no worth. */
enum status codec_decompress(char *dst, size_t size, struct slice block,
                             const struct codec_dictionary *dictionary) MUST_USE;

#endif
