/* SPDX-License-Identifier: BSD-3-Clause */
/* errorstats.h -- how often which kind of error was answered: INFO errorstats.
 *
 * The kind is the first word of the text ("WRONGTYPE ..."). What L2 answers is counted too, and scripts make up words of
 * their own, so there are at most ERRORSTATS_MAX; the rest is counted as OTHER.
 *
 * Threads: any; one small lock.
 * Limits:  ERRORSTATS_MAX words, OTHER included, of at most 31 bytes. */
#ifndef TERRACE_SERVER_ERRORSTATS_H
#define TERRACE_SERVER_ERRORSTATS_H

#include "protocol/bytes.h"

enum {
    ERRORSTATS_MAX = 128,
    ERRORSTATS_WORD_MAX = 32
};

struct errorstats;

struct errorstats *errorstats_new(void); /* NULL: no memory */
void errorstats_free(struct errorstats *errorstats);

/* `text` as in reply_error: without the dash. */
void errorstats_count(struct errorstats *errorstats, const char *text);
void errorstats_reset(struct errorstats *errorstats);

struct errorstat {
    char word[ERRORSTATS_WORD_MAX];
    uint64_t count;
};
/* A copy in alphabetical order; returns how many. */
size_t errorstats_read(struct errorstats *errorstats, struct errorstat ret_stats[ERRORSTATS_MAX]);

#endif
