/* SPDX-License-Identifier: BSD-3-Clause */
/* frame.h -- what nodes say to each other on the bus (channel terrace:bus).
 *
 * Fixed layout, little endian, at most LIMIT_FRAME bytes (COHERENCE section 5):
 *
 *      0  u8  magic 'T'        16  u64 epoch counter  \
 *      1  u8  version 1        24  u64 epoch random    > written by Redis, inside the script
 *      2  u8  type             32  u64 seq_first      /
 *      3  u8  flags            40  u32 count  (keys that the frame names)
 *      4  u16 header size 64   44  u32 zero
 *      6  u16 shard            48  u64 node
 *      8  u64 zero             56  u64 nonce
 *                              64  body ..., then u64 XXH64
 *
 * The three words that only Redis knows (epoch, random, seq) are numbered inside the script, which cannot compute
 * XXH64. So the checksum is taken over the frame with those 24 bytes as zeros; a flipped bit in them shows as a foreign
 * epoch or a hole in seq, which fails closed by itself.
 *
 * Body of a beat or marker, about the node that says it (struct frame_beat):
 *
 *      0  u64 applied seq             32  u32 mark of the epoch in which applied and since count
 *      8  u32 T in ms                 36  u32 state of coherence
 *     12  u32 flags of the beat       40  u32 hits per thousand reads
 *     16  u64 since seq               44  u32 load: clients
 *     24  u64 stream hash             48  u32 how many rows follow
 *                                     52  rows of 12 bytes; the address of its clients, printable, at most 63 bytes
 *
 * Rows: one for each of its namespaces (tiers/homes.h), whose third word has not the bit FRAME_FIGURE, and behind them its
 * FIGURES { u32 which (enum frame_figure), u32 value, u32 FRAME_FIGURE }. Nodes of before 0.7 take those for namespaces
 * that matter to nobody, and beats of such nodes have none; a reader skips figures that it does not know. A node with so many
 * namespaces that no row is left says fewer figures, or none.
 *
 * The stream hash is over the announcements of (since, applied]; since == applied: nothing is reported. The body is
 * written before the script numbers the frame, so it may speak of an older epoch than the header: who uses applied or
 * since compares the mark first.
 * Body of a flush: nothing (suspect what you hold), or u8 kind (enum frame_flush_kind), u8 zero, u16 databases as bits
 * (0: all), u16 size, name of the namespace that is meant (size 0: all).
 * Body of keys: count times { u8 kind (0 key), u8 db, u16 size, bytes }.
 *
 * Frames of keys and flushes may come unnumbered, when a node announces a write that no script carries (tiers/announce.h):
 * the epoch's counter and random and the seq are zero then, and they stand in the stream like announcements of Redis.
 *
 * A frame that does not parse is a hole. Flag bit 0: skippable by who does not know the type. */
#ifndef TERRACE_PROTOCOL_FRAME_H
#define TERRACE_PROTOCOL_FRAME_H

#include "protocol/bytes.h"

enum {
    FRAME_HEADER_SIZE = 64,
    FRAME_CHECKSUM_SIZE = 8,
    FRAME_BEAT_BODY_SIZE = 52, /* without rows and address */
    FRAME_HOME_SIZE = 12,
    FRAME_HOMES_MAX = 64, /* figures are among them */
    FRAME_FIGURES_MAX = 2,
    FRAME_FIGURE = 0x10000000,
    FRAME_WEIGHT_FULL = 1000,
    FRAME_ADDRESS_MAX = 63,
    FRAME_FLUSH_NAME_MAX = 64,
    FRAME_FLUSH_BODY_MAX = 6 + FRAME_FLUSH_NAME_MAX,
    FRAME_SKIPPABLE = 1
};
/* Offsets of what the script fills in; scripts/beat.lua splices at these. */
enum {
    FRAME_REDIS_WORDS_OFFSET = 16,
    FRAME_REDIS_WORDS_SIZE = 24
};

enum frame_type {
    FRAME_KEYS = 'K',
    FRAME_PREFIX = 'P',
    FRAME_TAG = 'G',
    FRAME_FLUSH = 'F',
    FRAME_BEAT = 'B',
    FRAME_MARKER = 'M',
    FRAME_WAKE = 'W',
};

struct epoch {
    uint64_t counter;
    uint64_t random;
};

struct frame {
    enum frame_type type;
    uint8_t flags;
    uint16_t shard;
    struct epoch epoch;
    uint64_t seq_first;
    uint32_t count;
    uint64_t node;
    uint64_t nonce;
    struct slice body; /* borrows from the input */
};

/* Flags of a beat. */
enum {
    FRAME_BEAT_BOUND_MAX_MS = 60000
};

enum {
    FRAME_BEAT_ACK = 1, /* who has applied this beats at once: somebody waits for all */
    FRAME_BEAT_UNTRACKED =
        2, /* the stream hash is over frames alone: Redis announces nothing to this node */
    FRAME_BEAT_LEAVING = 4 /* its last one: the node serves nothing any more, and never will */
};

enum frame_figure {
    FRAME_FIGURE_WEIGHT = 1,
    FRAME_FIGURE_READS = 2,
};

struct frame_beat {
    uint64_t applied_seq;
    uint32_t bound_ms; /* T, at most FRAME_BEAT_BOUND_MAX_MS: others wait for so long */
    uint32_t flags;
    uint64_t since_seq;
    uint64_t stream_hash;
    uint32_t epoch_mark;
    uint32_t state;        /* enum coherence_state */
    uint32_t hit_permille; /* of the last reads here */
    uint32_t load;         /* connections of clients */
    uint32_t weight;      /* thousandths of a full share of the requests; if nothing is said, all */
    uint32_t reads_per_s; /* that it answered of late; 0: none, or nothing is said */
    struct slice homes;   /* rows; these three borrow from the body, and who writes appends them */
    struct slice figures;
    struct slice address;
};

/* What becomes of the values that a flush means. */
enum frame_flush_kind {
    FRAME_FLUSH_SUSPECT, /* they are asked for again before they are served */
    FRAME_FLUSH_DROP
};

struct frame_flush {
    enum frame_flush_kind kind;
    uint16_t dbs;      /* bit n: database n is meant; 0: all are */
    struct slice name; /* of a namespace, at most FRAME_FLUSH_NAME_MAX; empty: all */
};

/* Appends header, body and checksum. The epoch and seq words may be zero: the script fills them. */
enum status frame_write(struct buf *out, const struct frame *frame) MUST_USE;
/* OK, MALFORMED (not a frame, wrong checksum, a type we must know), TOO_BIG. */
enum status frame_read(struct slice input, struct frame *ret_frame) MUST_USE;
/* A known type is one of enum frame_type; an unknown one parses only when flagged skippable. */
bool frame_type_known(uint8_t type);

/* The fixed part; weight and reads_per_s are in the figures. */
void frame_beat_write(char dst[FRAME_BEAT_BODY_SIZE], const struct frame_beat *beat);
/* The rows of its figures, at most `room` and FRAME_FIGURES_MAX; how many bytes. */
size_t frame_figures_write(char *dst, size_t room, const struct frame_beat *beat);
/* MALFORMED: another size, too many rows, unknown flags, since above applied, more than 1000 of 1000, a namespace behind a
 * figure, an address that cannot be printed. */
enum status frame_beat_read(struct slice body, struct frame_beat *ret_beat) MUST_USE;
uint32_t frame_epoch_mark(struct epoch epoch);

/* The body, in `dst`. */
struct slice frame_flush_write(char dst[FRAME_FLUSH_BODY_MAX], const struct frame_flush *flush);
enum status frame_flush_read(struct slice body, struct frame_flush *ret_flush) MUST_USE;

/* Keys of a FRAME_KEYS body, one after the other. *position starts at 0. AGAIN: no more. */
enum status frame_next_key(struct slice body, size_t *position, uint8_t *ret_db,
                           struct slice *ret_key) MUST_USE;
/* TOO_BIG: the key does not fit into the frame any more; begin another one. */
enum status frame_append_key(struct buf *body, uint8_t db, struct slice key) MUST_USE;

bool epoch_equal(struct epoch a, struct epoch b);

#endif
