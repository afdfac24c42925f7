/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/rights.h"

#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "tiers/bus_reply.h"
#include "tiers/coherence.h"

#include <stdio.h>
#include <string.h>

#define NOTHING "terrace:nothing"

/* In the order of the requests. */
enum step {
    STEP_SELECT,
    STEP_BEAT,
    STEP_MULTI,
    STEP_WAIT,
    STEP_INCR,
    STEP_HGETALL,
    STEP_HDEL,
    STEP_DEL,
    STEP_EXEC,
    STEP_PTTL,
    STEP_GET,
    STEP_PUBLISH,
    STEP_KILL,
    STEP_COMMAND,
    STEP_INFO,
    STEP_CLOCK,
    STEP_GETRANGE,
    STEP_STRLEN,
    STEP_HLEN,
    STEP_TRACKING,
    STEP_SUBSCRIBE,
    STEPS
};

enum {
    STEP_WORDS_MAX = 4,
    TRACKING_BIT = 1 << STEP_TRACKING,
    WARMING_BITS = 1 << STEP_GETRANGE | 1 << STEP_STRLEN | 1 << STEP_HLEN
};

static const struct {
    const char *name;
    const char *words[STEP_WORDS_MAX]; /* none: written by others */
} steps[STEPS] = {
    [STEP_SELECT] = {"SELECT coherence-db", {NULL}},
    [STEP_BEAT] = {"EVAL of the beat", {NULL}},
    [STEP_MULTI] = {"MULTI", {"MULTI"}},
    [STEP_WAIT] = {"WAIT", {"WAIT", "0", "0"}},
    [STEP_INCR] = {"INCR of terrace:*", {"INCR", NOTHING}},
    [STEP_HGETALL] = {"HGETALL of terrace:*", {"HGETALL", NOTHING}},
    [STEP_HDEL] = {"HDEL of terrace:*", {"HDEL", NOTHING, "0"}},
    [STEP_DEL] = {"DEL of terrace:*", {"DEL", NOTHING}},
    [STEP_EXEC] = {"EXEC", {"EXEC"}},
    [STEP_PTTL] = {"PTTL", {"PTTL", NOTHING}},
    [STEP_GET] = {"GET", {"GET", NOTHING}},
    [STEP_PUBLISH] = {"PUBLISH on terrace:*", {"PUBLISH", NOTHING, ""}},
    [STEP_KILL] = {"CLIENT KILL", {"CLIENT", "KILL", "ID", "9223372036854775807"}},
    [STEP_COMMAND] = {"COMMAND", {"COMMAND", "COUNT"}},
    [STEP_INFO] = {"INFO", {"INFO", "memory"}},
    [STEP_CLOCK] = {"INFO server", {"INFO", "server"}},
    [STEP_GETRANGE] = {"GETRANGE", {"GETRANGE", NOTHING, "0", "0"}},
    [STEP_STRLEN] = {"STRLEN", {"STRLEN", NOTHING}},
    [STEP_HLEN] = {"HLEN", {"HLEN", NOTHING}},
    [STEP_TRACKING] = {"CLIENT TRACKING", {NULL}},
    [STEP_SUBSCRIBE] = {"SUBSCRIBE to " BUS_CHANNEL_KEYS " and " BUS_CHANNEL_FRAMES, {NULL}},
};

/* --- asking -------------------------------------------------------------------------------------------------------- */

static enum status step_write(struct buf *out, enum step step)
{
    struct slice words[STEP_WORDS_MAX];
    size_t count = 0;
    while (count < STEP_WORDS_MAX && steps[step].words[count] != NULL) {
        words[count] = slice_of(steps[step].words[count]);
        count++;
    }
    return resp_append_request(out, count, words);
}

enum status rights_write(struct rights *rights, const struct beat_request *greeting,
                         uint64_t client_id, struct buf *out)
{
    *rights = (struct rights){.maxmemory = -1};
    char digits[12];
    (void)snprintf(digits, sizeof digits, "%u", greeting->coherence_db);
    const struct slice select[] = {SLICE_LITERAL("SELECT"), slice_of(digits)};
    enum status status = resp_append_request(out, 2, select);
    if (status == OK) {
        status = beat_write(out, greeting);
    }
    for (enum step step = STEP_MULTI; step < STEP_TRACKING && status == OK; step++) {
        status = step_write(out, step);
    }
    /* Last, since a subscribed connection may say little else; and in the bus' own words. */
    return status == OK ? coherence_bus_greeting(out, client_id) : status;
}

/* --- what is answered ---------------------------------------------------------------------------------------------- */

static bool contains(struct slice text, const char *words)
{
    return text.size > 0 && memmem(text.data, text.size, words, strlen(words)) != NULL;
}

/* In a script Redis 6 and 7.0 say "The user executing the script can't ...", later ones "ACL failure in script". */
bool rights_is_refusal(struct slice text)
{
    return slice_begins(text, "NOPERM") || contains(text, "The user executing the script can't") ||
           contains(text, "ACL failure in script");
}

bool rights_is_unknown(struct slice text)
{
    return slice_begins(text, "ERR unknown ") || slice_begins(text, "ERR Unknown ");
}

bool rights_is_denial(struct slice text)
{
    return rights_is_refusal(text) || rights_is_unknown(text);
}

static void take_error(struct rights *rights, struct slice text)
{
    const uint32_t bit = 1u << rights->step;
    if (rights_is_refusal(text)) {
        rights->refused |= bit;
    } else if (rights_is_unknown(text)) {
        rights->unknown |= bit;
    } else {
        return;
    }
    if (rights->why[0] == '\0') {
        for (size_t i = 0; i < text.size && i + 1 < sizeof rights->why; i++) {
            rights->why[i] =
                (char)(text.data[i] >= ' ' && text.data[i] < 0x7f ? text.data[i] : ' ');
        }
    }
}

/* "name:value" of INFO; empty: not there. */
static struct slice info_value(struct slice info, const char *name)
{
    const char *at = memmem(info.data, info.size, name, strlen(name));
    if (at == NULL) {
        return (struct slice){0};
    }
    at += strlen(name);
    size_t size = 0;
    while (at + size < info.data + info.size && at[size] > ' ') {
        size++;
    }
    return (struct slice){.data = at, .size = size};
}

static void take_memory(struct rights *rights, struct slice info)
{
    const struct slice limit = info_value(info, "\nmaxmemory:");
    const struct slice policy = info_value(info, "\nmaxmemory_policy:");
    if (limit.size == 0 || slice_to_i64(limit, &rights->maxmemory) != OK ||
        policy.size >= sizeof rights->policy) {
        rights->maxmemory = -1;
        return;
    }
    (void)snprintf(rights->policy, sizeof rights->policy, "%.*s", (int)policy.size, policy.data);
}

/* Redis since 6.2 tells its clock; TIME would need a right of its own. */
static void take_clock(struct rights *rights, struct slice info)
{
    const struct slice clock = info_value(info, "\nserver_time_usec:");
    if (clock.size == 0 || slice_to_i64(clock, &rights->clock_us) != OK) {
        rights->clock_us = 0;
    }
}

static enum status take_beat(struct rights *rights, struct slice reply)
{
    struct beat_answer answer;
    char error[BEAT_ERROR_MAX];
    const enum status status = beat_read(reply, &answer, error);
    if (status == OK) {
        rights->run = answer.run;
        return AGAIN;
    }
    return strncmp(error, "LOADING ", 8) == 0 || strncmp(error, "BUSY ", 5) == 0 ? BUSY : AGAIN;
}

enum status rights_take(struct rights *rights, struct slice reply)
{
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (rights->step >= STEPS) {
        return OK;
    }
    if (reply_next(&cursor, &element) != OK) {
        return BUSY;
    }
    if (element.type == REPLY_ERROR) {
        take_error(rights, element.text);
    } else if (rights->step == STEP_INFO && element.type == REPLY_BULK) {
        take_memory(rights, element.text);
    } else if (rights->step == STEP_CLOCK && element.type == REPLY_BULK) {
        take_clock(rights, element.text);
    }
    enum status status = rights->step == STEP_BEAT ? take_beat(rights, reply) : AGAIN;
    rights->step++;
    return status == AGAIN && rights->step == STEPS ? OK : status;
}

/* --- the verdict --------------------------------------------------------------------------------------------------- */

bool rights_suffice(const struct rights *rights)
{
    /* Without CLIENT TRACKING there is another way (coherence.h, "Untracked"). Without CLIENT KILL a lost write may still
     * run after UNKNOWN was said, and the client is told so; without COMMAND only what the node knows itself is relayed.
     * A user who lacks them can be given them; a server cannot. */
    const uint32_t spared = TRACKING_BIT | WARMING_BITS;
    const uint32_t spared_of_servers = spared | 1u << STEP_KILL | 1u << STEP_COMMAND;
    return (rights->refused & ~spared) == 0 && (rights->unknown & ~spared_of_servers) == 0;
}

bool rights_track(const struct rights *rights)
{
    return ((rights->refused | rights->unknown) & TRACKING_BIT) == 0;
}

bool rights_warm(const struct rights *rights)
{
    return ((rights->refused | rights->unknown) & WARMING_BITS) == 0;
}

bool rights_may_evict(const struct rights *rights)
{
    return rights->maxmemory > 0 && strncmp(rights->policy, "allkeys-", 8) == 0;
}

void rights_missing(const struct rights *rights, char dst[RIGHTS_TEXT_MAX])
{
    const uint32_t missing = rights->refused | rights->unknown;
    size_t used = 0;
    dst[0] = '\0';
    for (unsigned step = 0; step < STEPS; step++) {
        if ((missing & 1u << step) == 0) {
            continue;
        }
        const bool is_last = missing >> step == 1;
        const int size = snprintf(dst + used, RIGHTS_TEXT_MAX - used, "%s%s",
                                  used == 0 ? ""
                                  : is_last ? " and "
                                            : ", ",
                                  steps[step].name);
        used += size > 0 ? (size_t)size : 0;
        if (used >= RIGHTS_TEXT_MAX) {
            return;
        }
    }
}
