/* SPDX-License-Identifier: BSD-3-Clause */
/* read_scripts.h -- scripts that promise Redis to write nothing, so that CLIENT PAUSE WRITE lets them go.
 *
 * EVAL shows the promise in its first line (#!lua flags=no-writes). For EVALSHA the node remembers the SHA1 of such texts that
 * came by. What a function promises only Redis knows, so that FCALL waits for the end of the pause: who wants it to run says
 * FCALL_RO.
 *
 * Threads: any; one small lock.
 * Limits:  READ_SCRIPTS_MAX remembered; of more the oldest is forgotten, and EVALSHA waits for the end of the pause. */
#ifndef TERRACE_SERVER_READ_SCRIPTS_H
#define TERRACE_SERVER_READ_SCRIPTS_H

#include "server/call.h"

enum {
    READ_SCRIPTS_MAX = 512
};

struct read_scripts;

struct read_scripts *read_scripts_new(void); /* NULL: no memory */
void read_scripts_free(struct read_scripts *scripts);
/* EVAL and SCRIPT LOAD on their way to L2. */
void read_scripts_note(const struct call *call);
/* A script that writes nothing, as far as is known now. */
bool read_scripts_is_read(const struct call *call);

#endif
