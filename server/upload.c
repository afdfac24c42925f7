/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/upload.h"

#include "server/auth.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/managed.h"
#include "server/managed_edit.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/usage.h"
#include "server/worker.h"
#include "tiers/stream.h"
#include "tiers/upload.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    UPLOAD_ARGS_MAX = 16, /* of the request: SET has eight at most that mean anything */
    UPLOAD_TEXT_MAX = 40
};

struct upload {
    struct tiers_upload_user user; /* first */
    struct conn *conn;
    struct tiers_upload *tiers; /* NULL: it is the relay's, or over */
    struct upload_value *value; /* NULL: of a plain key, or handed over */
    bool managed;
    size_t head; /* bytes of the request in front of the value */
    char text[UPLOAD_TEXT_MAX];
};

static bool takes_streams(const struct node *node, const struct namespace *ns)
{
    if (ns->managed) {
        return node->behind == NULL && namespace_rules(ns).write == NAMESPACE_THROUGH;
    }
    return !namespace_told(ns);
}

/* CACHE.SET of a plain key asks for a marker, too; of a managed one its options would be under the checksum. */
static bool command_streams(const struct command *command, const struct namespace *ns,
                            const struct request_body *at)
{
    return command->run != cmd_cache_set || (ns->managed && at->args_total == 3);
}

/* As far as the head tells: with words behind the value it may be SET with GET, which reads. */
static bool may_begin(struct conn *conn, const struct command *command, struct slice key,
                      const struct request_body *at)
{
    const struct slice argv[] = {slice_of(command->full_name), key, SLICE_LITERAL("0"),
                                 SLICE_LITERAL("GET")};
    struct namespace *home = namespace_of(conn->worker->node->namespaces, key);
    struct call call = {.node = conn->worker->node,
                        .worker = conn->worker,
                        .conn = conn,
                        .command = command,
                        .argv = argv,
                        .argc = at->arg == 2 && at->args_total > 3 ? 4 : at->arg + 1,
                        .first_home = home,
                        .db = conn->session.db,
                        .now_ms = conn->worker->now_ms};
    return takes_streams(call.node, home) && command_streams(command, home, at) &&
           at->size > stream_kept_max(home) &&
           at->size <= LIMIT_BULK - (home->managed ? ENVELOPE_BEGINNING : 0) &&
           (!conn->session.guarded || auth_would_admit(&call)) && !usage_would_refuse(&call);
}

static void upload_on_room(struct tiers_upload_user *user)
{
    struct upload *upload = (struct upload *)(void *)user;
    if (!tiers_upload_is_full(upload->tiers)) {
        conn_unhold(upload->conn, HOLD_UPLOAD);
    }
}

/* The bytes in front of the value, for L2, and the beginning of its checksum. */
static enum status upload_begin_value(struct upload *upload, const struct namespace *home,
                                      const struct request_body *at)
{
    struct buf bytes = {0};
    struct upload_value *value = calloc(1, sizeof(*value));
    enum status status = value == NULL ? NO_MEMORY : managed_stream_begin(&bytes, at->size);
    if (status == OK) {
        value->envelope = managed_stream_head(home, at->size);
        envelope_head_begin(value->head, &value->envelope);
        envelope_sum_begin(&value->sum, value->head);
        tiers_upload_take(upload->tiers, buf_slice(&bytes));
    }
    buf_done(&bytes);
    upload->value = value;
    return status;
}

struct upload *upload_begin(struct conn *conn, const struct command *command, struct slice rest,
                            const struct request_body *at)
{
    const struct slice key = request_arg(conn->reader, rest, 1);
    if (at->size < LIMIT_STREAM || at->args_total > UPLOAD_ARGS_MAX || conn->holds != 0 ||
        conn->transaction != NULL || conn->listens || conn->worker->node->renames != NULL ||
        !may_begin(conn, command, key, at)) {
        return NULL;
    }
    struct upload *upload = calloc(1, sizeof(*upload));
    if (upload == NULL) {
        return NULL;
    }
    upload->user.on_room = upload_on_room;
    upload->conn = conn;
    upload->head = at->offset;
    (void)snprintf(upload->text, sizeof(upload->text), "(%zu bytes)", at->size);
    const struct namespace *home = namespace_of(conn->worker->node->namespaces, key);
    upload->managed = home->managed;
    upload->tiers = tiers_upload(conn->worker->window, conn->session.db,
                                 home->managed ? 2 : conn->session.proto, &upload->user);
    if (upload->tiers == NULL || (home->managed && upload_begin_value(upload, home, at) != OK)) {
        upload_free(upload);
        return NULL;
    }
    if (!home->managed) {
        tiers_upload_take(upload->tiers, (struct slice){rest.data, at->offset});
    }
    upload_take(upload, (struct slice){rest.data + at->offset, rest.size - at->offset});
    return upload;
}

void upload_take(struct upload *upload, struct slice bytes)
{
    if (upload->value != NULL) {
        hash_sum_add(&upload->value->sum, bytes);
    }
    tiers_upload_take(upload->tiers, bytes);
    if (tiers_upload_is_full(upload->tiers)) {
        conn_hold(upload->conn, HOLD_UPLOAD);
    }
}

void upload_end(struct upload *upload)
{
    tiers_upload_end(upload->tiers);
    upload->tiers = NULL;
}

void upload_free(struct upload *upload)
{
    upload_end(upload);
    free(upload->value);
    free(upload);
}

struct upload_value *upload_hand(const struct call *call)
{
    struct upload *upload = call->conn->body.upload;
    if (upload == NULL) {
        return NULL;
    }
    struct upload_value *value = upload->value;
    value->tiers = upload->tiers;
    value->status = tiers_upload_line(upload->tiers, &value->line);
    upload->value = NULL;
    upload->tiers = NULL;
    return value;
}

void upload_value_free(struct upload_value *value)
{
    if (value != NULL) {
        tiers_upload_end(value->tiers);
        free(value);
    }
}

struct slice upload_text(const struct upload *upload)
{
    return slice_of(upload->text);
}

void upload_call(struct call *call, struct upload *upload)
{
    if (call->conn->answer_count > 0) { /* they took another link */
        conn_hold(call->conn, HOLD_ORDER);
        call->held = true;
        return;
    }
    if (call->first_home == NULL || upload->managed != (call->managed != NULL) ||
        !takes_streams(call->node, call->first_home)) {
        reply_error(call->reply, "TRYAGAIN the namespace of the key became another while its value "
                                 "came; nothing was written");
        return;
    }
    if (call->managed != NULL) {
        call->managed->run(call);
        return;
    }
    struct tiers_upload *tiers = upload->tiers;
    upload->tiers = NULL;
    const struct slice rest = {call->raw.data + upload->head, call->raw.size - upload->head};
    relay_upload(call, tiers, rest);
}
