/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot.h -- what a node had in L1, as bytes: what is written before it ends, and what is found when it starts again.
 *
 *      head | block | block ... | end
 *
 *      head    "TERRSNP2" | u64 ended | u32 size of the head | u32 flags | fields of struct snapshot_head | names | u64 XXH64
 *      block   u32 0x4b4c4254 | u8 band, 3 zeros | u32 raw size | u32 packed size | u64 XXH64 of these 16 bytes and what is packed
 *              | LZ4 block, or the records as they are where that saves nothing
 *      record  u8 db, look, capped | u8 place | u16 kept | u32 idle ms | i64 expires | i64 stamp | u16 key | u8 hotness | u8 0
 *              | u32 value | key | value
 *      end     "TERRSNPE" | u64 blocks | u64 records | u64 bytes of keys and values | u64 XXH64 of the three and the head's sum
 *
 *      names   u8 size of the name, | 128: managed | name | u8 size of the policy's | name of the policy; each namespace
 *
 * Little endian. KEPT and HOTNESS are what the policy of its namespace knew of a value (policy.h). BANDS are how hot a
 * record is, SNAPSHOT_BANDS - 1 the hottest. They are written as they come, each band into blocks of its own, and read
 * from the hottest down: one walk over L1 suffices, and nothing is sorted.
 *
 * ALL OR NOTHING. A file is read twice: first all of it is looked at, heads, sums and the end, then the records. So of a file
 * in which one byte is wrong nothing is believed; what a sum cannot show (whoever wrote the file made it right) is looked at
 * again in the second reading, and whoever restores takes back what came before it.
 *      ENDED alone is under no sum, for it changes where it stands: it is the head's sum if the node ended in order after this
 * was written, so that nothing it did can be missing; whoever starts with the file writes zeros over it. Any other number says
 * no.
 *
 * The file is untrusted. What it makes us allocate is at most CODEC_EXPANSION_MAX times what is there of it, one block at a
 * time, and never more than the limit that the reader is given: a value that is larger is left out, the rest is not.
 *
 * Owns:    a writer its blocks, a reader one block and the list of all.
 * Threads: pure; each its caller's.
 * Limits:  SNAPSHOT_BLOCKS_MAX.
 * Errors:  MALFORMED with a text; NO_MEMORY; whatever sink and source say. */
#ifndef TERRACE_TIERS_SNAPSHOT_H
#define TERRACE_TIERS_SNAPSHOT_H

#include "protocol/frame.h"
#include "tiers/item.h"
#include "tiers/namespace.h"

enum {
    SNAPSHOT_BANDS = 16,
    SNAPSHOT_BLOCK = 64 << 10, /* raw; a record that is larger has one to itself */
    SNAPSHOT_BLOCKS_MAX = 1 << 22,
    SNAPSHOT_BOOT_SIZE = 16,
    SNAPSHOT_POLICY_NAME_MAX = 31,
    SNAPSHOT_ENDED_OFFSET = 8,
    SNAPSHOT_BLOCK_HEAD = 24,
    SNAPSHOT_RECORD_HEAD = 32,
    SNAPSHOT_END_SIZE = 40,
    SNAPSHOT_ERROR_MAX = 160,
};

/* A namespace of the node that wrote it. */
struct snapshot_name {
    struct slice name;   /* borrowed: of a reader, from it */
    struct slice policy; /* the same: its name */
    bool managed;
};

/* Who wrote it, when, and what it knew then. Times are of its clock.h. */
struct snapshot_head {
    bool is_alone;  /* it had no L2 */
    bool has_ended; /* ENDED, above; only read */
    uint64_t l2;    /* which L2, as a hash of its names; 0: none */
    uint64_t node;  /* its id on the bus */
    struct epoch epoch;
    uint64_t run; /* the process of L2 */
    uint64_t seq; /* what the records say of managed keys is not older; 0: nothing is known */
    int64_t horizon_ms;
    int64_t floor_ms;         /* records stamped below were suspects, of plain namespaces */
    int64_t managed_floor_ms; /* and of managed ones; INT64_MAX: all were */
    int64_t now_ms;           /* its clock when it began to write, */
    int64_t boot_ms;          /* CLOCK_BOOTTIME then, */
    int64_t unix_ms;          /* and the wall clock */
    unsigned char boot[SNAPSHOT_BOOT_SIZE]; /* which boot of which machine that was */
    unsigned name_count;
    struct snapshot_name names[NAMESPACES_MAX];
};

struct snapshot_record {
    uint8_t db;
    uint8_t place; /* of its namespace among the names */
    enum item_look look;
    bool capped;
    uint8_t hotness;
    uint16_t kept;
    uint32_t idle_ms;
    int64_t expire_at_ms; /* 0: never */
    int64_t stamped_at_ms;
    struct slice key; /* borrowed: of a reader, until its next record */
    struct slice value;
};

struct snapshot_totals {
    uint64_t blocks;
    uint64_t records;
    uint64_t bytes; /* of keys and values */
};

/* --- writing --- */

struct snapshot_sink {
    enum status (*write)(void *arg, struct slice bytes);
    void *arg;
};

struct snapshot_writer {
    struct snapshot_sink sink;
    struct snapshot_totals totals;
    uint64_t written; /* bytes that the sink got */
    uint64_t head_sum;
    struct buf packed;
    struct buf bands[SNAPSHOT_BANDS];
};

/* All zeros is a writer that did not begin. After any error only snapshot_writer_done may follow. */
enum status snapshot_begin(struct snapshot_writer *writer, struct snapshot_sink sink,
                           const struct snapshot_head *head) MUST_USE;
enum status snapshot_put(struct snapshot_writer *writer, unsigned band,
                         const struct snapshot_record *record) MUST_USE;
enum status snapshot_end(struct snapshot_writer *writer) MUST_USE;
void snapshot_writer_done(struct snapshot_writer *writer);
/* What belongs at SNAPSHOT_ENDED_OFFSET for a node that ended in order. */
static inline uint64_t snapshot_ended(const struct snapshot_writer *writer)
{
    return writer->head_sum;
}

/* --- reading --- */

struct snapshot_source {
    /* Exactly `size` bytes from `offset` on, which are there by the size below. */
    enum status (*read)(void *arg, uint64_t offset, char *dst, size_t size);
    void *arg;
    uint64_t size;
};

struct snapshot_block {
    uint64_t offset; /* of what is packed */
    uint32_t raw;
    uint32_t packed;
    uint8_t band;
};

struct snapshot_reader {
    struct snapshot_source source;
    uint64_t raw_max;
    uint64_t left_out; /* records so far that were larger */
    struct snapshot_head head;
    struct snapshot_totals totals; /* as the end of the file says */
    struct buf head_bytes;
    struct snapshot_block *blocks;
    size_t block_count;
    size_t next; /* block of this band */
    int band;    /* under way; -1: all were read */
    struct buf packed;
    struct buf raw;
    size_t at; /* in raw */
    struct snapshot_totals seen;
    char error[SNAPSHOT_ERROR_MAX];
};

/* Looks at all of it; the head is there then. `raw_max`: a larger block, which is of one record, is left out (SNAPSHOT_BLOCK
 * at least). MALFORMED: reader->error says what is wrong.
 * snapshot_close must follow in any case. */
enum status snapshot_open(struct snapshot_reader *reader, const struct snapshot_source *source,
                          uint64_t raw_max) MUST_USE;
/* The next record, the hottest band first; MISS: there are no more, and it were as many as the end says. */
enum status snapshot_next(struct snapshot_reader *reader,
                          struct snapshot_record *ret_record) MUST_USE;
void snapshot_close(struct snapshot_reader *reader);

#endif
