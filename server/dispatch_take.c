/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch_take.c -- from the bytes of a request to its place in the batch (poll stage): its command is looked up, its
 * first key prefetched. */
#include "server/command.h"
#include "server/dispatch.h"
#include "server/node.h"
#include "server/renames.h"
#include "server/upload.h"
#include "server/worker.h"

#include <stdlib.h>

void dispatch_set_limits(const struct conn *conn, struct request_reader *reader)
{
    reader->limit_args = conn->session.authenticated ? LIMIT_ARGS : LIMIT_UNAUTH_ARGS;
    reader->limit_bulk = conn->session.authenticated ? LIMIT_BULK : LIMIT_UNAUTH_BULK;
}

struct slice *dispatch_room(struct worker *worker, uint32_t argc, struct slice **ret_owned)
{
    struct batch *batch = &worker->batch;
    *ret_owned = NULL;
    if (argc > BATCH_ARGS) {
        worker_execute(worker);
        *ret_owned = malloc(argc * sizeof(**ret_owned));
        return *ret_owned;
    }
    if (batch->count == BATCH_REQUESTS || batch->arg_count + argc > BATCH_ARGS) {
        worker_execute(worker);
    }
    return &batch->args[batch->arg_count];
}

/* A word that rename-command gave a meaning, or took it from. */
static void dispatch_rename(struct request *request, struct slice *name,
                            const struct renames *renames)
{
    const enum status status = renames_find(renames, name);
    request->is_renamed = status == OK;
    request->is_hidden = status == MISS;
}

struct request *dispatch_add(struct conn *conn, struct slice *argv, struct slice *owned,
                             uint32_t argc, struct slice raw, const struct command *known)
{
    struct worker *worker = conn->worker;
    struct batch *batch = &worker->batch;
    struct request *request = &batch->requests[batch->count++];
    *request = (struct request){
        .conn = conn, .command = known, .argv = argv, .owned = owned, .argc = argc, .raw = raw};
    if (owned == NULL) {
        batch->arg_count += argc;
    }
    if (request->argc > 0 && known == NULL) {
        if (worker->node->renames != NULL) {
            dispatch_rename(request, &argv[0], worker->node->renames);
        }
        request->command = request->is_hidden ? NULL : command_find(argv[0]);
    }
    if (request->command != NULL && request->command->first_key > 0 &&
        (uint32_t)request->command->first_key < request->argc) {
        const struct namespaces *namespaces = worker->node->namespaces;
        struct slice key = argv[request->command->first_key];
        request->hash = namespaces_hash(namespaces, key);
        request->home = namespace_of(namespaces, key);
        request->bucket = l1_prefetch(request->home->l1, request->hash);
    }
    return request;
}

size_t dispatch_take_plain(struct conn *conn, const struct request_reader *reader,
                           struct slice input)
{
    struct batch *batch = &conn->worker->batch;
    struct slice *argv = &batch->args[batch->arg_count];
    uint32_t argc = 0;
    const size_t used =
        batch->count == BATCH_REQUESTS
            ? 0
            : request_take_plain(reader, input, argv, BATCH_ARGS - batch->arg_count, &argc);
    if (used > 0) {
        dispatch_add(conn, argv, NULL, argc, (struct slice){input.data, used}, NULL);
    }
    return used;
}

void dispatch_take(struct conn *conn, const struct request_reader *reader, struct slice input)
{
    struct worker *worker = conn->worker;
    struct slice *owned = NULL;
    struct slice *argv = dispatch_room(worker, reader->argc, &owned);
    if (argv == NULL) {
        conn_close(conn);
        return;
    }
    for (uint32_t i = 0; i < reader->argc; i++) {
        argv[i] = request_arg(reader, input, i);
    }
    if (reader->elsewhere != 0) {
        argv[conn->body.arg] =
            conn->body.item != NULL ? item_value(conn->body.item) : upload_text(conn->body.upload);
    }
    struct request *request = dispatch_add(conn, argv, owned, reader->argc,
                                           (struct slice){input.data, reader->used}, NULL);
    request->is_inline = reader->is_inline;
    if (reader->elsewhere != 0) {
        request->has_body = true;
        request->body = conn->body.item;
    }
    if (owned != NULL ||
        reader->is_inline) { /* what they point to does not outlive the next request */
        worker_execute(worker);
    }
}
