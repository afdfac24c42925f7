/* SPDX-License-Identifier: BSD-3-Clause */
/* native_hello.c -- HELLO: who the client is, by the commands that RESP has for it, one after the other; the first error
 * ends it.
 *
 *      HELLO 3 [AUTH user password] [SETNAME name] | SELECT db | CLIENT SETINFO lib-name | CLIENT SETINFO lib-ver
 *
 * Names are decoration: one that cannot be, or that the user may not set, is left out. None of the commands waits for anything.
 * If one is held by a pause, all are tried again. */
#include "server/client_name.h"
#include "server/dispatch.h"
#include "server/native_inner.h"
#include "server/node.h"
#include "server/version.h"

#include <inttypes.h>
#include <stdio.h>

/* Step `step` as words; their number, 0: there is nothing to say. `digits` are theirs. */
static uint32_t words_of(const struct native_hello *hello, const struct session *session,
                         unsigned step, char digits[I64_DIGITS_MAX], struct slice words[])
{
    static const char *const infos[] = {"LIB-NAME", "LIB-VER"};
    uint32_t count = 0;
    if (step == 0) {
        words[count++] = SLICE_LITERAL("HELLO");
        words[count++] = SLICE_LITERAL("3");
        if (hello->has_auth) {
            words[count++] = SLICE_LITERAL("AUTH");
            words[count++] = hello->user.size > 0 ? hello->user : SLICE_LITERAL("default");
            words[count++] = hello->password;
        }
        if (hello->client_name.size > 0 && client_name_is_valid(hello->client_name)) {
            words[count++] = SLICE_LITERAL("SETNAME");
            words[count++] = hello->client_name;
        }
    } else if (step == 1 && hello->db != session->db) {
        words[count++] = SLICE_LITERAL("SELECT");
        words[count++] = (struct slice){digits, i64_format(digits, hello->db)};
    } else if (step >= 2) {
        const struct slice value = step == 2 ? hello->lib_name : hello->lib_version;
        words[count++] = SLICE_LITERAL("CLIENT");
        words[count++] = SLICE_LITERAL("SETINFO");
        words[count++] = slice_of(infos[step - 2]);
        words[count++] = value;
        count = value.size > 0 && client_name_is_valid(value) ? count : 0;
    }
    return count;
}

enum {
    STEPS = 4,
    FIRST_DECORATION = 2,
    WORDS = 8
};

static void put_welcome(struct conn *conn, const struct native_ticket *ticket)
{
    const struct node *node = conn->worker->node;
    struct buf *meta = &conn->worker->native->meta;
    char id[24];
    (void)snprintf(id, sizeof(id), "%016" PRIx64, node->id);
    const struct native_welcome welcome = {
        .server_version = SLICE_LITERAL(TERRACE_VERSION),
        .node = slice_of(id),
        .address = slice_of(node->address),
        .connection = conn->session.id,
        .max_version = NATIVE_VERSION,
    };
    meta->size = 0;
    if (native_welcome_pack(&welcome, meta) != OK) {
        conn->reply.out.broken = true;
    }
    native_put_meta(conn, ticket, NATIVE_OK, buf_slice(meta), (struct slice){0});
}

/* Whether it went well; if not, and the desk is not quiet, that is answered. */
static bool say(struct worker *worker, const struct request *frame, const struct slice words[],
                uint32_t count, bool *ret_held)
{
    struct request request = {.conn = frame->conn,
                              .native = frame->native,
                              .argv = words,
                              .argc = count,
                              .raw = frame->raw,
                              .command = command_find(words[0])};
    *ret_held = !dispatch_request(worker, &request);
    return !*ret_held && !worker->native->aside.failed;
}

bool native_hello(struct worker *worker, const struct request *request)
{
    struct conn *conn = request->conn;
    struct native_frame frame;
    struct native_hello hello = {0};
    const struct native_limits limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    size_t used = 0;
    size_t missing = 0;
    bool held = false;
    bool well = true;
    if (native_frame_read(request->raw, &limits, &frame, &used, &missing) != OK ||
        native_hello_unpack(frame.meta, &hello) != OK) {
        native_put_bad(conn, request->native, "the metadata is malformed");
        return true;
    }
    for (unsigned step = 0; step < STEPS && well; step++) {
        char digits[I64_DIGITS_MAX];
        struct slice words[WORDS];
        const uint32_t count = words_of(&hello, &conn->session, step, digits, words);
        worker->native->is_quiet = step >= FIRST_DECORATION;
        const bool is_done = count == 0 || say(worker, request, words, count, &held) ||
                             (worker->native->is_quiet && !held);
        well = is_done && conn->state == CONN_OPEN;
    }
    if (well) {
        put_welcome(conn, request->native);
    }
    native_hello_done(&hello);
    return !held;
}
