/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/sighting.h"

#include "protocol/envelope.h"

#include <string.h>

void sighting_init(struct sighting *sighting)
{
    *sighting = (struct sighting){0};
    (void)pthread_mutex_init(&sighting->lock, NULL);
}

void sighting_done(struct sighting *sighting)
{
    (void)pthread_mutex_destroy(&sighting->lock);
}

static void note(struct sighting *sighting, const struct namespace *ns, struct slice key)
{
    const size_t size = key.size < SIGHTING_KEY_MAX ? key.size : SIGHTING_KEY_MAX;
    pthread_mutex_lock(&sighting->lock);
    sighting->times++;
    memcpy(sighting->namespace, ns->name, sizeof sighting->namespace);
    for (size_t i = 0; i < size; i++) {
        const bool is_printable = key.data[i] > ' ' && key.data[i] < 0x7f;
        sighting->key[i] = (char)(is_printable ? key.data[i] : '?');
    }
    sighting->key[size] = '\0';
    pthread_mutex_unlock(&sighting->lock);
}

bool sighting_look(struct sighting *sighting, const struct namespace *ns, struct slice key,
                   struct slice value)
{
    struct envelope envelope;
    if (envelope_read(value, &envelope) != OK) {
        return false;
    }
    note(sighting, ns, key);
    return true;
}

bool sighting_take(struct sighting *sighting, struct sighting *ret)
{
    pthread_mutex_lock(&sighting->lock);
    const bool any = sighting->times > 0;
    ret->times = sighting->times;
    memcpy(ret->namespace, sighting->namespace, sizeof ret->namespace);
    memcpy(ret->key, sighting->key, sizeof ret->key);
    sighting->times = 0;
    pthread_mutex_unlock(&sighting->lock);
    return any;
}
