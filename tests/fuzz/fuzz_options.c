/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes as a file of options: no crash, an error that names the file; what was taken prints and loads again, a copy of it is
 * the same, each option can be set to what it says of itself, and the tiers get namespaces they can live with. */
#include "protocol/check.h"
#include "server/options.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *print_to_text(const struct options *options)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream != NULL);
    options_print(options, stream);
    CHECK(fclose(stream) == 0);
    return text;
}

static void load_defaults(struct options *options)
{
    char program[] = "terraced";
    char *argv[] = {program, NULL};
    char error[OPTIONS_ERROR_MAX];
    CHECK(options_load(options, 1, argv, NULL, error) == OPTIONS_RUN);
}

static void check_copy(const struct options *options, const char *printed)
{
    struct options copy;
    CHECK(options_copy(options, &copy) == OK);
    char *again = print_to_text(&copy);
    CHECK(strcmp(printed, again) == 0);
    free(again);
    options_done(&copy);
}

/* As CONFIG GET and CONFIG SET have it. */
static void check_set(struct options *options)
{
    char error[OPTIONS_ERROR_MAX] = "";
    for (unsigned i = 0; options_name(i) != NULL; i++) {
        struct buf text = {0};
        CHECK(options_get(options, options_name(i), &text) == OK);
        CHECK(options_set(options, slice_of(options_name(i)), buf_slice(&text), true, error) ==
                  OK ||
              error[0] != '\0');
        buf_done(&text);
    }
}

static void check_specs(const struct options *options)
{
    struct namespace_spec specs[NAMESPACES_MAX];
    const unsigned count = options_specs(options, specs);
    size_t memory = 0;
    CHECK(count == options->namespace_count + 1 && count <= NAMESPACES_MAX);
    for (unsigned i = 0; i < count; i++) {
        CHECK(specs[i].name.size > 0 && (i == 0) == (specs[i].prefix.size == 0));
        CHECK(specs[i].settings.policy != NULL && specs[i].settings.memory >= (1 << 20));
        memory += specs[i].settings.memory;
    }
    CHECK(memory <= options_memory(options));
}

static void on_advice(void *arg, const char *text)
{
    (void)arg;
    CHECK(text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[OPTIONS_ERROR_MAX] = "";
    struct options options;
    load_defaults(&options);
    const struct slice text = {(const char *)data, size};
    if (options_read_text(&options, "file", text, error) != OK) {
        CHECK(strncmp(error, "file:", 5) == 0);
        options_done(&options);
        return 0;
    }
    char *printed = print_to_text(&options);
    check_copy(&options, printed);
    check_specs(&options);
    options_advise(&options, on_advice, NULL);
    struct options again;
    load_defaults(&again);
    /* A password or path may be longer than a line of a file with its name in front, and what hides a password longer than
     * the password. */
    if (options_read_text(&again, "printed", slice_of(printed), error) == OK) {
        char *printed_again = print_to_text(&again);
        CHECK(strcmp(printed, printed_again) == 0);
        free(printed_again);
    } else {
        CHECK(strstr(error, "line is too long") != NULL ||
              strstr(error, "expected an absolute path of at most") != NULL);
    }
    free(printed);
    check_set(&options);
    options_done(&again);
    options_done(&options);
    return 0;
}
