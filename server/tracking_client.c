/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tracking_client.h"

#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "server/conn.h"
#include "server/effects.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/push.h"
#include "server/script_reads.h"
#include "server/tracking.h"
#include "server/transaction.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    EFFORT =
        100, /* rows that leave a full table in front of a call, and as many more at each next one, as Redis */
    KEPT = 64 * 1024 /* of buffers, between turns */
};

/* --- the desk ------------------------------------------------------------------------------------------------------ */

void tracking_desk_open(struct tracking_desk *desk, uint64_t secret)
{
    *desk = (struct tracking_desk){0};
    list_init(&desk->clients);
    prefix_index_open(&desk->prefixes, secret);
    list_init(&desk->lines);
}

void tracking_desk_done(struct tracking_desk *desk)
{
    CHECK(list_empty(&desk->clients) && list_empty(&desk->lines));
    prefix_index_done(&desk->prefixes);
    buf_done(&desk->broadcasts);
    buf_done(&desk->value);
    buf_done(&desk->push);
}

static void empty(struct buf *buf)
{
    buf->size = 0;
    if (buf->capacity > KEPT) {
        buf_done(buf);
    }
}

/* --- prefixes ------------------------------------------------------------------------------------------------------ */

static int compare(struct slice a, struct slice b)
{
    const size_t least = a.size < b.size ? a.size : b.size;
    const int order = least > 0 ? memcmp(a.data, b.data, least) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

struct slice tracking_client_prefix(const struct tracking_client *client, size_t i)
{
    return tracking_prefix_bytes(client->prefixes[i]->prefix);
}

static void prefix_drop_if_empty(struct tracking_desk *desk, struct tracking_prefix *prefix)
{
    if (list_empty(&prefix->members)) {
        prefix_index_drop(&desk->prefixes, prefix);
    }
}

/* Where a prefix is among the client's, or would be. */
static size_t prefix_place(const struct tracking_client *client, struct slice bytes)
{
    size_t i = 0;
    while (i < client->prefix_count && compare(tracking_client_prefix(client, i), bytes) < 0) {
        i++;
    }
    return i;
}

static enum status enter(struct tracking_client *client, size_t place,
                         struct tracking_prefix *prefix)
{
    struct tracking_membership *membership = malloc(sizeof(*membership));
    void *grown = realloc(client->prefixes,
                          (client->prefix_count + 1) * sizeof(struct tracking_membership *));
    client->prefixes = grown != NULL ? grown : client->prefixes;
    enum status status = membership == NULL || grown == NULL
                             ? NO_MEMORY
                             : tracking_use_prefix(client->conn->worker->node->tracking,
                                                   tracking_prefix_bytes(prefix));
    if (status != OK) {
        free(membership);
        return status;
    }
    *membership = (struct tracking_membership){.client = client, .prefix = prefix};
    list_push_back(&prefix->members, &membership->in_prefix);
    memmove(client->prefixes + place + 1, client->prefixes + place,
            (client->prefix_count - place) * sizeof(struct tracking_membership *));
    client->prefixes[place] = membership;
    client->prefix_count++;
    return OK;
}

static enum status add_prefix(struct tracking_client *client, struct slice bytes)
{
    const size_t place = prefix_place(client, bytes);
    if (place < client->prefix_count && slice_equal(tracking_client_prefix(client, place), bytes)) {
        return OK;
    }
    struct tracking_desk *desk = &client->conn->worker->tracking;
    struct tracking_prefix *prefix = prefix_index_take(&desk->prefixes, bytes);
    if (prefix == NULL) {
        return NO_MEMORY;
    }
    const enum status status = enter(client, place, prefix);
    prefix_drop_if_empty(desk, prefix);
    return status;
}

static void leave_prefixes(struct tracking_client *client)
{
    for (size_t i = 0; i < client->prefix_count; i++) {
        struct tracking_membership *membership = client->prefixes[i];
        struct tracking_prefix *prefix = membership->prefix;
        tracking_drop_prefix(client->conn->worker->node->tracking, tracking_prefix_bytes(prefix));
        list_remove(&membership->in_prefix);
        free(membership);
        prefix_drop_if_empty(&client->conn->worker->tracking, prefix);
    }
    free(client->prefixes);
}

/* --- whom Redis tracks for ----------------------------------------------------------------------------------------- */

static void tell_client(struct tracking_client *client, struct slice value);
static void tell_built(struct tracking_client *client, enum status status);
static void tell_line_keys(struct tracking_client *client, struct slice keys);

static void client_on_keys(struct tracking_line_user *user, struct slice keys)
{
    tell_line_keys(LIST_ENTRY(user, struct tracking_client, line_user), keys);
}

/* Redis will tell no more of what was read over it. */
static void close_line(struct tracking_client *client)
{
    client->settles = client->settles || (client->line != NULL && client->conn->answer_count > 0);
    tracking_line_close(client->line);
    client->line = NULL;
    if (client->keeps) {
        client->keeps = false;
        tell_built(client, NO_MEMORY);
    }
}

static void client_on_lost(struct tracking_line_user *user)
{
    struct tracking_client *client = LIST_ENTRY(user, struct tracking_client, line_user);
    client->keeps = client->keeps || (client->flags & TRACKING_BCAST) != 0;
    close_line(client);
}

/* Between the old line and the new one nothing is missed if both listen to prefixes. */
static void take_line(struct tracking_client *client, struct tracking_line *line, bool is_new)
{
    const bool broadcasts = (client->flags & TRACKING_BCAST) != 0;
    client->keeps =
        client->keeps || (broadcasts && !is_new && (client->line == NULL) != (line == NULL));
    close_line(client);
    client->line = line;
    client->line_user =
        (struct tracking_line_user){.on_keys = client_on_keys, .on_lost = client_on_lost};
    if (line != NULL) {
        tracking_line_hand_over(line, &client->line_user);
    }
}

void tracking_client_change_protocol(struct conn *conn)
{
    const struct tracking_client *client = conn->session.tracking;
    if (client != NULL && client->line != NULL) {
        tracking_line_speak(client->line, conn->session.proto);
    }
}

/* Rows of those for whom Redis tracks are apart: the node's own announcements do not find them. */
static uint64_t hash_apart(uint64_t hash, uint64_t client)
{
    return hash ^ (client * 0x9e3779b97f4a7c15u);
}

static void drop_row(struct tracking_client *client, struct slice key, uint64_t hash)
{
    const struct conn *conn = client->conn;
    tracking_row_free(tracking_table_take(conn->worker->node->tracking->table, key,
                                          hash_apart(hash, conn->session.id)));
}

/* --- life ---------------------------------------------------------------------------------------------------------- */

static struct tracking_client *client_new(struct conn *conn, unsigned flags)
{
    struct tracking_client *client = calloc(1, sizeof(*client));
    if (client != NULL) {
        struct worker *worker = conn->worker;
        client->conn = conn;
        conn->session.tracking = client;
        list_push_back(&worker->tracking.clients, &client->in_desk);
        tracking_count(worker->node->tracking, worker->index, (flags & TRACKING_BCAST) != 0, 1);
    }
    return client;
}

enum status tracking_client_begin(struct conn *conn, const struct tracking_wish *wish)
{
    struct tracking_client *client = conn->session.tracking;
    const bool is_new = client == NULL;
    if (is_new && (client = client_new(conn, wish->flags)) == NULL) {
        return NO_MEMORY;
    }
    client->flags = wish->flags | (client->flags & TRACKING_CACHING);
    client->redirect = wish->redirect;
    client->redirect_worker = wish->redirect_worker;
    enum status status = OK;
    if ((wish->flags & TRACKING_BCAST) != 0 && wish->prefix_count == 0) {
        status = add_prefix(client, (struct slice){0});
    }
    for (size_t i = 0; i < wish->prefix_count && status == OK; i++) {
        status = add_prefix(client, wish->prefixes[i]);
    }
    if (status != OK) { /* half of what it wants would be silence about the other half */
        tracking_client_end(conn);
        return status;
    }
    take_line(client, wish->line, is_new);
    return OK;
}

void tracking_client_end(struct conn *conn)
{
    struct tracking_client *client = conn->session.tracking;
    if (client == NULL) {
        return;
    }
    struct worker *worker = conn->worker;
    tracking_line_close(client->line);
    leave_prefixes(client);
    list_remove(&client->in_desk);
    tracking_count(worker->node->tracking, worker->index, (client->flags & TRACKING_BCAST) != 0,
                   -1);
    conn->session.tracking = NULL;
    free(client);
}

/* --- telling ------------------------------------------------------------------------------------------------------- */

static void push_value(struct conn *conn, struct slice head, struct slice value)
{
    struct buf *push = &conn->worker->tracking.push;
    push->size = 0;
    if (buf_append_slice(push, head) == OK && buf_append_slice(push, value) == OK) {
        push_write(conn, buf_slice(push));
        empty(push);
    } else {
        push_lost(conn);
    }
}

static void deliver(struct conn *conn, struct slice value, bool redirected)
{
    if (conn->session.proto == 3) {
        push_value(conn, SLICE_LITERAL(">2\r\n$10\r\ninvalidate\r\n"), value);
    } else if (redirected && pubsub_is_subscribed(conn)) {
        push_value(conn, SLICE_LITERAL("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"),
                   value);
    }
}

static void say_broken(struct tracking_client *client)
{
    char number[32];
    client->flags |= TRACKING_BROKEN;
    if (client->conn->session.proto == 3) {
        const int size = snprintf(number, sizeof(number), ":%" PRIu64 "\r\n", client->redirect);
        push_value(client->conn, SLICE_LITERAL(">2\r\n$21\r\ntracking-redir-broken\r\n"),
                   (struct slice){number, (size_t)size});
    }
}

/* `value` is the second half: an array of keys, or nil. */
static void tell_client(struct tracking_client *client, struct slice value)
{
    struct conn *conn = client->conn;
    struct worker *worker = conn->worker;
    if (client->redirect == 0) {
        deliver(conn, value, false);
        return;
    }
    if (client->redirect_worker != worker->index) {
        const struct news news = {
            .kind = NEWS_PASSED_ON,
            .client = client->redirect,
            .other = conn->session.id,
            .to_worker = worker->index,
            .bytes = value,
        };
        tracking_tell(worker->node->tracking, client->redirect_worker, &news);
        return;
    }
    struct conn *target = conn_find(worker, client->redirect);
    if (target != NULL) {
        deliver(target, value, true);
    } else {
        say_broken(client);
    }
}

static enum status append_count(struct buf *out, char type, size_t count)
{
    return buf_printf(out, "%c%zu\r\n", type, count);
}

static enum status append_key(struct buf *out, struct slice key)
{
    enum status status = append_count(out, '$', key.size);
    if (status == OK) {
        status = buf_append_slice(out, key);
    }
    return status == OK ? buf_append(out, "\r\n", 2) : status;
}

/* Without memory to say which: everything. */
static void tell_built(struct tracking_client *client, enum status status)
{
    struct slice nil =
        client->conn->session.proto == 3 ? SLICE_LITERAL("_\r\n") : SLICE_LITERAL("$-1\r\n");
    tell_client(client, status == OK ? buf_slice(&client->conn->worker->tracking.value) : nil);
}

static void tell_key(struct tracking_client *client, struct slice key)
{
    struct buf *value = &client->conn->worker->tracking.value;
    value->size = 0;
    enum status status = append_count(value, '*', 1);
    tell_built(client, status == OK ? append_key(value, key) : status);
    empty(value);
}

/* --- what Redis tells ---------------------------------------------------------------------------------------------- */

/* The next key of an array that stands in `keys` at its first element. */
static bool next_key(struct reply_cursor *keys, struct slice *ret_key)
{
    struct reply_element element;
    *ret_key = (struct slice){0};
    if (reply_next(keys, &element) != OK) {
        return false;
    }
    *ret_key = element.type == REPLY_BULK ? element.text : *ret_key;
    return true;
}

static void tell_line_keys(struct tracking_client *client, struct slice keys)
{
    struct tracking_desk *desk = &client->conn->worker->tracking;
    const struct namespaces *spaces = client->conn->worker->node->namespaces;
    struct reply_cursor cursor = {keys};
    struct reply_element head;
    struct slice key;
    size_t count = 0;
    if (reply_next(&cursor, &head) != OK) {
        return;
    }
    struct reply_cursor again = cursor;
    while (next_key(&cursor, &key)) {
        drop_row(client, key, namespaces_hash(spaces, key));
        count += !tracking_is_own(key);
    }
    desk->value.size = 0;
    enum status status = append_count(&desk->value, '*', count);
    while (status == OK && next_key(&again, &key)) {
        status = tracking_is_own(key) ? OK : append_key(&desk->value, key);
    }
    if (count > 0) {
        tell_built(client, status);
    }
    empty(&desk->value);
}

/* --- broadcasts ---------------------------------------------------------------------------------------------------- */

struct change {
    struct slice key;
    uint64_t writer;
    size_t order;
};

static int change_compare(const void *left, const void *right)
{
    const struct change *a = left;
    const struct change *b = right;
    const int order = compare(a->key, b->key);
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

/* Each key once, with its last writer, by bytes. NULL: no memory. */
static struct change *changes_of(struct slice news, size_t *ret_count)
{
    struct news one;
    struct slice rest = news;
    size_t count = 0;
    while (tracking_next_news(&rest, &one)) {
        count++;
    }
    struct change *changes = malloc(count * sizeof(*changes));
    if (changes == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        (void)tracking_next_news(&news, &one);
        changes[i] = (struct change){.key = one.bytes, .writer = one.other, .order = i};
    }
    qsort(changes, count, sizeof(*changes), change_compare);
    *ret_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count || !slice_equal(changes[i].key, changes[i + 1].key)) {
            changes[(*ret_count)++] = changes[i];
        }
    }
    return changes;
}

/* Of one prefix. */
struct matches {
    const struct change *at;
    size_t count;
};

/* But for those that `except` changed; false: none is left. */
static bool build(struct buf *value, const struct matches *matches, uint64_t except,
                  enum status *ret_status)
{
    size_t count = 0;
    for (size_t i = 0; i < matches->count; i++) {
        count += except == 0 || matches->at[i].writer != except;
    }
    value->size = 0;
    enum status status = append_count(value, '*', count);
    for (size_t i = 0; i < matches->count && status == OK; i++) {
        if (except == 0 || matches->at[i].writer != except) {
            status = append_key(value, matches->at[i].key);
        }
    }
    *ret_status = status;
    return count > 0;
}

static void broadcast_to(struct tracking_desk *desk, const struct tracking_prefix *prefix,
                         const struct matches *matches)
{
    for (struct list *at = prefix->members.next; at != &prefix->members; at = at->next) {
        struct tracking_client *client =
            LIST_ENTRY(at, struct tracking_membership, in_prefix)->client;
        const bool noloop = (client->flags & TRACKING_NOLOOP) != 0;
        enum status status = OK;
        if (client->line != NULL && !client->reads_here) {
            continue; /* Redis tells it */
        }
        if (build(&desk->value, matches, noloop ? client->conn->session.id : 0, &status)) {
            tell_built(client, status);
        }
    }
}

static int prefix_compare(const void *left, const void *right)
{
    const struct tracking_prefix *const *a = left;
    const struct tracking_prefix *const *b = right;
    return compare(tracking_prefix_bytes(*a), tracking_prefix_bytes(*b));
}

/* The prefixes of which something changed, as pointers in `touched`. Keys are sorted: what begins with one lies together. */
static enum status touch(const struct prefix_index *index, const struct change *changes,
                         size_t count, struct buf *touched)
{
    enum status status = OK;
    for (size_t i = 0; i < count; i++) {
        struct prefix_walk walk = {.key = changes[i].key};
        struct tracking_prefix *prefix;
        while ((prefix = prefix_index_next(index, &walk)) != NULL && status == OK) {
            if (prefix->count++ == 0) {
                prefix->first = i;
                status = buf_append(touched, &prefix, sizeof(struct tracking_prefix *));
                prefix->count = status == OK ? 1 : 0;
            }
        }
    }
    return status;
}

static void tell_touched(struct tracking_desk *desk, const struct change *changes,
                         struct buf *touched)
{
    struct tracking_prefix **prefixes = (struct tracking_prefix **)(void *)touched->data;
    const size_t count = touched->size / sizeof(struct tracking_prefix *);
    if (count > 1) {
        qsort(prefixes, count, sizeof(struct tracking_prefix *), prefix_compare);
    }
    for (size_t i = 0; i < count; i++) {
        const struct matches matches = {changes + prefixes[i]->first, prefixes[i]->count};
        prefixes[i]->count = 0;
        broadcast_to(desk, prefixes[i], &matches);
    }
}

static void broadcast(struct worker *worker)
{
    struct tracking_desk *desk = &worker->tracking;
    size_t count = 0;
    struct buf touched = {0};
    struct change *changes = changes_of(buf_slice(&desk->broadcasts), &count);
    if (changes == NULL || touch(&desk->prefixes, changes, count, &touched) != OK) {
        tracking_flush(worker->node->tracking);
    }
    tell_touched(desk, changes, &touched);
    buf_done(&touched);
    free(changes);
    empty(&desk->broadcasts);
    empty(&desk->value);
}

/* --- the limit ----------------------------------------------------------------------------------------------------- */

static void keep_within_limit(struct worker *worker)
{
    struct tracking_desk *desk = &worker->tracking;
    const size_t most =
        (size_t)atomic_load_explicit(&worker->node->live.tracking_max_keys, memory_order_relaxed);
    const bool fits = tracking_limit(worker->node->tracking, most, rand_next(&worker->rand),
                                     EFFORT * (desk->overfull + 1));
    desk->overfull = fits ? 0 : desk->overfull + 1;
}

/* --- news ---------------------------------------------------------------------------------------------------------- */

static struct tracking_client *client_find(const struct worker *worker, uint64_t id)
{
    const struct conn *conn = conn_find(worker, id);
    return conn == NULL ? NULL : conn->session.tracking;
}

static void obey_key(const struct worker *worker, const struct news *news)
{
    struct tracking_client *client = client_find(worker, news->client);
    if (client == NULL || (client->flags & TRACKING_BCAST) != 0) {
        return;
    }
    if ((client->flags & TRACKING_NOLOOP) == 0 || news->other != news->client) {
        tell_key(client, news->bytes);
    }
}

static void obey_broadcast(struct worker *worker, const struct news *news)
{
    if (worker->tracking.prefixes.length_count > 0 &&
        tracking_append_news(&worker->tracking.broadcasts, news) != OK) {
        worker->tracking.broadcasts.size = 0;
        tracking_flush(worker->node->tracking);
    }
}

static void obey_flush(const struct worker *worker)
{
    const struct list *clients = &worker->tracking.clients;
    for (struct list *at = clients->next; at != clients; at = at->next) {
        tell_built(LIST_ENTRY(at, struct tracking_client, in_desk), NO_MEMORY);
    }
}

static void obey_passed_on(const struct worker *worker, const struct news *news)
{
    struct conn *target = conn_find(worker, news->client);
    if (target != NULL) {
        deliver(target, news->bytes, true);
        return;
    }
    const struct news broken = {.kind = NEWS_BROKEN, .client = news->other, .other = news->client};
    tracking_tell(worker->node->tracking, news->to_worker, &broken);
}

static void obey(struct worker *worker, const struct news *news)
{
    switch (news->kind) {
    case NEWS_KEY: obey_key(worker, news); return;
    case NEWS_BROADCAST: obey_broadcast(worker, news); return;
    case NEWS_FLUSH: obey_flush(worker); return;
    case NEWS_PASSED_ON: obey_passed_on(worker, news); return;
    case NEWS_BROKEN: {
        struct tracking_client *client = client_find(worker, news->client);
        if (client != NULL && client->redirect == news->other) {
            say_broken(client);
        }
        return;
    }
    }
}

static void read_news(struct worker *worker)
{
    struct tracking *tracking = worker->node->tracking;
    struct buf all;
    bool lost = false;
    struct news news;
    if (!tracking_has_news(tracking, worker->index)) {
        return;
    }
    tracking_take_news(tracking, worker->index, &all, &lost);
    struct slice rest = buf_slice(&all);
    while (tracking_next_news(&rest, &news)) {
        obey(worker, &news);
    }
    buf_done(&all);
    if (lost) {
        tracking_flush(tracking);
    }
}

void tracking_on_letter(struct letter *letter, void *owner)
{
    struct worker *worker = owner;
    (void)letter;
    tracking_letter_came(worker->node->tracking, worker->index);
    read_news(worker);
}

void tracking_tick(struct worker *worker)
{
    struct list *lines = &worker->tracking.lines;
    if (!list_empty(&worker->tracking.clients)) { /* rows stay when CONFIG SET lowers the limit */
        keep_within_limit(worker);
    }
    if (!list_empty(lines)) {
        const struct coherence_view *view = coherence_view(tiers_coherence(worker->node->tiers));
        tracking_line_tick_all(lines, worker->now_ms, atomic_load(&view->bound_ms));
    }
}

void tracking_end_turn(struct worker *worker)
{
    read_news(worker);
    if (worker->tracking.broadcasts.size > 0) {
        broadcast(worker);
    }
}

/* --- reads --------------------------------------------------------------------------------------------------------- */

/* Whether Redis tracks what the call reads. */
static bool goes_by_line(const struct tracking_client *client, const struct call *call)
{
    return client->line != NULL && call->line != NULL &&
           call->line == tracking_line_voice(client->line);
}

/* A key that finds no place in the table is told at once, behind the reply. */
static void note_key(const struct conn *conn, struct slice key, uint64_t hash)
{
    const struct worker *worker = conn->worker;
    struct tracking *tracking = worker->node->tracking;
    const uint64_t id = conn->session.id;
    if (key.size > LIMIT_TRACKING_KEY ||
        tracking_table_add(tracking->table, key, hash, tracking_name(worker->index, id)) != OK) {
        const struct news news = {.kind = NEWS_KEY, .client = id, .bytes = key};
        tracking_tell(tracking, worker->index, &news);
    }
}

/* --- writes of this node ------------------------------------------------------------------------------------------- */

/* Or it does not say what: an array may be that of EXEC, which reads, too. */
static bool changed_nothing(struct slice reply)
{
    static const char *const beginnings[] = {"-", "$-1", "*", "_", ":0\r"};
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        const size_t size = strlen(beginnings[i]);
        if (reply.size >= size && memcmp(reply.data, beginnings[i], size) == 0) {
            return true;
        }
    }
    return reply.size == 0;
}

void tracking_on_send(struct node *node, const struct tiers_relay *write)
{
    for (size_t i = 0; i < write->key_count && tracking_is_wanted(node->tracking); i++) {
        tracking_sent(node->tracking, write->keys[i].bytes, write->keys[i].hash);
    }
}

void tracking_on_write(struct node *node, const struct conn *writer,
                       const struct tiers_relay *write, struct slice reply)
{
    if (!tracking_is_wanted(node->tracking) || changed_nothing(reply) ||
        !tracking_begin_written(node->tracking)) {
        return;
    }
    struct tracking_client *client = writer == NULL ? NULL : writer->session.tracking;
    const bool by_line = client != NULL && client->line != NULL && write->line != NULL &&
                         write->line == tracking_line_voice(client->line);
    for (size_t i = 0; i < write->key_count; i++) {
        tracking_written(node->tracking, write->keys[i].bytes, write->keys[i].hash);
        if (by_line) {
            drop_row(client, write->keys[i].bytes, write->keys[i].hash);
        }
    }
    tracking_end_written(node->tracking);
}

/* --- around a call ------------------------------------------------------------------------------------------------- */

/* Of a script that reads, all keys that it names count as read; one whose text is not here may. */
static bool call_reads(const struct call *call)
{
    const struct command *command = call->command;
    if ((command->flags & COMMAND_PUBSUB) != 0) {
        return false;
    }
    if (effects_is_script(command)) {
        const bool has_text =
            strcmp(command->name, "eval") == 0 || strcmp(command->name, "eval_ro") == 0;
        return !has_text || call->argc < 2 || call->node->tiers == NULL ||
               script_may_read(call->argv[1], tiers_commands(call->node->tiers));
    }
    return (command->flags & COMMAND_READONLY) != 0;
}

/* Whether it is told of no more than it has read, and this call counts. */
static bool wants_rows(const struct tracking_client *client)
{
    const bool caching = (client->flags & TRACKING_CACHING) != 0;
    return (client->flags & TRACKING_BCAST) == 0 &&
           ((client->flags & TRACKING_OPTIN) == 0 || caching) &&
           ((client->flags & TRACKING_OPTOUT) == 0 || !caching);
}

void tracking_note_reads(struct call *call)
{
    struct worker *worker = call->worker;
    if (!call_reads(call)) {
        return;
    }
    const struct key_range range = effects_key_range(call);
    struct tracking_client *client = call->conn->session.tracking;
    const bool rows = wants_rows(client);
    const bool by_line = goes_by_line(client, call);
    for (uint32_t i = range.first; i <= range.last && rows; i += range.step) {
        const struct l1_key key = call_key(call, i).at;
        note_key(call->conn, key.bytes,
                 by_line ? hash_apart(key.hash, call->conn->session.id) : key.hash);
        client->keeps = client->keeps || by_line;
    }
    client->reads_here = client->reads_here || (call->command->flags & COMMAND_OWN) != 0;
    if (worker->window !=
        NULL) { /* also for who is told of all: of a doubt he may have heard since the batch began */
        tiers_window_tracks(worker->window, true, clock_now_ms(&worker->node->clock));
    }
}

bool tracking_client_settles(const struct conn *conn)
{
    return conn->session.tracking != NULL && conn->session.tracking->settles;
}

/* All that it asks of L2 goes over its line, but for what cannot (tracking_line.h). */
static void direct(struct call *call)
{
    struct tracking_client *client = call->conn->session.tracking;
    client->settles = client->settles && call->conn->answer_count > 0;
    if (client->line != NULL && call->command->road != ROAD_LINE &&
        (call->command->flags & COMMAND_OWN) == 0 &&
        transaction_line(call->conn->transaction) == NULL) {
        call->line = tracking_line_voice(client->line);
    }
}

void tracking_before_queued(const struct call *call)
{
    keep_within_limit(call->worker);
    read_news(call->worker);
}

void tracking_before(struct call *call)
{
    direct(call);
    call->worker->tracking.running = call->conn->session.id;
    keep_within_limit(call->worker);
    read_news(call->worker);
    tracking_note_reads(call);
}

/* CLIENT, with whatever subcommand, does not use CLIENT CACHING up; nor does a command that is queued. */
static bool is_client_command(const struct command *command)
{
    static const char name[] = "client|";
    return command != NULL && strncmp(command->full_name, name, sizeof(name) - 1) == 0;
}

void tracking_after(struct conn *conn, const struct call *call)
{
    conn->worker->tracking.running = 0;
    if (conn->worker->window != NULL) {
        tiers_window_tracks(conn->worker->window, false, 0);
    }
    if (conn->session.tracking == NULL) {
        return;
    }
    if (!is_client_command(call->command) && !transaction_is_open(conn->transaction)) {
        conn->session.tracking->flags &= ~(unsigned)TRACKING_CACHING;
    }
    read_news(conn->worker);
}
