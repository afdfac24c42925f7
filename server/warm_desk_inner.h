/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_desk_inner.h -- what warm_desk.c (life, beats, rows), warm_question.c (how the script is asked), warm_work.c
 * (lanes), warm_produce.c (producers), warm_ask.c (calls) and warm_show.c (what jobs look like) share. */
#ifndef TERRACE_SERVER_WARM_DESK_INNER_H
#define TERRACE_SERVER_WARM_DESK_INNER_H

#include "server/script_ask.h"
#include "server/standing.h"
#include "server/warm_desk.h"
#include "server/warm_parse.h"
#include "server/warm_run.h"
#include "server/warm_source.h"
#include "tiers/base/list.h"
#include "tiers/base/map.h"
#include "tiers/warm_queue.h"
#include "tiers/warm_script.h"

enum {
    WARM_NODE_TEXT = WARM_NODE_ID_MAX + WARM_ADDRESS_MAX + 1,
    WARM_LOOK_MS = 100, /* between looks for a chunk that is not there, doubled up to */
    WARM_LOOK_MAX_MS = 1000,
    WARM_AGAIN_MS = 500, /* after L2 could not be asked */
    /* A node that can keep nothing (its bus is cut, say) for as long as a lease is waited for no longer than one that is
     * dead: */
    WARM_HALTED_MS = 10000,
    WARM_TRIED_MS = 7000 /* each chunk; longer than the engine rests between two tries */
};
#define WARM_VERSION_NONE INT64_C(0)
#define WARM_SHOWN_MAX    (4u * WARM_JOBS_MAX) /* jobs of a LIST; more than the script keeps */

/* A question to the script. Embedded by who asks; one at a time. */
struct warm_question {
    struct script_ask ask; /* first */
    struct warm_desk *desk;
    bool is_asked;
    /* OK; L2_ERROR: the word is Redis' text; MALFORMED; L2_DOWN. */
    void (*on_answer)(struct warm_question *question, enum status status,
                      struct warm_answer *answer);
};

enum warm_lane_step {
    WARM_LANE_NONE,
    WARM_LANE_IDLE,   /* no chunk for it is known of */
    WARM_LANE_QUEUED, /* in the heap */
    WARM_LANE_ASKS,   /* has a slot; a question is under way, or is to be asked again */
    WARM_LANE_RUNS    /* has a slot, unless it rests; its chunk is with the engine */
};

/* A chunk that was done, until that is told. */
struct warm_done {
    int64_t number; /* -1: none */
    uint64_t loaded;
    uint64_t skipped;
    uint64_t absent;
    uint64_t failed;
    uint64_t bytes;
    struct buf failures; /* attempts, NUL, why, NUL, key; one behind the other, of */
    size_t failure_sizes[WARM_FAILURES_MAX];
    size_t failure_count;
};

enum warm_spec {
    WARM_SPEC_UNKNOWN,
    WARM_SPEC_ASKED,
    WARM_SPEC_KNOWN
};

/* What this node has to do with a job. */
struct warm_row {
    struct warm_entry entry; /* first */
    struct warm_desk *desk;
    struct list in_desk;
    struct map_node by_id; /* until it is dropped */
    enum warm_state state;
    bool is_dropped; /* it has nothing to do with it any more, and waits for its questions */
    unsigned seen;   /* in the pass of this number */
    uint64_t rate;
    unsigned lanes;
    enum warm_spec spec;
    struct warm_job job;
    struct warm_question spec_question;
    struct warm_parse parse; /* of `json`, while */
    bool is_parsing;
    struct buf json;
    int64_t spec_again_ms;
    /* the lane: */
    enum warm_lane_step step;
    struct warm_question lane_question;
    bool rests; /* its job is paused: others have the slot, and when it goes on there is one more */
    /* When it is asked for again; 0: of an idle one, at once; else it is not due. */
    int64_t again_ms;
    int64_t look_ms;
    struct buf chunk;
    struct warm_key keys[WARM_CHUNK_KEYS]; /* in the chunk */
    size_t key_count;
    int64_t number; /* of the chunk */
    struct warm_done done;
    struct warm_run *run;
    struct warm_pace pace;
    int64_t began_ms; /* the chunk */
    int64_t pass_again_ms;
    double speed; /* keys/s */
    /* the producer: */
    bool produces;
    uint64_t next; /* number of the next chunk */
    char cursor[WARM_CURSOR_MAX];
    char source_run[WARM_RUN_MAX];
    struct warm_feed *source;
    struct list in_sources; /* while it is open */
    bool pulls;             /* a batch is under way */
    struct warm_batch batch;
    bool has_batch;
    size_t batch_at;    /* bytes of it that were told */
    struct buf telling; /* the chunk that is being told */
    size_t telling_count;
    size_t telling_at; /* batch_at behind it */
    int64_t wait_ms;   /* until there is room, the last time */
    struct warm_question append_question;
    int64_t append_again_ms;
};

struct warm_desk {
    struct worker *worker;
    bool stopped;
    bool has_left;
    char node[WARM_NODE_TEXT];
    char born[WARM_BORN_MAX];
    struct own_script script;
    int64_t version; /* up to which the node knows what changed; WARM_VERSION_NONE: nothing */
    int64_t floor;   /* the script's, with it */
    int64_t standing_version; /* the same of standing jobs */
    /* What the TAKE under way tells is of a queue that is none any more, or not enough. */
    bool forgets;
    unsigned passes;        /* through all jobs there are, */
    bool passing;           /* which this one is not through yet */
    int64_t redis_ahead_ms; /* Redis' clock less the worker's */
    struct list rows;
    struct map ids; /* of them */
    struct list dropped;
    struct warm_queue queue;
    struct list sources; /* rows whose source is open */
    unsigned sources_weigh;
    unsigned slots;
    int64_t halted_at_ms; /* the engine can keep nothing since; 0: it can */
    double
        walked; /* keys of L2 that sources have looked at, and sweep-rate has not paid for as of */
    int64_t walked_at_ms;
    struct warm_question beat_question;
    struct warm_question take_question;
    struct warm_question mend_question;
    int64_t beat_at_ms;
    int64_t mended_at_ms;
    bool takes_again;
    unsigned calls;
    struct standing *standing;
    int64_t trouble_at_ms; /* the last one; 0: there was none */
    _Atomic unsigned shown[5];
    _Atomic bool shown_takes_part;
};

/* warm_desk.c */
/* OK: on_answer will come. Else it was not asked. */
enum status warm_desk_ask(struct warm_desk *desk, struct warm_question *question,
                          struct warm_words *words) MUST_USE;
/* A request with what every one begins with. */
void warm_desk_words(struct warm_desk *desk, struct warm_words *words, const char *verb);
/* Another queue than the one that was known: what this node knew of jobs is void. */
void warm_desk_is_born(struct warm_desk *desk, struct slice born);
/* Looks what has changed for this node; or at all there is, for it may have lost count. */
void warm_desk_take(struct warm_desk *desk);
void warm_desk_take_all(struct warm_desk *desk);
/* It has nothing to do with the job any more; the memory goes with a later tick. */
void warm_row_drop(struct warm_row *row);
/* The job is known from here on, or has failed, or will be asked for. True: it is known. */
bool warm_row_knows(struct warm_row *row);
/* After a question of it came back: it was not dropped meanwhile. */
bool warm_row_stays(const struct warm_row *row);
/* The job cannot be done: all nodes are told. */
void warm_row_fail(struct warm_row *row, const char *why);
struct warm_row *warm_desk_find(struct warm_desk *desk, uint64_t id);
/* Of a job in L2, whose text anybody may have written: the next number as a priority; and how long it has waited since it was
 * submitted, 0 if nobody knows, by Redis' clock. */
static inline int warm_answer_priority(struct warm_answer *answer)
{
    const uint64_t number = warm_answer_count(answer);
    return number < WARM_PRIORITY_MAX ? (int)number : (int)WARM_PRIORITY_MAX;
}
static inline int64_t warm_waited_ms(int64_t submitted_ms, int64_t now_ms)
{
    return submitted_ms > 0 && submitted_ms < now_ms ? now_ms - submitted_ms : 0;
}

/* warm_work.c */
void warm_work_turn(struct warm_desk *desk); /* slots that are free are given away */
void warm_work_look(
    struct warm_desk *desk); /* can the engine keep anything? Before the ticks of rows */
void warm_work_tick(struct warm_row *row);
/* The row has changed, or there may be chunks for its lane. */
void warm_work_wake(struct warm_row *row);
void warm_work_end(struct warm_row *row);
void warm_work_pause(struct warm_row *row); /* its job was paused, or goes on */
void warm_work_rate(struct warm_row *row);  /* its rate, or how many share it, is another one */

/* warm_produce.c */
void warm_produce_go(struct warm_row *row);
void warm_produce_tick(struct warm_row *row);
void warm_produce_end(struct warm_row *row);

/* warm_show.c: an answer of SHOW, behind what the call has already. *ret_below: what SHOW is to be asked for next; 0:
 * that was all. MALFORMED, NO_MEMORY. */
enum status warm_show_read(struct warm_desk *desk, struct warm_answer *answer,
                           struct warm_call *call, uint64_t *ret_below) MUST_USE;
/* All is read: nothing moves any more. */
void warm_show_end(struct warm_call *call);

#endif
