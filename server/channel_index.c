/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/channel_index.h"

#include "protocol/check.h"
#include "protocol/hash.h"
#include "tiers/base/glob.h"
#include "tiers/base/map.h"
#include "tiers/base/rand.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Of one subscription at its worker, and of a name there (channels.h), with what malloc adds. */
    SUBSCRIPTION_BYTES = 128,
    NAME_BYTES = 192
};

struct indexed {
    struct map_node in_map;
    uint64_t listeners;
    size_t size;
    char name[];
};

struct channel_index {
    pthread_mutex_t lock;
    struct hash_secret secret;
    struct map names[CHANNEL_KINDS];
    size_t bytes;
};

struct channel_index *channel_index_new(void)
{
    struct channel_index *index = calloc(1, sizeof(*index));
    unsigned char random[HASH_SECRET_SIZE];
    if (index == NULL) {
        return NULL;
    }
    rand_secret(random, sizeof(random));
    hash_secret_init(&index->secret, random);
    CHECK(pthread_mutex_init(&index->lock, NULL) == 0);
    return index;
}

void channel_index_free(struct channel_index *index)
{
    for (int kind = 0; index != NULL && kind < CHANNEL_KINDS; kind++) {
        struct map_node *node;
        while ((node = map_any(&index->names[kind], NULL)) != NULL) {
            map_remove(&index->names[kind], node);
            free(MAP_ENTRY(node, struct indexed, in_map));
        }
    }
    free(index);
}

uint64_t channel_index_hash(const struct channel_index *index, enum channel_kind kind,
                            struct slice name)
{
    return hash_key(&index->secret, name) + (uint64_t)kind;
}

static struct indexed *index_find(const struct channel_index *index, enum channel_kind kind,
                                  struct slice name, uint64_t hash)
{
    for (struct map_node *node = map_find(&index->names[kind], hash); node != NULL;
         node = map_next(node)) {
        struct indexed *indexed = MAP_ENTRY(node, struct indexed, in_map);
        if (slice_equal((struct slice){indexed->name, indexed->size}, name)) {
            return indexed;
        }
    }
    return NULL;
}

/* What a name takes here and at one worker. That several workers may have it is not counted: there are few. */
static size_t name_bytes(struct slice name)
{
    return NAME_BYTES + 2 * name.size;
}

static enum status index_insert(struct channel_index *index, enum channel_kind kind,
                                struct slice name, uint64_t hash, struct indexed **ret_indexed)
{
    struct indexed *indexed = malloc(sizeof(*indexed) + name.size);
    if (indexed == NULL) {
        return NO_MEMORY;
    }
    *indexed = (struct indexed){.size = name.size};
    if (name.size > 0) {
        memcpy(indexed->name, name.data, name.size);
    }
    if (map_add(&index->names[kind], &indexed->in_map, hash) != OK) {
        free(indexed);
        return NO_MEMORY;
    }
    index->bytes += name_bytes(name);
    *ret_indexed = indexed;
    return OK;
}

enum status channel_index_add(struct channel_index *index, enum channel_kind kind,
                              struct slice name, size_t bytes_max)
{
    const uint64_t hash = channel_index_hash(index, kind, name);
    enum status status = OK;
    (void)pthread_mutex_lock(&index->lock);
    struct indexed *indexed = index_find(index, kind, name, hash);
    const size_t more = SUBSCRIPTION_BYTES + (indexed == NULL ? name_bytes(name) : 0);
    if (index->bytes + more > bytes_max) {
        status = TOO_BIG;
    } else if (indexed == NULL) {
        status = index_insert(index, kind, name, hash, &indexed);
    }
    if (status == OK) {
        indexed->listeners++;
        index->bytes += SUBSCRIPTION_BYTES;
    }
    (void)pthread_mutex_unlock(&index->lock);
    return status;
}

void channel_index_remove(struct channel_index *index, enum channel_kind kind, struct slice name)
{
    const uint64_t hash = channel_index_hash(index, kind, name);
    (void)pthread_mutex_lock(&index->lock);
    struct indexed *indexed = index_find(index, kind, name, hash);
    CHECK(indexed != NULL && indexed->listeners > 0);
    index->bytes -= SUBSCRIPTION_BYTES;
    if (--indexed->listeners == 0) {
        index->bytes -= name_bytes(name);
        map_remove(&index->names[kind], &indexed->in_map);
        free(indexed);
    }
    (void)pthread_mutex_unlock(&index->lock);
}

size_t channel_index_count(struct channel_index *index, enum channel_kind kind)
{
    (void)pthread_mutex_lock(&index->lock);
    const size_t count = index->names[kind].count;
    (void)pthread_mutex_unlock(&index->lock);
    return count;
}

uint64_t channel_index_listeners(struct channel_index *index, enum channel_kind kind,
                                 struct slice name)
{
    const uint64_t hash = channel_index_hash(index, kind, name);
    (void)pthread_mutex_lock(&index->lock);
    const struct indexed *indexed = index_find(index, kind, name, hash);
    const uint64_t count = indexed == NULL ? 0 : indexed->listeners;
    (void)pthread_mutex_unlock(&index->lock);
    return count;
}

void channel_index_walk(struct channel_index *index, enum channel_kind kind,
                        const struct slice *pattern, void (*each)(void *arg, struct slice name),
                        void *arg)
{
    (void)pthread_mutex_lock(&index->lock);
    for (struct map_node *node = map_any(&index->names[kind], NULL); node != NULL;
         node = map_any(&index->names[kind], node)) {
        const struct indexed *indexed = MAP_ENTRY(node, struct indexed, in_map);
        const struct slice name = {indexed->name, indexed->size};
        if (pattern == NULL || glob_match(*pattern, name, false)) {
            each(arg, name);
        }
    }
    (void)pthread_mutex_unlock(&index->lock);
}
