/* SPDX-License-Identifier: BSD-3-Clause */
/* trouble.h -- what the fault proxy does to the bytes that pass, and what it counts.
 *
 * Faults hold for a direction of all connections of a kind: BUS is a connection on which a SUBSCRIBE was seen going up,
 * PLAIN any other. Rules hold for single messages of Redis Pub/Sub that come down a bus connection.
 *
 * A command is one line of words; its answer is "ok" and more words, or "error" and why. See proxy.c for those that
 * concern connections. WHO is all, plain or bus; DIRECTION is up (to the server), down or both.
 *
 *      set WHO DIRECTION mode pass|freeze|hole
 *      set WHO DIRECTION delay MS JITTER_MS    each read waits MS and a random part of JITTER_MS, order is kept
 *      set WHO DIRECTION slice BYTES           at most so many bytes per write; 0: as they come
 *      set WHO DIRECTION rate BYTES            per second and connection; 0: unlimited
 *      set WHO DIRECTION flip N                one bit of one byte in N, on average; 0: none
 *      rule ACTION KIND ONE_IN COUNT MS HEX    ACTION drop, duplicate, delay, reorder or flip; KIND keys, frames or any;
 *                                              COUNT 0: without end; HEX: bytes that the message contains, "-": any
 *      norules
 *      seed N
 *
 * Threads: one. Memory: a refusal ends the process; this is a tool of tests. */
#ifndef TERRACE_TESTS_FAULT_TROUBLE_H
#define TERRACE_TESTS_FAULT_TROUBLE_H

#include "protocol/bytes.h"
#include "tiers/base/rand.h"

enum direction {
    UP,
    DOWN,
    DIRECTIONS
};

enum kind_of_connection {
    PLAIN,
    BUS,
    KINDS
};

enum mode {
    PASS,
    FREEZE, /* keeps what comes */
    HOLE    /* throws it away; nobody is told */
};

struct faults {
    enum mode mode;
    uint64_t delay_ms;
    uint64_t jitter_ms;
    uint64_t slice_bytes;
    uint64_t rate_bytes;
    uint64_t flip_one_in;
};

enum action {
    ACTION_NONE,
    ACTION_DROP,
    ACTION_DUPLICATE,
    ACTION_DELAY,   /* it comes MS later; what is behind it passes */
    ACTION_REORDER, /* it changes places with the next one */
    ACTION_FLIP,    /* one bit of its payload; the lengths stay true */
    ACTIONS
};

enum message_kind {
    MESSAGE_KEYS,  /* Redis announces changed keys */
    MESSAGE_FRAME, /* a node's frame */
    MESSAGE_OTHER, /* answers, confirmations */
    MESSAGE_KINDS
};

struct rule {
    enum action action;
    enum message_kind kind; /* MESSAGE_OTHER: keys and frames */
    uint64_t one_in;
    uint64_t left;
    uint64_t delay_ms;
    struct buf contains;
};

enum {
    RULES_MAX = 16
};

struct trouble {
    struct faults faults[KINDS][DIRECTIONS];
    struct rule rules[RULES_MAX];
    size_t rule_count;
    struct rand rand;
    struct {
        uint64_t bytes[DIRECTIONS];
        uint64_t messages[MESSAGE_KINDS];
        uint64_t actions[ACTIONS][MESSAGE_KINDS];
        uint64_t flipped_bytes;
    } count;
};

void trouble_init(struct trouble *trouble);
void trouble_heal(struct trouble *trouble); /* no faults, no rules */
void trouble_done(struct trouble *trouble);

/* The words of a command line, split at spaces. */
enum {
    WORDS_MAX = 8,
    ANSWER_MAX = 1000
};
struct words {
    size_t count;
    char *at[WORDS_MAX];
};

/* MISS: not a command of this table. INVALID: `answer` says what is wrong. */
enum status trouble_command(struct trouble *trouble, const struct words *words,
                            char answer[ANSWER_MAX]) MUST_USE;
enum status word_number(const char *word, uint64_t *ret_number) MUST_USE;
/* False: no such direction. `ret_is` says which of the two are meant. */
bool word_direction(const char *word, bool ret_is[DIRECTIONS]);
bool word_kind(const char *word, bool ret_is[KINDS]);
enum status word_bytes(const char *hex, struct buf *ret_bytes) MUST_USE;

/* What is to be done with this message; counts it. `message` is one whole reply. */
const struct rule *trouble_judge(struct trouble *trouble, struct slice message);
/* Flips one bit of the payload in place. False: it has none. */
bool trouble_flip_payload(struct trouble *trouble, char *message, size_t size);

#endif
