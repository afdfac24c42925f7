/* SPDX-License-Identifier: BSD-3-Clause */
/* behind_log.h -- the log of writes that L2 does not have yet (behind.h), as bytes: what is appended, and what is found
 * when the node starts again.
 *
 *      "TERRBHD1" | record | record ...
 *
 *      record: u32 size of the body | u32 ~size | u64 XXH64 of the body | body
 *      body:   u8 'W' | u64 number | u8 db | u16 key size | key | u64 base | i64 dies_at_ms | envelope
 *              u8 'F' | u64 number | u8 db | u16 key size | key          that write of the key is done
 *
 * Little endian. Records are numbered as they come, without end; a file begins with any number.
 *
 * TORN is the end of a file that was being written when the machine stopped: its last record has fewer bytes than it
 * says, or its bytes are wrong and nothing follows, or all that follows is zeros. It was not acknowledged, and is cut off.
 * Anything else that does not parse was whole once: MALFORMED, and whoever starts must decide (behind_file.h).
 *
 * Threads: pure.
 * Limits:  BEHIND_RECORD_MAX. */
#ifndef TERRACE_TIERS_BEHIND_LOG_H
#define TERRACE_TIERS_BEHIND_LOG_H

#include "protocol/bytes.h"

enum {
    BEHIND_LOG_MAGIC_SIZE = 8,
    BEHIND_RECORD_HEAD = 16,
    BEHIND_BODY_HEAD = 12,
    BEHIND_WRITE_HEAD = 16,
    BEHIND_VALUE_MAX = 1024 * 1024, /* envelope included; larger ones are written through */
    BEHIND_RECORD_MAX = BEHIND_BODY_HEAD + BEHIND_WRITE_HEAD + 65536 + BEHIND_VALUE_MAX
};

enum behind_kind {
    BEHIND_WRITE = 'W',
    BEHIND_FINISHED = 'F'
};

struct behind_record {
    enum behind_kind kind;
    uint64_t number;
    uint8_t db;
    struct slice key;      /* borrowed */
    uint64_t base;         /* from here on of BEHIND_WRITE: what the node knew of when it took it */
    int64_t dies_at_ms;    /* clock.h; 0: no end */
    struct slice envelope; /* borrowed */
};

enum status behind_log_begin(struct buf *out) MUST_USE; /* the magic */
enum status behind_log_append(struct buf *out, const struct behind_record *record) MUST_USE;

/* Walks over the bytes of a whole file. */
struct behind_log_reader {
    struct slice file;
    size_t offset; /* of what is next */
};

/* MALFORMED: no magic; a file that ends within it is TORN: AGAIN, of offset 0. */
enum status behind_log_open(struct behind_log_reader *reader, struct slice file) MUST_USE;
/* OK; MISS: the end; AGAIN: the rest from reader->offset is torn; MALFORMED: there is no good record at reader->offset,
 * though more follows. */
enum status behind_log_next(struct behind_log_reader *reader,
                            struct behind_record *ret_record) MUST_USE;

#endif
