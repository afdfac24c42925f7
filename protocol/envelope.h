/* SPDX-License-Identifier: BSD-3-Clause */
/* envelope.h -- what stands around a managed value in L2.
 *
 * Fixed layout, little endian, 48 bytes, then metadata and the body:
 *
 *      0  u8[3] magic F5 'T' 'E'                           16  u64 fresh life in ms at its write; 0: no end
 *      3  u8    layout 1                                   24  u32 served while refreshed, ms
 *      4  u8    1: softly invalidated                      28  u32 served on errors, ms
 *      5  u8    kind: 0 raw 1 LZ4 2 LZ4 with a             32  u32 size of the value
 *               dictionary 3 negative (no value)           36  u32 what its load took, ms
 *      6  u16   size of the metadata                       40  u64 XXH64 of bytes 0-3, 5-7, 24-39, metadata, body
 *      8  u64   version                                    48  metadata (envelope.proto), body
 *
 * Scripts change bytes 4 and 8-23 where they stand, without touching the value; they cannot compute XXH64, so those bytes
 * are not under the checksum and are checked by their range alone.
 *
 * The bytes come from L2, where anybody may write: all is checked before anything is believed. Metadata is parsed by
 * protobuf-c, whose memory is a fixed piece of the stack: what wants more is malformed.
 *
 * Owns:    nothing; what is read borrows from the input.
 * Threads: pure.
 * Limits:  ENVELOPE_TAGS_MAX tags of 1 to ENVELOPE_TAG_MAX bytes; versions and lives below ENVELOPE_NUMBER_END, since
 *          integers through Lua lose precision from there on; values of LIMIT_BULK.
 * Errors:  MISS: no magic, so nobody of ours wrote it; MALFORMED. */
#ifndef TERRACE_PROTOCOL_ENVELOPE_H
#define TERRACE_PROTOCOL_ENVELOPE_H

#include "protocol/bytes.h"

#define ENVELOPE_NUMBER_END (UINT64_C(1) << 53)

enum {
    ENVELOPE_HEAD_SIZE = 48,
    ENVELOPE_TAGS_MAX = 64,
    ENVELOPE_TAG_MAX = 250,
    ENVELOPE_METADATA_MAX = 16 << 10, /* more than all tags and the number of a dictionary take */
    /* Of what scripts change. */
    ENVELOPE_SOFT_OFFSET = 4,
    ENVELOPE_VERSION_OFFSET = 8,
    ENVELOPE_FRESH_OFFSET = 16,
};

enum envelope_kind {
    ENVELOPE_RAW,
    ENVELOPE_LZ4,
    ENVELOPE_LZ4_DICTIONARY,
    ENVELOPE_NEGATIVE, /* there is no such thing, and whoever wrote it knows */
};

struct envelope {
    enum envelope_kind kind;
    bool soft;
    uint64_t version;
    uint64_t fresh_ms;
    uint32_t swr_ms;
    uint32_t sie_ms;
    uint32_t load_ms;
    uint32_t value_size; /* when decoded */
    uint64_t dictionary; /* of ENVELOPE_LZ4_DICTIONARY, from 1 on; else 0 */
    unsigned tag_count;
    struct slice tags; /* read only: envelope_next_tag */
    struct slice body;
};

/* Appends it, with `tags` (tag_count of them). INVALID: over a limit above. NO_MEMORY. */
enum status envelope_write(struct buf *out, const struct envelope *envelope,
                           const struct slice *tags) MUST_USE;
/* OK, MISS, MALFORMED. That the body decodes to value_size bytes is not known yet (codec.h). */
enum status envelope_read(struct slice input, struct envelope *ret_envelope) MUST_USE;
/* For one that comes in pieces: its beginning, of `size` bytes in all. OK: a head that such an envelope may have, of kind RAW;
 * ret->body is what of the value is here. The checksum is still to be found good, at its end. AGAIN: more is needed, never
 * above ENVELOPE_BEGINNING bytes. MISS; MALFORMED; INVALID: of another kind, to be read whole. */
enum {
    ENVELOPE_BEGINNING = ENVELOPE_HEAD_SIZE + ENVELOPE_METADATA_MAX
};
enum status envelope_begin(struct slice beginning, uint64_t size,
                           struct envelope *ret_envelope) MUST_USE;
/* Its checksum, over `head` (ENVELOPE_HEAD_SIZE bytes) at first, then all that follows it, by hash_sum_add. */
struct hash_sum;
void envelope_sum_begin(struct hash_sum *sum, const char *head);
bool envelope_sum_fits(const struct hash_sum *sum, const char *head);

/* For one whose value is written in pieces, and its head behind it: of kind RAW, without tags. The head first, for the
 * sum over it and the value; then its end, when that is known. Its lives and its version are not under the sum. */
void envelope_head_begin(char head[ENVELOPE_HEAD_SIZE], const struct envelope *envelope);
void envelope_head_end(char head[ENVELOPE_HEAD_SIZE], uint64_t fresh_ms,
                       const struct hash_sum *sum);

/* What scripts take for the version of bytes that envelope_read may refuse; false: none (scripts/managed.lua). */
bool envelope_peek_version(struct slice input, uint64_t *ret_version);
/* The tag at `*at`, which begins with 0. false: no more. */
bool envelope_next_tag(const struct envelope *envelope, size_t *at, struct slice *ret_tag);

#endif
