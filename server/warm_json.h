/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_json.h -- a warm job from its JSON.
 *
 *      {"source": {"pattern": "w:*"}, "priority": 7, "rate": 500, "mode": "stale", "target": "self", "deadline": 60}
 *
 * Sources: {"keys": ["a", "b"]}  {"file": "name"}  {"set": "key"}  {"zset": "key", "n": 1000}  {"pattern": "w:*"}  {"tag": "t"}
 *          {"hot": 1000}  {"snapshot": ""}  {"log": "name", "n": 1000}
 * Beside the source: db, priority (0 to 9), rate and bytes (per second, over all nodes; 0: no limit), mode (missing,
 * stale, force), target (all, self, l2), deadline (s), dryrun, schedule, before_expiry ("20%").
 * What is not one of these names is an error: a word that was misspelt would do something else than was meant.
 *
 * Pure. Limits: WARM_JSON_MAX, WARM_KEYS_MAX, LIMIT_L1_KEY for a key; nesting as deep as a job has it. */
#ifndef TERRACE_SERVER_WARM_JSON_H
#define TERRACE_SERVER_WARM_JSON_H

#include "server/warm.h"

/* INVALID: `error` names the path and what was expected there, as "$.source.hot: a number from 1 to 1000000". NO_MEMORY.
 * `ret_job` is empty unless it is OK. */
enum status warm_job_parse(struct slice json, struct warm_job *ret_job,
                           char error[WARM_ERROR_MAX]) MUST_USE;
/* The source as LIST shows it: "pattern w:*", "keys 12", "zset top 1000"; what cannot be printed is a dot. */
void warm_job_describe(const struct warm_job *job, char dst[WARM_SOURCE_TEXT_MAX]);

#endif
