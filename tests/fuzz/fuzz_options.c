/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes as a file of options: no crash, an error that names the file, and what was taken prints and loads again. */
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
    options_done(&again);
    options_done(&options);
    return 0;
}
