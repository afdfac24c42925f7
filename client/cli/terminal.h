/* SPDX-License-Identifier: BSD-3-Clause */
/* terminal.h -- a screen of our own on the terminal, and its keys; the terminal is as it was whenever the program ends by
 * exit, by a return, or by a signal that clock.h catches.
 *
 * Threads: the main thread's. */
#ifndef TERRACE_CLIENT_CLI_TERMINAL_H
#define TERRACE_CLIENT_CLI_TERMINAL_H

#include "protocol/bytes.h"

/* Standard output is one that can go back in its line. */
bool terminal_is_there(void);
/* false: standard output is no terminal, and nothing has changed. */
bool terminal_begin(void);
void terminal_end(void); /* again is fine */
void terminal_size(unsigned *ret_rows, unsigned *ret_columns);
/* The descriptor that keys come from; -1: there are none. */
int terminal_keys(void);
/* The next key; -1: none waits. At the end of the input 'q'. */
int terminal_key(void);
/* All of it, or false: the terminal is gone. */
bool terminal_write(struct slice bytes);
/* Whether the language of the environment is written in UTF-8. */
bool terminal_is_utf8(void);

#endif
