/* SPDX-License-Identifier: BSD-3-Clause */
/* l2_url.h -- where L2 is, as the contract writes it:
 *
 *      redis://[user[:pass]@]host[:port][/0][?priority=N]      one server, or an address of a replication group
 *      rediss://...                                            the same by TLS
 *      unix://[user[:pass]@]/path[?db=0&priority=N]
 *      URL,URL,...                                             several, each written in full; on any: ?independent=1
 *      redis+sentinel://[user[:pass]@]host[:port],host.../NAME the sentinels that watch the group called NAME;
 *          [?sentinel-user=U&sentinel-pass=P]                  user and pass are for L2 itself
 *      rediss+sentinel://...                                   the same, sentinels and L2 by TLS
 *
 * PRIORITY: the lowest number is preferred, as with DNS SRV records and Sentinel's replica-priority; 0 unless said, and
 * of equals the one written first. Several endpoints are addresses of ONE replication group, of which only the master is
 * used; independent=1 says that they have nothing to do with each other.
 *
 * Percent escapes are decoded in user, password and parameters. What this version cannot do (cluster) is
 * refused by name. An error never repeats a part of the URL: it may be the password.
 *
 * Owns: its strings. */
#ifndef TERRACE_TIERS_L2_URL_H
#define TERRACE_TIERS_L2_URL_H

#include "protocol/bytes.h"

#define L2_URL_MASK "********"

enum {
    L2_URL_ERROR_MAX = 160,
    L2_URLS_MAX = 16,
    L2_URL_ADDRESS_MAX = 280
};

/* One address. */
struct l2_url {
    bool is_unix;
    bool tls;
    char *host;  /* or the path; an IPv6 address without its brackets */
    int port;    /* 0 with a path */
    char *user;  /* NULL: none */
    char *pass;  /* NULL: none */
    unsigned db; /* always 0: the databases that clients see are those of L2 */
    int priority;
};

/* All that the option `l2` says. */
struct l2_urls {
    /* By priority, then as written; the sentinels, if there is a master_name. */
    struct l2_url urls[L2_URLS_MAX];
    size_t count;
    bool independent;
    char *master_name; /* of the group that the sentinels watch; NULL: the urls are L2 itself */
    char *master_user; /* for L2 behind sentinels; NULL: none */
    char *master_pass;
    bool master_tls;
};

/* INVALID: `error` says what was expected. A database other than 0 is refused: clients choose theirs by SELECT.
 * NO_MEMORY. Unless OK, *ret_urls is as it was. */
enum status l2_urls_parse(struct slice text, struct l2_urls *ret_urls,
                          char error[L2_URL_ERROR_MAX]) MUST_USE;
void l2_urls_done(struct l2_urls *urls);
bool l2_urls_use_tls(struct slice text); /* any of them, of a text that can be parsed; "" too */
/* The text of the option with every password hidden, for whoever looks at settings. */
enum status l2_urls_append_masked(struct buf *out, struct slice text) MUST_USE;
/* "host:port" or the path, for messages; never the user or the password. */
void l2_url_address(const struct l2_url *url, char text[L2_URL_ADDRESS_MAX]);
/* A copy with strings of its own. NO_MEMORY. */
enum status l2_url_copy(const struct l2_url *url, struct l2_url *ret_url) MUST_USE;
void l2_url_done(struct l2_url *url);

#endif
