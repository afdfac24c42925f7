/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of Redis' settings, as its CONFIG SET takes them. What has no effect must at least be one. */
#include "server/config_names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static enum status refuse(char reason[OPTION_REASON_MAX], const char *text)
{
    (void)snprintf(reason, OPTION_REASON_MAX, "%s", text);
    return INVALID;
}

static enum status append_word(struct buf *shown, struct slice word)
{
    const enum status status = shown->size == 0 ? OK : buf_append(shown, " ", 1);
    return status == OK ? buf_append_slice(shown, word) : status;
}

static enum status check_bool(struct slice value, struct buf *shown, char reason[OPTION_REASON_MAX])
{
    const bool yes = slice_is_nocase(value, "yes");
    if (!yes && !slice_is_nocase(value, "no")) {
        return refuse(reason, "argument must be 'yes' or 'no'");
    }
    return buf_append_slice(shown, slice_of(yes ? "yes" : "no"));
}

static enum status check_number(const struct config_name *name, struct slice value,
                                struct buf *shown, char reason[OPTION_REASON_MAX])
{
    int64_t number = 0;
    if (name->type == CONFIG_BYTES && bytes_parse(value, &number) != OK) {
        return refuse(reason, "argument must be a memory value");
    }
    if (name->type == CONFIG_NUMBER && slice_to_i64(value, &number) != OK) {
        return refuse(reason, "argument couldn't be parsed into an integer");
    }
    if (number < name->minimum || number > name->maximum) {
        (void)snprintf(reason, OPTION_REASON_MAX,
                       "argument must be between %" PRId64 " and %" PRId64 " inclusive",
                       name->minimum, name->maximum);
        return INVALID;
    }
    return buf_printf(shown, "%" PRId64, number);
}

/* The word of the list, as that writes it; empty: none. */
static struct slice find_word(const char *words, struct slice word)
{
    struct slice rest = slice_of(words);
    struct slice one = slice_next_word(&rest, " ");
    while (one.size > 0 && !slice_equal_nocase(one, word)) {
        one = slice_next_word(&rest, " ");
    }
    return one;
}

static enum status refuse_word(const struct config_name *name, char reason[OPTION_REASON_MAX])
{
    struct slice rest = slice_of(name->words);
    struct slice word = slice_next_word(&rest, " ");
    int used = snprintf(reason, OPTION_REASON_MAX, "argument(s) must be one of the following:");
    for (const char *comma = ""; word.size > 0 && used < OPTION_REASON_MAX; comma = ",") {
        used += snprintf(reason + used, OPTION_REASON_MAX - (size_t)used, "%s %.*s", comma,
                         (int)word.size, word.data);
        word = slice_next_word(&rest, " ");
    }
    return INVALID;
}

/* One word, or several in any order. */
static enum status check_words(const struct config_name *name, struct slice value,
                               struct buf *shown, char reason[OPTION_REASON_MAX])
{
    enum status status = OK;
    do {
        const struct slice given =
            name->type == CONFIG_WORDS ? slice_next_word(&value, " ") : value;
        const struct slice word = find_word(name->words, given);
        if (word.size == 0) {
            return refuse_word(name, reason);
        }
        status = append_word(shown, word);
    } while (status == OK && name->type == CONFIG_WORDS && value.size > 0);
    return status;
}

static enum status check_save(struct slice value, struct buf *shown, char reason[OPTION_REASON_MAX])
{
    enum status status = OK;
    unsigned count = 0;
    for (struct slice word = slice_next_word(&value, " "); word.size > 0 && status == OK; count++) {
        int64_t number = 0;
        if (slice_to_i64(word, &number) != OK || number < (count % 2 == 0 ? 1 : 0)) {
            return refuse(reason, "Invalid save parameters");
        }
        status = append_word(shown, word);
        word = slice_next_word(&value, " ");
    }
    return count % 2 == 0 ? status : refuse(reason, "Invalid save parameters");
}

static enum status check_adjustments(struct slice value, struct buf *shown,
                                     char reason[OPTION_REASON_MAX])
{
    enum status status = OK;
    unsigned count = 0;
    for (struct slice word = slice_next_word(&value, " "); word.size > 0 && status == OK; count++) {
        int64_t number = 0;
        if (slice_to_i64(word, &number) != OK || number < -2000 || number > 2000) {
            return refuse(reason, "Invalid oom-score-adj-values, elements must be between -2000 "
                                  "and 2000.");
        }
        status = append_word(shown, word);
        word = slice_next_word(&value, " ");
    }
    return count == 3 ? status : refuse(reason, "wrong number of arguments");
}

static enum status check_percentiles(struct slice value, struct buf *shown,
                                     char reason[OPTION_REASON_MAX])
{
    enum status status = OK;
    for (struct slice word = slice_next_word(&value, " "); word.size > 0 && status == OK;) {
        char text[32];
        char *end = text;
        const size_t size = word.size < sizeof(text) ? word.size : 0;
        memcpy(text, word.data, size);
        text[size] = '\0';
        const double number = strtod(text, &end);
        if (end == text || *end != '\0') {
            return refuse(reason, "Invalid latency-tracking-info-percentiles parameters");
        }
        if (!(number >= 0 && number <= 100)) {
            return refuse(reason, "latency-tracking-info-percentiles parameters should sit "
                                  "between [0.0,100.0]");
        }
        status = append_word(shown, word);
        word = slice_next_word(&value, " ");
    }
    return status;
}

/* Redis shows the letters in an order of its own, and A for all but those behind it. */
static enum status check_events(struct slice value, struct buf *shown,
                                char reason[OPTION_REASON_MAX])
{
    static const char all[] = "g$lshzxetd";
    static const char order[] = "g$lshzxetdnKEm";
    bool given[sizeof(order)] = {false};
    bool has_all = true;
    for (size_t i = 0; i < value.size; i++) {
        const char letter = value.data[i];
        const char *place = letter == '\0' ? NULL : strchr(order, letter);
        if (place == NULL && letter != 'A') {
            return refuse(reason, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        }
        for (size_t j = 0; j < sizeof(order) - 1; j++) {
            given[j] = given[j] || letter == order[j] || (letter == 'A' && j < sizeof(all) - 1);
        }
    }
    for (size_t j = 0; j < sizeof(all) - 1; j++) {
        has_all = has_all && given[j];
    }
    enum status status = has_all ? buf_append(shown, "A", 1) : OK;
    for (size_t j = has_all ? sizeof(all) : 0; j < sizeof(order) - 1 && status == OK; j++) {
        status = given[j] ? buf_append(shown, &order[j], 1) : OK;
    }
    return status;
}

enum status config_value_check(const struct config_name *name, struct slice value,
                               struct buf *shown, char reason[OPTION_REASON_MAX])
{
    switch (name->type) {
    case CONFIG_BOOL: return check_bool(value, shown, reason);
    case CONFIG_NUMBER:
    case CONFIG_BYTES: return check_number(name, value, shown, reason);
    case CONFIG_TEXT: return buf_append_slice(shown, value);
    case CONFIG_WORD:
    case CONFIG_WORDS: return check_words(name, value, shown, reason);
    case CONFIG_SAVE: return check_save(value, shown, reason);
    case CONFIG_EVENTS: return check_events(value, shown, reason);
    case CONFIG_ADJUSTMENTS: return check_adjustments(value, shown, reason);
    case CONFIG_PERCENTILES: return check_percentiles(value, shown, reason);
    }
    return INVALID;
}
