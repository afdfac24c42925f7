/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/read_scripts.h"

#include "server/commands.h"
#include "server/node.h"
#include "server/scripts.h"

#include <stdlib.h>
#include <string.h>

struct read_scripts {
    pthread_mutex_t lock;
    size_t count;
    size_t next; /* to be overwritten, when there is no room */
    char shas[READ_SCRIPTS_MAX][SCRIPT_SHA_DIGITS];
};

struct read_scripts *read_scripts_new(void)
{
    struct read_scripts *scripts = calloc(1, sizeof(*scripts));
    if (scripts != NULL) {
        (void)pthread_mutex_init(&scripts->lock, NULL);
    }
    return scripts;
}

void read_scripts_free(struct read_scripts *scripts)
{
    if (scripts != NULL) {
        (void)pthread_mutex_destroy(&scripts->lock);
        free(scripts);
    }
}

/* --- the first line --------------------------------------------------------------------------------------------- */

/* The part of `rest` up to one of `ends`, which is stepped over. */
static struct slice take_until(struct slice *rest, const char *ends)
{
    size_t size = 0;
    while (size < rest->size && strchr(ends, rest->data[size]) == NULL) {
        size++;
    }
    const struct slice taken = {rest->data, size};
    const size_t step = size < rest->size ? size + 1 : size;
    *rest = (struct slice){rest->data + step, rest->size - step};
    return taken;
}

static bool flags_hold_no_writes(struct slice flags)
{
    while (flags.size > 0) {
        if (slice_equal(take_until(&flags, ","), SLICE_LITERAL("no-writes"))) {
            return true;
        }
    }
    return false;
}

static bool promises_to_read(struct slice text)
{
    static const struct slice head = SLICE_LITERAL("flags=");
    if (!slice_begins(text, "#!")) {
        return false;
    }
    struct slice line = take_until(&text, "\n");
    while (line.size > 0) {
        const struct slice word = take_until(&line, " \t\r");
        if (slice_has_prefix(word, head)) {
            return flags_hold_no_writes(
                (struct slice){word.data + head.size, word.size - head.size});
        }
    }
    return false;
}

/* --- the set ------------------------------------------------------------------------------------------------------ */

static bool set_holds(const struct read_scripts *scripts, const char sha[SCRIPT_SHA_DIGITS])
{
    for (size_t i = 0; i < scripts->count; i++) {
        if (memcmp(scripts->shas[i], sha, SCRIPT_SHA_DIGITS) == 0) {
            return true;
        }
    }
    return false;
}

void read_scripts_note(const struct call *call)
{
    const bool is_load = call->command->run == cmd_script_load;
    if (!is_load && call->command->run != cmd_eval) {
        return;
    }
    const struct slice text = call->argv[is_load ? 2 : 1];
    if (!promises_to_read(text)) {
        return;
    }
    struct read_scripts *scripts = call->node->read_scripts;
    char sha[SCRIPT_SHA_DIGITS];
    script_sha(text, sha);
    (void)pthread_mutex_lock(&scripts->lock);
    if (!set_holds(scripts, sha)) {
        memcpy(scripts->shas[scripts->next], sha, sizeof(sha));
        scripts->next = (scripts->next + 1) % READ_SCRIPTS_MAX;
        scripts->count += scripts->count < READ_SCRIPTS_MAX ? 1 : 0;
    }
    (void)pthread_mutex_unlock(&scripts->lock);
}

static bool is_remembered(struct read_scripts *scripts, struct slice digits)
{
    char sha[SCRIPT_SHA_DIGITS];
    if (digits.size != sizeof(sha)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(sha); i++) {
        const char c = digits.data[i];
        sha[i] = (char)(c >= 'A' && c <= 'F' ? c + 0x20 : c);
    }
    (void)pthread_mutex_lock(&scripts->lock);
    const bool found = set_holds(scripts, sha);
    (void)pthread_mutex_unlock(&scripts->lock);
    return found;
}

bool read_scripts_is_read(const struct call *call)
{
    const struct command *command = call->command;
    if (call->argc < 3 || (command->flags & COMMAND_READONLY) != 0) {
        return false;
    }
    if (command->run == cmd_eval) {
        return promises_to_read(call->argv[1]);
    }
    return command->run == cmd_evalsha && is_remembered(call->node->read_scripts, call->argv[1]);
}
