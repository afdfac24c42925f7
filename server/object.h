/* SPDX-License-Identifier: BSD-3-Clause */
/* object.h -- what OBJECT says about a string value. L1 keeps bytes only; Redis' words for them are derived.
 *
 * One difference remains: Redis also calls a value "raw" after APPEND or SETRANGE, whatever it is. */
#ifndef TERRACE_SERVER_OBJECT_H
#define TERRACE_SERVER_OBJECT_H

#include "protocol/bytes.h"

const char *object_encoding(struct slice value); /* "int", "embstr" or "raw" */
int64_t object_refcount(struct slice value);     /* small integers are shared in Redis: INT32_MAX */

#endif
