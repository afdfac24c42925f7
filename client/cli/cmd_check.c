/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/cmd_check.h"

#include "client/check/merge.h"
#include "client/check/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WINDOW_DEFAULT_S 60ull
#define WINDOW_MAX_S     1000000ull
#define NS_PER_S         1000000000ull

static const char help[] =
    "Usage: terrace check [--strict] [--window S] [--json] FILE...\n"
    "Judges a history of reads and writes, as terrace-bench --history records it (docs/history.md).\n"
    "Several files are of one run and are merged by time; - is standard input.\n"
    "\n"
    "  --strict    each key must be a linearizable register, too; nothing is forgotten (100 bytes a write)\n"
    "  --window S  a write is remembered for S seconds after it was overwritten (60); a read that lasts\n"
    "              longer may be counted as unjudged\n"
    "  --json      one JSON object instead of the text\n"
    "  --help      this\n"
    "\n"
    "Exit: 0 no violation, 1 violations, 2 wrong usage or a file that cannot be read.\n";

struct check {
    const char *names[MERGE_FILES_MAX];
    uint32_t count;
    char *error; /* of CHECK_ERROR_SIZE */
    bool json;
    bool strict;
    bool help;
    uint64_t window_s;
};

static enum exit_code say(const struct check *check, const char *text)
{
    (void)snprintf(check->error, CHECK_ERROR_SIZE, "%s", text);
    return EXIT_USAGE;
}

static enum exit_code read_window(struct check *check, const char *text)
{
    bool fits = text != NULL && slice_to_u64(slice_of(text), &check->window_s) == OK &&
                check->window_s > 0 && check->window_s <= WINDOW_MAX_S;
    return fits ? EXIT_FINE : say(check, "--window: expected seconds from 1 to 1000000");
}

static enum exit_code read_arguments(struct check *check, int argc, char **argv)
{
    bool only_names = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (only_names || word[0] != '-' || word[1] == '\0') {
            if (check->count == MERGE_FILES_MAX) {
                return say(check, "at most 32 files can be judged together");
            }
            check->names[check->count++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_names = true;
        } else if (strcmp(word, "--strict") == 0) {
            check->strict = true;
        } else if (strcmp(word, "--json") == 0) {
            check->json = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            check->help = true;
        } else if (strcmp(word, "--window") == 0) {
            i++;
            if (read_window(check, i < argc ? argv[i] : NULL) != EXIT_FINE) {
                return EXIT_USAGE;
            }
        } else {
            (void)snprintf(check->error, CHECK_ERROR_SIZE, "unknown option '%s'; --help lists them",
                           word);
            return EXIT_USAGE;
        }
    }
    return check->count == 0 && !check->help ? say(check, "which FILE? --help tells more")
                                             : EXIT_FINE;
}

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static enum status judge_all(struct merge *merge, struct judge *judge)
{
    struct history_record record;
    enum status status = OK;
    while ((status = merge_next(merge, &record)) == OK) {
        status = judge_record(judge, &record);
        if (status != OK) {
            return status;
        }
    }
    return status == MISS ? judge_end(judge) : status;
}

static enum exit_code tell(const struct check *check, const struct judge *judge, double seconds)
{
    if (check->json) {
        if (verdict_json(stdout, judge, seconds) != OK) {
            return say(check, "the JSON cannot be written");
        }
    } else {
        verdict_text(stdout, judge, seconds);
    }
    if (fflush(stdout) != 0) {
        return say(check, "the verdict cannot be written");
    }
    return judge_violations(judge) == 0 ? EXIT_FINE : EXIT_FAILED;
}

static enum exit_code run(const struct check *check, struct merge *merge, struct judge *judge)
{
    enum status status = merge_open(merge, check->names, check->count);
    if (status == OK) {
        const struct judge_config config = {.header = merge->header,
                                            .window_ns = check->window_s * NS_PER_S,
                                            .strict = check->strict};
        double began_s = now_s();
        status = judge_init(judge, &config);
        if (status == OK) {
            status = judge_all(merge, judge);
        }
        if (status == OK) {
            return tell(check, judge, now_s() - began_s);
        }
    }
    if (status == NO_MEMORY) {
        return say(check, "out of memory");
    }
    return say(check, merge->error[0] != '\0' ? merge->error : judge->error);
}

enum exit_code cmd_check(int argc, char **argv, bool json, char error[CHECK_ERROR_SIZE])
{
    struct check check = {.error = error, .json = json, .window_s = WINDOW_DEFAULT_S};
    if (read_arguments(&check, argc, argv) != EXIT_FINE) {
        return EXIT_USAGE;
    }
    if (check.help) {
        (void)fputs(help, stdout);
        return EXIT_FINE;
    }
    struct merge *merge = calloc(1, sizeof *merge);
    struct judge *judge = calloc(1, sizeof *judge); /* too large for a stack */
    enum exit_code code = EXIT_USAGE;
    if (merge == NULL || judge == NULL) {
        code = say(&check, "out of memory");
    } else {
        code = run(&check, merge, judge);
        judge_done(judge);
        merge_done(merge);
    }
    free(judge);
    free(merge);
    return code;
}
