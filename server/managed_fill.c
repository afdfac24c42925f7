/* SPDX-License-Identifier: BSD-3-Clause */
/* How a load ends that CACHE.FETCH gave to a client (managed_fetch.c, tiers/load.h).
 *
 *      CACHE.FILL key token value [PX ms] [SWR ms] [SIE ms] [TAGS n tag ...]     -> the seq of the write, or -LOST
 *      CACHE.FAIL key token [NEG ms]                                             -> OK, or -LOST
 *
 * What was written or invalidated since the load began ends its lease, and then nothing of it is stored: LOST. Tags and
 * prefixes that were invalidated end nothing; but what was loaded before is dead on arrival, for its version is older.
 *      FAIL says that there is no value now: who waits gets what is stale, else an error (load_fail). With NEG it says that
 * there is no such thing, and that nobody needs to look for it for so long: a negative entry is stored. */
#include "protocol/envelope.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/faults.h"
#include "server/leases.h"
#include "server/managed.h"
#include "server/managed_edit.h"
#include "server/node.h"
#include "server/put_options.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/load.h"

#include <stdlib.h>
#include <string.h>

#define NEGATIVE_MS_MAX 60000 /* as the text below says */

/* The token at argv[2]. false: it is no token, and that is answered. */
static bool read_token(struct call *call, char token[LEASE_TOKEN_SIZE])
{
    if (!lease_is_token(call->argv[2])) {
        fault_value(call, 2,
                    "ERR a token is the 16 letters and digits that CACHE.FETCH answers with LOAD, "
                    "its fifth element");
        return false;
    }
    memcpy(token, call->argv[2].data, LEASE_TOKEN_SIZE);
    return true;
}

static void reply_lost(struct reply *reply, struct slice key)
{
    fault_key(reply, key,
              "LOST the key was written or invalidated since its load began, or the load took too "
              "long",
              "nothing was stored, and CACHE.FETCH says what stands now");
}

static void lost(const struct edit *edit, struct reply *reply)
{
    reply_lost(reply, edit->write.key.bytes);
}

/* --- CACHE.FILL ------------------------------------------------------------------------------------------------------- */

static bool fill_decide(struct edit *edit, struct reply *reply)
{
    return edit_put(edit, reply, edit_life_ms(edit));
}

static void fill_answer(const struct edit *edit, struct reply *reply, uint64_t seq)
{
    (void)edit;
    reply_integer(reply, (int64_t)seq);
}

void managed_fill(struct call *call)
{
    static const struct edit_rule rule = {
        .decide = fill_decide, .answer = fill_answer, .lost = lost};
    struct put_options options;
    struct edit model = {.rule = &rule, .leased = true, .value = call->argv[3]};
    if (!put_options_parse(call, 4, &options) || !read_token(call, model.token)) {
        return;
    }
    model.is_timed = options.px_ms != PUT_UNSAID;
    model.life_ms = options.px_ms;
    model.wishes = (struct edit_wishes){.swr_ms = options.swr_ms,
                                        .sie_ms = options.sie_ms,
                                        .tags = options.tags,
                                        .tag_count = options.tag_count};
    edit_begin(call, &model);
}

/* --- CACHE.FAIL ------------------------------------------------------------------------------------------------------- */

static void on_failed(void *arg, enum status status, struct slice key, struct slice error)
{
    struct answer *answer = arg;
    if (status == OK) {
        reply_ok(&answer->reply);
    } else if (status == MISS) {
        reply_lost(&answer->reply, key);
    } else {
        relay_refuse_read(&answer->reply, answer->worker, status, error);
    }
    answer_land(answer);
}

static bool negative_decide(struct edit *edit, struct reply *reply)
{
    return edit_put_negative(edit, reply, edit_life_ms(edit));
}

static void negative_answer(const struct edit *edit, struct reply *reply, uint64_t seq)
{
    (void)edit;
    (void)seq;
    reply_ok(reply);
}

static bool read_negative(struct call *call, int64_t *ret_ms)
{
    if (!slice_is_nocase(call->argv[3], "neg")) {
        fault_word(call, 3, "NEG ms, or nothing");
        return false;
    }
    if (call->argc != 5) {
        fault_word(call, call->argc < 5 ? 4 : 5, call->argc < 5 ? "milliseconds" : "nothing more");
        return false;
    }
    if (slice_to_i64(call->argv[4], ret_ms) != OK || *ret_ms < 1 || *ret_ms > NEGATIVE_MS_MAX) {
        fault_value(call, 4, "ERR NEG must be milliseconds from 1 to 60000");
        return false;
    }
    return true;
}

void managed_fail(struct call *call)
{
    static const struct edit_rule rule = {
        .decide = negative_decide, .answer = negative_answer, .lost = lost};
    struct edit model = {.rule = &rule, .leased = true, .is_timed = true};
    if ((call->argc > 3 && !read_negative(call, &model.life_ms)) ||
        !read_token(call, model.token)) {
        return;
    }
    if (call->argc > 3) {
        edit_begin(call, &model);
        return;
    }
    const struct ns_key key = call_key(call, 1);
    struct lease_call *end = load_fail(call->worker->window, &key, model.token, on_failed);
    if (end == NULL) {
        relay_refuse_read(call->reply, call->worker, L2_DOWN, (struct slice){0});
    } else {
        load_fail_tells(end, call_defer(call, WAIT_LOCAL));
    }
}

/* --- keys that are not managed ---------------------------------------------------------------------------------------- */

static void refuse_plain(struct call *call)
{
    fault_key(call->reply, call->argv[1], "ERR key belongs to no managed namespace",
              "no load is given to clients there: use SET");
}

void cmd_cache_fill(struct call *call)
{
    refuse_plain(call);
}

void cmd_cache_fail(struct call *call)
{
    refuse_plain(call);
}
