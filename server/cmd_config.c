/* SPDX-License-Identifier: BSD-3-Clause */
/* CONFIG: the settings of the node. Those that act on the data (config_names.def) are asked of L2 while it is up, if
 * the call names no others. */
#include "server/call.h"
#include "server/cmd_command.h"
#include "server/commands.h"
#include "server/config_names.h"
#include "server/node.h"
#include "server/totals.h"
#include "tiers/base/glob.h"

#include <string.h>

enum {
    SHOWN_MAX = 128
}; /* bytes of a client's word in an error */

static int shown_size(struct slice text)
{
    return text.size < SHOWN_MAX ? (int)text.size : SHOWN_MAX;
}

/* Every `step`-th argument from argv[2] on names a setting of the data. */
static bool all_act_on_data(const struct call *call, uint32_t step)
{
    for (uint32_t i = 2; i < call->argc; i += step) {
        unsigned index = 0;
        struct config_name name;
        if (!config_name_find(call->argv[i], &index) || !config_name_at(index, &name) ||
            name.kind != CONFIG_DATA) {
            return false;
        }
    }
    return true;
}

/* --- CONFIG GET ----------------------------------------------------------------------------------- */

/* Which settings a GET asked for. A name without wildcards is answered as the client wrote it, as in Redis. */
struct wanted {
    bool is[CONFIG_NAMES_MAX];
    struct slice written[CONFIG_NAMES_MAX];
    size_t count;
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

static void want_all_that_match(struct wanted *wanted, struct slice pattern)
{
    struct config_name name;
    for (unsigned i = 0; config_name_at(i, &name); i++) {
        if (glob_match(pattern, slice_of(name.name), true)) {
            want(wanted, i, slice_of(name.name));
        }
    }
}

static enum status append_values(struct node *node, const struct wanted *wanted,
                                 struct buf values[CONFIG_NAMES_MAX])
{
    enum status status = OK;
    struct config_name name;
    (void)pthread_mutex_lock(&node->options_lock);
    for (unsigned i = 0; status == OK && config_name_at(i, &name); i++) {
        if (wanted->is[i]) {
            status = config_name_format(node, &name, &values[i]);
        }
    }
    (void)pthread_mutex_unlock(&node->options_lock);
    return status;
}

static void reply_wanted(struct call *call, const struct wanted *wanted)
{
    struct buf values[CONFIG_NAMES_MAX];
    memset(values, 0, sizeof(values));
    if (append_values(call->node, wanted, values) == OK) {
        reply_map(call->reply, wanted->count);
        for (unsigned i = 0; i < CONFIG_NAMES_MAX; i++) {
            if (wanted->is[i]) {
                reply_bulk(call->reply, wanted->written[i]);
                reply_bulk(call->reply, buf_slice(&values[i]));
            }
        }
    } else {
        reply_out_of_memory(call->reply);
    }
    for (unsigned i = 0; i < CONFIG_NAMES_MAX; i++) {
        buf_done(&values[i]);
    }
}

void cmd_config_get(struct call *call)
{
    if (all_act_on_data(call, 1) && command_ask_l2(call)) {
        return;
    }
    struct wanted wanted;
    memset(&wanted, 0, sizeof(wanted));
    for (uint32_t i = 2; i < call->argc; i++) {
        unsigned index = 0;
        if (is_pattern(call->argv[i])) {
            want_all_that_match(&wanted, call->argv[i]);
        } else if (config_name_find(call->argv[i], &index)) {
            want(&wanted, index, call->argv[i]);
        }
    }
    reply_wanted(call, &wanted);
}

/* --- CONFIG SET ----------------------------------------------------------------------------------- */

static void reply_failed(struct call *call, struct slice name, const char *reason)
{
    reply_errorf(call->reply, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                 shown_size(name), name.data, reason);
}

/* The names of all pairs, before anything changes. false: the first bad one is answered. No name may come twice, so
 * this ends after as many pairs as there are names, however long the call is. */
static bool names_are_good(struct call *call)
{
    bool seen[CONFIG_NAMES_MAX] = {false};
    for (uint32_t i = 2; i < call->argc; i += 2) {
        const struct slice written = call->argv[i];
        unsigned index = 0;
        struct config_name name;
        if (!config_name_find(written, &index) || !config_name_at(index, &name)) {
            reply_errorf(call->reply,
                         "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                         shown_size(written), written.data);
            return false;
        }
        if (config_name_is_locked(&name) || seen[index]) {
            reply_failed(call, written,
                         seen[index] ? "duplicate parameter" : "can't set immutable config");
            return false;
        }
        seen[index] = true;
    }
    return true;
}

/* All pairs into `next`. false: the bad one is answered. */
static bool assign_all(struct call *call, struct options *next)
{
    char reason[OPTION_REASON_MAX] = "out of memory";
    for (uint32_t i = 2; i < call->argc; i += 2) {
        unsigned index = 0;
        struct config_name name;
        if (!config_name_find(call->argv[i], &index) || !config_name_at(index, &name)) {
            return false; /* names_are_good looked before */
        }
        if (config_name_assign(next, &name, call->argv[i + 1], reason) != OK) {
            reply_failed(call, slice_of(name.name), reason);
            return false;
        }
    }
    struct option_place place; /* the client knows what it sent */
    const char *together = options_check_together(next, reason, &place);
    if (together != NULL) {
        reply_failed(call, call->argv[call->argc - 2], together);
    }
    return together == NULL;
}

/* As in Redis, files are read anew by any such name, even if its value is the same. */
static bool names_tls(const struct call *call)
{
    for (uint32_t i = 2; i < call->argc; i += 2) {
        const struct slice name = call->argv[i];
        const struct slice head = {name.data, name.size < 4 ? name.size : 4};
        const struct slice l2_head = {name.data, name.size < 7 ? name.size : 7};
        if (slice_is_nocase(head, "tls-") || slice_is_nocase(l2_head, "l2-tls-")) {
            return true;
        }
    }
    return false;
}

/* false: what is wrong with the files is answered. */
static bool load_tls(struct call *call, const struct options *next)
{
    char why[TLS_ERROR_MAX];
    if (!names_tls(call) || node_load_tls(call->node, next, why) == OK) {
        return true;
    }
    char reason[TLS_ERROR_MAX + 64];
    (void)snprintf(reason, sizeof(reason), "Unable to update TLS configuration. %s", why);
    reply_failed(call, call->argv[call->argc - 2], reason);
    log_write(&call->node->log, LOG_WARNING, "tls_refused", "%s; the old settings stay", why);
    return false;
}

/* The lock is held from the copy to the change, so that no other change is lost in between. */
static void set_all(struct call *call)
{
    struct node *node = call->node;
    struct options next;
    (void)pthread_mutex_lock(&node->options_lock);
    if (options_copy(&node->options, &next) != OK) {
        reply_out_of_memory(call->reply);
    } else if (!assign_all(call, &next) || !load_tls(call, &next)) {
        options_done(&next);
    } else {
        node_apply(node, &next);
        reply_ok(call->reply);
    }
    (void)pthread_mutex_unlock(&node->options_lock);
}

void cmd_config_set(struct call *call)
{
    if (call->argc % 2 != 0) {
        reply_syntax_error(call->reply);
        return;
    }
    if (names_are_good(call) && !(all_act_on_data(call, 2) && command_ask_l2(call))) {
        set_all(call);
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
