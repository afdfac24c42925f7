/* SPDX-License-Identifier: BSD-3-Clause */
/* bus_reply.h -- what one reply on the bus means (RESP2, read by hiredis).
 *
 *      +OK                                              CLIENT TRACKING is on
 *      ["subscribe", "__redis__:invalidate", 1]         that subscription stands
 *      ["subscribe", "terrace:bus", 2]
 *      ["message", "__redis__:invalidate", [k1, k2]]    these keys changed
 *      ["message", "__redis__:invalidate", nil]         a flush: all keys of some database are gone
 *      ["message", "terrace:bus", "T..."]               a frame
 *      ["pong", "..."]                                  answer to a PING
 *
 * Anybody may PUBLISH on either channel, but only strings: an array or a nil is Redis' own. Nothing else about a payload
 * is believed.
 *
 * Owns:    a bus_reader its hiredis reader; a bus_message the parsed reply, from which its slices borrow.
 * Threads: the control loop's. For coherence.c and its tests. */
#ifndef TERRACE_TIERS_BUS_REPLY_H
#define TERRACE_TIERS_BUS_REPLY_H

#include "protocol/bytes.h"

#define BUS_CHANNEL_KEYS    "__redis__:invalidate"
#define BUS_CHANNEL_FRAMES  "terrace:bus"
#define BUS_CHANNELS_PREFIX "terrace:" /* of all channels of nodes, now and later */

enum bus_kind {
    BUS_KEYS,    /* keys that changed: bus_message_key */
    BUS_FLUSHED, /* all keys of some database are gone */
    BUS_FORGED,  /* an announcement that is not an array of strings */
    BUS_FRAME,   /* `text` came on the frames' channel */
    BUS_SUBSCRIBED_KEYS,
    BUS_SUBSCRIBED_FRAMES,
    BUS_OK,      /* a plain status */
    BUS_PONG,    /* `text` is what the PING carried */
    BUS_ERROR,   /* `text` is Redis' */
    BUS_STRANGE, /* none of these, not RESP2, or no memory to look */
};

struct bus_reader {
    void *hiredis;
};

struct bus_message {
    enum bus_kind kind;
    struct slice text;
    size_t key_count;
    void *parsed; /* private */
};

void bus_reader_done(struct bus_reader *reader); /* all zeros is a fresh reader */
/* `reply` is one whole reply. */
void bus_read(struct bus_reader *reader, struct slice reply, struct bus_message *ret_message);
struct slice bus_message_key(const struct bus_message *message, size_t i); /* i < key_count */
void bus_message_done(struct bus_message *message);

#endif
