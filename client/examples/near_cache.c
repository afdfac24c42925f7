/* SPDX-License-Identifier: BSD-3-Clause */
/* near_cache -- copies of values in this program's own memory, which are never older than their contract.
 *
 *      cc near_cache.c $(pkg-config --cflags --libs terrace) -o near_cache
 *      ./near_cache 'endpoints=127.0.0.1:7379'
 *
 * The same reads, and no other code: with `near-memory` a read that was answered once is answered here, until the node says
 * that the key has changed, or cannot prove any more that it has not. */
#include <stdio.h>
#include <string.h>
#include <terrace.h>

static const char key[] = "example:near";

/* Reads until a read was served from this memory; false: none was in `tries`. */
static int read_until_near(struct terrace *terrace, int tries, const char *expected)
{
    struct terrace_value value = {0};
    int is_near = 0;
    for (int i = 0; i < tries && !is_near; i++) {
        const enum terrace_status status = terrace_get(terrace, key, strlen(key), NULL, &value);
        is_near = status == TERRACE_OK && value.from_near && value.size == strlen(expected) &&
                  memcmp(value.data, expected, value.size) == 0;
        terrace_value_done(&value);
    }
    return is_near;
}

static int use(struct terrace *terrace)
{
    static const char *const texts[] = {"first", "second"};
    const int tries = 100000;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (terrace_set(terrace, key, strlen(key), texts[i], strlen(texts[i]), NULL, NULL) !=
            TERRACE_OK) {
            (void)fprintf(stderr, "near_cache: cannot write\n");
            return 1;
        }
        (void)printf("%s: %s\n", texts[i],
                     read_until_near(terrace, tries, texts[i]) ? "read from near" : "never near");
    }
    struct terrace_counters counters;
    terrace_counters(terrace, &counters);
    (void)printf("copies kept: %s\n", counters.near_fills >= 2 ? "yes" : "no");
    return 0;
}

int main(int argc, char **argv)
{
    char error[TERRACE_ERROR_SIZE] = "no memory";
    struct terrace_options *options = terrace_options_new();
    struct terrace *terrace = NULL;
    if (options != NULL &&
        terrace_options_parse(options, argc > 1 ? argv[1] : "", error, sizeof error) ==
            TERRACE_OK &&
        terrace_options_set(options, "near-memory", "16mb", error, sizeof error) == TERRACE_OK) {
        terrace = terrace_open(options, error, sizeof error);
    }
    terrace_options_free(options);
    if (terrace == NULL) {
        (void)fprintf(stderr, "near_cache: %s\n", error);
        return 1;
    }
    const int code = use(terrace);
    terrace_close(terrace);
    return code;
}
