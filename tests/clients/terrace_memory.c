/* SPDX-License-Identifier: BSD-3-Clause */
/* terrace_memory -- the torture of SQLite and curl: the n-th allocation of libterrace is refused, for every n there is.
 *
 *      terrace_memory OPTIONS      exit code 1 if a call says what it may not say, or the client is not well again afterwards
 *
 * Linked with --wrap: what is refused are malloc, calloc, realloc and strdup of libterrace and what it is made of, not those of
 * libuv and OpenSSL. Crashes and leaks are for AddressSanitizer to find. */
#include "client/terrace.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ERROR_SIZE = 256,
    LARGE = 100000,
    KEYS = 20,
    TRIES = 200 /* until the client is well again: each waits for its timeout at most */
};

static atomic_long countdown; /* 0: nothing is refused; 1: the next one */
static atomic_bool was_refused;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);

static bool refuses(void)
{
    if (atomic_load(&countdown) <= 0 || atomic_fetch_sub(&countdown, 1) != 1) {
        return false;
    }
    atomic_store(&was_refused, true);
    return true;
}

void *__wrap_malloc(size_t size)
{
    return refuses() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuses() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return refuses() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
    return refuses() ? NULL : __real_strdup(text);
}

static int failures;
static long refused_one;

static void may_be(const char *what, enum terrace_status status, bool is_fine)
{
    if (!is_fine && failures++ < 10) {
        (void)printf("allocation %ld refused: %s says %s\n", refused_one, what,
                     terrace_status_name(status));
    }
}

static bool is_read_status(enum terrace_status status, enum terrace_status good)
{
    return status == good || status == TERRACE_NO_MEMORY || status == TERRACE_MISS;
}

static bool is_write_status(enum terrace_status status, enum terrace_status good)
{
    return status == good || status == TERRACE_NO_MEMORY || status == TERRACE_UNREACHABLE ||
           status == TERRACE_UNKNOWN || status == TERRACE_DEADLINE;
}

static void on_change(void *arg, const void *key, size_t size)
{
    (void)arg;
    (void)key;
    (void)size;
}

static void ask_large(struct terrace *terrace)
{
    static char data[LARGE];
    struct terrace_value value = {0};
    enum terrace_status status = terrace_set(terrace, "large", 5, data, sizeof data, NULL, NULL);
    may_be("set", status, is_write_status(status, TERRACE_OK));
    status = terrace_get(terrace, "large", 5, NULL, &value);
    may_be("get", status, is_read_status(status, TERRACE_OK));
    may_be("a value of a get", status, status != TERRACE_OK || value.size == LARGE);
    terrace_value_done(&value);
}

static void ask_many(struct terrace *terrace)
{
    struct terrace_pair pairs[KEYS] = {0};
    for (int i = 0; i < KEYS; i++) {
        pairs[i].key = i % 2 == 0 ? "k" : "none";
        pairs[i].key_size = i % 2 == 0 ? 1 : 4;
    }
    const enum terrace_status status = terrace_mget(terrace, pairs, KEYS, NULL);
    may_be("mget", status, is_read_status(status, TERRACE_OK));
    for (int i = 0; i < KEYS; i++) {
        may_be("a pair", pairs[i].status, is_read_status(pairs[i].status, TERRACE_OK));
        terrace_value_done(&pairs[i].value);
    }
}

static void ask_others(struct terrace *terrace)
{
    static const char *const tags[] = {"a", "b"};
    const struct terrace_write_options tagged = {.tags = tags, .tag_count = 2, .ttl_ms = 60000};
    const void *words[] = {"ECHO", "hi"};
    struct terrace_value value = {0};
    char error[ERROR_SIZE];
    enum terrace_status status = terrace_set(terrace, "m:k", 3, "v", 1, &tagged, NULL);
    may_be("set with tags", status, is_write_status(status, TERRACE_OK));
    status = terrace_fetch(terrace, "m:load", 6, NULL, &value);
    may_be("fetch", status, is_read_status(status, TERRACE_LOAD) || status == TERRACE_OK);
    if (status == TERRACE_LOAD) {
        status = terrace_fill(terrace, "m:load", 6, &value.token, "v", 1, NULL, NULL);
        may_be("fill", status, is_write_status(status, TERRACE_OK) || status == TERRACE_LOST);
    }
    terrace_value_done(&value);
    const struct terrace_invalidation what = {.target = TERRACE_TAG, .words = tags, .count = 2};
    status = terrace_invalidate(terrace, &what, NULL, error, sizeof error);
    may_be("invalidate", status, is_write_status(status, TERRACE_OK));
    status = terrace_command(terrace, words, NULL, 2, 0, &value, error, sizeof error);
    may_be("command", status, is_write_status(status, TERRACE_OK));
    terrace_value_done(&value);
    struct terrace_watch *watch = NULL;
    status = terrace_watch_begin(terrace, "k", 1, on_change, NULL, &watch);
    may_be("watch", status, status == TERRACE_OK || status == TERRACE_NO_MEMORY);
    terrace_watch_end(watch);
}

static void ask_all(struct terrace *terrace)
{
    struct terrace_value value = {0};
    enum terrace_status status = terrace_set(terrace, "k", 1, "v", 1, NULL, NULL);
    may_be("set", status, is_write_status(status, TERRACE_OK));
    status = terrace_get(terrace, "k", 1, NULL, &value);
    may_be("get", status, is_read_status(status, TERRACE_OK));
    terrace_value_done(&value);
    ask_large(terrace);
    ask_many(terrace);
    ask_others(terrace);
    status = terrace_delete(terrace, "m:load", 6, NULL);
    may_be("delete", status, is_write_status(status, TERRACE_OK) || status == TERRACE_MISS);
}

static bool gets_well(struct terrace *terrace)
{
    for (int i = 0; i < TRIES; i++) {
        if (terrace_set(terrace, "k", 1, "v", 1, NULL, NULL) == TERRACE_OK) {
            return true;
        }
    }
    return false;
}

static void live(const char *text)
{
    char error[ERROR_SIZE];
    struct terrace_options *options = terrace_options_new();
    if (options == NULL) {
        return;
    }
    const enum terrace_status status = terrace_options_parse(options, text, error, sizeof error);
    may_be("options", status, status == TERRACE_OK || status == TERRACE_NO_MEMORY);
    struct terrace *terrace =
        status == TERRACE_OK ? terrace_open(options, error, sizeof error) : NULL;
    if (terrace != NULL) {
        ask_all(terrace);
        may_be("a client in the end", TERRACE_UNREACHABLE, gets_well(terrace));
    } else {
        may_be("opening without a word of why", TERRACE_NO_MEMORY, error[0] != '\0');
    }
    terrace_close(terrace);
    terrace_options_free(options);
}

int main(int count, char **words)
{
    long n = 0;
    if (count != 2) {
        (void)fprintf(stderr, "terrace_memory OPTIONS\n");
        return 2;
    }
    do {
        refused_one = ++n;
        atomic_store(&was_refused, false);
        atomic_store(&countdown, n);
        live(words[1]);
        atomic_store(&countdown, 0);
    } while (atomic_load(&was_refused) && failures == 0);
    (void)printf("%ld allocations refused, one by one\n", n - 1);
    return failures != 0;
}
