/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/relay_request.h"

#include "protocol/resp_write.h"
#include "server/blocking.h"
#include "server/commands.h"
#include "server/effects.h"
#include "server/hiding.h"
#include "server/node.h"
#include "server/script_rights.h"
#include "server/worker.h"
#include "tiers/tiers.h"

/* WAIT, as it must be said on a line (blocking.h). */
static enum status wait_request(const struct call *call, struct buf *out)
{
    const struct slice ping[] = {SLICE_LITERAL("PING")};
    const enum status status = resp_append_request(out, 1, ping);
    return status != OK ? status : resp_append_request(out, call->argc, call->argv);
}

/* Redis tells of FLUSHDB, but not who was cut off: where managed keys may have gone with it, it is numbered and logged
 * (coherence_replay.c). In a transaction that selects a database before it, nobody knows which one it will be in. */
static bool logs_flush(const struct call *call, uint16_t dbs)
{
    return call->command->run == cmd_flushdb && call->node->namespaces->managed > 0 &&
           call->argc <= 2 && (dbs & (dbs - 1)) == 0;
}

/* The script that numbers it works in a database of its own, so it must be told which one is meant. */
static enum status rewrite_flush(const struct call *call, uint16_t dbs, struct buf *out)
{
    const struct frame_flush flush = {.kind = FRAME_FLUSH_DROP, .dbs = dbs};
    char db[I64_DIGITS_MAX];
    struct slice words[BEAT_COMMAND_WORDS_MAX] = {SLICE_LITERAL("SELECT"),
                                                  {db, i64_format(db, __builtin_ctz(dbs))}};
    for (uint32_t i = 0; i < call->argc; i++) {
        words[2 + i] = call->argv[i];
    }
    return tiers_write_announced(call->worker->window, &flush, words, 2 + call->argc, out);
}

/* The bytes for L2, if they are not those that the client sent; else nothing is appended. */
static enum status rewrite(const struct call *call, uint16_t dbs, struct buf *out)
{
    const char *script = hiding_script(call, dbs);
    const uint16_t swapped = call->command->run == cmd_swapdb ? effects_swapped_dbs(call) : 0;
    if (swapped != 0) {
        const struct frame_flush flush = {.kind = FRAME_FLUSH_DROP, .dbs = swapped};
        return tiers_write_announced(call->worker->window, &flush, call->argv, call->argc, out);
    }
    if (logs_flush(call, dbs)) {
        return rewrite_flush(call, dbs, out);
    }
    if (script != NULL) {
        return hiding_request(call, script, out);
    }
    if (call->script != NULL) {
        return script_request(call, out);
    }
    if (call->blocking != NULL && blocking_is_wait(call->command)) {
        return wait_request(call, out);
    }
    return call->raw.size == 0 ? resp_append_request(out, call->argc, call->argv)
                               : OK; /* it came inline */
}

/* SET of a large value that came in a frame: the words around the value are written, the value itself is not copied. */
static bool lies_in_pieces(const struct call *call)
{
    return call->native != NULL && call->command->run == cmd_set && call->raw.size == 0 &&
           call->argc > 2 && call->argv[2].size >= LIMIT_BODY;
}

static enum status append_word(struct buf *out, struct slice word)
{
    char head[RESP_HEAD_MAX];
    enum status status = buf_append(out, head, resp_head_bulk(head, word.size));
    if (status == OK) {
        status = buf_append_slice(out, word);
    }
    return status == OK ? buf_append(out, "\r\n", 2) : status;
}

/* The words in front of the value, then those behind it; *ret_front of all are in front. */
static enum status write_around(const struct call *call, struct buf *out, size_t *ret_front)
{
    char head[RESP_HEAD_MAX];
    enum status status = buf_append(out, head, resp_head_array(head, call->argc));
    for (uint32_t i = 0; i < 2 && status == OK; i++) {
        status = append_word(out, call->argv[i]);
    }
    if (status == OK) {
        status = buf_append(out, head, resp_head_bulk(head, call->argv[2].size));
    }
    *ret_front = out->size;
    if (status == OK) {
        status = buf_append(out, "\r\n", 2);
    }
    for (uint32_t i = 3; i < call->argc && status == OK; i++) {
        status = append_word(out, call->argv[i]);
    }
    return status;
}

enum status relay_request_make(const struct call *call, struct relay_request *ret)
{
    struct buf *made = &ret->made;
    size_t front = 0;
    *ret = (struct relay_request){0};
    if (lies_in_pieces(call)) {
        const enum status status = write_around(call, made, &front);
        if (status == OK) {
            ret->bytes = (struct slice){made->data, front};
            ret->more[0] = call->argv[2];
            ret->more[1] = (struct slice){made->data + front, made->size - front};
        }
        return status;
    }
    const enum status status = rewrite(call, effects_db_bit(call->db), made);
    ret->bytes = made->size > 0 ? buf_slice(made) : call->raw;
    return status;
}

/* Behind the calls: what puts the link back, if something among them has changed it; *ret_count requests. */
static enum status append_way_back(const struct call *exec, const struct call *calls, size_t count,
                                   struct buf *out, unsigned *ret_count)
{
    bool selects = false;
    bool speaks = false;
    for (size_t i = 0; i < count; i++) {
        selects = selects || calls[i].command->run == cmd_select;
        speaks = speaks || calls[i].command->run == cmd_hello;
    }
    char number[I64_DIGITS_MAX];
    const struct slice select[] = {SLICE_LITERAL("SELECT"), {number, i64_format(number, exec->db)}};
    const struct slice hello[] = {SLICE_LITERAL("HELLO"), exec->conn->session.proto == 3
                                                              ? SLICE_LITERAL("3")
                                                              : SLICE_LITERAL("2")};
    enum status status = selects ? resp_append_request(out, 2, select) : OK;
    if (status == OK && speaks) {
        status = resp_append_request(out, 2, hello);
    }
    *ret_count = selects + speaks;
    return status;
}

static enum status append_all(const struct call *calls, size_t count, uint8_t db, struct buf *out)
{
    uint16_t dbs = effects_db_bit(db);
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        const size_t before = out->size;
        status = rewrite(&calls[i], dbs, out);
        if (status == OK && out->size == before) {
            status = buf_append_slice(out, calls[i].raw);
        }
        dbs = effects_dbs_after(&calls[i], dbs);
    }
    return status;
}

enum status relay_request_make_block(const struct call *exec, const struct call *calls,
                                     size_t count, struct relay_request *ret, unsigned *ret_back)
{
    *ret = (struct relay_request){0};
    enum status status = append_all(calls, count, exec->db, &ret->made);
    if (status == OK) {
        status = append_way_back(exec, calls, count, &ret->made, ret_back);
    }
    ret->bytes = buf_slice(&ret->made);
    return status;
}

void relay_request_done(struct relay_request *request)
{
    buf_done(&request->made);
}
