/* SPDX-License-Identifier: BSD-3-Clause */
/* load.c -- terrace_get_or_load: what is not there is loaded by one, here and in the cluster.
 *
 *      L0 has it ------------------------------------------------------------------------------> OK
 *      somebody here loads it: wait for him -----------------------------> what he brought, or ask again
 *      FETCH   a value, or that there is nothing ----------------------------------------------> as it says
 *              LOAD with a token (and perhaps something stale: offered to those who wait here)
 *                      the loader -> FILL or FAIL with the token
 *              MISS: this namespace knows no leases, or the cache cannot say
 *                      the first here: the loader -> SET if the key is absent; or nothing, if the cache cannot say
 *
 * Whether a load is for others, too: only what the cache has taken, for then nobody has invalidated the key meanwhile; or
 * where it cannot be asked at all. All others ask again. */
#include "client/flights.h"
#include "client/sync.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEEP_GRACE_MS = 100, /* to tell the cache, when the loader has used up the caller's time */
    NEGATIVE_MS = 1000   /* header: negative_ms 0 */
};

/* What is done with what was loaded. */
enum keeping {
    KEEP_BY_TOKEN,
    KEEP_BY_SET,
    KEEP_NOT /* the cache cannot be asked */
};

struct loading {
    struct terrace *terrace;
    struct slice key;
    struct terrace_read_options read;
    terrace_loader *loader;
    void *arg;
    int64_t deadline_ms;
    bool has_asked_again;
    struct terrace_value *value;
};

static int64_t time_left_ms(const struct loading *loading)
{
    return loading->deadline_ms - clock_ms();
}

/* --- terrace_loaded: private_[0] the bytes, private_[1] their number --------------------------------------------------- */

enum terrace_status terrace_loaded_set(struct terrace_loaded *loaded, const void *data, size_t size)
{
    if (loaded == NULL || (data == NULL && size > 0)) {
        return TERRACE_BAD_ARGUMENT;
    }
    char *copy = malloc(size + 1);
    if (copy == NULL) {
        return TERRACE_NO_MEMORY;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    free(loaded->private_[0]);
    loaded->private_[0] = copy;
    loaded->private_[1] = (void *)(uintptr_t)size;
    return TERRACE_OK;
}

static struct slice bytes_of(const struct terrace_loaded *loaded)
{
    return (struct slice){loaded->private_[0], (size_t)(uintptr_t)loaded->private_[1]};
}

/* --- what the caller gets ---------------------------------------------------------------------------------------------- */

static enum terrace_status give_nothing(struct loading *loading, enum terrace_status status,
                                        enum terrace_reason reason)
{
    terrace_value_done(loading->value);
    loading->value->reason = reason;
    loading->value->age_ms = -1;
    loading->value->ttl_ms = -2;
    return status;
}

static enum terrace_status give_late(struct loading *loading)
{
    return loading->terrace->options->fail == 0
               ? give_nothing(loading, TERRACE_MISS, TERRACE_REASON_DEADLINE)
               : give_nothing(loading, TERRACE_DEADLINE, TERRACE_REASON_NONE);
}

/* Takes `memory`, which holds the value. */
static void give(struct loading *loading, void *memory, size_t size, int64_t age_ms, int64_t ttl_ms)
{
    terrace_value_done(loading->value);
    value_take(loading->value, memory, memory, size);
    loading->value->age_ms = age_ms;
    loading->value->ttl_ms = ttl_ms;
}

static enum terrace_status give_result(struct loading *loading, const struct flight_result *result)
{
    if (result->value.data == NULL) {
        return give_nothing(loading, (enum terrace_status)result->status,
                            result->status == TERRACE_MISS ? TERRACE_REASON_ABSENT
                                                           : TERRACE_REASON_NONE);
    }
    char *copy = malloc(result->value.size + 1);
    if (copy == NULL) {
        return give_nothing(loading, TERRACE_NO_MEMORY, TERRACE_REASON_NONE);
    }
    memcpy(copy, result->value.data, result->value.size);
    give(loading, copy, result->value.size, result->age_ms, result->ttl_ms);
    return (enum terrace_status)result->status;
}

/* --- to wait for another one here -------------------------------------------------------------------------------------- */

/* false: ask again. */
static bool follow(struct loading *loading, struct flight *flight, enum terrace_status *ret_status)
{
    struct terrace *terrace = loading->terrace;
    bool takes_stale = loading->read.contract == TERRACE_CONTRACT_NAMESPACE ||
                       loading->read.contract == TERRACE_CONTRACT_ANY;
    struct flight_result result = {0};
    bool is_over = true;
    tally_add(&terrace->tally->loads_shared, 1);
    /* Conditions wait by the monotonic clock. */
    const int64_t until_ms = clock_us() / 1000 + time_left_ms(loading);
    enum status status = flight_wait(terrace->flights, flight, takes_stale, until_ms, &result);
    if (status == CLOSE) {
        *ret_status = give_nothing(loading, TERRACE_CLOSED, TERRACE_REASON_NONE);
    } else if (status != OK) {
        *ret_status = give_late(loading);
    } else if (result.asks_again) {
        is_over = false;
    } else {
        *ret_status = give_result(loading, &result);
    }
    flight_leave(terrace->flights, flight);
    return is_over;
}

/* --- to load ------------------------------------------------------------------------------------------------------------ */

static struct terrace_write_options write_options(const struct loading *loading,
                                                  const struct terrace_loaded *loaded)
{
    struct terrace_write_options write = loaded->write;
    int64_t left_ms = time_left_ms(loading);
    if (write.timeout_ms <= 0) {
        write.timeout_ms = left_ms > KEEP_GRACE_MS ? left_ms : KEEP_GRACE_MS;
    }
    if (write.affinity == NULL) {
        write.affinity = loading->read.affinity;
    }
    if (write.traceparent == NULL) {
        write.traceparent = loading->read.traceparent;
    }
    return write;
}

/* The cache can be asked, and will never take this: so the load is another one's. */
static bool is_our_own_fault(enum terrace_status of_fill)
{
    return of_fill == TERRACE_REFUSED || of_fill == TERRACE_DENIED ||
           of_fill == TERRACE_BAD_ARGUMENT || of_fill == TERRACE_NO_MEMORY;
}

/* OK: the cache has it. */
static enum terrace_status keep(struct loading *loading, enum keeping keeping,
                                const struct terrace_token *token, struct terrace_loaded *loaded)
{
    struct terrace_write_options write = write_options(loading, loaded);
    const struct slice bytes = bytes_of(loaded);
    if (keeping == KEEP_BY_TOKEN) {
        enum terrace_status status =
            terrace_fill(loading->terrace, loading->key.data, loading->key.size, token, bytes.data,
                         bytes.size, &write, NULL);
        if (is_our_own_fault(status)) {
            (void)terrace_fail(loading->terrace, loading->key.data, loading->key.size, token, 0);
        }
        return status;
    }
    /* Whoever wrote the key meanwhile wrote something newer. Conditions and what is of managed values do not go together. */
    if (write.condition == 0 && write.tag_count == 0 && write.swr_ms == 0 && write.sie_ms == 0 &&
        !write.want_seq) {
        write.condition = 1;
    }
    return terrace_set(loading->terrace, loading->key.data, loading->key.size, bytes.data,
                       bytes.size, &write, NULL);
}

static void bring_value(struct loading *loading, struct flight *flight, enum keeping keeping,
                        const struct terrace_token *token, struct terrace_loaded *loaded)
{
    bool is_for_all = keeping == KEEP_NOT || keep(loading, keeping, token, loaded) == TERRACE_OK;
    const struct slice bytes = bytes_of(loaded);
    int64_t age_ms = is_for_all && keeping != KEEP_NOT ? 0 : -1;
    int64_t ttl_ms = loaded->write.ttl_ms > 0 ? loaded->write.ttl_ms : -1;
    flights_land(loading->terrace->flights, flight,
                 &(struct flight_result){.status = TERRACE_OK,
                                         .asks_again = !is_for_all,
                                         .value = bytes,
                                         .age_ms = age_ms,
                                         .ttl_ms = ttl_ms});
    loaded->private_[0] = NULL;
    give(loading, (void *)(uintptr_t)bytes.data, bytes.size, age_ms, ttl_ms);
}

static enum terrace_status bring_nothing(struct loading *loading, struct flight *flight,
                                         enum keeping keeping, const struct terrace_token *token,
                                         const struct terrace_loaded *loaded)
{
    int64_t negative_ms = loaded->negative_ms == 0 ? NEGATIVE_MS : loaded->negative_ms;
    negative_ms = negative_ms < 0 ? 0 : negative_ms;
    enum terrace_status status = TERRACE_MISS;
    if (keeping == KEEP_BY_TOKEN &&
        terrace_fail(loading->terrace, loading->key.data, loading->key.size, token, negative_ms) ==
            TERRACE_OK &&
        negative_ms > 0) {
        status = TERRACE_NEGATIVE;
    }
    flights_land(loading->terrace->flights, flight, &(struct flight_result){.status = (int)status});
    return give_nothing(loading, status, TERRACE_REASON_ABSENT);
}

/* loading->value is what is stale, if there is something. */
static enum terrace_status bring_failure(struct loading *loading, struct flight *flight,
                                         enum keeping keeping, const struct terrace_token *token,
                                         enum terrace_status why)
{
    if (keeping == KEEP_BY_TOKEN) {
        (void)terrace_fail(loading->terrace, loading->key.data, loading->key.size, token, 0);
    }
    struct terrace_value *value = loading->value;
    if (value->data == NULL) {
        flights_land(loading->terrace->flights, flight,
                     &(struct flight_result){.status = (int)why});
        return give_nothing(loading, why, TERRACE_REASON_NONE);
    }
    flights_land(loading->terrace->flights, flight,
                 &(struct flight_result){.status = TERRACE_STALE,
                                         .value = {value->data, value->size},
                                         .age_ms = value->age_ms,
                                         .ttl_ms = value->ttl_ms});
    return TERRACE_STALE;
}

/* What a loader may not say is a failure like any other: a value that it has not set, or words of the cache. */
static enum terrace_status failure_of(enum terrace_status said)
{
    return said == TERRACE_OK || said == TERRACE_STALE || said == TERRACE_LOAD ? TERRACE_REFUSED
                                                                               : said;
}

static enum terrace_status load(struct loading *loading, struct flight *flight,
                                enum keeping keeping)
{
    struct terrace_token token = loading->value->token;
    struct terrace_loaded loaded = {0};
    tally_add(&loading->terrace->tally->loads, 1);
    enum terrace_status said = loading->loader(loading->arg, loading->key.data, loading->key.size,
                                               time_left_ms(loading), &loaded);
    enum terrace_status status = TERRACE_OK;
    if (said == TERRACE_OK && bytes_of(&loaded).data != NULL) {
        bring_value(loading, flight, keeping, &token, &loaded);
    } else if (said == TERRACE_MISS || said == TERRACE_NEGATIVE) {
        status = bring_nothing(loading, flight, keeping, &token, &loaded);
    } else {
        status = bring_failure(loading, flight, keeping, &token, failure_of(said));
    }
    free(loaded.private_[0]);
    return status;
}

/* --- the question ------------------------------------------------------------------------------------------------------- */

/* The lease of the cluster is ours, whoever loads without one here. */
static enum terrace_status load_with_lease(struct loading *loading, uint64_t mark)
{
    struct flights *flights = loading->terrace->flights;
    struct flight *flight = NULL;
    bool landed_meanwhile = false;
    if (flights_join(flights, loading->key, mark, &flight, &landed_meanwhile) == FLIGHT_WAITS) {
        flight_leave(flights, flight);
        flight = NULL;
    }
    const struct terrace_value *stale = loading->value;
    if (stale->data != NULL) {
        flight_offer(flights, flight,
                     &(struct flight_result){.status = TERRACE_STALE,
                                             .value = {stale->data, stale->size},
                                             .age_ms = stale->age_ms,
                                             .ttl_ms = stale->ttl_ms});
    }
    return load(loading, flight, KEEP_BY_TOKEN);
}

/* false: ask again. */
static bool load_without_lease(struct loading *loading, uint64_t mark,
                               enum terrace_status *ret_status)
{
    struct flights *flights = loading->terrace->flights;
    bool is_absent = loading->value->reason == TERRACE_REASON_ABSENT;
    struct flight *flight = NULL;
    bool landed_meanwhile = false;
    if (flights_join(flights, loading->key, mark, &flight, &landed_meanwhile) == FLIGHT_WAITS) {
        return follow(loading, flight, ret_status);
    }
    if (is_absent && landed_meanwhile && !loading->has_asked_again) {
        loading->has_asked_again = true;
        flights_land(flights, flight, &(struct flight_result){.asks_again = true});
        return false;
    }
    *ret_status = load(loading, flight, is_absent ? KEEP_BY_SET : KEEP_NOT);
    return true;
}

/* false: ask again. */
static bool ask(struct loading *loading, int64_t left_ms, enum terrace_status *ret_status)
{
    struct flights *flights = loading->terrace->flights;
    struct flight *flight =
        loading->read.atleast_seq == 0 ? flights_find(flights, loading->key) : NULL;
    if (flight != NULL) {
        return follow(loading, flight, ret_status);
    }
    uint64_t mark = flights_mark(flights, loading->key);
    loading->read.timeout_ms = left_ms;
    *ret_status = terrace_fetch(loading->terrace, loading->key.data, loading->key.size,
                                &loading->read, loading->value);
    if (*ret_status == TERRACE_LOAD) {
        *ret_status = load_with_lease(loading, mark);
        return true;
    }
    if (*ret_status == TERRACE_MISS && time_left_ms(loading) > 0) {
        return load_without_lease(loading, mark, ret_status);
    }
    return true;
}

static enum terrace_status get_or_load(struct loading *loading)
{
    enum terrace_status status = TERRACE_OK;
    int64_t left_ms = 0; /* looked at once: 0 is no timeout, and less is none at all */
    while ((left_ms = time_left_ms(loading)) > 0) {
        if (ask(loading, left_ms, &status)) {
            return status;
        }
    }
    return give_late(loading);
}

enum terrace_status terrace_get_or_load(struct terrace *terrace, const void *key, size_t key_size,
                                        const struct terrace_read_options *options,
                                        terrace_loader *loader, void *arg,
                                        struct terrace_value *value)
{
    if (terrace == NULL || (key == NULL && key_size > 0) || loader == NULL || value == NULL) {
        return TERRACE_BAD_ARGUMENT;
    }
    struct loading loading = {
        .terrace = terrace,
        .key = {key, key_size},
        .loader = loader,
        .arg = arg,
        .value = value,
    };
    if (options != NULL) {
        loading.read = *options;
    }
    if (!terrace_enter(terrace)) {
        return TERRACE_CLOSED;
    }
    enum terrace_status status = face_near(terrace->near, loading.key, &loading.read, value);
    if (status == TERRACE_MISS) {
        int64_t timeout_ms = loading.read.timeout_ms;
        loading.deadline_ms =
            clock_ms() + request_ms(timeout_ms > 0 ? timeout_ms : terrace->options->timeout_ms);
        status = get_or_load(&loading);
    }
    if (status == TERRACE_STALE) {
        tally_add(&terrace->tally->loads_stale, 1);
    }
    if (status == TERRACE_OK) { /* whatever was wrong on the way */
        error_say(loading.read.error, loading.read.error_size, "%s", "");
    }
    terrace_leave(terrace);
    return status;
}
