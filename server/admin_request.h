/* SPDX-License-Identifier: BSD-3-Clause */
/* admin_request.h -- one request on the admin listener, as admin.c hands it to who answers it.
 *
 *      head -> admin_json_begin (may answer) -> body -> admin_json_run -> answered
 *                                                                     -> admin_wait: suspended ~> answered, resumed
 *
 * Whoever waits for another loop embeds an admin_wait. Its `request` becomes NULL if the client leaves or the admin closes
 * meanwhile: then there is nobody to answer, and the answer is dropped when it comes.
 *
 * Owns:    the request is admin.c's; what waits is its owner's.
 * Threads: the admin's loop. */
#ifndef TERRACE_SERVER_ADMIN_REQUEST_H
#define TERRACE_SERVER_ADMIN_REQUEST_H

#include "protocol/bytes.h"
#include "tiers/base/list.h"

#include <jansson.h>

struct MHD_Connection;
struct admin;
struct node;

enum {
    ADMIN_BODY_MAX = 1024 * 1024,
    ADMIN_WAITS_MAX = 32 /* half of the connections: probes always find one */
};

enum admin_method {
    ADMIN_GET, /* and HEAD */
    ADMIN_POST,
    ADMIN_DELETE,
    ADMIN_OTHER
};

struct admin_wait {
    struct admin_request *request; /* NULL: nobody waits any more */
};

struct admin_request {
    struct list link;
    struct admin *admin;
    struct node *node;
    struct MHD_Connection *connection;
    const char *path; /* while it is handed over */
    enum admin_method method;
    struct buf body;
    struct admin_wait *wait; /* or NULL */
    bool suspended;
    unsigned code; /* 0: not answered */
    const char *type;
    const char *allow;  /* of a 405: the methods that there are */
    const char *policy; /* of a page for browsers; or NULL */
    struct buf text;
};

/* The value of a header or of an argument in the query; empty: there is none, or it has no value. */
struct slice admin_header(const struct admin_request *request, const char *name);
struct slice admin_argument(const struct admin_request *request, const char *name);

/* The answer, once. `json` stays the caller's; NULL: no memory. */
void admin_answer(struct admin_request *request, unsigned code, const json_t *json);
/* {"error": text, "path": path}; no `path` if that is NULL. */
void admin_refuse(struct admin_request *request, unsigned code, struct slice text,
                  const char *path);
/* The answer comes later. false: too many wait, and 503 is answered. */
bool admin_wait(struct admin_request *request, struct admin_wait *wait) MUST_USE;
void admin_wait_not(struct admin_request *request); /* it does not, after all; from the same page */

#endif
