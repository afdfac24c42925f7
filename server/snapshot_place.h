/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot_place.h -- where a node's snapshot is, and which L2, boot and moment it is of.
 *
 * Owns:    the folder, and the lock in it, by which of one name only one node may be.
 * Threads: opened and closed once; else any. */
#ifndef TERRACE_SERVER_SNAPSHOT_PLACE_H
#define TERRACE_SERVER_SNAPSHOT_PLACE_H

#include "server/node.h"
#include "tiers/snapshot_l1.h"

enum {
    SNAPSHOT_NAME_ROOM = 160,
    SNAPSHOT_NAME_MAX = SNAPSHOT_NAME_ROOM + 16, /* with what is put behind it */
    SNAPSHOT_PATH_ROOM = 512
};

struct snapshot_place {
    int folder_fd;
    int lock_fd;
    char name[SNAPSHOT_NAME_ROOM]; /* of the file in the folder */
    char path[SNAPSHOT_PATH_ROOM]; /* to it, for people */
};

/* Makes the folder, takes the lock. INVALID: `error` says why not; snapshot_place_close in any case. */
enum status snapshot_place_open(const struct node *node, struct snapshot_place *place,
                                char error[NODE_ERROR_MAX]) MUST_USE;
void snapshot_place_close(struct snapshot_place *place);
void snapshot_place_name(const struct snapshot_place *place, const char *suffix,
                         char dst[SNAPSHOT_NAME_MAX]);

/* Which L2, by its names: never who logs in there. 0: none. */
uint64_t snapshot_l2(const struct node *node);
struct snapshot_now snapshot_clocks(const struct node *node);
/* NULL: it can be told which boot of the machine this is; else what cannot be read, and each start counts as another boot. */
const char *snapshot_boot_unknown(void);

#endif
