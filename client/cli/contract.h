/* SPDX-License-Identifier: BSD-3-Clause */
/* contract.h -- options of reads and writes, and answers to reads, as the verbs that share them. */
#ifndef TERRACE_CLIENT_CLI_CONTRACT_H
#define TERRACE_CLIENT_CLI_CONTRACT_H

#include "client/cli/cli.h"
#include "client/cli/json.h"

/* EXIT_FINE, or it told what is wrong. */
enum exit_code contract_read(struct cli *cli, struct terrace_read_options *ret_options);
/* The tags are in memory that contract_done frees. */
enum exit_code contract_write(struct cli *cli, struct terrace_write_options *ret_options);
void contract_done(struct terrace_write_options *options);

/* One line on standard error: state, age, life. */
void contract_tell(enum terrace_status status, const struct terrace_value *value);
/* {"key", "status", "reason"?, "value", "age_ms", "ttl_ms"}; NULL: no memory. */
json_t *contract_json(struct slice key, enum terrace_status status,
                      const struct terrace_value *value);
/* Whether there are bytes to print. */
bool contract_has_value(enum terrace_status status, const struct terrace_value *value);
/* Whether the question failed, so that there is an error to tell, and no answer. */
bool contract_failed(enum terrace_status status, const struct terrace_value *value);
/* Tells why. */
enum exit_code contract_fail(struct cli *cli, const char *key, enum terrace_status status,
                             const struct terrace_value *value);

#endif
