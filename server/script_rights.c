/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/script_rights.h"

#include "protocol/resp_write.h"
#include "server/acl_check.h"
#include "server/commands.h"
#include "server/node.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_KEY = 3 /* EVAL script numkeys key */
};

static const struct script *recognise(const struct call *call, struct slice text)
{
    const struct script *script = script_recognise(text);
    if (script != NULL) {
        char sha[SCRIPT_SHA_DIGITS];
        script_sha(text, sha);
        scripts_remember(call->node->scripts, sha, script);
    }
    return script;
}

const struct script *script_of_call(const struct call *call)
{
    int64_t keys = 0;
    const bool by_text = call->command->run == cmd_eval;
    if ((!by_text && call->command->run != cmd_evalsha) || call->argc <= FIRST_KEY ||
        slice_to_i64(call->argv[2], &keys) != OK || keys < 1) {
        return NULL;
    }
    return by_text ? recognise(call, call->argv[1])
                   : scripts_find(call->node->scripts, call->argv[1]);
}

bool script_is_to_be_told(const struct call *call)
{
    return call->command->run == cmd_evalsha && call->argc > 1 &&
           scripts_find(call->node->scripts, call->argv[1]) == NULL;
}

void script_note_load(const struct call *call)
{
    (void)recognise(call, call->argv[2]);
}

bool script_is_allowed(const struct acl_user *user, const struct script *script, struct slice key)
{
    static const char call[] = "redis.call('";
    const struct slice none = {"", 0};
    for (const char *at = script->text; (at = strstr(at, call)) != NULL;) {
        at += sizeof(call) - 1;
        const struct slice words[] = {{at, strcspn(at, "'")}, key};
        const struct acl_line line = {
            .id = acl_command_of(words[0], none), .name = words[0], .argv = words, .argc = 2};
        if (acl_check(user, &line).verdict != ACL_OK) {
            return false;
        }
    }
    return true;
}

enum status script_request(const struct call *call, struct buf *out)
{
    struct slice *words = malloc(call->argc * sizeof(*words));
    if (words == NULL) {
        return NO_MEMORY;
    }
    memcpy(words, call->argv, call->argc * sizeof(*words));
    words[0] = SLICE_LITERAL("EVAL");
    words[1] = slice_of(call->script->text);
    const enum status status = resp_append_request(out, call->argc, words);
    free(words);
    return status;
}
