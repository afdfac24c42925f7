/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs that show what a node says of itself. */
#include "client/cli/commands.h"
#include "client/cli/json.h"
#include "protocol/info_text.h"

#include <string.h>

/* Opens, asks; false: it was told why not. */
static bool ask(struct cli *cli, struct cli_reply *reply, const char *command, const char *word,
                enum exit_code *ret_code)
{
    *ret_code = cli_open(cli);
    if (*ret_code != EXIT_FINE) {
        return false;
    }
    if (!cli_ask(cli, cli->all, reply, command, word, NULL)) {
        *ret_code = cli_fail_status(cli, reply->status, command, reply->error);
        cli_reply_done(reply);
        return false;
    }
    return true;
}

/* --- stats --------------------------------------------------------------------------------------------------------- */

static enum exit_code print_info(struct cli *cli, struct slice text)
{
    struct buf shown = {0};
    struct info_entry entry = {0};
    struct slice section = {"", 0};
    enum status status = OK;
    while (status == OK && info_next(&text, &entry)) {
        if (!slice_equal(section, entry.section)) {
            status = buf_printf(&shown, "%s%s# %.*s%s\n", section.size == 0 ? "" : "\n",
                                text_tone(TONE_TITLE, cli->color), (int)entry.section.size,
                                entry.section.data, text_plain(cli->color));
            section = entry.section;
        }
        if (status == OK) {
            status = buf_printf(&shown, "%.*s:", (int)entry.name.size, entry.name.data);
        }
        status = status == OK ? text_append_shown(&shown, entry.value) : status;
        status = status == OK ? buf_append(&shown, "\n", 1) : status;
    }
    const enum exit_code code = status == OK ? cli_print(cli, buf_slice(&shown), EXIT_FINE)
                                             : cli_fail(cli, EXIT_FAILED, "out of memory");
    buf_done(&shown);
    return code;
}

enum exit_code cmd_stats(struct cli *cli)
{
    struct cli_reply reply;
    enum exit_code code;
    const char *section = cli->words.argument_count == 0 ? "everything" : cli->words.arguments[0];
    if (!ask(cli, &reply, "INFO", section, &code)) {
        return code;
    }
    const struct slice text = tree_text(&reply.tree);
    if (text.size == 0) {
        code = cli_fail(cli, EXIT_USAGE, "there is no section '%s'", section);
    } else {
        code = cli->json ? cli_print_json(cli, json_info(text), EXIT_FINE) : print_info(cli, text);
    }
    cli_reply_done(&reply);
    return code;
}

/* --- nodes --------------------------------------------------------------------------------------------------------- */

static enum tone state_tone(struct slice state)
{
    return slice_is(state, "SYNCED") || slice_is(state, "ALONE")      ? TONE_GOOD
           : slice_is(state, "LEFT")                                  ? TONE_DIM
           : slice_is(state, "CATCHUP") || slice_is(state, "SUSPECT") ? TONE_WARN
                                                                      : TONE_BAD;
}

static void add_node(struct table *table, const struct tree *node)
{
    char ago[FIGURE_MAX];
    const struct slice state = tree_text(tree_find(node, "state"));
    const int64_t age_ms = tree_number(tree_find(node, "age_ms"), -1);
    const double ratio = tree_real(tree_find(node, "hit_ratio"), 0);
    const double weight = tree_real(tree_find(node, "weight"), 1);
    table_add(table, tree_text(tree_find(node, "id")), TONE_DIM);
    table_add(table, tree_text(tree_find(node, "address")),
              tree_number(tree_find(node, "self"), 0) != 0 ? TONE_BOLD : TONE_NONE);
    table_add(table, state, state_tone(state));
    table_addf(table, TONE_NONE, "%s", text_duration(ago, (double)age_ms / 1000));
    table_addf(table, TONE_NONE, "%.1f %%", ratio * 100);
    table_addf(table, weight < 1 ? TONE_WARN : TONE_NONE, "%.0f %%", weight * 100);
    table_addf(table, TONE_NONE, "%lld", (long long)tree_number(tree_find(node, "load"), 0));
    table_addf(table, TONE_NONE, "%lld", (long long)tree_number(tree_find(node, "applied_seq"), 0));
    table_add(table, tree_text(tree_find(node, "disagreement")), TONE_WARN);
}

enum exit_code cmd_nodes(struct cli *cli)
{
    struct cli_reply reply;
    enum exit_code code;
    if (!ask(cli, &reply, "CACHE.NODES", NULL, &code)) {
        return code;
    }
    if (cli->json) {
        code = cli_print_json(cli, json_pack("{s:o}", "nodes", tree_json(&reply.tree)), EXIT_FINE);
    } else {
        struct table table = {0};
        table_column(&table, "NODE", false);
        table_column(&table, "ADDRESS", false);
        table_column(&table, "STATE", false);
        table_column(&table, "HEARD", true);
        table_column(&table, "HITS", true);
        table_column(&table, "WEIGHT", true);
        table_column(&table, "CLIENTS", true);
        table_column(&table, "SEQ", true);
        table_column(&table, "DISAGREES", false);
        for (size_t i = 0; i < reply.tree.count; i++) {
            add_node(&table, tree_at(&reply.tree, i));
        }
        code = cli_print_table(cli, &table, EXIT_FINE);
    }
    cli_reply_done(&reply);
    return code;
}

/* --- namespaces ---------------------------------------------------------------------------------------------------- */

static void add_namespace(struct table *table, const struct tree *ns)
{
    char figure[FIGURE_MAX];
    char most[FIGURE_MAX];
    const double hits = (double)tree_number(tree_find(ns, "hits"), 0);
    const double misses = (double)tree_number(tree_find(ns, "misses"), 0);
    const int64_t ttl_ms = tree_number(tree_find(ns, "ttl_ms"), 0);
    table_add(table, tree_text(tree_find(ns, "name")), TONE_BOLD);
    table_add(table, tree_text(tree_find(ns, "prefix")), TONE_NONE);
    table_add(table, tree_text(tree_find(ns, "format")), TONE_NONE);
    table_add(table, tree_text(tree_find(ns, "mode")), TONE_NONE);
    table_add(table, tree_text(tree_find(ns, "policy")), TONE_NONE);
    table_addf(table, TONE_NONE, "%s",
               ttl_ms == 0 ? "-" : text_duration(figure, (double)ttl_ms / 1000));
    table_addf(table, TONE_NONE, "%s",
               text_count(figure, (double)tree_number(tree_find(ns, "items"), 0)));
    table_addf(table, TONE_NONE, "%s of %s",
               text_bytes(figure, (double)tree_number(tree_find(ns, "bytes"), 0)),
               text_bytes(most, (double)tree_number(tree_find(ns, "bytes_max"), 0)));
    if (hits + misses > 0) {
        table_addf(table, TONE_NONE, "%.1f %%", 100 * hits / (hits + misses));
    } else {
        table_addf(table, TONE_NONE, "-");
    }
    table_addf(table, TONE_NONE, "%s",
               text_count(figure, (double)tree_number(tree_find(ns, "ops_per_second"), 0)));
}

enum exit_code cmd_namespaces(struct cli *cli)
{
    struct cli_reply reply;
    enum exit_code code;
    if (!ask(cli, &reply, "CACHE.NAMESPACES", NULL, &code)) {
        return code;
    }
    if (cli->json) {
        code = cli_print_json(cli, json_pack("{s:o}", "namespaces", tree_json(&reply.tree)),
                              EXIT_FINE);
    } else {
        static const char *const titles[] = {"NAME", "PREFIX", "FORMAT", "MODE", "POLICY"};
        static const char *const figures[] = {"TTL", "ITEMS", "MEMORY", "HITS", "OPS/S"};
        struct table table = {0};
        for (size_t i = 0; i < 5; i++) {
            table_column(&table, titles[i], false);
        }
        for (size_t i = 0; i < 5; i++) {
            table_column(&table, figures[i], true);
        }
        for (size_t i = 0; i < reply.tree.count; i++) {
            add_namespace(&table, tree_at(&reply.tree, i));
        }
        code = cli_print_table(cli, &table, EXIT_FINE);
    }
    cli_reply_done(&reply);
    return code;
}

/* --- hot ----------------------------------------------------------------------------------------------------------- */

static void add_hot(struct table *table, const struct tree *key)
{
    char figure[FIGURE_MAX];
    table_add(table, tree_text(tree_find(key, "key")), TONE_BOLD);
    table_addf(table, TONE_NONE, "%lld", (long long)tree_number(tree_find(key, "db"), 0));
    table_add(table, tree_text(tree_find(key, "ns")), TONE_NONE);
    table_addf(table, TONE_NONE, "%s", text_count(figure, tree_real(tree_find(key, "per_s"), 0)));
    table_addf(table, TONE_DIM, "%s",
               text_count(figure, tree_real(tree_find(key, "error_per_s"), 0)));
    table_addf(table, TONE_NONE, "%lld", (long long)tree_number(tree_find(key, "heat"), 0));
}

enum exit_code cmd_hot(struct cli *cli)
{
    struct cli_reply reply;
    enum exit_code code;
    const char *count = cli->words.argument_count == 0 ? NULL : cli->words.arguments[0];
    if (!ask(cli, &reply, "CACHE.HOT", count, &code)) {
        return code;
    }
    if (cli->json) {
        code = cli_print_json(cli, json_pack("{s:o}", "keys", tree_json(&reply.tree)), EXIT_FINE);
    } else {
        struct table table = {0};
        table_column(&table, "KEY", false);
        table_column(&table, "DB", true);
        table_column(&table, "NAMESPACE", false);
        table_column(&table, "READS/S", true);
        table_column(&table, "AT MOST TOO HIGH", true);
        table_column(&table, "HEAT", true);
        for (size_t i = 0; i < reply.tree.count; i++) {
            add_hot(&table, tree_at(&reply.tree, i));
        }
        code = cli_print_table(cli, &table, EXIT_FINE);
    }
    cli_reply_done(&reply);
    return code;
}

/* --- explain, tags ------------------------------------------------------------------------------------------------- */

/* A field of CACHE.EXPLAIN; times in people's units, -1 as what it means. */
static void field_text(struct slice name, const struct tree *value, char *dst, size_t room)
{
    const bool is_ms = name.size > 3 && memmem(name.data, name.size, "_ms", 3) != NULL;
    const int64_t number = tree_number(value, -1);
    if (value->element.type == REPLY_NULL) {
        (void)snprintf(dst, room, "-");
    } else if (value->element.type != REPLY_INTEGER) {
        (void)snprintf(dst, room, "%.*s", (int)tree_text(value).size, tree_text(value).data);
    } else if (number == -2) {
        (void)snprintf(dst, room, "no such key");
    } else if (number < 0) {
        (void)snprintf(dst, room, "%s", slice_is(name, "ttl_ms") ? "none" : "-");
    } else if (is_ms) {
        char figure[FIGURE_MAX];
        (void)snprintf(dst, room, "%s", text_duration(figure, (double)number / 1000));
    } else {
        (void)snprintf(dst, room, "%lld", (long long)number);
    }
}

/* "stamp_age_ms" -> "stamp age" */
static void title_of(struct slice name, char *dst, size_t room)
{
    size_t used = 0;
    const char *unit = memmem(name.data, name.size, "_ms", 3);
    for (size_t i = 0; i < name.size && used + 1 < room; i++) {
        if (unit != NULL && name.data + i == unit) {
            i += 2;
            continue;
        }
        dst[used++] = name.data[i] == '_' ? ' ' : name.data[i];
    }
    dst[used] = '\0';
}

static enum exit_code print_fields(struct cli *cli, const struct tree *map)
{
    struct buf text = {0};
    enum status status = OK;
    for (size_t i = 0; i + 1 < map->count && status == OK; i += 2) {
        char title[64];
        char value[1024];
        const struct slice name = tree_text(&map->below[i]);
        title_of(name, title, sizeof title);
        field_text(name, &map->below[i + 1], value, sizeof value);
        status = buf_printf(&text, "%s%-22s%s", text_tone(TONE_DIM, cli->color), title,
                            text_plain(cli->color));
        status = status == OK ? text_append_shown(&text, slice_of(value)) : status;
        status = status == OK ? buf_append(&text, "\n", 1) : status;
    }
    const enum exit_code code = status == OK ? cli_print(cli, buf_slice(&text), EXIT_FINE)
                                             : cli_fail(cli, EXIT_FAILED, "out of memory");
    buf_done(&text);
    return code;
}

enum exit_code cmd_explain(struct cli *cli)
{
    struct cli_reply reply;
    enum exit_code code;
    if (!ask(cli, &reply, "CACHE.EXPLAIN", cli->words.arguments[0], &code)) {
        return code;
    }
    code = cli->json ? cli_print_json(cli, tree_json(&reply.tree), EXIT_FINE)
                     : print_fields(cli, &reply.tree);
    cli_reply_done(&reply);
    return code;
}

enum exit_code cmd_tags(struct cli *cli)
{
    struct cli_reply reply;
    enum exit_code code;
    if (!ask(cli, &reply, "CACHE.TAGS", cli->words.arguments[0], &code)) {
        return code;
    }
    const enum exit_code found = reply.tree.count == 0 ? EXIT_FAILED : EXIT_FINE;
    if (cli->json) {
        json_t *object = json_pack("{s:o}", "tags", tree_json(&reply.tree));
        (void)json_object_set_new(object, "key", json_string(cli->words.arguments[0]));
        code = cli_print_json(cli, object, found);
    } else {
        struct buf text = {0};
        enum status status = OK;
        for (size_t i = 0; i < reply.tree.count && status == OK; i++) {
            status = text_append_shown(&text, tree_text(tree_at(&reply.tree, i)));
            status = status == OK ? buf_append(&text, "\n", 1) : status;
        }
        code = status == OK ? cli_print(cli, buf_slice(&text), found)
                            : cli_fail(cli, EXIT_FAILED, "out of memory");
        buf_done(&text);
    }
    cli_reply_done(&reply);
    return code;
}
