/* SPDX-License-Identifier: BSD-3-Clause */
/* DEBUG, as far as test suites want it and no further: nothing here ends the process or blocks a loop. What looks at data, or
 * at how Redis keeps them, L2 is asked for; it refuses unless its own enable-debug-command allows it. */
#include "protocol/check.h"
#include "protocol/fields.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/object.h"
#include "server/relay.h"
#include "server/subcommand.h"
#include "server/worker.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

/* --- SLEEP ------------------------------------------------------------------------------------------------------- */

/* Redis sleeps and with it everybody; here only this client waits. Looks up in short steps, so that a
 * worker that stops need not wait for it. */
enum {
    NAP_STEP_MS = 50,
    NAP_SECONDS_MAX = 3600
};

struct nap {
    uv_timer_t timer;
    struct answer *answer;
    uint64_t wake_at_ns;
};

static void nap_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void nap_on_timer(uv_timer_t *timer)
{
    struct nap *nap = timer->data;
    bool over = clock_monotonic_ns() >= nap->wake_at_ns;
    if (!over && nap->answer->conn != NULL && !nap->answer->worker->draining) {
        return;
    }
    (void)uv_timer_stop(timer);
    uv_close((uv_handle_t *)timer, nap_on_closed);
    if (nap->answer->conn != NULL) {
        conn_unhold(nap->answer->conn, HOLD_ALONE);
    }
    reply_ok(&nap->answer->reply);
    answer_land(nap->answer);
}

static void debug_sleep(struct call *call)
{
    char text[64];
    size_t size = call->argv[2].size < sizeof(text) - 1 ? call->argv[2].size : sizeof(text) - 1;
    memcpy(text, call->argv[2].data, size);
    text[size] = '\0';
    double seconds = strtod(text, NULL); /* no number: 0, as Redis */
    if (!(seconds > 0)) {
        reply_ok(call->reply);
        return;
    }
    seconds = seconds < NAP_SECONDS_MAX ? seconds : NAP_SECONDS_MAX;
    struct nap *nap = calloc(1, sizeof(*nap));
    if (nap == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    nap->answer = call_defer(call, WAIT_LOCAL);
    conn_hold(call->conn, HOLD_ALONE);
    uint64_t first_ms = seconds * 1000 < NAP_STEP_MS ? (uint64_t)(seconds * 1000) + 1 : NAP_STEP_MS;
    nap->wake_at_ns = clock_monotonic_ns() + (uint64_t)(seconds * 1e9);
    nap->timer.data = nap;
    (void)uv_timer_init(&call->worker->loop, &nap->timer);
    (void)uv_timer_start(&nap->timer, nap_on_timer, first_ms, first_ms);
}

/* --- OBJECT ------------------------------------------------------------------------------------------------------ */

static void debug_object(struct call *call)
{
    struct ns_key key = call_key(call, 2);
    struct item *item = l1_hold(key.ns->l1, &key.at, call->now_ms);
    struct l1_peek peek = {.idle_ms = -1};
    if (item == NULL || l1_peek(key.ns->l1, &key.at, call->now_ms, 0, &peek) != OK) {
        reply_error(call->reply, "ERR no such key");
    } else {
        char text[256];
        int64_t idle_s = peek.idle_ms < 0 ? 0 : peek.idle_ms / 1000;
        (void)snprintf(
            text, sizeof(text),
            "Value at:%p refcount:%lld encoding:%s serializedlength:%zu lru:%lld lru_seconds_idle:%lld",
            (void *)item, (long long)object_refcount(item_value(item), item_look(item)),
            object_encoding(item_value(item), item_look(item)), item_value(item).size + 1,
            (long long)(call->now_ms / 1000 - idle_s) & 0xffffff, (long long)idle_s);
        reply_status(call->reply, text);
    }
    item_release(item);
}

/* --- DIGEST-VALUE ------------------------------------------------------------------------------------------------ */

struct digest {
    unsigned char bytes[SHA_DIGEST_LENGTH];
};

/* In any order the same. */
static void digest_add(struct digest *digest, struct slice bytes)
{
    struct digest one;
    CHECK(SHA1((const unsigned char *)bytes.data, bytes.size, one.bytes) != NULL);
    for (size_t i = 0; i < sizeof(one.bytes); i++) {
        digest->bytes[i] ^= one.bytes[i];
    }
}

static struct slice digest_slice(const struct digest *digest)
{
    return (struct slice){(const char *)digest->bytes, sizeof(digest->bytes)};
}

/* In this order only. */
static void digest_mix(struct digest *digest, struct slice bytes)
{
    struct digest mixed;
    digest_add(digest, bytes);
    CHECK(SHA1(digest->bytes, sizeof(digest->bytes), mixed.bytes) != NULL);
    *digest = mixed;
}

static struct digest digest_of(const struct item *item)
{
    static const char type_string[] = {0, 0, 0, 0};
    static const char type_hash[] = {0, 0, 0, 4};
    struct digest digest = {{0}};
    struct fields_pair pair;
    size_t at = 0;
    digest_mix(&digest, (struct slice){item_is_hash(item) ? type_hash : type_string, 4});
    if (!item_is_hash(item)) {
        digest_mix(&digest, item_value(item));
    }
    while (item_is_hash(item) && fields_next(item_value(item), &at, &pair)) {
        struct digest field = {{0}};
        digest_mix(&field, pair.field);
        digest_mix(&field, pair.value);
        digest_add(&digest, digest_slice(&field));
    }
    if (item_expire_at_ms(item) != ITEM_NEVER) {
        digest_add(&digest, SLICE_LITERAL("!!expire!!"));
    }
    return digest;
}

/* As Redis computes it; a key that is not there has zeros. */
static void debug_digest_value(struct call *call)
{
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct ns_key key = call_key(call, i);
        struct item *item = call_hold(call, &key);
        const struct digest digest = item != NULL ? digest_of(item) : (struct digest){{0}};
        char hex[2 * SHA_DIGEST_LENGTH + 1];
        for (size_t j = 0; j < SHA_DIGEST_LENGTH; j++) {
            (void)snprintf(hex + 2 * j, 3, "%02x", digest.bytes[j]);
        }
        reply_status(call->reply, hex);
        item_release(item);
    }
}

/* --- PROTOCOL ---------------------------------------------------------------------------------------------------- */

static void three_numbers(struct reply *reply)
{
    for (int i = 0; i < 3; i++) {
        reply_integer(reply, i);
    }
}

static void protocol_array(struct reply *reply)
{
    reply_array(reply, 3);
    three_numbers(reply);
}

static void protocol_set(struct reply *reply)
{
    reply_set(reply, 3);
    three_numbers(reply);
}

static void protocol_map(struct reply *reply)
{
    reply_map(reply, 3);
    for (int i = 0; i < 3; i++) {
        reply_integer(reply, i);
        reply_boolean(reply, i == 1);
    }
}

static void protocol_string(struct reply *reply)
{
    reply_bulk_text(reply, "Hello World");
}

static void protocol_integer(struct reply *reply)
{
    reply_integer(reply, 12345);
}

static void protocol_double(struct reply *reply)
{
    reply_double_text(reply, SLICE_LITERAL("3.141"));
}

static void protocol_bignum(struct reply *reply)
{
    if (reply->proto == 2) {
        reply_bulk_text(reply, "1234567999999999999999999999999999999");
    } else {
        reply_raw(reply, SLICE_LITERAL("(1234567999999999999999999999999999999\r\n"));
    }
}

static void protocol_verbatim(struct reply *reply)
{
    reply_verbatim(reply, SLICE_LITERAL("This is a verbatim\nstring"));
}

static void protocol_attribute(struct reply *reply)
{
    if (reply->proto == 3) {
        reply_raw(reply,
                  SLICE_LITERAL("|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"));
    }
    reply_bulk_text(reply, "Some real reply following the attribute");
}

static void protocol_push(struct reply *reply)
{
    if (reply->proto == 2) {
        reply_error(reply, "ERR RESP2 is not supported by this command");
        return;
    }
    reply_raw(reply, SLICE_LITERAL(">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n"));
    reply_bulk_text(reply, "Some real reply following the push reply");
}

static void protocol_true(struct reply *reply)
{
    reply_boolean(reply, true);
}

static void protocol_false(struct reply *reply)
{
    reply_boolean(reply, false);
}

static void debug_protocol(struct call *call)
{
    static const struct {
        const char *name;
        void (*answer)(struct reply *reply);
    } types[] = {
        {"string", protocol_string},
        {"integer", protocol_integer},
        {"double", protocol_double},
        {"bignum", protocol_bignum},
        {"null", reply_null},
        {"array", protocol_array},
        {"set", protocol_set},
        {"map", protocol_map},
        {"attrib", protocol_attribute},
        {"push", protocol_push},
        {"verbatim", protocol_verbatim},
        {"true", protocol_true},
        {"false", protocol_false},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (slice_is_nocase(call->argv[2], types[i].name)) {
            types[i].answer(call->reply);
            return;
        }
    }
    reply_error(call->reply,
                "ERR Wrong protocol type name. Please use one of the following: "
                "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false");
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */

static void debug_error(struct call *call)
{
    reply_errorf(call->reply, "%.*s", call->argv[2].size > 1000 ? 1000 : (int)call->argv[2].size,
                 call->argv[2].data);
}

static void debug_ok(struct call *call)
{
    reply_ok(call->reply);
}

/* What has expired is met by who asks for it, and by nobody else. */
static void debug_set_active_expire(struct call *call)
{
    atomic_store(&call->node->live.sweeps_not, slice_is(call->argv[2], "0"));
    reply_ok(call->reply);
}

static void debug_help(struct call *call)
{
    static const char *const lines[] = {
        "ERROR <string>",
        "    Answer with this error.",
        "OBJECT <key>",
        "    Show what is known about a value.",
        "PROTOCOL <type>",
        "    Answer with a test value of the type: string, integer, double, bignum, null, array, set, map, attrib,",
        "    push, verbatim, true, false.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Sums of the values, equal if these are.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Whether what has expired goes though nobody asks for it.",
        "SLEEP <seconds>",
        "    Answer after <seconds>; nobody else waits.",
        "DICT-RESIZING, DIGEST, DIGEST-VALUE, HTSTATS, HTSTATS-KEY, LISTPACK, POPULATE, QUICKLIST, SDSLEN, STRINGMATCH-LEN",
        "    With an L2: asked of it, and so are OBJECT, QUICKLIST-PACKED-THRESHOLD and SET-ACTIVE-EXPIRE.",
        "CHANGE-REPL-ID, LOG, PAUSE-CRON, QUICKLIST-PACKED-THRESHOLD, RELOAD, SET-SKIP-CHECKSUM-VALIDATION",
        "    Accepted without effect.",
    };
    reply_help(call->reply, "DEBUG", lines, sizeof(lines) / sizeof(lines[0]));
}

/* What L2 is asked for, if there is one. None of it can end it. */
static bool is_about_data(struct slice subcommand)
{
    static const char *const names[] = {
        "dict-resizing",
        "digest",
        "digest-value",
        "htstats",
        "htstats-key",
        "listpack",
        "object",
        "populate",
        "quicklist",
        "sdslen",
        "ziplist",
        "quicklist-packed-threshold",
        "set-active-expire",
        "set-disable-deny-scripts",
        "stringmatch-len",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_is_nocase(subcommand, names[i])) {
            return true;
        }
    }
    return false;
}

void cmd_debug(struct call *call)
{
    static const struct {
        const char *name;
        uint32_t argc; /* 0: any */
        void (*run)(struct call *call);
    } subcommands[] = {
        {"sleep", 3, debug_sleep},
        {"object", 3, debug_object},
        {"digest-value", 0, debug_digest_value},
        {"protocol", 3, debug_protocol},
        {"error", 3, debug_error},
        {"log", 3, debug_ok},
        {"reload", 0, debug_ok},
        {"change-repl-id", 2, debug_ok},
        {"pause-cron", 3, debug_ok},
        {"set-active-expire", 3, debug_set_active_expire},
        {"quicklist-packed-threshold", 3, debug_ok},
        {"set-skip-checksum-validation", 3, debug_ok},
        {"help", 2, debug_help},
    };
    (void)pthread_mutex_lock(
        &call->node->options_lock); /* it never changes, but a reload writes it */
    const bool is_allowed = call->node->options.enable_debug_command;
    (void)pthread_mutex_unlock(&call->node->options_lock);
    if (!is_allowed) {
        reply_error(call->reply,
                    "ERR DEBUG command not allowed. The node must be started with the option "
                    "enable-debug-command set to \"yes\".");
        return;
    }
    if (call->node->tiers != NULL && is_about_data(call->argv[1])) {
        relay_call(call);
        return;
    }
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        if (slice_is_nocase(call->argv[1], subcommands[i].name) &&
            (subcommands[i].argc == 0 || subcommands[i].argc == call->argc)) {
            subcommands[i].run(call);
            return;
        }
    }
    subcommand_error(call, "DEBUG");
}
