/* SPDX-License-Identifier: BSD-3-Clause */
/* set_options.h -- the words behind SET and GETEX: conditions, and when the key ends. As Redis reads them.
 *
 * Threads: pure, but for the error that is answered. */
#ifndef TERRACE_SERVER_SET_OPTIONS_H
#define TERRACE_SERVER_SET_OPTIONS_H

#include "server/call.h"

enum {
    SET_NX = 1u << 0,
    SET_XX = 1u << 1,
    SET_GET = 1u << 2,
    SET_KEEPTTL = 1u << 3,
    SET_PERSIST = 1u << 4,
    SET_EX = 1u << 5,
    SET_PX = 1u << 6,
    SET_EXAT = 1u << 7,
    SET_PXAT = 1u << 8,
    SET_SECONDS = SET_EX | SET_EXAT,
    SET_RELATIVE = SET_EX | SET_PX,
    SET_TIMES = SET_EX | SET_PX | SET_EXAT | SET_PXAT,
    OF_SET = SET_NX | SET_XX | SET_GET | SET_KEEPTTL | SET_TIMES,
    OF_GETEX = SET_PERSIST | SET_TIMES,
    SET_LOOKS = SET_NX | SET_XX | SET_GET | SET_KEEPTTL, /* what stands matters */
};

struct set_options {
    unsigned flags;
    struct slice time; /* of the last of SET_TIMES */
};

/* argv[first] and on, of which those words are known that `allowed` (OF_SET, OF_GETEX) has; `options` all zeros. false: a
 * syntax error is answered. */
bool set_options_parse(struct call *call, uint32_t first, unsigned allowed,
                       struct set_options *options);
/* Whether SET's words ask for what stands, too: NX, XX, GET, KEEPTTL. Of nonsense: either. */
bool set_options_decide(const struct call *call);
/* When the key ends, asked at now_ms by that command; without a word for time: ITEM_NEVER. false: an error is answered. */
bool set_options_time(struct reply *reply, const struct command *command, int64_t now_ms,
                      const struct set_options *options, int64_t *ret_at_ms);

#endif
