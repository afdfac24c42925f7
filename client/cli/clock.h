/* SPDX-License-Identifier: BSD-3-Clause */
/* clock.h -- the clocks of this machine, and waits that a signal ends.
 *
 * SIGINT and SIGTERM stay blocked but inside the waits, in this thread and those it starts afterwards: so a signal is never
 * lost between a look at clock_is_ended and the wait, and no thread of the library swallows it. */
#ifndef TERRACE_CLIENT_CLI_CLOCK_H
#define TERRACE_CLIENT_CLI_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_us(void);      /* monotonic */
int64_t clock_wall_us(void); /* Unix time */

/* From here on they do not end the program but are remembered. Before any client is opened. SIGWINCH ends waits, too. */
void clock_catch_signals(void);
bool clock_is_ended(void);
/* Waits until `until_us` of clock_us, a signal, or until `fd` (-1: none) can be read; true: it can. Signals that came
 * before are seen here and nowhere else, also when there is nothing to wait for. */
bool clock_wait(int64_t until_us, int fd);

#endif
