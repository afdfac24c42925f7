/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/early.h"

#include "protocol/check.h"
#include "server/hot_desk.h"
#include "server/node.h"
#include "server/warm_run.h"
#include "server/worker.h"
#include "tiers/base/map.h"
#include "tiers/foreseen.h"
#include "tiers/managed.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

enum {
    EARLY_MAGIC = 0x3a4e0007,
    FEED_MAX = 256,  /* keys that are asked for together */
    PRIORITY = 9,    /* what is late is of no use */
    RENEWED_MS = 20, /* two readings of one end differ by less, if L2 answers within that */
    AGAIN_MS = 100,  /* the soonest second try */
    LATER_FIRST_MS = 1000,
    UNENDING_WATCH_MS = 3600 * 1000,
    UNENDING_MS = 10000, /* between looks at what has no end */
    LISTS_OUT = 60       /* a key that so many lists, one a second, do not name is left alone */
};

struct early_key {
    struct map_node node; /* by the key's hash */
    struct slice bytes;   /* behind the struct */
    uint8_t db;
    uint8_t heat;
    bool is_asked;
    unsigned seen; /* in the list of this number */
    const struct early_job *job;
    int64_t due_ms;  /* when it is looked at */
    int64_t ends_ms; /* what stood when L2 was asked; 0: nothing did */
    int64_t later_ms;
};

struct early {
    uint32_t magic;
    struct worker *worker;
    struct early_job jobs[EARLY_JOBS_MAX];
    size_t job_count;
    struct map map;
    struct early_key **keys;
    size_t count;
    size_t room;
    int64_t list_at_ms; /* of the list that was read last */
    unsigned lists;
    struct warm_run *run;
    bool is_fed;
    bool stopped;
    size_t fed_count;
    struct warm_key feed[FEED_MAX];
    struct early_key *fed[FEED_MAX];
};

/* --- what stands ------------------------------------------------------------------------------------------------------ */

/* What L1 has of it, fresh. */
struct standing_value {
    bool is_there;
    bool is_being_read;
    int64_t ends_ms; /* INT64_MAX: never */
    int64_t life_ms;
};

static struct ns_key key_of(const struct early *early, const struct early_key *key)
{
    return namespaces_key(early->worker->node->namespaces, key->db, key->bytes);
}

static void look_managed(const struct ns_key *key, int64_t now_ms, struct standing_value *value)
{
    struct item *item = l1_hold(key->ns->l1, &key->at, now_ms);
    struct managed_value managed;
    if (item != NULL && managed_open(item_value(item), item_expire_at_ms(item), &managed) == OK) {
        const int64_t since_ms = item_stamped_at_ms(item);
        value->ends_ms = managed.fresh_until_ms;
        value->life_ms =
            managed.fresh_ms > 0 ? managed.fresh_ms : managed.fresh_until_ms - since_ms;
    }
    item_release(item);
}

static struct standing_value look(const struct early *early, const struct ns_key *key)
{
    const int64_t now_ms = early->worker->now_ms;
    struct l1_look seen;
    l1_look(key->ns->l1, &key->at, now_ms, &seen);
    struct standing_value value = {.is_being_read = seen.has_claim, .ends_ms = INT64_MAX};
    if (!seen.has_value) {
        return value;
    }
    if (key->ns->managed) {
        look_managed(key, now_ms, &value);
    } else if (seen.expire_at_ms != ITEM_NEVER) {
        value.ends_ms = seen.expire_at_ms;
        value.life_ms = seen.expire_at_ms - seen.stamped_at_ms;
    }
    value.is_there = value.ends_ms > now_ms;
    return value;
}

/* --- one key -------------------------------------------------------------------------------------------------------------- */

/* True: L2 is to be asked now. */
static bool key_is_due(struct early *early, struct early_key *key)
{
    const struct ns_key at = key_of(early, key);
    const int64_t now_ms = early->worker->now_ms;
    key->due_ms = now_ms + UNENDING_MS;
    if (namespace_kind(at.ns) == NAMESPACE_STRICT) {
        return false;
    }
    const struct standing_value value = look(early, &at);
    key->ends_ms = value.is_there ? value.ends_ms : 0;
    if (value.is_being_read) {
        key->due_ms = now_ms + AGAIN_MS;
        return false;
    }
    if (!value.is_there) {
        return true;
    }
    if (value.ends_ms == INT64_MAX) {
        return false;
    }
    const int64_t window_ms = value.life_ms / 100 * key->job->percent;
    key->due_ms = value.ends_ms - window_ms;
    return key->due_ms <= now_ms;
}

static void key_waits(struct early *early, struct early_key *key)
{
    key->later_ms = key->later_ms == 0 ? LATER_FIRST_MS : 2 * key->later_ms;
    key->later_ms = key->later_ms < EARLY_LATER_MS ? key->later_ms : EARLY_LATER_MS;
    key->due_ms = early->worker->now_ms + key->later_ms;
}

/* L2 was asked, and it stands now. */
static void key_was_read(struct early *early, struct early_key *key)
{
    const struct ns_key at = key_of(early, key);
    const int64_t now_ms = early->worker->now_ms;
    const struct standing_value value = look(early, &at);
    if (!value.is_there) {
        key_waits(early, key);
        return;
    }
    const bool is_unending = value.ends_ms == INT64_MAX;
    const int64_t window_ms = is_unending ? 0 : value.life_ms / 100 * key->job->percent;
    if (key->ends_ms != 0 && value.ends_ms - key->ends_ms < RENEWED_MS) {
        const int64_t half_ms = (value.ends_ms - now_ms) / 2; /* L2 has no more than was here */
        key->due_ms = now_ms + (half_ms > AGAIN_MS ? half_ms : AGAIN_MS);
        return;
    }
    key->later_ms = 0;
    key->due_ms = is_unending ? now_ms + UNENDING_MS : value.ends_ms - window_ms;
    const struct foreseen_life life = {
        .from_ms = key->ends_ms != 0 ? key->ends_ms : now_ms,
        .until_ms = is_unending ? now_ms + UNENDING_WATCH_MS : value.ends_ms,
        .life_ms = is_unending ? UNENDING_WATCH_MS : value.life_ms,
    };
    struct foreseen *foreseen = tiers_foreseen(early->worker->node->tiers);
    if (key->ends_ms == 0) { /* what was known of it ended with what stood there */
        (void)foreseen_on_read(foreseen, &at.at, false, now_ms);
    }
    foreseen_watch(foreseen, &at.at, &life, key->job->id, now_ms);
}

/* --- the engine ----------------------------------------------------------------------------------------------------------- */

static void early_on_result(void *arg, size_t index, const struct warm_result *result)
{
    struct early *early = arg;
    struct early_key *key = early->fed[index];
    key->is_asked = false;
    if (result->outcome == PREFETCH_LOADED) {
        key_was_read(early, key);
    } else if (key->ends_ms != 0) {
        const int64_t half_ms = (key->ends_ms - early->worker->now_ms) / 2;
        key->due_ms = early->worker->now_ms + (half_ms > AGAIN_MS ? half_ms : AGAIN_MS);
    } else {
        key_waits(early, key);
    }
}

static void early_on_hungry(void *arg)
{
    struct early *early = arg;
    early->is_fed = false;
}

static void early_feed(struct early *early)
{
    if (early->run == NULL) {
        early->run = warm_run_new(early->worker, &(struct warm_run_options){
                                                     .mode = PREFETCH_FORCE,
                                                     .priority = PRIORITY,
                                                     .on_result = early_on_result,
                                                     .on_hungry = early_on_hungry,
                                                     .arg = early,
                                                 });
    }
    if (early->run != NULL && warm_run_feed(early->run, early->feed, early->fed_count) == OK) {
        early->is_fed = true;
        return;
    }
    for (size_t i = 0; i < early->fed_count; i++) {
        early->fed[i]->is_asked = false; /* the next tick tries again */
    }
}

static void early_halt(struct early *early)
{
    warm_run_end(early->run);
    early->run = NULL;
    early->is_fed = false;
    for (size_t i = 0; i < early->count; i++) {
        early->keys[i]->is_asked = false;
    }
}

/* --- the keys ------------------------------------------------------------------------------------------------------------- */

static struct early_key *keys_find(const struct early *early, uint64_t hash, uint8_t db,
                                   struct slice bytes)
{
    for (struct map_node *node = map_find(&early->map, hash); node != NULL; node = map_next(node)) {
        struct early_key *key = MAP_ENTRY(node, struct early_key, node);
        if (key->db == db && slice_equal(key->bytes, bytes)) {
            return key;
        }
    }
    return NULL;
}

/* NULL: no memory, or no room. */
static struct early_key *keys_add(struct early *early, uint64_t hash, uint8_t db,
                                  struct slice bytes)
{
    if (early->count == EARLY_KEYS_MAX) {
        return NULL;
    }
    if (early->count == early->room) {
        const size_t room = early->room == 0 ? 64 : 2 * early->room;
        struct early_key **keys = realloc(early->keys, room * sizeof(struct early_key *));
        if (keys == NULL) {
            return NULL;
        }
        early->keys = keys;
        early->room = room;
    }
    struct early_key *key = calloc(1, sizeof *key + bytes.size);
    if (key == NULL || map_add(&early->map, &key->node, hash) != OK) {
        free(key);
        return NULL;
    }
    char *copy = (char *)(key + 1);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    key->bytes = (struct slice){copy, bytes.size};
    key->db = db;
    early->keys[early->count++] = key;
    return key;
}

static void keys_remove(struct early *early, size_t at)
{
    struct early_key *key = early->keys[at];
    map_remove(&early->map, &key->node);
    early->keys[at] = early->keys[--early->count];
    free(key);
}

static void keys_name(struct early *early, const struct early_job *job, const struct hot_row *row)
{
    const struct ns_key at = namespaces_key(early->worker->node->namespaces, row->db, row->key);
    struct early_key *key = keys_find(early, at.at.hash, row->db, row->key);
    if (key == NULL) {
        key = keys_add(early, at.at.hash, row->db, row->key);
    }
    if (key != NULL && key->seen != early->lists) { /* else an earlier job has it */
        key->seen = early->lists;
        key->heat = row->heat;
        key->job = job;
    }
}

static void keys_leave(struct early *early)
{
    for (size_t i = early->count; i > 0; i--) {
        const struct early_key *key = early->keys[i - 1];
        if (!key->is_asked && early->lists - key->seen > LISTS_OUT) {
            keys_remove(early, i - 1);
        }
    }
}

/* What the newest list names, if it is a newer one. */
static void early_follow(struct early *early)
{
    struct hot_list *list = hot_desk_newest(early->worker->node->hot);
    if (list == NULL || list->written_at_ms == early->list_at_ms) {
        hot_list_release(list);
        return;
    }
    early->list_at_ms = list->written_at_ms;
    early->lists++;
    for (size_t i = 0; i < early->job_count; i++) {
        const struct early_job *job = &early->jobs[i];
        for (size_t j = 0; j < list->count && j < job->n; j++) {
            if (list->rows[j].db == job->db) {
                keys_name(early, job, &list->rows[j]);
            }
        }
    }
    hot_list_release(list);
    keys_leave(early);
}

static bool has_jobs(const struct early *early, const struct early_job *jobs, size_t count)
{
    bool same = count == early->job_count;
    for (size_t i = 0; i < count && same; i++) {
        const struct early_job *has = &early->jobs[i];
        same = has->id == jobs[i].id && has->n == jobs[i].n && has->percent == jobs[i].percent &&
               has->db == jobs[i].db;
    }
    return same;
}

static bool is_among(uint64_t id, const struct early_job *jobs, size_t count)
{
    while (count > 0 && jobs[count - 1].id != id) {
        count--;
    }
    return count > 0;
}

void early_set_jobs(struct early *early, const struct early_job *jobs, size_t count)
{
    CHECK_MAGIC(early, EARLY_MAGIC);
    count = count < EARLY_JOBS_MAX ? count : EARLY_JOBS_MAX;
    if (has_jobs(early, jobs, count)) {
        return;
    }
    early_halt(early);
    while (early->count > 0) {
        keys_remove(early, early->count - 1);
    }
    for (size_t i = 0; i < early->job_count; i++) {
        if (!is_among(early->jobs[i].id, jobs, count)) {
            foreseen_drop(tiers_foreseen(early->worker->node->tiers), early->jobs[i].id);
        }
    }
    for (size_t i = 0; i < count; i++) {
        early->jobs[i] = jobs[i];
    }
    early->job_count = count;
    early->list_at_ms = 0;
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

void early_tick(struct early *early)
{
    CHECK_MAGIC(early, EARLY_MAGIC);
    const int64_t now_ms = early->worker->now_ms;
    if (early->stopped || early->job_count == 0) {
        return;
    }
    early_follow(early);
    foreseen_tick(tiers_foreseen(early->worker->node->tiers), now_ms);
    early->fed_count = early->is_fed ? early->fed_count : 0;
    for (size_t i = 0; i < early->count; i++) {
        struct early_key *key = early->keys[i];
        if (!early->is_fed && early->fed_count < FEED_MAX && key->due_ms <= now_ms &&
            !key->is_asked && key_is_due(early, key)) {
            key->is_asked = true;
            early->fed[early->fed_count] = key;
            early->feed[early->fed_count++] =
                (struct warm_key){.key = key->bytes, .db = key->db, .heat = key->heat};
        }
    }
    if (!early->is_fed && early->fed_count > 0) {
        early_feed(early);
    }
}

struct early *early_new(struct worker *worker)
{
    struct early *early = calloc(1, sizeof *early);
    if (early != NULL) {
        early->magic = EARLY_MAGIC;
        early->worker = worker;
    }
    return early;
}

void early_stop(struct early *early)
{
    CHECK_MAGIC(early, EARLY_MAGIC);
    early_halt(early);
    early->stopped = true;
}

void early_free(struct early *early)
{
    if (early == NULL) {
        return;
    }
    CHECK_MAGIC(early, EARLY_MAGIC);
    while (early->count > 0) {
        keys_remove(early, early->count - 1);
    }
    map_done(&early->map);
    free(early->keys);
    early->magic = 0;
    free(early);
}

size_t early_keys(const struct early *early)
{
    return early->count;
}
