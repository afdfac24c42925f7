/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/dictionary.h"

#include "protocol/check.h"
#include "protocol/hash.h"
#include "tiers/trainer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MASK ((UINT64_C(1) << 48) - 1)

enum {
    DICTIONARIES_MAGIC = 0x71e55009,
    NAME_MAX_SIZE = 64,       /* of a namespace */
    SAMPLES_BYTES_MIN = 8192, /* less is not worth a dictionary, however many */
    HELD_BACK = 4,            /* every so many-th of the samples judges and is not learned from */
};

/* What a space does about samples. */
enum learning {
    LEARNING_COLLECTS,
    LEARNING_FULL, /* until dictionary_train */
    LEARNING_RESTS,
    LEARNING_CLOSED
};

struct known {
    struct dictionary dictionary;
    struct codec_dictionary *owned;
};

struct samples {
    pthread_mutex_t lock;
    struct buf bytes;
    uint32_t ends[DICTIONARY_SAMPLES_MAX];
    unsigned count;
};

struct dictionary_space {
    struct dictionary_space *_Atomic next; /* older; set before it is seen */
    _Atomic(const struct known *) current;
    _Atomic(const struct known *)
        known[DICTIONARIES_KNOWN_MAX]; /* in the order they were learned */
    pthread_mutex_t learn_lock;        /* of who adds one */
    _Atomic uint32_t failed;           /* values in a row that did not get smaller */
    _Atomic uint32_t passed;           /* not tried since */
    _Atomic int learning;              /* enum learning */
    _Atomic uint64_t seen;             /* values written */
    _Atomic uint64_t next_at;          /* as many as that: samples are wanted again */
    struct samples samples;
    char name[NAME_MAX_SIZE + 1];
};

struct dictionaries {
    uint32_t magic;
    pthread_mutex_t lock; /* of who adds a space */
    unsigned count;
    _Atomic(struct dictionary_space *) spaces;
};

/* --- spaces ---------------------------------------------------------------------------------------------------------- */

struct dictionaries *dictionaries_new(void)
{
    struct dictionaries *dictionaries = calloc(1, sizeof *dictionaries);
    if (dictionaries != NULL) {
        dictionaries->magic = DICTIONARIES_MAGIC;
        CHECK(pthread_mutex_init(&dictionaries->lock, NULL) == 0);
    }
    return dictionaries;
}

static void space_free(struct dictionary_space *space)
{
    for (unsigned i = 0; i < DICTIONARIES_KNOWN_MAX; i++) {
        const struct known *known = atomic_load(&space->known[i]);
        if (known != NULL) {
            codec_dictionary_free(known->owned);
            free((void *)(uintptr_t)known);
        }
    }
    buf_done(&space->samples.bytes);
    (void)pthread_mutex_destroy(&space->samples.lock);
    (void)pthread_mutex_destroy(&space->learn_lock);
    free(space);
}

void dictionaries_free(struct dictionaries *dictionaries)
{
    if (dictionaries == NULL) {
        return;
    }
    CHECK_MAGIC(dictionaries, DICTIONARIES_MAGIC);
    struct dictionary_space *space = atomic_load(&dictionaries->spaces);
    while (space != NULL) {
        struct dictionary_space *next = atomic_load(&space->next);
        space_free(space);
        space = next;
    }
    (void)pthread_mutex_destroy(&dictionaries->lock);
    dictionaries->magic = 0;
    free(dictionaries);
}

struct dictionary_space *dictionaries_next(struct dictionaries *dictionaries,
                                           struct dictionary_space *after)
{
    return atomic_load_explicit(after == NULL ? &dictionaries->spaces : &after->next,
                                memory_order_acquire);
}

static struct dictionary_space *space_search(struct dictionaries *dictionaries, struct slice name)
{
    struct dictionary_space *space = dictionaries_next(dictionaries, NULL);
    while (space != NULL && !slice_is(name, space->name)) {
        space = dictionaries_next(dictionaries, space);
    }
    return space;
}

static struct dictionary_space *space_new(struct slice name)
{
    struct dictionary_space *space = calloc(1, sizeof *space);
    if (space != NULL) {
        CHECK(pthread_mutex_init(&space->samples.lock, NULL) == 0);
        CHECK(pthread_mutex_init(&space->learn_lock, NULL) == 0);
        memcpy(space->name, name.data, name.size);
    }
    return space;
}

struct dictionary_space *dictionaries_at(struct dictionaries *dictionaries, struct slice name)
{
    CHECK_MAGIC(dictionaries, DICTIONARIES_MAGIC);
    CHECK(name.size <= NAME_MAX_SIZE);
    struct dictionary_space *space = space_search(dictionaries, name);
    if (space != NULL) {
        return space;
    }
    CHECK(pthread_mutex_lock(&dictionaries->lock) == 0);
    space = space_search(dictionaries, name);
    if (space == NULL && dictionaries->count < DICTIONARY_SPACES_MAX &&
        (space = space_new(name)) != NULL) {
        dictionaries->count++;
        atomic_store(&space->next, atomic_load(&dictionaries->spaces));
        atomic_store_explicit(&dictionaries->spaces, space, memory_order_release);
    }
    CHECK(pthread_mutex_unlock(&dictionaries->lock) == 0);
    return space;
}

struct slice dictionary_space_name(const struct dictionary_space *space)
{
    return slice_of(space->name);
}

/* --- what is known --------------------------------------------------------------------------------------------------- */

uint64_t dictionary_number(struct slice bytes)
{
    const uint64_t number = hash_checksum(bytes) & NUMBER_MASK;
    return number == 0 ? 1 : number;
}

static const struct known *known_find(const struct dictionary_space *space, uint64_t number)
{
    for (unsigned i = 0; i < DICTIONARIES_KNOWN_MAX; i++) {
        const struct known *known = atomic_load_explicit(&space->known[i], memory_order_acquire);
        if (known == NULL || known->dictionary.number == number) {
            return known;
        }
    }
    return NULL;
}

const struct codec_dictionary *dictionary_find(const struct dictionary_space *space,
                                               uint64_t number)
{
    const struct known *known = known_find(space, number);
    return known == NULL ? NULL : known->dictionary.codec;
}

struct dictionary dictionary_current(const struct dictionary_space *space)
{
    const struct known *known = atomic_load_explicit(&space->current, memory_order_acquire);
    return known == NULL ? (struct dictionary){0} : known->dictionary;
}

static const struct known *known_new(uint64_t number, struct slice bytes)
{
    struct codec_dictionary *codec = codec_dictionary_new(bytes);
    struct known *known = codec == NULL ? NULL : malloc(sizeof *known);
    if (known == NULL) {
        codec_dictionary_free(codec);
        return NULL;
    }
    *known = (struct known){{number, codec}, codec};
    return known;
}

enum status dictionary_learn(struct dictionary_space *space, uint64_t number, struct slice bytes)
{
    if (bytes.size == 0 || number != dictionary_number(bytes)) {
        return INVALID;
    }
    if (bytes.size > CODEC_DICTIONARY_MAX) {
        return TOO_BIG;
    }
    enum status status = OK;
    CHECK(pthread_mutex_lock(&space->learn_lock) == 0);
    if (known_find(space, number) == NULL) {
        unsigned place = 0;
        while (place < DICTIONARIES_KNOWN_MAX && atomic_load(&space->known[place]) != NULL) {
            place++;
        }
        const struct known *known =
            place < DICTIONARIES_KNOWN_MAX ? known_new(number, bytes) : NULL;
        status = known != NULL ? OK : place < DICTIONARIES_KNOWN_MAX ? NO_MEMORY : TOO_BIG;
        if (known != NULL) {
            atomic_store_explicit(&space->known[place], known, memory_order_release);
        }
    }
    CHECK(pthread_mutex_unlock(&space->learn_lock) == 0);
    return status;
}

void dictionary_use(struct dictionary_space *space, uint64_t number)
{
    const struct known *known = known_find(space, number);
    CHECK(known != NULL);
    if (atomic_exchange(&space->current, known) != known) {
        atomic_store_explicit(&space->failed, 0,
                              memory_order_relaxed); /* what failed may not now */
    }
}

/* --- the verdict ----------------------------------------------------------------------------------------------------- */

bool dictionary_tries(struct dictionary_space *space)
{
    if (atomic_load_explicit(&space->failed, memory_order_relaxed) < DICTIONARY_TRIES) {
        return true;
    }
    return (atomic_fetch_add_explicit(&space->passed, 1, memory_order_relaxed) + 1) %
               DICTIONARY_TRY_EVERY ==
           0;
}

void dictionary_tell(struct dictionary_space *space, bool saved)
{
    const uint32_t failed = atomic_load_explicit(&space->failed, memory_order_relaxed);
    if (!saved && failed < DICTIONARY_TRIES) {
        atomic_store_explicit(&space->failed, failed + 1, memory_order_relaxed);
    } else if (saved && failed != 0) {
        atomic_store_explicit(&space->failed, 0, memory_order_relaxed);
    }
}

/* --- learning -------------------------------------------------------------------------------------------------------- */

static enum learning learning_of(const struct dictionary_space *space)
{
    return (enum learning)atomic_load_explicit(&space->learning, memory_order_acquire);
}

/* A space that was closed meanwhile stays so. */
static void learning_move(struct dictionary_space *space, enum learning from, enum learning to)
{
    int expected = (int)from;
    (void)atomic_compare_exchange_strong(&space->learning, &expected, (int)to);
}

static void samples_drop(struct samples *samples)
{
    buf_done(&samples->bytes);
    samples->count = 0;
}

/* Samples are wanted again when twice as many values have been written as by now. */
static void space_rest(struct dictionary_space *space, enum learning from)
{
    samples_drop(&space->samples);
    const uint64_t seen = atomic_load_explicit(&space->seen, memory_order_relaxed);
    atomic_store_explicit(&space->next_at, 2 * seen, memory_order_relaxed);
    learning_move(space, from, LEARNING_RESTS);
}

static void samples_take(struct dictionary_space *space, struct slice value)
{
    struct samples *samples = &space->samples;
    const size_t size = value.size < DICTIONARY_SAMPLE_MAX ? value.size : DICTIONARY_SAMPLE_MAX;
    if (learning_of(space) != LEARNING_COLLECTS ||
        buf_append(&samples->bytes, value.data, size) != OK) {
        return;
    }
    samples->ends[samples->count++] = (uint32_t)samples->bytes.size;
    if (samples->bytes.size >= DICTIONARY_SAMPLES_BYTES ||
        samples->count == DICTIONARY_SAMPLES_MAX) {
        if (samples->bytes.size >= SAMPLES_BYTES_MIN) {
            learning_move(space, LEARNING_COLLECTS, LEARNING_FULL);
        } else {
            space_rest(space, LEARNING_COLLECTS);
        }
    }
}

void dictionary_sample(struct dictionary_space *space, struct slice value)
{
    const uint64_t seen = atomic_fetch_add_explicit(&space->seen, 1, memory_order_relaxed) + 1;
    if (learning_of(space) == LEARNING_RESTS &&
        seen >= atomic_load_explicit(&space->next_at, memory_order_relaxed)) {
        learning_move(space, LEARNING_RESTS, LEARNING_COLLECTS);
    }
    if (learning_of(space) == LEARNING_COLLECTS && value.size > 0 &&
        pthread_mutex_trylock(&space->samples.lock) == 0) {
        samples_take(space, value);
        CHECK(pthread_mutex_unlock(&space->samples.lock) == 0);
    }
}

bool dictionary_is_ready(const struct dictionary_space *space)
{
    return learning_of(space) == LEARNING_FULL;
}

void dictionary_close(struct dictionary_space *space)
{
    CHECK(pthread_mutex_lock(&space->samples.lock) == 0);
    atomic_store(&space->learning, LEARNING_CLOSED);
    samples_drop(&space->samples);
    CHECK(pthread_mutex_unlock(&space->samples.lock) == 0);
}

/* The samples without every HELD_BACK-th, which goes behind them: [0, ret.count) learn, the rest judges. */
static void samples_part(struct samples *samples, struct buf *parted, uint32_t *ends,
                         unsigned *ret_learn)
{
    unsigned count = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < samples->count; i++) {
            if ((i % HELD_BACK == HELD_BACK - 1) != (pass == 1)) {
                continue;
            }
            const uint32_t begin = i == 0 ? 0 : samples->ends[i - 1];
            CHECK(buf_append(parted, samples->bytes.data + begin, samples->ends[i] - begin) == OK);
            ends[count++] = (uint32_t)parted->size;
        }
        if (pass == 0) {
            *ret_learn = count;
        }
    }
}

/* Bytes that the samples from `first` on take with a dictionary, or without (NULL). */
static size_t judge(const struct trainer_samples *samples, unsigned first,
                    const struct codec_dictionary *codec)
{
    struct buf block = {0};
    size_t sum = 0;
    for (unsigned i = first; i < samples->count; i++) {
        const uint32_t begin = i == 0 ? 0 : samples->ends[i - 1];
        const struct slice value = {samples->bytes.data + begin, samples->ends[i] - begin};
        bool used;
        block.size = 0;
        sum += codec_compress(&block, value, codec, &used) == OK ? block.size : value.size;
    }
    buf_done(&block);
    return sum;
}

static enum status train_and_judge(struct dictionary_space *space,
                                   const struct trainer_samples *all, unsigned learn_count,
                                   struct buf *out)
{
    const struct trainer_samples learn = {
        .bytes = {all->bytes.data, learn_count == 0 ? 0 : all->ends[learn_count - 1]},
        .ends = all->ends,
        .count = learn_count,
    };
    size_t size = 0;
    if (buf_reserve(out, DICTIONARY_SIZE) != OK ||
        train(&learn, out->data + out->size, DICTIONARY_SIZE, &size) != OK) {
        return NO_MEMORY;
    }
    if (size == 0) {
        return MISS;
    }
    struct codec_dictionary *made =
        codec_dictionary_new((struct slice){out->data + out->size, size});
    if (made == NULL) {
        return NO_MEMORY;
    }
    const size_t now = judge(all, learn_count, dictionary_current(space).codec);
    const size_t then = judge(all, learn_count, made);
    codec_dictionary_free(made);
    if (then * 100 > now * (100 - CODEC_SAVING_PERCENT)) {
        return MISS;
    }
    out->size += size;
    return OK;
}

enum status dictionary_train(struct dictionary_space *space, struct buf *out)
{
    CHECK(pthread_mutex_lock(&space->samples.lock) == 0);
    struct samples *samples = &space->samples;
    struct buf parted = {0};
    uint32_t ends[DICTIONARY_SAMPLES_MAX];
    enum status status = MISS;
    if (learning_of(space) == LEARNING_FULL) {
        status = buf_reserve(&parted, samples->bytes.size);
    }
    if (status == OK) {
        unsigned learn_count = 0;
        samples_part(samples, &parted, ends, &learn_count);
        const struct trainer_samples all = {buf_slice(&parted), ends, samples->count};
        status = train_and_judge(space, &all, learn_count, out);
    }
    space_rest(space, LEARNING_FULL);
    buf_done(&parted);
    CHECK(pthread_mutex_unlock(&space->samples.lock) == 0);
    return status;
}
