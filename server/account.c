/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/account.h"

#include "server/latency.h"
#include "server/node.h"
#include "server/slowlog.h"
#include "server/usage.h"

void account_durations(struct command_counters *counters, uint64_t nsec, unsigned calls)
{
    unsigned log = nsec <= 1024 ? 0 : 64 - (unsigned)__builtin_clzll((nsec - 1) >> 10);
    count_add(&counters->nsec, nsec * calls);
    count_add(&counters->durations[log < COMMAND_DURATIONS ? log : COMMAND_DURATIONS - 1], calls);
}

static bool is_slow(struct node *node, uint64_t nsec)
{
    const int64_t slower_us =
        atomic_load_explicit(&node->live.slowlog_slower_us, memory_order_relaxed);
    return slower_us >= 0 && nsec / 1000 >= (uint64_t)slower_us;
}

static void note_if_slow(struct node *node, uint64_t nsec, struct slice words,
                         const struct conn *conn)
{
    if (is_slow(node, nsec) && words.size > 0) {
        struct slowlog_note note = {
            .unix_s = clock_unix_us() / 1000000, .usec = nsec / 1000, .words = words};
        if (conn != NULL) {
            note.peer = slice_of(conn->session.peer);
            note.name = buf_slice(&conn->session.name);
        }
        slowlog_note(node->slowlog, &note, (size_t)atomic_load(&node->live.slowlog_max_len));
    }
    int64_t threshold_ms =
        atomic_load_explicit(&node->live.latency_threshold_ms, memory_order_relaxed);
    if (threshold_ms > 0 && nsec / 1000000 >= (uint64_t)threshold_ms) {
        latency_note(node->latency, "command", clock_unix_us() / 1000000, nsec / 1000000);
    }
}

void account_slow(const struct call *call, uint64_t nsec)
{
    if ((call->command->flags & COMMAND_SKIP_SLOWLOG) != 0) {
        return;
    }
    struct buf words = {0};
    if (is_slow(call->node, nsec)) {
        (void)!call_words(call, &words);
    }
    note_if_slow(call->node, nsec, buf_slice(&words), call->conn);
    buf_done(&words);
}

static void account_slow_answer(const struct answer *answer, uint64_t nsec)
{
    struct node *node = answer->worker->node;
    struct buf made = {0};
    if (answer->words_are_raw && is_slow(node, nsec)) {
        (void)!call_words_of(answer->words, &made);
    }
    note_if_slow(node, nsec, answer->words_are_raw ? buf_slice(&made) : answer->words,
                 answer->conn);
    buf_done(&made);
}

void account_landed(const struct answer *answer)
{
    uint64_t nsec = clock_monotonic_ns() - answer->began_ns;
    if (answer->counters != NULL) {
        account_durations(answer->counters, answer->blocks ? 0 : nsec, 1);
        count_add(&answer->counters->failed, answer->reply.failed ? 1 : 0);
    }
    if (answer->reply.failed) {
        metrics_count(answer->worker->metrics, M_ERRORS);
    }
    usage_note_answer(answer);
    if (!answer->blocks) {
        account_slow_answer(answer, nsec);
    }
}
