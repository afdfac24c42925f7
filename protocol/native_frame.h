/* SPDX-License-Identifier: BSD-3-Clause */
/* native_frame.h -- one frame of the native protocol: a fixed header, metadata, keys, a raw body.
 *
 *       0       1       2       3       4               8               12              16              20              24
 *      +-------+-------+-------+-------+---------------+---------------+---------------+---------------+---------------+
 *      | 0xF7  |version|  op   | flags |      id       | metadata size |   keys size   |   body size   |     word      |
 *      +-------+-------+-------+-------+---------------+---------------+---------------+---------------+---------------+
 *      | metadata (terrace.proto; may be empty) | keys | body |
 *
 * Numbers are little-endian. `word` is, of a request, how long the client waits in ms (0: the node's own limits); of an
 * answer, its status. The magic is no letter, no sign of RESP and not the first byte of TLS: a node tells protocols apart by
 * the first byte of a connection. Frames of one connection may be answered in any order; `id` says which is which.
 *
 * A frame of another version has magic, version, op, flags and id where they are here, and at least as many bytes: so it can
 * be refused by its id. Flags and ops that a reader does not know are of a later version, and its caller's to judge.
 *
 * Owns:    nothing; what is read borrows from the input.
 * Threads: pure.
 * Limits:  what struct native_limits says; more is TOO_BIG as soon as the header is there.
 * Errors:  AGAIN (more bytes), MALFORMED (no magic), INVALID (another version), TOO_BIG. */
#ifndef TERRACE_PROTOCOL_NATIVE_FRAME_H
#define TERRACE_PROTOCOL_NATIVE_FRAME_H

#include "protocol/bytes.h"

enum {
    NATIVE_MAGIC = 0xf7,
    NATIVE_VERSION = 1,
    NATIVE_HEADER_SIZE = 24
};

enum native_op {
    NATIVE_HELLO = 1,
    NATIVE_GET,   /* key -> value */
    NATIVE_FETCH, /* the same; may win the load: status LOAD with a token */
    NATIVE_MGET, /* keys -> one answer each with its index, MORE on all but the last, in any order */
    NATIVE_SET,  /* key, body */
    NATIVE_DELETE,     /* keys -> count */
    NATIVE_FILL,       /* key, token, body */
    NATIVE_FAIL,       /* key, token */
    NATIVE_INVALIDATE, /* keys: what `target` says */
    NATIVE_WATCH,      /* from here on EVENT frames come */
    NATIVE_UNWATCH,
    NATIVE_BEAT,       /* the fence of what was told by WATCH; also a ping */
    NATIVE_STATS,      /* body: the text of INFO; key: a section */
    NATIVE_TOPOLOGY,   /* the nodes */
    NATIVE_CALL,       /* any other command: its words are the keys; body: its reply as RESP3 */
    NATIVE_WARM = 32,  /* warm jobs; body: the job as JSON; of the answer: WarmList */
    NATIVE_HOT,        /* body of the answer: HotList */
    NATIVE_EVENT = 64, /* from the node: what has changed */
    NATIVE_GOODBYE     /* from the node, id 0: it closes behind what it answers still; body: why */
};

enum native_flag {
    NATIVE_ANSWER = 1, /* from the node, to a request */
    NATIVE_MORE = 2    /* other answers to the same request follow */
};

/* Of an answer. All but the first three have a body, the text of the error, as RESP would say it. */
enum native_status {
    NATIVE_OK = 0,
    NATIVE_NIL,   /* no such key; or the condition of SET does not hold */
    NATIVE_LOAD,  /* FETCH: yours to load (the body is a stale value, if state says so) */
    NATIVE_STALE, /* the contract cannot be kept now */
    NATIVE_L2DOWN,
    NATIVE_UNKNOWN, /* outcome of a write not known */
    NATIVE_LOST,    /* FILL, FAIL: the key was invalidated, or somebody else loads it now */
    NATIVE_BUSY,
    NATIVE_NOAUTH,
    NATIVE_NOPERM,
    NATIVE_WRONGTYPE,
    NATIVE_DEADLINE, /* reads: not answered within the client's time */
    NATIVE_BAD, /* the request is not what docs/protocol.md says; the connection lives on unless GOODBYE follows */
    NATIVE_ERROR /* any other error, in the body */
};

/* Of an answer to a read (Reply.state). */
enum native_state {
    NATIVE_STATE_NONE = 0,
    NATIVE_STATE_HIT,
    NATIVE_STATE_STALE,
    NATIVE_STATE_NEGATIVE /* known to be nothing */
};

struct native_header {
    uint8_t version;
    uint8_t op; /* enum native_op, or a number of a later version */
    uint8_t flags;
    uint32_t id;
    uint32_t meta_size;
    uint32_t keys_size;
    uint32_t body_size;
    uint32_t word;
};

/* Into NATIVE_HEADER_SIZE bytes at `dst`. */
void native_header_write(char *dst, const struct native_header *header);

/* Of one reader: LIMIT_NATIVE_META, LIMIT_NATIVE_KEYS and LIMIT_BULK, or less before a client has logged in. */
struct native_limits {
    uint32_t meta;
    uint32_t keys;
    uint32_t body;
};

struct native_frame {
    struct native_header header;
    struct slice meta;
    struct slice keys;
    struct slice body;
};

/* The frame at the front of `input`; its parts borrow from it. OK: it takes *ret_used bytes. AGAIN: *ret_missing bytes are
 * missing at least, all that are if the header is there. Once the header is there ret_frame->header is filled in, whatever is
 * answered: AGAIN and TOO_BIG know id and sizes, INVALID all up to the id. Keeps nothing between calls: a header is read again
 * in a few ns. */
enum status native_frame_read(struct slice input, const struct native_limits *limits,
                              struct native_frame *ret_frame, size_t *ret_used,
                              size_t *ret_missing) MUST_USE;

#endif
