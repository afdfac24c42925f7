/* SPDX-License-Identifier: BSD-3-Clause */
/* get_set -- writes a value, reads it back, and tells how old it may be.
 *
 *      cc get_set.c $(pkg-config --cflags --libs terrace) -o get_set
 *      ./get_set 'endpoints=127.0.0.1:7379&timeout=500ms'
 *
 * A cache that cannot be reached is no error here, but a miss with a reason: an application goes on without it. */
#include <stdio.h>
#include <string.h>
#include <terrace.h>

static void show(const char *key, enum terrace_status status, const struct terrace_value *value)
{
    if (value->data != NULL) {
        (void)printf("%s: %s \"%.*s\", at most %lld ms behind\n", key, terrace_status_name(status),
                     (int)value->size, (const char *)value->data, (long long)value->age_ms);
    } else {
        (void)printf("%s: %s (%s)\n", key, terrace_status_name(status),
                     terrace_reason_name(value->reason));
    }
}

static void use(struct terrace *terrace)
{
    const struct terrace_write_options minute = {.ttl_ms = 60000};
    struct terrace_value value = {0};
    enum terrace_status status =
        terrace_set(terrace, "example:greeting", strlen("example:greeting"), "hello",
                    strlen("hello"), &minute, NULL);
    (void)printf("set: %s\n", terrace_status_name(status));
    status = terrace_get(terrace, "example:greeting", strlen("example:greeting"), NULL, &value);
    show("example:greeting", status, &value);
    terrace_value_done(&value);

    status = terrace_delete(terrace, "example:greeting", strlen("example:greeting"), NULL);
    (void)printf("delete: %s\n", terrace_status_name(status));
    status = terrace_get(terrace, "example:greeting", strlen("example:greeting"), NULL, &value);
    show("example:greeting", status, &value);
    terrace_value_done(&value);
}

int main(int argc, char **argv)
{
    char error[TERRACE_ERROR_SIZE];
    struct terrace_options *options = terrace_options_new();
    if (options == NULL || terrace_options_parse(options, argc > 1 ? argv[1] : "", error,
                                                 sizeof error) != TERRACE_OK) {
        (void)fprintf(stderr, "get_set: %s\n", options == NULL ? "no memory" : error);
        terrace_options_free(options);
        return 2;
    }
    struct terrace *terrace = terrace_open(options, error, sizeof error);
    terrace_options_free(options);
    if (terrace == NULL) {
        (void)fprintf(stderr, "get_set: %s\n", error);
        return 1;
    }
    use(terrace);
    terrace_close(terrace);
    return 0;
}
