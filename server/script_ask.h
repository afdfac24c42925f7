/* SPDX-License-Identifier: BSD-3-Clause */
/* script_ask.h -- a script of ours, asked for by its name.
 *
 *      EVALSHA name ... ~> answer                              its text, of 30 KiB perhaps, stays here, and is not hashed
 *                       ~> NOSCRIPT: EVAL text ... ~> answer   Redis is new, or was told SCRIPT FLUSH: it knows it now
 *
 * NOSCRIPT is answered before anything is done, so nothing is done twice. A user who may say EVAL and not EVALSHA is
 * NOPERM: then, too, the text goes. What is larger than the text itself goes with the text at once: it need not be kept
 * for a second time.
 *
 * Owns:    a copy of the words, until the answer, where it may have to say them twice.
 * Threads: the window's.
 * Limits:  SCRIPT_ASK_KEPT bytes of words are kept.
 * Errors:  as tiers_ask. */
#ifndef TERRACE_SERVER_SCRIPT_ASK_H
#define TERRACE_SERVER_SCRIPT_ASK_H

#include "server/scripts.h"
#include "tiers/tiers.h"

enum {
    SCRIPT_HEAD_WORDS = 2, /* EVALSHA and the name, or EVAL and the text */
    SCRIPT_ASK_KEPT = 32 * 1024
};

struct own_script {
    struct slice text; /* for ever */
    char sha[SCRIPT_SHA_DIGITS];
};
void own_script_init(struct own_script *script, struct slice text);

/* One question. Embedded by the asker; one at a time. */
struct script_ask {
    struct link_request request; /* first; private */
    /* Exactly once after OK; as a link_request's. */
    void (*on_reply)(struct script_ask *ask, enum status status, struct slice reply);
    struct tiers_window *window; /* private, as all from here */
    const struct own_script *script;
    struct slice *words; /* with their bytes behind them; NULL: not kept */
    size_t count;
};

/* `words`: SCRIPT_HEAD_WORDS places, which are filled here; how many keys, keys, arguments. on_reply is set; it is never
 * called from inside. */
enum status script_ask(struct tiers_window *window, const struct own_script *script,
                       struct script_ask *ask, struct slice *words, size_t count) MUST_USE;

#endif
