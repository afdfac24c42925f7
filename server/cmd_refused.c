/* SPDX-License-Identifier: BSD-3-Clause */
/* What a cache node will never do: be a replica or a cluster member, keep files, load modules, manage users. Where
 * Redis itself refuses in some setting of its own, its text is used, since clients know it. */
#include "server/call.h"
#include "server/commands.h"

#include <string.h>

static const char *text_of(const char *name)
{
    static const struct {
        const char *name;
        const char *text;
    } own_words_of_redis[] = {
        {"cluster", "ERR This instance has cluster support disabled"},
        {"readonly", "ERR This instance has cluster support disabled"},
        {"readwrite", "ERR This instance has cluster support disabled"},
        {"asking", "ERR This instance has cluster support disabled"},
        {"failover", "ERR FAILOVER requires connected replicas."},
    };
    for (size_t i = 0; i < sizeof(own_words_of_redis) / sizeof(own_words_of_redis[0]); i++) {
        if (strcmp(name, own_words_of_redis[i].name) == 0) {
            return own_words_of_redis[i].text;
        }
    }
    return NULL;
}

void cmd_refused(struct call *call)
{
    const char *name = call->command->name;
    const char *text = text_of(name);
    if (text != NULL) {
        reply_error(call->reply, text);
        return;
    }
    char upper[32];
    size_t size = 0;
    for (; name[size] != '\0' && size < sizeof(upper) - 1; size++) {
        upper[size] =
            (char)(name[size] >= 'a' && name[size] <= 'z' ? name[size] - 0x20 : name[size]);
    }
    upper[size] = '\0';
    reply_errorf(call->reply, "ERR %s is refused by this node", upper);
}

static void refuse_modules(struct call *call)
{
    reply_error(call->reply,
                "ERR MODULE command not allowed. If the enable-module-command option is set to "
                "\"local\", you can run it from a local connection, otherwise you need to set this "
                "option in the configuration file, and then restart the server.");
}

void cmd_module_load(struct call *call)
{
    refuse_modules(call);
}

void cmd_module_loadex(struct call *call)
{
    refuse_modules(call);
}

void cmd_module_unload(struct call *call)
{
    refuse_modules(call);
}

/* The dispatcher steps down to a subcommand or says that there is none; only a container without any argument could
 * come here. */
void cmd_container(struct call *call)
{
    reply_wrong_arity(call->reply, call->command->full_name);
}
