/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/limits.h"
#include "server/client_memory.h"
#include "server/dispatch.h"
#include "server/native_inner.h"
#include "server/node.h"

#include <stdlib.h>

/* --- life ------------------------------------------------------------------------------------------------------------ */

static struct native_desk *desk_of(struct worker *worker)
{
    struct native_desk *desk = worker->native;
    if (desk == NULL && (desk = calloc(1, sizeof(*desk))) != NULL) {
        out_init(&desk->aside.out, &worker->pool);
        desk->aside.worker = worker;
        desk->aside.proto = 3;
        desk->fetch =
            worker->node->renames == NULL ? command_find(SLICE_LITERAL("cache.fetch")) : NULL;
        native_deadlines_open(desk, worker);
        worker->native = desk;
    }
    return desk;
}

bool native_begin(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (desk_of(worker) == NULL || (conn->native = calloc(1, sizeof(*conn->native))) == NULL) {
        return false;
    }
    conn->session.proto = 3;
    conn->reply.proto = 3;
    atomic_fetch_add(&worker->node->native_open, 1);
    metrics_count(worker->metrics, M_NATIVE_CONNECTIONS);
    return true;
}

void native_end(struct conn *conn)
{
    if (conn->native != NULL) {
        native_several_release(conn->native->several);
        conn->native->several = NULL;
        atomic_fetch_sub(&conn->worker->node->native_open, 1);
    }
}

void native_free(struct conn *conn)
{
    free(conn->native);
    conn->native = NULL;
}

void native_close_desk(struct worker *worker)
{
    if (worker->native != NULL) {
        native_deadlines_close(worker->native);
    }
}

void native_free_desk(struct worker *worker)
{
    struct native_desk *desk = worker->native;
    if (desk != NULL) {
        out_done(&desk->aside.out);
        buf_done(&desk->meta);
        buf_done(&desk->text);
        free(desk);
        worker->native = NULL;
    }
}

void native_several_release(struct native_several *several)
{
    if (several != NULL && --several->holds == 0) {
        free(several);
    }
}

/* It is closed behind what is answered: said once. */
static void native_goodbye(struct conn *conn, const char *why)
{
    if (conn->native->goodbye_at_ms != 0 || conn->state != CONN_OPEN) {
        return;
    }
    const struct slice text = slice_of(why);
    char head[NATIVE_HEADER_SIZE];
    native_header_write(head, &(struct native_header){.version = NATIVE_VERSION,
                                                      .op = NATIVE_GOODBYE,
                                                      .body_size = (uint32_t)text.size});
    out_append(&conn->reply.out, head, sizeof(head));
    out_append(&conn->reply.out, text.data, text.size);
    conn->native->goodbye_at_ms = conn->worker->now_ms;
    worker_mark_dirty(conn->worker, conn);
}

/* Who hears it leaves by himself, and nothing that he has sent is lost; who does not is closed when he is silent. */
bool native_drains(struct conn *conn, bool idle)
{
    const struct worker *worker = conn->worker;
    native_goodbye(conn, "this node ends");
    return worker->now_ms >= worker->drain_until_ms ||
           (idle && worker->now_ms - conn->native->goodbye_at_ms >= NATIVE_LINGER_MS &&
            worker->now_ms - conn->session.active_at_ms >= NATIVE_LINGER_MS);
}

/* --- frames to requests ------------------------------------------------------------------------------------------------ */

static struct native_limits limits_of(const struct conn *conn)
{
    if (conn->session.authenticated) {
        return (struct native_limits){LIMIT_NATIVE_META, LIMIT_NATIVE_KEYS, (uint32_t)LIMIT_BULK};
    }
    return (struct native_limits){LIMIT_UNAUTH_BULK, LIMIT_UNAUTH_BULK, LIMIT_UNAUTH_BULK};
}

static int64_t read_at(const struct conn *conn, struct slice raw)
{
    const struct native_conn *native = conn->native;
    const bool waited = conn->in.size > 0 && raw.data < conn->in.data + native->kept;
    return waited ? native->since_ms : 0;
}

/* For the next request of the batch, in which there is room. */
static struct native_ticket *ticket_new(const struct conn *conn, const struct native_frame *frame,
                                        struct slice raw)
{
    struct worker *worker = conn->worker;
    const struct batch *batch = &worker->batch;
    struct native_ticket *ticket = &worker->native->tickets[batch->count];
    *ticket = (struct native_ticket){.id = frame->header.id,
                                     .op = frame->header.op,
                                     .is_last = true,
                                     .patience_ms = frame->header.word,
                                     .read_at_ms = read_at(conn, raw)};
    return ticket;
}

/* One that is executed in its turn, though it has no words: HELLO, BEAT, and what is refused. */
static void put_wordless(struct conn *conn, const struct native_frame *frame, struct slice raw,
                         const char *refusal)
{
    struct batch *batch = &conn->worker->batch;
    if (batch->count == BATCH_REQUESTS) {
        worker_execute(conn->worker);
    }
    struct native_ticket *ticket = ticket_new(conn, frame, raw);
    ticket->refusal = refusal;
    batch->requests[batch->count++] =
        (struct request){.conn = conn, .raw = raw, .native = ticket, .argv = batch->args};
}

/* A read without metadata, as most are: no more is done than must be. */
static void put_plain_read(struct conn *conn, const struct native_frame *frame, struct slice raw)
{
    struct worker *worker = conn->worker;
    struct slice *owned = NULL;
    struct slice *argv = dispatch_room(worker, 3, &owned);
    argv[0] = SLICE_LITERAL("CACHE.FETCH");
    argv[1] = frame->keys;
    argv[2] = SLICE_LITERAL("NOLOAD");
    struct native_ticket *ticket = ticket_new(conn, frame, raw);
    const uint32_t argc = frame->header.op == NATIVE_GET ? 3 : 2;
    dispatch_add(conn, argv, NULL, argc, raw, worker->native->fetch)->native = ticket;
}

/* One of the requests that a frame is made into. */
struct part {
    uint32_t index;
    bool is_last;
    struct native_several *several;
};

/* One command; the memory of `asked` goes with it. */
static bool put_words(struct conn *conn, const struct native_frame *frame, struct slice raw,
                      struct native_request *asked, const struct part *part)
{
    struct worker *worker = conn->worker;
    struct native_desk *desk = worker->native;
    if (worker->batch.count == 0 ||
        sizeof(desk->digits) - desk->digits_used < NATIVE_WORDS_MAX * I64_DIGITS_MAX) {
        worker_execute(worker);
        desk->digits_used = 0;
    }
    const size_t each = frame->header.op == NATIVE_WATCH ? 2 : 1; /* PREFIX p */
    const uint32_t most = (uint32_t)(NATIVE_WORDS_MAX + each * asked->key_count + asked->tag_count);
    struct slice *owned = NULL;
    struct native_words words = {.at = dispatch_room(worker, most, &owned), .desk = desk};
    if (words.at == NULL) {
        conn_close(conn);
        return false;
    }
    const char *refusal = native_write_words(&words, frame, asked);
    if (refusal != NULL) {
        free(owned);
        put_wordless(conn, frame, raw, refusal);
        return true;
    }
    struct native_ticket *ticket = ticket_new(conn, frame, raw);
    if (part != NULL) {
        ticket->index = part->index;
        ticket->is_last = part->is_last;
        ticket->several = part->several;
    }
    ticket->traceparent = asked->traceparent;
    ticket->memory = asked->memory;
    asked->memory = NULL;
    dispatch_add(conn, words.at, owned, words.count, raw, NULL)->native = ticket;
    if (owned != NULL) { /* its words do not outlive the next request */
        worker_execute(worker);
    }
    return true;
}

static struct native_several *several_new(uint32_t count)
{
    struct native_several *several = malloc(sizeof(*several));
    if (several != NULL) {
        *several = (struct native_several){.left = count, .holds = 1};
    }
    return several;
}

static bool may_go_on(const struct conn *conn)
{
    return conn->state == CONN_OPEN && conn->holds == 0 && !conn->parse_again;
}

/* MGET: a read for each key, and the frame is behind the last one. If the connection is held in the middle, the frame is taken
 * again, and begins with the first read that was not executed. */
static void put_several(struct conn *conn, const struct native_frame *frame, struct slice raw,
                        const struct native_request *asked)
{
    struct native_conn *native = conn->native;
    const uint32_t count = asked->key_count > 0 ? (uint32_t)asked->key_count : 1;
    const char *refusal = native_refuse_read(asked);
    if (refusal != NULL) {
        put_wordless(conn, frame, raw, refusal);
        return;
    }
    worker_execute(conn->worker); /* so that it is at the front */
    if (!may_go_on(conn)) {
        conn->parse_again = true;
        return;
    }
    const uint32_t begin = native->stepped;
    if (native->several == NULL) {
        native->several = several_new(count);
    }
    struct native_frame one = *frame;
    struct native_request of_one = *asked;
    of_one.key_count = 0;
    of_one.memory = NULL;
    struct slice rest = frame->keys;
    size_t at = 0;
    while (may_go_on(conn) && native->several != NULL &&
           native_next_key(&rest, asked->key_sizes, asked->key_count, &at, &one.keys)) {
        const struct part part = {
            .index = (uint32_t)at - 1, .is_last = at == count, .several = native->several};
        const struct slice place = {raw.data, part.is_last ? raw.size : 0};
        if (at > begin && !put_words(conn, &one, place, &of_one, &part)) {
            return;
        }
    }
    if (native->several == NULL) {
        conn_close(conn);
    }
    worker_execute(conn->worker); /* what the words borrow goes with the metadata */
}

/* A HELLO in front of it in this batch counts. */
static bool has_too_many_keys(struct conn *conn, const struct native_request *asked)
{
    if (!conn->session.authenticated && asked->key_count > LIMIT_UNAUTH_ARGS) {
        worker_execute(conn->worker);
    }
    return !conn->session.authenticated && asked->key_count > LIMIT_UNAUTH_ARGS;
}

static bool is_request(uint8_t op)
{
    return (op >= NATIVE_GET && op <= NATIVE_CALL) || op == NATIVE_WARM || op == NATIVE_HOT;
}

static void native_put_frame(struct conn *conn, const struct native_frame *frame, struct slice raw)
{
    struct native_request asked;
    const uint8_t op = frame->header.op;
    metrics_count(conn->worker->metrics, M_NATIVE_REQUESTS);
    if ((op == NATIVE_GET || op == NATIVE_FETCH) && frame->meta.size == 0 &&
        frame->keys.size < LIMIT_L1_KEY) {
        put_plain_read(conn, frame, raw);
        return;
    }
    if (op == NATIVE_HELLO || op == NATIVE_BEAT) {
        put_wordless(conn, frame, raw, NULL);
        return;
    }
    if (!is_request(op)) {
        put_wordless(conn, frame, raw, "no such request");
        return;
    }
    const enum status status = native_request_unpack(frame->meta, &asked);
    if (status != OK) {
        put_wordless(conn, frame, raw,
                     status == NO_MEMORY ? "no memory for the metadata"
                                         : "the metadata is malformed");
        return;
    }
    if (!native_keys_fit(frame->keys, asked.key_sizes, asked.key_count)) {
        put_wordless(conn, frame, raw, "the sizes of the keys do not add up");
    } else if (has_too_many_keys(conn, &asked)) {
        put_wordless(conn, frame, raw, "too many keys before login");
    } else if (op == NATIVE_MGET) {
        put_several(conn, frame, raw, &asked);
    } else {
        (void)put_words(conn, frame, raw, &asked, NULL);
    }
    native_request_done(&asked);
}

/* No more frames of it can be read. */
static void native_refuse(struct conn *conn, enum status status, const struct native_header *header)
{
    const struct native_ticket ticket = {.id = header->id, .op = header->op};
    metrics_count(conn->worker->metrics, M_PROTOCOL_ERRORS);
    if (status == INVALID) {
        native_put_bad(conn, &ticket, "this node speaks version 1 of the protocol");
    } else if (status == TOO_BIG) {
        native_put_bad(conn, &ticket,
                       conn->session.authenticated
                           ? "the frame is larger than may be"
                           : "the frame is larger than may be before login");
    }
    native_goodbye(conn, status == MALFORMED ? "no frame begins so" : "it cannot be read on");
    conn_close_after_reply(conn);
}

void native_take(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct slice rest = conn->region;
    conn->native->missing = 0;
    while (rest.size > 0 && may_go_on(conn)) {
        const struct native_limits limits = limits_of(conn);
        struct native_frame frame = {0};
        size_t used = 0;
        const enum status status =
            native_frame_read(rest, &limits, &frame, &used, &conn->native->missing);
        if (status == AGAIN) {
            break;
        }
        if (status != OK) {
            const bool authenticated = conn->session.authenticated;
            worker_execute(worker); /* what came before is answered first */
            if (!may_go_on(conn)) {
                conn->parse_again = true;
                return;
            }
            if (authenticated == conn->session.authenticated) {
                native_refuse(conn, status, &frame.header);
                return;
            }
            continue; /* HELLO was among it: other limits hold now */
        }
        native_put_frame(conn, &frame, (struct slice){rest.data, used});
        rest.data += used;
        rest.size -= used;
    }
}

size_t native_missing(const struct conn *conn)
{
    return conn->native->missing;
}

void native_on_settled(struct conn *conn, size_t consumed)
{
    struct native_conn *native = conn->native;
    native->kept = native->kept > consumed ? native->kept - consumed : 0;
    if (native->kept == 0) {
        native->kept = conn->in.size;
        native->since_ms = conn->in.size > 0 ? conn->worker->now_ms : 0;
    }
}

/* --- executing --------------------------------------------------------------------------------------------------------- */

/* Its client does not wait any more, and nothing was done. */
static bool is_late(const struct worker *worker, struct native_ticket *ticket)
{
    if (ticket->patience_ms == 0) {
        return false;
    }
    ticket->deadline_ms =
        (ticket->read_at_ms != 0 ? ticket->read_at_ms : worker->now_ms) + ticket->patience_ms;
    return worker->now_ms >= ticket->deadline_ms;
}

static void native_step(struct native_conn *native, const struct native_ticket *ticket)
{
    native->stepped = ticket->is_last ? 0 : ticket->index + 1;
    if (ticket->several != NULL && ticket->is_last) {
        native_several_release(native->several);
        native->several = NULL;
    }
}

bool native_execute(struct worker *worker, struct request *request)
{
    struct conn *conn = request->conn;
    struct native_ticket *ticket = request->native;
    bool done = true;
    if (ticket->refusal != NULL) {
        native_put_bad(conn, ticket, ticket->refusal);
    } else if (ticket->op == NATIVE_HELLO) {
        done = native_hello(worker, request);
    } else if (ticket->op == NATIVE_BEAT) {
        native_beat(conn, request);
    } else if (is_late(worker, ticket)) {
        native_put(conn, ticket, NATIVE_DEADLINE, &(struct native_reply){.index = ticket->index},
                   SLICE_LITERAL("DEADLINE it was not begun in time"));
    } else {
        done = dispatch_request(worker, request);
    }
    if (done && conn->state != CONN_CLOSED) {
        native_step(conn->native, ticket);
    }
    return done;
}

void native_done(struct request *request)
{
    if (request->native->memory != NULL) {
        struct native_request asked = {.memory = request->native->memory};
        native_request_done(&asked);
        request->native->memory = NULL;
    }
}
