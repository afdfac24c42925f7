/* SPDX-License-Identifier: BSD-3-Clause */
/* l2_url.h -- where L2 is: redis://[user[:pass]@]host[:port][/0], unix://[user[:pass]@]/path[?db=0], as the contract
 * writes them.
 *
 * Percent escapes are decoded in user and password. What this version cannot do (rediss, sentinel, cluster, several
 * endpoints, parameters) is refused by name. An error never repeats a part of the URL: it may be the password.
 *
 * Owns: its strings. */
#ifndef TERRACE_TIERS_L2_URL_H
#define TERRACE_TIERS_L2_URL_H

#include "protocol/bytes.h"

enum {
    L2_URL_ERROR_MAX = 160
};

struct l2_url {
    bool is_unix;
    char *host;  /* or the path; an IPv6 address without its brackets */
    int port;    /* 0 with a path */
    char *user;  /* NULL: none */
    char *pass;  /* NULL: none */
    unsigned db; /* always 0: the databases that clients see are those of L2 */
};

/* INVALID: `error` says what was expected. A database other than 0 is refused: clients choose theirs by SELECT.
 * NO_MEMORY. Unless OK, *ret_url is as it was. */
enum status l2_url_parse(struct slice text, struct l2_url *ret_url,
                         char error[L2_URL_ERROR_MAX]) MUST_USE;
void l2_url_done(struct l2_url *url);

#endif
