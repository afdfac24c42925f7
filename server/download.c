/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/download.h"

#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/stream.h"

#include <stdlib.h>
#include <string.h>

struct download {
    struct tiers_download_user user; /* first */
    struct answer *answer;
    struct tiers_download *tiers;    /* NULL: its turn has not come */
    struct download_managed managed; /* again NULL: it is not */
    struct out aside;                /* pushes */
    bool held;
    struct l1_key key; /* bytes in `bytes` */
    char bytes[];
};

static bool is_write(const struct answer *answer)
{
    return answer->kind == WAIT_WRITE || answer->kind == WAIT_MANAGED ||
           answer->kind == WAIT_DECISION;
}

bool download_may_begin(struct answer *answer)
{
    const struct conn *conn = answer->conn;
    if (answer->on_landed != NULL) {
        return false; /* its place is in the array of EXEC */
    }
    if (conn != NULL && !download_speaks(conn)) {
        return false;
    }
    if (conn == NULL) {
        return true;
    }
    for (const struct list *node = answer->link.next; node != &conn->answers; node = node->next) {
        const struct answer *behind = LIST_ENTRY(node, const struct answer, link);
        if (is_write(behind) && !behind->landed) {
            return false;
        }
    }
    answer_set_kind(answer, WAIT_FOREIGN);
    return true;
}

bool download_speaks(const struct conn *conn)
{
    return conn->native == NULL;
}

bool download_holds(struct call *call)
{
    if (!download_speaks(call->conn) || call->command->run != cmd_get || call->line != NULL ||
        call->conn->answer_count == 0 || call->argv[1].size >= LIMIT_L1_KEY) {
        return false;
    }
    const struct ns_key key = call_key(call, 1);
    if (!stream_knows_large(call->worker->window, &key.at)) {
        return false;
    }
    conn_hold(call->conn, HOLD_ORDER);
    call->held = true;
    return true;
}

/* --- the way up -------------------------------------------------------------------------------------------------------- */

static bool is_begun(const struct download *download)
{
    const struct conn *conn = download->answer->conn;
    return conn != NULL && conn->download == download;
}

static void download_free(struct download *download)
{
    out_done(&download->aside);
    free(download);
}

/* What may wait for its client. One who waits to be taken on may read nothing before all that he sends is taken: then as
 * much as of any answer. */
static size_t most_ahead(const struct conn *conn)
{
    return (conn->holds & (HOLD_ORDER | HOLD_QUEUE)) != 0 ? LIMIT_OUTPUT_PAUSE : LIMIT_STREAM_AHEAD;
}

static void download_on_piece(struct tiers_download_user *user, struct slice bytes)
{
    struct download *download = (struct download *)(void *)user;
    struct conn *conn = download->answer->conn;
    conn->download = download;
    download->answer->blocks = true; /* it takes as long as its client takes to read */
    download->answer->streamed += bytes.size;
    out_append(&conn->reply.out, bytes.data, bytes.size);
    worker_mark_dirty(conn->worker, conn);
    if (conn_unsent(conn) >= most_ahead(conn)) {
        download->held = true;
        tiers_download_hold(download->tiers, true);
    }
}

void download_on_sent(struct download *download)
{
    const struct conn *conn = download->answer->conn;
    if (download->held && conn_unsent(conn) < most_ahead(conn) / 2) {
        download->held = false;
        tiers_download_hold(download->tiers, false);
    }
}

/* The client has a part of it, and waits for the rest. */
static void download_cut(struct conn *conn, enum status status)
{
    metrics_count(conn->worker->metrics, M_LARGE_CUT);
    log_write(&conn->worker->node->log, LOG_NOTICE, "large_value_cut",
              "client=%s id=%llu why=\"%s\"", conn->session.peer,
              (unsigned long long)conn->session.id,
              status == MALFORMED ? "its checksum is wrong" : tiers_why_down(conn->worker->window));
    conn_close(conn);
}

static void download_on_end(struct tiers_download_user *user, enum status status,
                            struct slice reply)
{
    struct download *download = (struct download *)(void *)user;
    struct answer *answer = download->answer;
    struct conn *conn = answer->conn;
    const bool begun = is_begun(download);
    answer->download = NULL;
    if (status == AGAIN) {
        download->managed.again(answer, &download->key);
        download_free(download);
        return;
    }
    if (begun) {
        conn->download = NULL;
        out_move(&conn->reply.out, &download->aside);
    }
    download_free(download);
    if (begun && status != OK) {
        download_cut(conn, status);
    } else if (status != OK) {
        relay_refuse_read(&answer->reply, answer->worker, status, (struct slice){0});
    } else if (!begun) {
        answer->reply.failed = reply.data[0] == '-';
        reply_raw(&answer->reply, reply);
    }
    answer_land(answer);
}

/* --- the way down ------------------------------------------------------------------------------------------------------ */

static void download_refuse(struct answer *answer, enum status status)
{
    relay_refuse_read(&answer->reply, answer->worker, status, (struct slice){0});
    answer_land(answer);
}

void download_turn(struct download *download)
{
    struct answer *answer = download->answer;
    if (download->tiers != NULL) {
        return;
    }
    const bool is_managed = download->managed.again != NULL;
    const enum status status = tiers_download(
        answer->worker->window, &download->key, is_managed ? &download->managed.seen : NULL,
        answer->reply.proto, &download->user, &download->tiers);
    if (status != OK) {
        answer->download = NULL;
        download_free(download);
        download_refuse(answer, status);
    }
}

void download_begin(struct answer *answer, const struct l1_key *key,
                    const struct download_managed *managed)
{
    if (answer->conn == NULL || answer->silent) {
        answer_land(answer); /* nobody will read it */
        return;
    }
    struct download *download = malloc(sizeof(*download) + key->bytes.size);
    if (download == NULL || !download_may_begin(answer)) {
        download_refuse(answer, download == NULL ? NO_MEMORY : L2_DOWN);
        free(download);
        return;
    }
    *download = (struct download){
        .user = {.on_piece = download_on_piece, .on_end = download_on_end},
        .answer = answer,
        .key = *key,
    };
    if (managed != NULL) {
        download->managed = *managed;
    }
    memcpy(download->bytes, key->bytes.data, key->bytes.size);
    download->key.bytes.data = download->bytes;
    out_init(&download->aside, &answer->worker->pool);
    answer->download = download;
    if (answer->conn->answers.next == &answer->link) {
        download_turn(download);
    }
}

void download_leave(struct download *download)
{
    if (download->tiers != NULL) {
        tiers_download_leave(download->tiers);
    }
    answer_free(download->answer);
    download_free(download);
}

struct out *download_aside(struct download *download)
{
    return &download->aside;
}
