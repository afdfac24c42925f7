/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_script.h -- what a node says to scripts/warm.lua and warm_verbs.lua, the queue of warm jobs in L2.
 *
 *      submitted -> chunk 0 -> chunk 1 -> ... -> chunk n       by the PRODUCER, one node at a time, which runs the source
 *                      |          |
 *      lane of A  -----+----------+--->  done                  one LANE per node (target all), of one node (self), or of
 *      lane of B  -----+--->                                   whichever node is there (l2)
 *
 * All that a node holds is leased by one heartbeat (BEAT, 10 s): a node that dies loses its lanes and its part as a
 * producer, and others go on from the chunk, and the cursor, that were told last. Each step is told in one piece, so it
 * happens once or not at all; one that is told again, since the answer was lost, changes nothing. So each key is loaded
 * once by each node, or again if that died in between.
 *
 * A queue knows when it was BORN. Who says another time than it does is answered GONE: a flush or another Redis has ended the
 * queue that he knew, and numbers of jobs mean others now.
 *
 * Each call looks at a page of jobs at most (PAGE), since all of Redis waits for it: a node learns of what changed by
 * versions, page by page (TAKE), and so it lists jobs (SHOW).
 *
 * Threads: pure.
 * Limits:  WARM_WORDS_MAX words of a request. */
#ifndef TERRACE_TIERS_WARM_SCRIPT_H
#define TERRACE_TIERS_WARM_SCRIPT_H

#include "protocol/bytes.h"
#include "protocol/resp_read.h"

extern const char warm_script[];

enum {
    WARM_HEAD_WORDS = 2,
    WARM_WORDS_MAX = 140,
    WARM_BORN_WORD = WARM_HEAD_WORDS + 3, /* "0", the database and the verb stand before it */
    WARM_NUMBERS_MAX = 24,
    WARM_BORN_MAX = 40
};
#define WARM_MS_MAX (INT64_C(1) << 46) /* two thousand years */

/* A request under construction; what is put in is borrowed until it is sent. */
struct warm_words {
    /* With the first WARM_HEAD_WORDS, which say how the script is called, and are the sender's to fill. */
    size_t count;
    struct slice at[WARM_WORDS_MAX];
    size_t number_count;
    char numbers[WARM_NUMBERS_MAX][I64_DIGITS_MAX];
};

/* `born`: empty: whatever queue is there. `node`: its id in hex, a space, its address. */
void warm_words_begin(struct warm_words *words, unsigned coherence_db, const char *verb,
                      struct slice born, struct slice node);
void warm_word(struct warm_words *words, struct slice text);
void warm_word_number(struct warm_words *words, int64_t number);

/* An answer: its first word, and `count` elements behind it. */
struct warm_answer {
    struct slice word; /* "OK", "GONE" ... */
    struct reply_cursor rest;
    size_t count;
};
/* MALFORMED: it is none. L2_ERROR: `ret_answer->word` is Redis' text. */
enum status warm_answer_read(struct slice reply, struct warm_answer *ret_answer) MUST_USE;
/* The next of its elements; 0, or nothing, where it is not what is asked for. */
int64_t warm_answer_number(struct warm_answer *answer);
/* The same of what cannot be less than 0, and of a time, which is none before 1970 or after WARM_MS_MAX: L2's fields are
 * text that anybody may have written. 0 then. Sums and differences of times do not overflow. */
uint64_t warm_answer_count(struct warm_answer *answer);
int64_t warm_answer_ms(struct warm_answer *answer);
struct slice warm_answer_text(struct warm_answer *answer);
/* An array, whose elements follow as those of `ret_inner`; false: it is none. `answer` goes on behind it. */
bool warm_answer_array(struct warm_answer *answer, struct warm_answer *ret_inner);

/* --- the keys of a chunk --------------------------------------------------------------------------------------------- */

/* Per key: u32 size, u8 database, u8 heat (0: not known), bytes; little endian. */
enum {
    WARM_KEY_HEAD = 6
};
struct warm_chunk_key {
    struct slice key;
    uint8_t db;
    uint8_t heat;
};
enum status warm_chunk_append(struct buf *chunk, const struct warm_chunk_key *key) MUST_USE;
/* The next one; *at begins at 0. MISS: no more. MALFORMED: L2 holds what nobody put there. */
enum status warm_chunk_next(struct slice chunk, size_t *at,
                            struct warm_chunk_key *ret_key) MUST_USE;

#endif
