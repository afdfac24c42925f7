/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/script_ask.h"

#include <stdlib.h>
#include <string.h>

void own_script_init(struct own_script *script, struct slice text)
{
    script->text = text;
    script_sha(text, script->sha);
}

static size_t bytes_of(const struct slice *words, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += words[i].size;
    }
    return bytes;
}

/* The words, and what they borrow behind them. */
static struct slice *words_copy(const struct slice *words, size_t count)
{
    struct slice *copy = malloc(count * sizeof(*copy) + bytes_of(words, count));
    if (copy == NULL) {
        return NULL;
    }
    char *at = (char *)(copy + count);
    for (size_t i = 0; i < count; i++) {
        copy[i] = (struct slice){at, words[i].size};
        if (words[i].size > 0) {
            memcpy(at, words[i].data, words[i].size);
        }
        at += words[i].size;
    }
    return copy;
}

static void ask_done(struct script_ask *ask, enum status status, struct slice reply)
{
    free(ask->words);
    ask->words = NULL;
    ask->on_reply(ask, status, reply);
}

static void on_text_reply(struct link_request *request, enum status status, struct slice reply)
{
    ask_done((struct script_ask *)(void *)request, status, reply);
}

static enum status ask_by_text(struct script_ask *ask, struct slice *words)
{
    words[0] = SLICE_LITERAL("EVAL");
    words[1] = ask->script->text;
    ask->request = (struct link_request){.on_reply = on_text_reply};
    return tiers_ask(ask->window, &ask->request, words, ask->count);
}

static void on_name_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct script_ask *ask = (struct script_ask *)(void *)request;
    if (status == OK && (slice_begins(reply, "-NOSCRIPT ") || slice_begins(reply, "-NOPERM "))) {
        status = ask_by_text(ask, ask->words);
        if (status == OK) {
            return;
        }
        reply = (struct slice){0};
    }
    ask_done(ask, status, reply);
}

enum status script_ask(struct tiers_window *window, const struct own_script *script,
                       struct script_ask *ask, struct slice *words, size_t count)
{
    ask->window = window;
    ask->script = script;
    ask->words = NULL;
    ask->count = count;
    words[0] = SLICE_LITERAL("EVALSHA");
    words[1] = (struct slice){script->sha, sizeof(script->sha)};
    if (bytes_of(words, count) > SCRIPT_ASK_KEPT) {
        return ask_by_text(ask, words);
    }
    ask->words = words_copy(words, count);
    if (ask->words == NULL) {
        return NO_MEMORY;
    }
    ask->request = (struct link_request){.on_reply = on_name_reply};
    const enum status status = tiers_ask(window, &ask->request, words, count);
    if (status != OK) {
        free(ask->words);
        ask->words = NULL;
    }
    return status;
}
