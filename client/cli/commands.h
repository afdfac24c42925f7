/* SPDX-License-Identifier: BSD-3-Clause */
/* commands.h -- the handlers of the verbs (verbs.c); their words have been counted. */
#ifndef TERRACE_CLIENT_CLI_COMMANDS_H
#define TERRACE_CLIENT_CLI_COMMANDS_H

#include "client/cli/cli.h"

/* cmd_read.c */
enum exit_code cmd_get(struct cli *cli);
enum exit_code cmd_mget(struct cli *cli);
/* cmd_fetch.c */
enum exit_code cmd_fetch(struct cli *cli);
/* cmd_write.c */
enum exit_code cmd_set(struct cli *cli);
enum exit_code cmd_del(struct cli *cli);
enum exit_code cmd_invalidate(struct cli *cli);
/* cmd_look.c */
enum exit_code cmd_stats(struct cli *cli);
enum exit_code cmd_nodes(struct cli *cli);
enum exit_code cmd_namespaces(struct cli *cli);
enum exit_code cmd_explain(struct cli *cli);
enum exit_code cmd_tags(struct cli *cli);
enum exit_code cmd_hot(struct cli *cli);
/* cmd_warm.c */
enum exit_code cmd_warm(struct cli *cli);
/* cmd_ping.c, cmd_watch.c, cmd_top.c, cmd_doctor.c */
enum exit_code cmd_ping(struct cli *cli);
enum exit_code cmd_watch(struct cli *cli);
enum exit_code cmd_top(struct cli *cli);
enum exit_code cmd_doctor(struct cli *cli);

#endif
