/* SPDX-License-Identifier: BSD-3-Clause */
/* admin_json.h -- /v1 of the admin listener: what a node knows, and what may be asked of it, as JSON.
 *
 *      GET /v1/stats[?section=NAME]   INFO, a section as an object; without a name all but the commands', and `namespaces`,
 *                                     which has its own page
 *      GET /v1/nodes                  CACHE.NODES
 *      GET /v1/namespaces             CACHE.NAMESPACES
 *      GET /v1/hot[?n=COUNT]          CACHE.HOT
 *      /v1/warm, /v1/warm/ID          CACHE.WARM (admin_warm.h)
 *
 * Figures and names are those of the commands, which write them (answer_json.h). Errors are {"error": "..."}, with "path" if
 * they are about a place in the request's own JSON.
 *
 *      400 no such job can be, no such section      405 not with this method        429 a queue is full
 *      401 the wrong token, or none                 409 the job's state forbids it  500 no memory
 *      403 nobody may (admin_guard.h)               413 a body over 1 MiB           503 L2, or the node, cannot now
 *      404 no such page, or job                     415 a body that is no JSON
 *
 * Threads: the control loop. */
#ifndef TERRACE_SERVER_ADMIN_JSON_H
#define TERRACE_SERVER_ADMIN_JSON_H

#include "server/admin_request.h"

#define ADMIN_WARM_JOB "/v1/warm/" /* and the number of the job */

/* Whether the path is one of these. */
bool admin_json_claims(const char *path);
/* The head is there: refuses what needs no body to be refused. */
void admin_json_begin(struct admin_request *request);
/* The body, too: answers, or waits. Only of what is not answered. */
void admin_json_run(struct admin_request *request);

#endif
