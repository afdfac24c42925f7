/* SPDX-License-Identifier: BSD-3-Clause */
/* coherence_stream.h -- what this node was told between the frames, as hashes, so that nodes can compare (T6).
 *
 * A SEGMENT is what was announced between two frames that follow each other, the replies as they came on the wire:
 * h := XXH64(h as 8 bytes, little endian | reply), beginning with XXH64 of nothing. All subscribers receive the same
 * bytes between the same frames. Held are the newest segments that were seen whole and without a gap in between; a
 * segment that was not throws away all before it.
 *
 *      frames     base        s1        s2        s3
 *      stream  ----|--- h1 ---|--- h2 ---|--- h3 ---|--- the segment that runs
 *
 * A report is the chain over the segments of (since, applied]: c := XXH64(c, seq, h as 24 bytes), beginning with 0.
 *
 * Threads: the control loop's. All zeros holds nothing, and the segment that runs is not whole. For coherence. */
#ifndef TERRACE_TIERS_COHERENCE_STREAM_H
#define TERRACE_TIERS_COHERENCE_STREAM_H

#include "protocol/bytes.h"

enum {
    STREAM_SEGMENTS = 1024
};

struct stream_segment {
    uint64_t seq; /* of the frame that ended it */
    uint64_t hash;
};

struct coherence_stream {
    uint64_t running; /* hash of the segment that runs */
    bool whole;       /* which was seen since its first byte, all of it */
    uint64_t base;    /* seq of the frame in front of the oldest segment that is held */
    uint64_t ended;   /* counts segments; the newest is at (ended - 1) % STREAM_SEGMENTS */
    unsigned held;
    struct stream_segment ring[STREAM_SEGMENTS];
};

/* Nothing is held; what runs is not whole. */
void stream_reset(struct coherence_stream *stream);
void stream_announced(struct coherence_stream *stream, struct slice reply);
/* Something came that others may have seen otherwise. */
void stream_spoil(struct coherence_stream *stream);
/* A frame ends the segment that runs, and the next begins. `seq`: the last that the frame covers. */
void stream_end(struct coherence_stream *stream, uint64_t seq, bool follows);

/* The hash of the segment that ended last; 0: it was not seen whole. */
uint64_t stream_newest(const struct coherence_stream *stream);
/* Where a report may begin that wants to begin at `since`: there, or later, if that is not held any more. */
uint64_t stream_since(const struct coherence_stream *stream, uint64_t since);
/* The chain over (since, applied], since < applied. false: not all of it is held. */
bool stream_chain(const struct coherence_stream *stream, uint64_t since, uint64_t applied,
                  uint64_t *ret_hash) MUST_USE;

#endif
