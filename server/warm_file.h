/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_file.h -- files that clients may name: plain files that lie in warm-dir itself, and nothing else.
 *
 * A name is one word of a path (warm_json.c). It is not followed if it is a link, not opened if it is no plain file, and once
 * it is open it is looked at again: so no link, no pipe and no device is ever read, whoever puts one there meanwhile.
 *
 * Threads: any. */
#ifndef TERRACE_SERVER_WARM_FILE_H
#define TERRACE_SERVER_WARM_FILE_H

#include "server/warm.h"

struct node;

/* A descriptor to read from; INVALID: `error` begins with `path` ("$.source.file") and says why not. */
enum status warm_file_open(struct node *node, const char *path, const char *name, int *ret_fd,
                           char error[WARM_ERROR_MAX]) MUST_USE;

#endif
