/* SPDX-License-Identifier: BSD-3-Clause */
/* scripts.h -- the scripts that a node knows by heart: those of locks and of limiters.
 *
 * A node alone has no Lua. But applications release a lock, or count a request, by a few well-known scripts of one key;
 * these are recognised by their text and done natively, in one atomic step (cmd_script.c). Every other script is refused.
 * With an L2, which runs them, it is by these that users may run scripts who may not do everything (script_rights.h).
 *
 * Libraries write the same script in their own way, so texts are compared in a NORMAL FORM: no comments, no line ends, no
 * semicolons, no spaces but one between two words, strings in single quotes and lower case. In scripts as known here every
 * string is a command's name or option, or a number, so case means nothing.
 *
 *      if redis.call("GET", KEYS[1]) == ARGV[1] then      ->      if redis.call('get',KEYS[1])==ARGV[1]then ...
 *
 * EVALSHA names a script by the SHA1 of its text as it was written; those that were recognised are remembered, as Redis
 * remembers what it compiled.
 *
 * Threads: any; one small lock.
 * Limits:  SCRIPT_NORMAL_MAX bytes of normal form; SCRIPTS_REMEMBERED texts, the oldest is forgotten first. */
#ifndef TERRACE_SERVER_SCRIPTS_H
#define TERRACE_SERVER_SCRIPTS_H

#include "protocol/bytes.h"

enum {
    SCRIPT_NORMAL_MAX = 512,
    SCRIPT_SHA_DIGITS = 40,
    SCRIPTS_REMEMBERED = 256
};

enum script_action {
    SCRIPT_COMPARE_DELETE, /* if KEYS[1] holds ARGV[1], delete it */
    SCRIPT_COMPARE_EXPIRE, /* if KEYS[1] holds ARGV[1], it expires after ARGV[2] */
    SCRIPT_COMPARE_EXTEND, /* the same, ARGV[2] later than now if ARGV[3] is "0"; not if it does not expire */
    SCRIPT_OBTAIN, /* the same as COMPARE_EXPIRE, or, if there is no key, store ARGV[1] for ARGV[2] */
    SCRIPT_ADD,    /* unless the key exists, store ARGV[1] for ARGV[2] */
    SCRIPT_ADD_NUMBER, /* add ARGV[1]; with if_exists, only to a key that is there */
    SCRIPT_COUNT,      /* add ARGV[amount], or 1; an expiry after ARGV[time] when it is the first */
    SCRIPT_COUNT_WINDOW, /* the same when there is no expiry, or ARGV[1] is "1"; tell the number and what is left */
    SCRIPT_COUNT_RESTART,  /* begin at 1 when there is no expiry */
    SCRIPT_COUNT_FLEXIBLE, /* of rate-limiter-flexible */
};

enum script_answer {
    SCRIPT_NUMBER, /* 1 or 0, or what was counted */
    SCRIPT_TRUTH,  /* 1 or null */
    SCRIPT_PAIR,   /* what was counted, and the milliseconds that are left */
};

struct script {
    enum script_action action;
    enum script_answer answer;
    int unit_ms;      /* of the time */
    uint8_t time;     /* which of ARGV is the time; 0: none */
    uint8_t amount;   /* which of ARGV is the amount; 0: none */
    uint8_t args;     /* how many of ARGV it needs */
    bool flag;        /* ADD_NUMBER: if_exists; COUNT_WINDOW: ARGV[1] is looked at */
    const char *text; /* in normal form */
};

/* The script with this text; NULL: not known. */
const struct script *script_recognise(struct slice text);
/* The normal form, or 0 if `text` has none of at most `room` bytes: a long comment, an escape, an open string. */
size_t script_normalise(struct slice text, char *dst, size_t room);
void script_sha(struct slice text, char ret_digits[SCRIPT_SHA_DIGITS]);

struct scripts;

struct scripts *scripts_new(void); /* NULL: no memory */
void scripts_free(struct scripts *scripts);
void scripts_remember(struct scripts *scripts, const char sha[SCRIPT_SHA_DIGITS],
                      const struct script *script);
/* By 40 hexadecimal digits of either case; NULL: not remembered. */
const struct script *scripts_find(struct scripts *scripts, struct slice sha);
void scripts_forget(struct scripts *scripts);

/* Scripts 0, 1, ... for tests and for the documentation; NULL after the last. */
const struct script *script_at(unsigned index);

#endif
