/* SPDX-License-Identifier: BSD-3-Clause */
/* status.h -- the answers a function can give.
 *
 * One list for the whole program. Unless a header says otherwise, nothing has changed when the answer is not OK. */
#ifndef TERRACE_PROTOCOL_STATUS_H
#define TERRACE_PROTOCOL_STATUS_H

enum status {
    OK = 0,
    AGAIN,     /* more bytes are needed, or more room; call again */
    PENDING,   /* the answer comes later, by exactly one callback */
    MISS,      /* no such key here */
    CLAIMED,   /* no such key here, and the caller now holds the token for reading it */
    TAKEN,     /* no such key here, and somebody else already reads it */
    STALE,     /* the token ended: nothing was kept */
    TOO_BIG,   /* over a limit of limits.h or of the configuration */
    NO_MEMORY, /* allocation refused */
    MALFORMED, /* the bytes are not what the protocol says */
    CLOSE,     /* the peer speaks another protocol, or must go: close without a word */
    L2_DOWN,   /* L2 cannot be asked */
    L2_ERROR,  /* L2 was asked and answered with an error */
    UNKNOWN,   /* a write was sent and its outcome is not known */
    INVALID,   /* an argument or a setting is not acceptable */
    BUSY,      /* a bounded queue is full */
    TIMEOUT,   /* the asker's deadline passed first */
};

#define MUST_USE __attribute__((warn_unused_result))

#endif
