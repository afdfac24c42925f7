/* SPDX-License-Identifier: BSD-3-Clause */
/* CONFIG: the settings of the node, and those of L2 that act on the data (config_names.def), which are asked of L2.
 *
 * CONFIG SET of both at once: what is ours is checked first, then L2 decides about its part, then ours is applied. */
#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "server/call.h"
#include "server/commands.h"
#include "server/config_names.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/totals.h"
#include "server/worker.h"
#include "tiers/base/glob.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_MAX = 128
}; /* bytes of a client's word in an error */

static int shown_size(struct slice text)
{
    return text.size < SHOWN_MAX ? (int)text.size : SHOWN_MAX;
}

/* Each word is looked for among all names, by a worker that serves others, too; for SET under options_lock. */
static bool has_too_many(const struct call *call)
{
    const bool has = call->argc - 2 > CONFIG_WORDS_MAX;
    if (has) {
        reply_errorf(call->reply,
                     "ERR too many parameters: CONFIG GET and CONFIG SET take at most %d",
                     CONFIG_WORDS_MAX);
    }
    return has;
}

/* --- asking L2 ------------------------------------------------------------------------------------ */

/* One allocation: this, and the arguments with their bytes. */
struct config_question {
    struct tiers_relay relay; /* first */
    struct answer *answer;
    bool has_ours; /* not all of it is about settings of L2's */
    uint32_t argc;
    struct slice argv[];
};

static struct config_question *question_new(const struct call *call)
{
    size_t size = sizeof(struct config_question);
    for (uint32_t i = 0; i < call->argc; i++) {
        size += sizeof(call->argv[0]) + call->argv[i].size;
    }
    struct config_question *question = calloc(1, size);
    if (question == NULL) {
        return NULL;
    }
    question->argc = call->argc;
    char *bytes = (char *)&question->argv[call->argc];
    for (uint32_t i = 0; i < call->argc; i++) {
        const struct slice word = call->argv[i];
        question->argv[i] = (struct slice){bytes, word.size};
        if (word.size > 0) {
            memcpy(bytes, word.data, word.size);
        }
        bytes += word.size;
    }
    return question;
}

/* The call waits for the answer; the next one of its connection, too, for it may read what this changes. Takes the question
 * over. What is not OK says why L2 cannot be asked. */
static enum status question_send(struct call *call, struct config_question *question,
                                 const struct slice *words, size_t count)
{
    struct buf request = {0};
    enum status status = question == NULL ? NO_MEMORY : resp_append_request(&request, count, words);
    if (status == OK) {
        question->relay.keyless = true;
        question->relay.patient = true;
        status = tiers_relay(call->worker->window, &question->relay, call->conn->session.proto,
                             buf_slice(&request));
    }
    buf_done(&request);
    if (status != OK) {
        free(question);
        return status;
    }
    question->answer = call_defer(call, WAIT_LOCAL);
    conn_hold(call->conn, HOLD_ALONE);
    return OK;
}

static void question_end(struct config_question *question)
{
    struct answer *answer = question->answer;
    free(question);
    if (answer->conn != NULL) {
        conn_unhold(answer->conn, HOLD_ALONE);
    }
    answer_land(answer);
}

/* --- CONFIG GET ----------------------------------------------------------------------------------- */

/* Which settings a GET asked for. A name without wildcards is answered as the client wrote it, as in Redis. */
struct wanted {
    bool is[CONFIG_NAMES_MAX];
    struct slice written[CONFIG_NAMES_MAX];
    size_t count;
    bool asks_l2;
    bool names_ours; /* or might */
};

static void want(struct wanted *wanted, unsigned index, struct slice written)
{
    if (!wanted->is[index]) {
        wanted->is[index] = true;
        wanted->written[index] = written;
        wanted->count++;
    }
}

static bool is_pattern(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];
        if (c == '*' || c == '?' || c == '[') {
            return true;
        }
    }
    return false;
}

static void want_all_that_match(struct wanted *wanted, struct slice pattern, bool has_l2)
{
    struct config_name name;
    for (unsigned i = 0; config_name_at(i, &name); i++) {
        if (config_name_is_listed(&name) && !(has_l2 && config_name_is_l2(&name)) &&
            glob_match(pattern, slice_of(name.name), true)) {
            want(wanted, i, slice_of(name.name));
        }
    }
}

static void want_one(struct wanted *wanted, struct slice written, bool has_l2)
{
    unsigned index = 0;
    struct config_name name = {0};
    const bool known = config_name_by(written, &index, &name);
    if (has_l2 && (!known || config_name_is_l2(&name))) { /* a module of L2's may know it */
        wanted->asks_l2 = true;
        wanted->names_ours = wanted->names_ours || !known;
        return;
    }
    wanted->names_ours = true;
    if (known) {
        want(wanted, index, written);
    }
}

static void wanted_find(struct wanted *wanted, const struct slice *argv, uint32_t argc, bool has_l2)
{
    memset(wanted, 0, sizeof(*wanted));
    for (uint32_t i = 2; i < argc; i++) {
        if (is_pattern(argv[i])) {
            want_all_that_match(wanted, argv[i], has_l2);
            wanted->asks_l2 = has_l2;
            wanted->names_ours = true;
        } else {
            want_one(wanted, argv[i], has_l2);
        }
    }
}

/* The pairs of ours as they stand in the answer, whatever the protocol. */
static enum status append_values(struct node *node, const struct wanted *wanted, struct buf *pairs)
{
    enum status status = OK;
    (void)pthread_mutex_lock(&node->options_lock);
    for (unsigned i = 0; status == OK && i < CONFIG_NAMES_MAX; i++) {
        struct buf value = {0};
        if (wanted->is[i]) {
            status = config_name_format(node, i, &value);
            status = status == OK ? resp_append_bulk(pairs, wanted->written[i]) : status;
            status = status == OK ? resp_append_bulk(pairs, buf_slice(&value)) : status;
        }
        buf_done(&value);
    }
    (void)pthread_mutex_unlock(&node->options_lock);
    return status;
}

/* A pair of L2's is shown unless its name is ours. */
static bool is_shown(struct slice name)
{
    unsigned index = 0;
    struct config_name known;
    return !config_name_by(name, &index, &known) || config_name_is_l2(&known);
}

/* Adds the pairs that L2 answered. MALFORMED: that is no list of pairs. */
static enum status append_pairs(struct slice bytes, struct buf *pairs, size_t *count)
{
    struct reply_cursor cursor = {bytes};
    struct reply_element list;
    struct reply_element name;
    struct reply_element value;
    enum status status = reply_next(&cursor, &list);
    if (status == OK && list.type != REPLY_ARRAY && list.type != REPLY_MAP) {
        status = MALFORMED;
    }
    for (int64_t i = 0; status == OK && i + 1 < list.number; i += 2) {
        status = reply_next(&cursor, &name);
        status = status == OK ? reply_next(&cursor, &value) : status;
        if (status == OK && is_shown(name.text)) {
            ++*count;
            status = resp_append_bulk(pairs, name.text);
            status = status == OK ? resp_append_bulk(pairs, value.text) : status;
        }
    }
    return status;
}

/* With the pairs of L2's reply, unless that is empty. */
static void get_answer(struct node *node, struct reply *reply, const struct wanted *wanted,
                       struct slice from_l2)
{
    struct buf pairs = {0};
    size_t count = wanted->count;
    enum status status = append_values(node, wanted, &pairs);
    if (status == OK && from_l2.size > 0) {
        status = append_pairs(from_l2, &pairs, &count);
    }
    if (status == OK) {
        reply_map(reply, count);
        if (pairs.size > 0) {
            reply_raw(reply, buf_slice(&pairs));
        }
    } else {
        reply_out_of_memory(reply);
    }
    buf_done(&pairs);
}

static void get_on_reply(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct config_question *question = (struct config_question *)(void *)relay;
    struct answer *answer = question->answer;
    const bool is_told = status == OK && bytes.size > 0 && bytes.data[0] != REPLY_ERROR;
    if (is_told || question->has_ours) {
        struct wanted wanted;
        wanted_find(&wanted, question->argv, question->argc, true);
        get_answer(answer->worker->node, &answer->reply, &wanted,
                   is_told ? bytes : (struct slice){0});
    } else {
        relay_answer(answer, relay, status, bytes);
    }
    question_end(question);
}

/* Ours, with L2's if it can be asked; if it cannot, and nothing of ours was named, why. */
void cmd_config_get(struct call *call)
{
    struct wanted wanted;
    if (has_too_many(call)) {
        return;
    }
    wanted_find(&wanted, call->argv, call->argc, call->node->tiers != NULL);
    enum status status = L2_DOWN;
    if (wanted.asks_l2) {
        struct config_question *question = question_new(call);
        if (question != NULL) {
            question->relay.on_reply = get_on_reply;
            question->has_ours = wanted.names_ours;
        }
        status = question_send(call, question, call->argv, call->argc);
    }
    if (status != OK && wanted.asks_l2 && !wanted.names_ours) {
        relay_refuse(call->reply, call->worker, status);
    } else if (status != OK) {
        get_answer(call->node, call->reply, &wanted, (struct slice){0});
    }
}

/* --- CONFIG SET ----------------------------------------------------------------------------------- */

/* Pairs to set, and who is told what is wrong with them. */
struct assignment {
    struct node *node;
    const struct slice *argv; /* as the client sent them */
    uint32_t argc;
    struct reply *reply;
};

static bool is_for_l2(const struct node *node, struct slice written)
{
    unsigned index = 0;
    struct config_name name;
    return node->tiers != NULL &&
           (!config_name_by(written, &index, &name) || config_name_is_l2(&name));
}

static void reply_failed(struct reply *reply, struct slice name, const char *reason)
{
    reply_errorf(reply, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                 shown_size(name), name.data, reason);
}

/* The names of all pairs, before anything changes. false: the first bad one is answered. No known name may come twice, so
 * this ends after as many of them as there are, however long the call is. */
static bool names_are_good(const struct assignment *set)
{
    bool seen[CONFIG_NAMES_MAX] = {false};
    for (uint32_t i = 2; i < set->argc; i += 2) {
        const struct slice written = set->argv[i];
        unsigned index = 0;
        struct config_name name;
        if (!config_name_by(written, &index, &name)) {
            if (set->node->tiers != NULL) {
                continue; /* L2 says what it knows */
            }
            reply_errorf(set->reply,
                         "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                         shown_size(written), written.data);
            return false;
        }
        const char *reason = seen[index] ? "duplicate parameter"
                                         : config_name_refuses(set->node, &name, set->argv[i + 1]);
        if (reason != NULL) {
            reply_failed(set->reply, written, reason);
            return false;
        }
        seen[index] = true;
    }
    return true;
}

/* All pairs of ours into `change`. false: the bad one is answered. */
static bool assign_all(const struct assignment *set, struct config_change *change)
{
    char reason[OPTION_REASON_MAX] = "out of memory";
    struct slice last = {0};
    for (uint32_t i = 2; i < set->argc; i += 2) {
        unsigned index = 0;
        struct config_name name;
        if (is_for_l2(set->node, set->argv[i])) {
            continue;
        }
        CHECK(config_name_by(set->argv[i], &index, &name)); /* names_are_good looked before */
        if (config_change_assign(set->node, change, index, set->argv[i + 1], reason) != OK) {
            CHECK(config_name_at(index, &name)); /* as Redis, the first of two names */
            reply_failed(set->reply, slice_of(name.name), reason);
            return false;
        }
        last = set->argv[i];
    }
    struct option_place place; /* the client knows what it sent */
    const char *together = options_check_together(&change->options, reason, &place);
    if (together != NULL) {
        reply_failed(set->reply, last, together);
    }
    return together == NULL;
}

/* As in Redis, files are read anew by any such name, even if its value is the same. */
static bool names_tls(const struct assignment *set)
{
    for (uint32_t i = 2; i < set->argc; i += 2) {
        unsigned index = 0;
        struct config_name name;
        const bool is_option = config_name_by(set->argv[i], &index, &name) && name.option != NULL;
        if (is_option &&
            (strncmp(name.name, "tls-", 4) == 0 || strncmp(name.name, "l2-tls-", 7) == 0)) {
            return true;
        }
    }
    return false;
}

/* false: what is wrong with the files is answered. */
static bool load_tls(const struct assignment *set, const struct options *next)
{
    char why[TLS_ERROR_MAX];
    if (!names_tls(set) || node_load_tls(set->node, next, why) == OK) {
        return true;
    }
    char reason[TLS_ERROR_MAX + 64];
    (void)snprintf(reason, sizeof(reason), "Unable to update TLS configuration. %s", why);
    reply_failed(set->reply, set->argv[set->argc - 2], reason);
    log_write(&set->node->log, LOG_WARNING, "tls_refused", "%s; the old settings stay", why);
    return false;
}

/* What is ours, all or nothing; or, with `tries`, only whether it could be. The lock is held from the copy to the change, so
 * that no other change is lost in between. false: why not is answered. */
static bool set_ours(const struct assignment *set, bool tries)
{
    struct node *node = set->node;
    struct config_change change;
    memset(&change, 0, sizeof(change));
    (void)pthread_mutex_lock(&node->options_lock);
    bool good = names_are_good(set);
    if (good && options_copy(&node->options, &change.options) != OK) {
        reply_out_of_memory(set->reply);
        good = false;
    } else if (good) {
        good = assign_all(set, &change) && (tries || load_tls(set, &change.options));
        if (good && !tries) {
            config_change_keep(&node->config_kept, &change);
            node_apply(node, &change.options);
        } else {
            options_done(&change.options);
        }
    }
    (void)pthread_mutex_unlock(&node->options_lock);
    config_kept_done(&change.kept);
    return good;
}

static void set_on_reply(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct config_question *question = (struct config_question *)(void *)relay;
    struct answer *answer = question->answer;
    const struct assignment set = {answer->worker->node, question->argv, question->argc,
                                   &answer->reply};
    const bool is_done = status == OK && bytes.size > 0 && bytes.data[0] == REPLY_STATUS;
    if (!is_done || !question->has_ours || set_ours(&set, false)) {
        relay_answer(answer, relay, status, bytes);
    }
    question_end(question);
}

/* The pairs of L2's go there; what is ours follows when they have been taken. */
static void set_with_l2(struct call *call, size_t for_l2)
{
    struct slice *words = malloc((2 + 2 * for_l2) * sizeof(*words));
    struct config_question *question = words == NULL ? NULL : question_new(call);
    enum status status = NO_MEMORY;
    if (question != NULL) {
        size_t count = 0;
        words[count++] = SLICE_LITERAL("CONFIG");
        words[count++] = SLICE_LITERAL("SET");
        for (uint32_t i = 2; i < call->argc; i += 2) {
            if (is_for_l2(call->node, call->argv[i])) {
                words[count++] = call->argv[i];
                words[count++] = call->argv[i + 1];
            }
        }
        question->relay.on_reply = set_on_reply;
        question->relay.writes = true;
        question->has_ours = count < call->argc;
        status = question_send(call, question, words, count);
    }
    free(words);
    if (status != OK) {
        relay_refuse(call->reply, call->worker, status);
    }
}

void cmd_config_set(struct call *call)
{
    const struct assignment set = {call->node, call->argv, call->argc, call->reply};
    size_t for_l2 = 0;
    if (has_too_many(call)) {
        return;
    }
    if (call->argc % 2 != 0) {
        reply_syntax_error(call->reply);
        return;
    }
    for (uint32_t i = 2; i < call->argc; i += 2) {
        for_l2 += is_for_l2(call->node, call->argv[i]);
    }
    if (!set_ours(&set, for_l2 > 0)) {
        return;
    }
    if (for_l2 > 0) {
        set_with_l2(call, for_l2);
    } else {
        reply_ok(call->reply);
    }
}

/* --- the others ------------------------------------------------------------------------------------ */

void cmd_config_resetstat(struct call *call)
{
    totals_reset(call->node);
    reply_ok(call->reply);
}

void cmd_config_rewrite(struct call *call)
{
    (void)pthread_mutex_lock(&call->node->options_lock);
    const bool has_file = call->node->options.file != NULL;
    (void)pthread_mutex_unlock(&call->node->options_lock);
    reply_error(
        call->reply,
        has_file ? "ERR CONFIG REWRITE is refused by this node: it never writes to its config file"
                 : "ERR The server is running without a config file");
}

void cmd_config_help(struct call *call)
{
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
    };
    reply_help(call->reply, "CONFIG", lines, sizeof(lines) / sizeof(lines[0]));
}
