/* SPDX-License-Identifier: BSD-3-Clause */
/* history.h -- what clients did and saw, written down so that it can be judged (docs/history.md; `terrace check`).
 *
 * A history is a header, blocks of records, and an end mark. Little endian, fixed sizes:
 *
 *      header, 4096 bytes              block                       record, 40 bytes
 *         0  "TRHIST\r\n"                 0  u32 'TRB1'               0  u64 invoked ns
 *         8  u32 version 1                4  u32 count                8  u64 completed ns
 *        12  u32 size 4096                8  u64 XXH64 of the        16  u64 value
 *        16  u64 seed                           records              24  u32 key
 *        24  u64 bound ns                16  count records           28  u32 session
 *        32  u64 slack ns                                            32  u16 node
 *        40  u64 grace ns             A block of no records is the   34  u8 kind
 *        48  u64 began ns             end mark; its checksum field   35  u8 what
 *        56  u32 keys                 holds the number of all        36  u32 life ms
 *        60  u32 nodes                records before it.
 *        64  32 x { u64 bound ns, char name[56] }
 *      2112  char prefix[256]
 *      2368  char description[1720]
 *      4088  u64 XXH64 of the 4088 bytes before
 *
 * Times are CLOCK_MONOTONIC of one machine. Records come in the order of their moment: of a BEGIN its invocation, of
 * anything else its completion. So whoever reads in order knows each write before anybody can have seen it, and files
 * of one run are merged by it.
 *
 * A write is a BEGIN (SET, DELETE or LOSS) and, unless its outcome was never learnt, an END with the same value. The life of
 * an END is that of a load: what it stored had been taken so long before its completion, at the latest. A value
 * is the name of one write in all the run: writer << 40 | counter, never 0. A DELETE has such a name too, although what
 * it leaves is nothing; a READ of nothing has value 0, and of something that no write of the run made, FOREIGN.
 * Key HISTORY_ALL_KEYS with DELETE is a flush, or a death that lost everything; with LOSS, a failover that may have
 * taken any key back to any older value. A session is one connection, counted within its file.
 *
 * Owns:    a writer its bytes; a reader nothing.
 * Threads: one at a time.
 * Limits:  HISTORY_*; keys below header.keys, nodes below header.nodes.
 * Errors:  MALFORMED with one line that names the offset in the file; AGAIN: more bytes are needed; NO_MEMORY. */
#ifndef TERRACE_PROTOCOL_HISTORY_H
#define TERRACE_PROTOCOL_HISTORY_H

#include "protocol/bytes.h"

enum {
    HISTORY_HEADER_SIZE = 4096,
    HISTORY_RECORD_SIZE = 40,
    HISTORY_BLOCK_HEAD_SIZE = 16,
    HISTORY_BLOCK_RECORDS = 1024,
    HISTORY_NODES_MAX = 32,
    HISTORY_NAME_SIZE = 56,
    HISTORY_PREFIX_SIZE = 256,
    HISTORY_DESCRIPTION_SIZE = 1720,
    HISTORY_KEYS_MAX = 1 << 26,
    HISTORY_SESSIONS_MAX = 1 << 27,
    HISTORY_WRITER_SHIFT = 40,
};

#define HISTORY_NOTHING  0ull
#define HISTORY_FOREIGN  UINT64_MAX
#define HISTORY_ALL_KEYS UINT32_MAX
/* Beyond any clock; a time is below it. */
#define HISTORY_NEVER (1ull << 62)

enum history_kind {
    HISTORY_READ = 1,
    HISTORY_SET = 2,    /* a BEGIN; `life_ms` of SET ... PX, or 0 */
    HISTORY_DELETE = 3, /* a BEGIN */
    HISTORY_LOSS = 4,   /* a BEGIN */
    HISTORY_END = 5,
};

/* `what` of an END. */
enum history_outcome {
    HISTORY_OK = 1,      /* it took effect between invocation and completion */
    HISTORY_REFUSED = 2, /* it never did, and never will */
    HISTORY_UNKNOWN = 3, /* it did between the two, or never will (-UNKNOWN, COHERENCE T7) */
    HISTORY_LOST = 4,    /* it may at any time after its invocation, or never */
};

/* `what` of a READ: bits. */
enum {
    HISTORY_MARKED_STALE = 1, /* the reply said so: `grace` holds, not the bound */
    HISTORY_FINAL = 2,        /* of the read-back at the end, when nobody wrote for the bound */
};

struct history_node {
    uint64_t bound_ns; /* what a read here may be late by: T of a node, 0 of Redis itself */
    char name[HISTORY_NAME_SIZE];
};

struct history_header {
    uint64_t seed;
    uint64_t bound_ns;
    uint64_t slack_ns; /* of clocks that count whole milliseconds */
    uint64_t grace_ns;
    uint64_t began_ns;
    uint32_t keys;
    uint32_t nodes;
    struct history_node node[HISTORY_NODES_MAX];
    char prefix[HISTORY_PREFIX_SIZE]; /* key n is the prefix and n in twelve digits */
    char description[HISTORY_DESCRIPTION_SIZE];
};

struct history_record {
    uint64_t invoked_ns;
    uint64_t completed_ns; /* of a BEGIN 0 */
    uint64_t value;
    uint32_t key;
    uint32_t session;
    uint16_t node;
    uint8_t kind;
    uint8_t what;
    uint32_t life_ms;
};

static inline bool history_is_begin(const struct history_record *record)
{
    return record->kind == HISTORY_SET || record->kind == HISTORY_DELETE ||
           record->kind == HISTORY_LOSS;
}

static inline uint64_t history_moment(const struct history_record *record)
{
    return history_is_begin(record) ? record->invoked_ns : record->completed_ns;
}

/* All zeros is a fresh writer. `out` holds whole blocks for the caller to take away; the open block is kept apart. */
struct history_writer {
    struct buf out;
    uint64_t total;
    uint64_t last_ns;
    uint32_t open_count;
    char open[HISTORY_BLOCK_RECORDS * HISTORY_RECORD_SIZE];
};

void history_writer_done(struct history_writer *writer);
enum status history_write_header(struct history_writer *writer,
                                 const struct history_header *header) MUST_USE;
/* A moment before the last one is moved up to it: later is what a clock read a little later would have said, and to
 * call an operation longer than it was never accuses anybody. */
enum status history_write(struct history_writer *writer, struct history_record record) MUST_USE;
/* Closes the open block, so that all that was written is in `out`. */
enum status history_write_flush(struct history_writer *writer) MUST_USE;
enum status history_write_end(struct history_writer *writer) MUST_USE;

/* All zeros is a fresh reader. */
struct history_reader {
    struct history_header header;
    uint64_t offset; /* of what is read next */
    uint64_t total;  /* records */
    uint64_t last_ns;
    bool has_header;
    bool ended;
    char error[200];
};

/* Reads one header or one block from the front of `input`. OK: *ret_used bytes are done with, *ret_count records of
 * `records` are filled (0 after the header and after the end mark). */
enum status history_read(struct history_reader *reader, struct slice input,
                         struct history_record records[HISTORY_BLOCK_RECORDS], uint32_t *ret_count,
                         size_t *ret_used) MUST_USE;
/* No more bytes will come and `left` are unread: MALFORMED unless the end mark was the last. */
enum status history_read_end(struct history_reader *reader, size_t left) MUST_USE;

#endif
