/* SPDX-License-Identifier: BSD-3-Clause */
/* call.h -- one request on its way down, and its answer on the way up.
 *
 * A call lives on the stack of the batch that executes it. Its arguments borrow the read buffer until the handler
 * returns. A handler either answers before it returns (reply_* on call->reply), or defers: call_defer makes an ANSWER,
 * a place in the connection's queue that keeps the order of replies, and somebody fills and lands it later:
 *
 *      conn queue:   [answer 1: waiting for L2] [answer 2: done] [answer 3: waiting]
 *                     ^ nothing is flushed past the first answer that is not done
 *
 * A handler that defers must do so before it writes anything, and must copy what it needs of argv.
 *
 * If the client leaves meanwhile, the answer loses its connection (conn == NULL) but stays valid until landed.
 *
 * Owns:    an answer belongs to whoever deferred it, until answer_land.
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_CALL_H
#define TERRACE_SERVER_CALL_H

#include "server/command.h"
#include "server/native_ticket.h"
#include "server/reply.h"
#include "tiers/base/list.h"
#include "tiers/namespace.h"

struct blocking;
struct conn;
struct download;
struct execution;
struct managed_command;
struct script;
struct line;
struct node;
struct worker;

struct call {
    struct node *node;
    struct worker *worker;
    struct conn *conn;
    const struct command *command;
    const struct slice
        *argv; /* argv[0] is the command's name; of a subcommand argv[1] is its name */
    uint32_t argc;
    struct slice raw;    /* the request as the client sent it; empty when it came inline, or
                                   * under another name */
    uint64_t first_hash; /* of the first key, already prefetched; valid if first_home is */
    struct namespace *first_home; /* its namespace; NULL: not looked at yet */
    struct line *line; /* tiers/line.h, over which L2 is asked; NULL: the worker's shared link */
    struct blocking *blocking; /* blocking.h; NULL: it does not */
    struct item
        *body; /* a value that lies in an item of its own already (body.h), and in argv; or NULL */
    struct execution *execution;           /* EXEC's, if it is run by that */
    const struct script *script;           /* what L2 is to run, whatever text the client names
                                  * (script_rights.h); or NULL */
    const struct managed_command *managed; /* its keys are managed ones (managed.h); or NULL */
    const struct native_ticket *native;    /* it came in a frame (native.h); or NULL */
    bool deferred;                         /* set by call_defer */
    bool hidden;                           /* argv[0] is a name that rename-command took away */
    bool shown;                            /* to who monitors */
    bool held;      /* not run: its connection holds, and it is tried again */
    uint8_t db;     /* selected database */
    int64_t now_ms; /* clock.h, read once per batch */
    struct reply *reply;
};

/* The key at argv[i] in the call's database, with its home. */
struct ns_key call_find_key(const struct call *call, uint32_t i);
static inline struct ns_key call_key(const struct call *call, uint32_t i)
{
    if (call->first_home == NULL || (int)i != call->command->first_key) {
        return call_find_key(call, i);
    }
    return (struct ns_key){
        .at = {.bytes = call->argv[i], .hash = call->first_hash, .db = call->db},
        .ns = call->first_home,
    };
}
/* The arguments, which outlive the request: one block, the caller's to free. NULL: no memory. */
struct slice *call_keep_args(const struct call *call);

/* Which arguments are keys, or may be: all of them where the command itself says which are. False: none. */
bool call_key_range(const struct call *call, struct key_range *ret_range);
/* The arguments as the slow log shows them, with the trace that the client named. */
enum status call_words(const struct call *call, struct buf *words) MUST_USE;
/* The same of a request as the client sent it. */
enum status call_words_of(struct slice raw, struct buf *words) MUST_USE;
/* Whether an earlier read of the connection still waits for one of the keys. */
bool call_keys_are_asked(const struct call *call);

/* Why an answer is awaited: what later calls of the same connection must wait for (COMPATIBILITY rule 1). */
enum wait_kind {
    WAIT_LOCAL, /* something inside the node */
    WAIT_READ,  /* a read on the connection's own L2 link */
    WAIT_FOREIGN, /* a read that somebody else's link carries: no write may be sent before it landed */
    WAIT_WRITE, /* a write on the own link, or a read that owes a barrier: no L1 read before it landed */
    WAIT_MANAGED, /* the same, a managed write: it leaves at the end of the turn, and nothing may overtake it */
    WAIT_DECISION, /* the same, one that is read for first: no later write may be sent before it landed either */
};

struct answer {
    struct list link;  /* in conn->answers */
    struct conn *conn; /* NULL: the client is gone */
    struct worker *worker;
    const struct command *command;     /* NULL: one that only L2 knows */
    struct command_counters *counters; /* NULL: nobody deferred it */
    struct reply reply;
    enum wait_kind kind;
    bool arrived; /* its bytes are here, and counted as `size` */
    bool landed;
    bool silent;   /* CLIENT REPLY OFF or SKIP: counted, not sent */
    bool blocks;   /* its time is what its client wished, not how long it took */
    uint8_t home;  /* place of the namespace of the call's first key, plus one; 0: it has none */
    uint8_t looks; /* at a large managed value that was another one each time */
    bool is_last;  /* of a place in the array of EXEC: what stands behind it is not said */
    size_t size;
    size_t streamed;             /* bytes of it that were sent on as they came (download.h) */
    uint64_t began_ns;           /* for the slow log; 0: nobody deferred it */
    struct slice words;          /* the arguments, for the slow log: of slowlog_words, or: */
    bool words_are_raw;          /* as the client sent them; in both cases of the worker's spares */
    struct download *download;   /* it comes in pieces (download.h); or NULL */
    struct native_ticket native; /* of a native connection: whose answer it is */
    struct list in_deadlines;    /* native_deadline.c; or empty */
    /* Of a place that is in no queue of a connection, but in the array of EXEC: who is told when it has landed. */
    void (*on_landed)(struct answer *answer);
    struct execution *execution;
};

/* The call's place in the queue; call->reply is of no use from then on. Never NULL: without memory the connection is
 * closed and the answer goes nowhere. */
struct answer *call_defer(struct call *call, enum wait_kind kind);
/* Its reply is here, but must not be given out yet: its bytes are counted, and dropped if nobody will read them. May close
 * the connection. */
void answer_arrive(struct answer *answer);
void answer_land(struct answer *answer); /* its reply is complete; frees it when sent */
/* Its client waits no longer for this one: it leaves the queue, as if the client had left. */
void answer_abandon(struct answer *answer);

/* What later calls must wait for is something else than when it was deferred. */
void answer_set_kind(struct answer *answer, enum wait_kind kind);

/* For connections: an answer at the end of its queue; and one that nobody waits for any more. */
struct answer *answer_new(struct conn *conn, enum wait_kind kind);
struct answer *answer_new_apart(struct worker *worker, struct conn *conn); /* in no queue */
/* What is here already takes its place behind the answers that wait. */
void answer_put(struct conn *conn, struct out *here);
void answer_free(struct answer *answer);

#endif
