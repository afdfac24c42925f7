/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/errorstats.h"

#include "protocol/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct errorstats {
    pthread_mutex_t lock;
    size_t size; /* under lock, as all below */
    struct errorstat stats[ERRORSTATS_MAX];
};

struct errorstats *errorstats_new(void)
{
    struct errorstats *errorstats = calloc(1, sizeof(*errorstats));
    if (errorstats != NULL) {
        CHECK(pthread_mutex_init(&errorstats->lock, NULL) == 0);
    }
    return errorstats;
}

void errorstats_free(struct errorstats *errorstats)
{
    if (errorstats != NULL) {
        (void)pthread_mutex_destroy(&errorstats->lock);
        free(errorstats);
    }
}

/* The first word; what would break the lines of INFO becomes an underscore. */
static void word_of(const char *text, char word[ERRORSTATS_WORD_MAX])
{
    size_t size = 0;
    while (size < ERRORSTATS_WORD_MAX - 1 && text[size] != '\0' && text[size] != ' ') {
        char c = text[size];
        word[size++] = c > ' ' && c <= '~' && c != ':' && c != '=' ? c : '_';
    }
    word[size] = '\0';
}

static struct errorstat *errorstats_place(struct errorstats *errorstats, const char *word)
{
    for (size_t i = 0; i < errorstats->size; i++) {
        if (strcmp(errorstats->stats[i].word, word) == 0) {
            return &errorstats->stats[i];
        }
    }
    if (errorstats->size == ERRORSTATS_MAX) {
        return &errorstats->stats[ERRORSTATS_MAX - 1]; /* OTHER: see below */
    }
    if (errorstats->size == ERRORSTATS_MAX - 1) {
        word = "OTHER";
    }
    struct errorstat *stat = &errorstats->stats[errorstats->size++];
    *stat = (struct errorstat){.count = 0};
    memcpy(stat->word, word, strlen(word));
    return stat;
}

void errorstats_count(struct errorstats *errorstats, const char *text)
{
    char word[ERRORSTATS_WORD_MAX];
    word_of(text, word);
    (void)pthread_mutex_lock(&errorstats->lock);
    errorstats_place(errorstats, word)->count++;
    (void)pthread_mutex_unlock(&errorstats->lock);
}

void errorstats_reset(struct errorstats *errorstats)
{
    (void)pthread_mutex_lock(&errorstats->lock);
    errorstats->size = 0;
    (void)pthread_mutex_unlock(&errorstats->lock);
}

static int errorstat_compare(const void *left, const void *right)
{
    const struct errorstat *a = left;
    const struct errorstat *b = right;
    return strcmp(a->word, b->word);
}

size_t errorstats_read(struct errorstats *errorstats, struct errorstat ret_stats[ERRORSTATS_MAX])
{
    (void)pthread_mutex_lock(&errorstats->lock);
    size_t size = errorstats->size;
    memcpy(ret_stats, errorstats->stats, size * sizeof(ret_stats[0]));
    (void)pthread_mutex_unlock(&errorstats->lock);
    qsort(ret_stats, size, sizeof(ret_stats[0]), errorstat_compare);
    return size;
}
