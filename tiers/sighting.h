/* SPDX-License-Identifier: BSD-3-Clause */
/* sighting.h -- envelopes (protocol/envelope.h) among the values of plain namespaces.
 *
 * Plain means as it lies in L2, so such a value is served as it is; but a checksum does not hold by chance, and most often
 * another node manages what this one takes for plain (homes.h). So they are counted, and of one key at a time it is
 * remembered which it was, for whoever writes the log.
 *
 * Owns:    the last key, cut at SIGHTING_KEY_MAX, what cannot be printed as '?'.
 * Threads: any. */
#ifndef TERRACE_TIERS_SIGHTING_H
#define TERRACE_TIERS_SIGHTING_H

#include "protocol/bytes.h"
#include "tiers/namespace.h"

#include <pthread.h>

enum {
    SIGHTING_KEY_MAX = 128
};

struct sighting {
    pthread_mutex_t lock;
    uint64_t times; /* since it was last taken */
    char namespace[NAMESPACE_NAME_MAX + 1];
    char key[SIGHTING_KEY_MAX + 1];
};

void sighting_init(struct sighting *sighting);
void sighting_done(struct sighting *sighting);
/* Looks at a value that L2 gave for a key of a plain namespace. Four bytes of most; true: it is an envelope, and noted. */
bool sighting_look(struct sighting *sighting, const struct namespace *ns, struct slice key,
                   struct slice value);
/* What was noted since the last call; ret->lock is nobody's. false: nothing. */
bool sighting_take(struct sighting *sighting, struct sighting *ret);

#endif
