/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/hiding.h"

#include "protocol/resp_write.h"
#include "server/commands.h"
#include "server/node.h"
#include "server/own_keys.h"
#include "server/pubsub.h"
#include "tiers/bus_reply.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

/* Redis runs these in the database the link selected; a script answers as the command would, without terrace:* keys, or
 * without the channels of the nodes, which are those of the whole server. */
static const struct {
    const char *name; /* in full */
    const char *script;
} hiding[] = {
    {"dbsize", OWN_KEYS_LUA "return redis.call('DBSIZE')-own()"},
    {"keys", "local r={} for _,k in ipairs(redis.call('KEYS',ARGV[1])) do "
             "if string.sub(k,1,8)~='terrace:' then r[#r+1]=k end end return r"},
    {"scan",
     "local s=redis.pcall('SCAN',unpack(ARGV)) if s.err then return s end local r={} "
     "for _,k in ipairs(s[2]) do if string.sub(k,1,8)~='terrace:' then r[#r+1]=k end end return {s[1],r}"},
    {"randomkey",
     "for _=1,100 do local k=redis.call('RANDOMKEY') if not k or string.sub(k,1,8)~='terrace:' then "
     "return k end end return false"},
    {"pubsub|channels",
     "local r={} for _,c in ipairs(redis.call('PUBSUB','CHANNELS',unpack(ARGV))) do "
     "if string.sub(c,1,8)~='terrace:' and c~='" BUS_CHANNEL_KEYS
     "' then r[#r+1]=c end end return r"},
    {"pubsub|numsub", "local r={} for _,c in ipairs(ARGV) do local n=0 "
                      "if string.sub(c,1,8)~='terrace:' and c~='" BUS_CHANNEL_KEYS "' then "
                      "n=redis.call('PUBSUB','NUMSUB',c)[2] end r[#r+1]=c r[#r+1]=n end return r"},
};

/* PUBSUB that shows the nodes' channels, as far as Redis answers it with more than an error. */
static bool shows_channels(const struct call *call)
{
    return (call->command->run == cmd_pubsub_channels && call->argc <= 3) ||
           (call->command->run == cmd_pubsub_numsub && pubsub_names_hidden(call, 2, call->argc));
}

const char *hiding_script(const struct call *call, uint16_t dbs)
{
    const bool is_pubsub = (call->command->flags & COMMAND_PUBSUB) != 0;
    const bool shows =
        is_pubsub ? shows_channels(call) : (dbs >> tiers_coherence_db(call->node->tiers) & 1) != 0;
    if (!shows || call->command->run == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(hiding) / sizeof(hiding[0]); i++) {
        if (strcmp(call->command->full_name, hiding[i].name) == 0) {
            return hiding[i].script;
        }
    }
    return NULL;
}

enum status hiding_request(const struct call *call, const char *script, struct buf *out)
{
    const uint32_t first = strchr(call->command->full_name, '|') == NULL ? 1 : 2;
    struct slice *words = malloc((call->argc + 3) * sizeof(*words));
    if (words == NULL) {
        return NO_MEMORY;
    }
    words[0] = SLICE_LITERAL("EVAL");
    words[1] = slice_of(script);
    words[2] = SLICE_LITERAL("0");
    size_t count = 3;
    for (uint32_t i = first; i < call->argc; i++) {
        words[count++] = call->argv[i];
    }
    const enum status status = resp_append_request(out, count, words);
    free(words);
    return status;
}
