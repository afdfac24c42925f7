/* SPDX-License-Identifier: BSD-3-Clause */
/* download.h -- GET of a large value: from L2 to its reader in pieces, never held whole.
 *
 *      ROW --a seat (stream.h)--> ASKED --head of a large reply--> JUDGED --may be shown--> FLOWING --> over
 *                                   |
 *                                   +--any other reply: on_end has it whole--> over
 *
 * It is read as a relayed read is: behind the fence of its link (link.h), and, of a strict namespace, shown when all nodes
 * have applied what L2 did before. What may be shown is decided at the head of the reply, before its reader has a byte. A
 * fence that is closed then cannot wait for the next beat on the same connection, which would come behind the value: the
 * shared link is asked for its own, and good enough if the same process answers, for that one was the master after it had
 * read the value. JUDGED, the socket of the line is not read. What came of the value by then (one read) is kept.
 *
 * Of a managed value its envelope stays here (unpack.h); L1 keeps all but the value, by which it is judged like any other
 * (MANAGED_LARGE), and only the last step, to show it, comes here.
 *
 * Nothing of it is kept in L1, and what stood there ends: it may be older than what the reader sees.
 *
 * Its reader holds it (tiers_download_hold) when he has no room, and goes on when he has. Time that L2 takes: the window's
 * read timeout for the head, and between two pieces while nobody holds it.
 *
 * Owns:    itself, until on_end; its seat.
 * Limits:  memory: one read of the line's socket, and what the reader keeps.
 * Threads: the window's. */
#ifndef TERRACE_TIERS_DOWNLOAD_H
#define TERRACE_TIERS_DOWNLOAD_H

#include "tiers/tiers.h"

struct tiers_download;

/* What is known of a managed value that L1 would not keep, and was found good to be served. Only that one is: if another
 * stands there by now, the end is AGAIN, before the first piece, and it has to be judged anew. */
struct tiers_seen {
    uint64_t version;
    uint64_t size; /* of the value */
    bool foreign;  /* no envelope */
};

/* Embedded by the reader, who must be there until on_end, or until he leaves. */
struct tiers_download_user {
    /* The next bytes of the reply of GET, which begins with "$n\r\n". He may hold, not leave. */
    void (*on_piece)(struct tiers_download_user *user, struct slice bytes);
    /* Exactly once, never from inside tiers_download. OK: all pieces came, and `reply` is empty; or none did, and `reply` is
     * the whole of it. AGAIN: above. L2_DOWN, BUSY (no line), STALE (strict), NO_MEMORY, MALFORMED (its checksum was
     * wrong; that is remembered): with pieces before it, the value is cut off. */
    void (*on_end)(struct tiers_download_user *user, enum status status, struct slice reply);
};

/* OK: on_end follows. L2_DOWN, NO_MEMORY. The key's bytes are copied. `seen`: of a managed namespace; NULL: of a plain one. */
enum status tiers_download(struct tiers_window *window, const struct l1_key *key,
                           const struct tiers_seen *seen, int proto,
                           struct tiers_download_user *user,
                           struct tiers_download **ret_download) MUST_USE;
/* No more pieces, but for those that were read already, until he does not hold. */
void tiers_download_hold(struct tiers_download *download, bool holds);
/* He wants no more of it: its connection to L2 ends, for the rest of the value would come by it. No on_end. */
void tiers_download_leave(struct tiers_download *download);

void downloads_tick(struct tiers_window *window); /* of stream.h */

#endif
