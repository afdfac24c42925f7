/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/script_reads.h"

#include "tiers/l2_commands.h"

#include <string.h>

static bool skip(struct slice *text, const char *word)
{
    const size_t size = strlen(word);
    if (text->size < size || memcmp(text->data, word, size) != 0) {
        return false;
    }
    text->data += size;
    text->size -= size;
    return true;
}

/* Behind `redis`: .call('name', ... or .call('name') with a name as it is. */
static bool calls_no_read(struct slice behind, const struct l2_commands *known)
{
    if (!skip(&behind, ".call(") && !skip(&behind, ".pcall(")) {
        return false;
    }
    if (behind.size == 0 || (behind.data[0] != '\'' && behind.data[0] != '"')) {
        return false;
    }
    const char *name = behind.data + 1;
    const char *end = memchr(name, behind.data[0], behind.size - 1);
    const char *last = behind.data + behind.size;
    if (end == NULL || end + 1 == last || (end[1] != ',' && end[1] != ')')) {
        return false; /* the name may be only a part of what is called */
    }
    const struct l2_command *command =
        l2_commands_find(known, (struct slice){name, (size_t)(end - name)});
    return command != NULL && !command->has_subcommands && !command->readonly;
}

bool script_may_read(struct slice text, const struct l2_commands *known)
{
    static const char *const keys_to_all[] = {"_G", "load", "getfenv"};
    for (size_t i = 0; i < sizeof(keys_to_all) / sizeof(keys_to_all[0]); i++) {
        if (text.size > 0 &&
            memmem(text.data, text.size, keys_to_all[i], strlen(keys_to_all[i])) != NULL) {
            return true;
        }
    }
    static const char name[] = "redis";
    const char *at = NULL;
    while (text.size > 0 && (at = memmem(text.data, text.size, name, sizeof(name) - 1)) != NULL) {
        text.size -= (size_t)(at - text.data) + sizeof(name) - 1;
        text.data = at + sizeof(name) - 1;
        if (known == NULL || !calls_no_read(text, known)) {
            return true;
        }
    }
    return false;
}
