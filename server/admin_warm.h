/* SPDX-License-Identifier: BSD-3-Clause */
/* admin_warm.h -- warm jobs over HTTP, as CACHE.WARM has them.
 *
 *      GET    /v1/warm        LIST
 *      POST   /v1/warm        SUBMIT; a job with `schedule` or `before_expiry` REGISTER. 202 and {"id": 7}
 *      GET    /v1/warm/ID     STATUS
 *      POST   /v1/warm/ID     {"state": "paused"}, {"state": "running"}, or {"rate": 5000}: PAUSE, RESUME, SETRATE
 *      DELETE /v1/warm/ID     CANCEL
 *
 * Threads: the control loop; the answers come from the first worker's. */
#ifndef TERRACE_SERVER_ADMIN_WARM_H
#define TERRACE_SERVER_ADMIN_WARM_H

#include "server/admin_request.h"

void admin_warm_list(struct admin_request *request);
void admin_warm_submit(struct admin_request *request);
/* The rest of the path behind /v1/warm/ is the ID; 404 if it is none. */
void admin_warm_status(struct admin_request *request);
void admin_warm_change(struct admin_request *request);
void admin_warm_cancel(struct admin_request *request);

#endif
