/* SPDX-License-Identifier: BSD-3-Clause */
/* bus_reply.h -- what one reply on the bus means (RESP2). Nothing is copied, and no memory asked for: each change of
 * each key comes this way to each node.
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
 * Owns:    nothing; a bus_message borrows the reply.
 * Threads: the control loop's. For coherence.c and its tests. */
#ifndef TERRACE_TIERS_BUS_REPLY_H
#define TERRACE_TIERS_BUS_REPLY_H

#include "protocol/resp_read.h"

#define BUS_CHANNEL_KEYS    "__redis__:invalidate"
#define BUS_CHANNEL_FRAMES  "terrace:bus"
#define BUS_CHANNELS_PREFIX "terrace:" /* of all channels of nodes, now and later */

enum bus_kind {
    BUS_KEYS,    /* keys that changed: bus_message_next_key */
    BUS_FLUSHED, /* all keys of some database are gone */
    BUS_FORGED,  /* an announcement that is not an array of strings */
    BUS_FRAME,   /* `text` came on the frames' channel */
    BUS_SUBSCRIBED_KEYS,
    BUS_SUBSCRIBED_FRAMES,
    BUS_OK,      /* a plain status */
    BUS_PONG,    /* `text` is what the PING carried */
    BUS_ERROR,   /* `text` is Redis' */
    BUS_STRANGE, /* none of these, or not one whole reply of RESP2 */
};

struct bus_message {
    enum bus_kind kind;
    struct slice text;
    size_t key_count;         /* of those to come */
    struct reply_cursor keys; /* private */
};

/* `reply` is one whole reply. */
void bus_read(struct slice reply, struct bus_message *ret_message);
/* false: there is no other. */
bool bus_message_next_key(struct bus_message *message, struct slice *ret_key);

#endif
