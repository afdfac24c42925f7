/* SPDX-License-Identifier: BSD-3-Clause */
/* unpack.h -- the value out of an envelope that comes in pieces: a reply of GET goes in, the reply that its reader would get
 * of a plain key comes out.
 *
 *      in    $300000061\r\n  F5 T E ... metadata  value ...........  \r\n
 *      out   $300000000\r\n                       value ...........  \r\n
 *
 * The checksum is made along the way and stands in the head, so it is known to be good when all of the value has gone out. If
 * it is not, the last line end stays away: nobody takes the value for a whole one.
 *
 * Threads: pure. */
#ifndef TERRACE_TIERS_UNPACK_H
#define TERRACE_TIERS_UNPACK_H

#include "protocol/envelope.h"
#include "protocol/hash.h"

struct unpack {
    uint64_t reply_head; /* bytes in front of the envelope */
    uint64_t before;     /* ... and in front of the value */
    uint64_t end;        /* ... and up to its end */
    uint64_t at;         /* bytes that went in */
    char head[ENVELOPE_HEAD_SIZE];
    struct hash_sum sum;
};

/* Of a reply of `size` bytes with an envelope whose beginning was found good. */
void unpack_begin(struct unpack *unpack, uint64_t size, const struct envelope *envelope);
/* TAKES the next bytes and makes of *bytes what goes out of them. MALFORMED: the checksum is wrong, and *bytes is empty. */
enum status unpack_take(struct unpack *unpack, struct slice *bytes) MUST_USE;

#endif
