/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/coherence_stream.h"

#include "protocol/hash.h"

void stream_reset(struct coherence_stream *stream)
{
    stream->held = 0;
    stream->base = 0;
    stream->whole = false;
}

void stream_announced(struct coherence_stream *stream, struct slice reply)
{
    char before[sizeof(uint64_t)];
    put_u64le(before, stream->running);
    stream->running =
        hash_checksum_of_two((struct slice){.data = before, .size = sizeof before}, reply);
}

void stream_spoil(struct coherence_stream *stream)
{
    stream->whole = false;
}

/* The i-th of those that are held, the oldest first. */
static const struct stream_segment *segment_at(const struct coherence_stream *stream, unsigned i)
{
    return &stream->ring[(stream->ended - stream->held + i) % STREAM_SEGMENTS];
}

static void keep(struct coherence_stream *stream, uint64_t seq, uint64_t hash)
{
    if (stream->held == STREAM_SEGMENTS) {
        stream->base = segment_at(stream, 0)->seq;
        stream->held--;
    }
    stream->ring[stream->ended++ % STREAM_SEGMENTS] =
        (struct stream_segment){.seq = seq, .hash = hash};
    stream->held++;
}

void stream_end(struct coherence_stream *stream, uint64_t seq, bool follows)
{
    if (follows && stream->whole) {
        keep(stream, seq, stream->running);
    } else {
        stream->held = 0;
        stream->base = seq;
    }
    stream->running = hash_checksum((struct slice){.data = "", .size = 0});
    stream->whole = true;
}

uint64_t stream_newest(const struct coherence_stream *stream)
{
    if (stream->held == 0) {
        return 0;
    }
    const uint64_t hash = segment_at(stream, stream->held - 1)->hash;
    return hash != 0 ? hash : 1;
}

/* How many of the segments that are held end at or before `seq`; false: none of them, nor the base, ends there. */
static bool count_until(const struct coherence_stream *stream, uint64_t seq, unsigned *ret_count)
{
    unsigned count = stream->held;
    while (count > 0 && segment_at(stream, count - 1)->seq > seq) {
        count--;
    }
    *ret_count = count;
    return seq == (count > 0 ? segment_at(stream, count - 1)->seq : stream->base);
}

uint64_t stream_since(const struct coherence_stream *stream, uint64_t since)
{
    unsigned count = 0;
    return count_until(stream, since, &count) ? since : stream->base;
}

bool stream_chain(const struct coherence_stream *stream, uint64_t since, uint64_t applied,
                  uint64_t *ret_hash)
{
    unsigned from = 0;
    unsigned until = 0;
    if (!count_until(stream, since, &from) || !count_until(stream, applied, &until)) {
        return false;
    }
    uint64_t chain = 0;
    for (unsigned i = from; i < until; i++) {
        const struct stream_segment *segment = segment_at(stream, i);
        char link[3 * sizeof(uint64_t)];
        put_u64le(link, chain);
        put_u64le(link + 8, segment->seq);
        put_u64le(link + 16, segment->hash);
        chain = hash_checksum((struct slice){.data = link, .size = sizeof link});
    }
    *ret_hash = chain;
    return from < until;
}
