/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/warm_log.h"

#include "protocol/hash.h"
#include "protocol/limits.h"
#include "tiers/base/map.h"
#include "tiers/base/rand.h"

#include <stdlib.h>
#include <string.h>

struct counted {
    struct map_node node; /* first */
    uint64_t count;
    uint32_t size;
    uint8_t db;
    char key[];
};

struct warm_log {
    struct map keys;
    struct hash_secret secret;
    size_t keys_max;
    uint64_t bytes;
    uint8_t db;
    struct buf word; /* an argument without its quotes */
};

struct warm_log *warm_log_new(size_t keys_max, uint8_t db)
{
    struct warm_log *log = calloc(1, sizeof(*log));
    unsigned char random[HASH_SECRET_SIZE];
    if (log != NULL) {
        rand_secret(random, sizeof(random));
        hash_secret_init(&log->secret, random);
        log->keys_max = keys_max;
        log->db = db;
    }
    return log;
}

static struct counted *next_of(const struct warm_log *log, struct counted *after)
{
    return (struct counted *)(void *)map_any(&log->keys, after == NULL ? NULL : &after->node);
}

static void forget(struct warm_log *log, struct counted *one)
{
    map_remove(&log->keys, &one->node);
    log->bytes -= sizeof(*one) + one->size;
    free(one);
}

void warm_log_free(struct warm_log *log)
{
    if (log == NULL) {
        return;
    }
    struct counted *next = NULL;
    for (struct counted *one = next_of(log, NULL); one != NULL; one = next) {
        next = next_of(
            log, one); /* whoever takes them out one by one looks for the first of all each time */
        free(one);
    }
    map_done(&log->keys);
    buf_done(&log->word);
    free(log);
}

/* --- counting -------------------------------------------------------------------------------------------------------- */

/* All counts fall by one; nothing may be removed while the map is walked, so the dead are gathered first. */
static enum status decay_once(struct warm_log *log)
{
    struct counted **dead = malloc(log->keys.count * sizeof(*dead));
    size_t count = 0;
    if (dead == NULL) {
        return NO_MEMORY;
    }
    for (struct counted *one = next_of(log, NULL); one != NULL; one = next_of(log, one)) {
        if (--one->count == 0) {
            dead[count++] = one;
        }
    }
    for (size_t i = 0; i < count; i++) {
        forget(log, dead[i]);
    }
    free(dead);
    return OK;
}

static enum status make_room(struct warm_log *log)
{
    enum status status = OK;
    if (log->keys.count < log->keys_max && log->bytes < WARM_LOG_BYTES) {
        return OK;
    }
    while (status == OK && log->keys.count > 0 &&
           (log->keys.count > log->keys_max / 2 || log->bytes > WARM_LOG_BYTES / 2)) {
        status = decay_once(log);
    }
    return status;
}

static enum status count_key(struct warm_log *log, struct slice key, uint8_t db)
{
    const uint64_t hash = hash_key(&log->secret, key) + db;
    if (key.size >= LIMIT_L1_KEY) {
        return OK;
    }
    for (struct map_node *node = map_find(&log->keys, hash); node != NULL; node = map_next(node)) {
        struct counted *one = (struct counted *)(void *)node;
        if (one->db == db && slice_equal((struct slice){one->key, one->size}, key)) {
            one->count++;
            return OK;
        }
    }
    struct counted *one = make_room(log) == OK ? malloc(sizeof(*one) + key.size) : NULL;
    if (one == NULL) {
        return NO_MEMORY;
    }
    *one = (struct counted){.count = 1, .size = (uint32_t)key.size, .db = db};
    if (key.size > 0) {
        memcpy(one->key, key.data, key.size);
    }
    if (map_add(&log->keys, &one->node, hash) != OK) {
        free(one);
        return NO_MEMORY;
    }
    log->bytes += sizeof(*one) + key.size;
    return OK;
}

/* --- lines ----------------------------------------------------------------------------------------------------------- */

static bool is_time(struct slice word)
{
    bool has_digit = false;
    for (size_t i = 0; i < word.size; i++) {
        const char c = word.data[i];
        if ((c < '0' || c > '9') && c != '.') {
            return false;
        }
        has_digit = has_digit || c != '.';
    }
    return has_digit;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What stands for one byte behind a backslash; *at is behind it afterwards. */
static char unescape(struct slice text, size_t *at)
{
    const char c = text.data[(*at)++];
    if (c == 'x' && text.size - *at >= 2 && hex(text.data[*at]) >= 0 &&
        hex(text.data[*at + 1]) >= 0) {
        *at += 2;
        return (char)(hex(text.data[*at - 2]) * 16 + hex(text.data[*at - 1]));
    }
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'a': return '\a';
    case 'b': return '\b';
    default: return c;
    }
}

/* The next argument as Redis quotes them, in log->word; MISS: there is none. */
static enum status next_argument(struct warm_log *log, struct slice *rest)
{
    size_t at = 0;
    while (at < rest->size && rest->data[at] == ' ') {
        at++;
    }
    if (at == rest->size || rest->data[at] != '"') {
        return MISS;
    }
    log->word.size = 0;
    at++;
    while (at < rest->size && rest->data[at] != '"') {
        char c = rest->data[at++];
        if (c == '\\' && at < rest->size) {
            c = unescape(*rest, &at);
        }
        if (buf_append(&log->word, &c, 1) != OK) {
            return NO_MEMORY;
        }
    }
    if (at == rest->size) {
        return MISS; /* it was cut */
    }
    *rest = (struct slice){rest->data + at + 1, rest->size - at - 1};
    return OK;
}

/* 0: it reads no whole key; else how many of its arguments may be keys. */
static unsigned keys_of(struct slice command)
{
    static const char *const ones[] = {"get",   "getex",   "getrange",   "strlen",  "hget",
                                       "hmget", "hgetall", "hlen",       "hexists", "hkeys",
                                       "hvals", "hstrlen", "cache.fetch"};
    static const char *const many[] = {"mget", "exists", "touch"};
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
        if (slice_is_nocase(command, many[i])) {
            return LIMIT_ARGS;
        }
    }
    for (size_t i = 0; i < sizeof(ones) / sizeof(ones[0]); i++) {
        if (slice_is_nocase(command, ones[i])) {
            return 1;
        }
    }
    return 0;
}

/* "0 127.0.0.1:60866] "GET" "key"", behind the bracket. */
static enum status count_monitored(struct warm_log *log, struct slice rest)
{
    uint64_t db = 0;
    const char *end = memchr(rest.data, ']', rest.size);
    struct slice client = rest;
    if (end == NULL || slice_to_u64(slice_next_word(&client, " "), &db) != OK ||
        db >= LIMIT_DATABASES) {
        return OK;
    }
    rest = (struct slice){end + 1, (size_t)(rest.data + rest.size - end) - 1};
    enum status status = next_argument(log, &rest);
    const unsigned keys = status == OK ? keys_of(buf_slice(&log->word)) : 0;
    for (unsigned i = 0; i < keys && status == OK; i++) {
        status = next_argument(log, &rest);
        if (status == OK) {
            status = count_key(log, buf_slice(&log->word), (uint8_t)db);
        }
    }
    return status == MISS ? OK : status;
}

enum status warm_log_line(struct warm_log *log, struct slice line)
{
    if (line.size > 0 && line.data[0] == '+') { /* as it comes over a socket */
        line = (struct slice){line.data + 1, line.size - 1};
    }
    if (!is_time(slice_next_word(&line, " \t"))) {
        return OK;
    }
    const struct slice key = slice_next_word(&line, " \t\r");
    if (key.size == 0) {
        return OK;
    }
    const bool is_monitor =
        key.data[0] == '[' && line.size > 0 && memchr(line.data, ']', line.size) != NULL;
    if (is_monitor) {
        const size_t size = (size_t)(line.data + line.size - key.data) - 1;
        return count_monitored(log, (struct slice){key.data + 1, size});
    }
    return count_key(log, key, log->db);
}

/* --- the hottest ----------------------------------------------------------------------------------------------------- */

static int hotter_first(const void *left, const void *right)
{
    const struct warm_log_row *a = left;
    const struct warm_log_row *b = right;
    if (a->count != b->count) {
        return a->count < b->count ? 1 : -1;
    }
    const size_t size = a->key.size < b->key.size ? a->key.size : b->key.size;
    const int order = size == 0 ? 0 : memcmp(a->key.data, b->key.data, size);
    return order != 0 ? order : (a->key.size > b->key.size) - (a->key.size < b->key.size);
}

enum status warm_log_take(struct warm_log *log, size_t n, struct warm_log_row **ret_rows,
                          size_t *ret_count)
{
    struct warm_log_row *rows = malloc((log->keys.count + 1) * sizeof(*rows));
    size_t count = 0;
    if (rows == NULL) {
        return NO_MEMORY;
    }
    for (struct counted *one = next_of(log, NULL); one != NULL; one = next_of(log, one)) {
        rows[count++] =
            (struct warm_log_row){.key = {one->key, one->size}, .count = one->count, .db = one->db};
    }
    qsort(rows, count, sizeof(*rows), hotter_first);
    *ret_rows = rows;
    *ret_count = count < n ? count : n;
    return OK;
}
