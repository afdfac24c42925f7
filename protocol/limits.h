/* SPDX-License-Identifier: BSD-3-Clause */
/* limits.h -- everything a peer can grow, and how far.
 *
 * One place, with reasons. Sizes in bytes, times in milliseconds. */
#ifndef TERRACE_PROTOCOL_LIMITS_H
#define TERRACE_PROTOCOL_LIMITS_H

#define LIMIT_ARGS (1u << 24)     /* arguments of one request; the contract's number */
#define LIMIT_BULK (512ull << 20) /* one argument or value: Redis' proto-max-bulk-len */
#define LIMIT_INLINE \
    (64u << 10) /* an inline request, or one header line: Redis' PROTO_INLINE_MAX_SIZE */
#define LIMIT_UNAUTH_ARGS   10u          /* before AUTH: as Redis */
#define LIMIT_UNAUTH_BULK   (16u << 10)  /* before AUTH: as Redis */
#define LIMIT_UNAUTH_OUTPUT 1024u        /* before AUTH, what the socket does not take: as Redis */
#define LIMIT_NATIVE_META   (256u << 10) /* metadata of a native frame: some 100,000 sizes of keys */
#define LIMIT_NATIVE_KEYS \
    (64u << 20) /* keys of a native frame, or words of CALL; a value that is larger is a body */
#define LIMIT_L1_KEY (64u << 10) /* longer keys pass through uncached: key_size is 16 bits */
/* Values up to this are copied under the shard lock, larger referenced: CPU of a GET beside one that copies 0.7 at 8 KB and
 * 16 KB, 0.95 at 4 KB; below, a value may be overwritten where it is. */
#define LIMIT_COPY (4u << 10)
/* A value that comes in pieces is read straight into its item from this size on. CPU of such SETs beside those that are
 * copied: 1.0 at 40 KB, 0.92 at 128 KiB, 0.76 at 400 KB, 0.35 at 1 MiB (bench/results/2026-11-21-large-values.md). */
#define LIMIT_BODY (64u << 10)
/* A hash with more bytes is not kept behind an L2: each write of a field ends all of it, and the next reads would bring all
 * of it again. */
#define LIMIT_HASH (256u << 10)
/* A value of so many bytes that L1 would not keep passes the node in pieces, behind an L2. */
#define LIMIT_STREAM (1u << 20)
/* L1 keeps no value that would take more than this part of its memory, behind an L2. */
#define LIMIT_KEPT_SHARE 4u
#define LIMIT_STREAMS    16u /* read by one worker at once, and as many written: each has a connection to L2 to itself */
/* Bytes of one that are here and not sent on: above, who sends them is not read until half of them are gone. */
#define LIMIT_STREAM_AHEAD (256u << 10)
#define LIMIT_READ         (64u << 10) /* bytes taken from one socket per wake-up: fair dealing */
#define LIMIT_SEND \
    (64u << 10) /* bytes written to one socket per turn, however many clients there are: as Redis */
#define LIMIT_SEND_TURN \
    (1u << 20) /* ... to all of them, in equal parts, while a part is more than LIMIT_SEND */
#define LIMIT_CALLS 1024u /* unanswered calls of one connection before reading stops */
#define LIMIT_OUTPUT_PAUSE \
    (64ull                 \
     << 20) /* replies of one client, waiting or expected, above which its requests are not read */
#define LIMIT_HELD_SHARE \
    4u /* of the memory may be values that replies refer to, in equal parts for all workers */
#define LIMIT_OUTPUT_PRESSED \
    (1ull << 20) /* in place of LIMIT_OUTPUT_PAUSE while a part is exceeded */
#define LIMIT_OUTPUT_CLOSE    (256ull << 20) /* ... waiting, above which it is closed */
#define LIMIT_ANSWER_GUESS    (1u << 20) /* what a first answer is expected to take: so 64 go ahead */
#define LIMIT_OUTPUT_PAUSE_MS 60000      /* ... or after so long above LIMIT_OUTPUT_PAUSE */
#define LIMIT_TRANSACTION \
    (256ull               \
     << 20) /* bytes that MULTI and WATCH may keep for one client; Redis closes it above 1 GiB */
#define LIMIT_HANDSHAKE_MS 5000 /* a client has so long for TLS' handshake */
#define LIMIT_HANDSHAKES \
    1024u /* ... and so many may be under way on one worker: 50 MB at the worst (a record and a message each) */
#define LIMIT_SUBSCRIBED_SHARE \
    4u /* of the memory may be names that clients listen to, and who does; beyond L1's own */
#define LIMIT_HANDSHAKE_STEPS \
    8u /* ... of which so many go on in one turn of the loop: each takes up to a millisecond of CPU from all */
#define LIMIT_PUSH_CLOSE \
    (32ull << 20) /* lines of MONITOR on their way to another worker: as Redis' pubsub 32mb */
#define LIMIT_MAILBOX           4096u         /* letters waiting for one loop */
#define LIMIT_ACL_LOG_WORD      4096u         /* of a word in ACL LOG, which keeps its beginning */
#define LIMIT_TRACKING_NEWS     (64ull << 20) /* of one worker: more becomes "drop everything" */
#define LIMIT_TRACKING_PREFIXES 1024u         /* of one client in mode BCAST */
#define LIMIT_TRACKING_LISTENED \
    (64ull << 20) /* bytes of prefixes of all clients, each with its overhead */
#define LIMIT_TRACKING_KEY  (64u << 10) /* longer ones are not remembered, but told at once */
#define LIMIT_FRAME         (64u << 10) /* a frame on the bus; larger lists are split */
#define LIMIT_PATTERN_STARS 1000u /* with more, none at the end, a pattern fits nothing; as Redis */
#define LIMIT_PATTERN_STEPS \
    (1u << 22)                      /* work of one glob match: a pattern bomb ends as "no match" */
#define LIMIT_LINK_QUEUE (1u << 16) /* unanswered requests on one link to L2 */
#define LIMIT_WAITERS    4096u      /* calls of one node that wait for the bus */
#define LIMIT_LOAD_WAITS 65536u     /* calls of one worker that wait for loads of managed keys */
#define LIMIT_LOADS      65536u /* ... keys that are loaded, here or elsewhere, and waited for */
#define LIMIT_SWEEPS     8u     /* CACHE.INVALIDATE PREFIX and PATTERN of one node at once */
#define LIMIT_DATABASES  16u    /* SELECT 0..15 */
#define LIMIT_BANS       (1u << 20) /* live invalidations by tag, prefix or pattern: some 150 MB */
#define LIMIT_BAN_LIST \
    1024u /* ... of which so many patterns and conjunctions: each new one is compared with each value read */
#define LIMIT_ACL_USERS     10000u /* users of a node: each change copies their table */
#define LIMIT_ACL_SELECTORS 64u    /* of one user */
#define LIMIT_ACL_TEXTS     4096u  /* patterns, channels, passwords ... in one list of a selector */
#define LIMIT_DRAIN_MS      5000   /* grace of SIGTERM */

#endif
