/* SPDX-License-Identifier: BSD-3-Clause */
/* object.h -- what OBJECT says about a value. L1 keeps bytes only; Redis' words for them are derived. */
#ifndef TERRACE_SERVER_OBJECT_H
#define TERRACE_SERVER_OBJECT_H

#include "tiers/item.h"

const char *object_encoding(
    struct slice value, enum item_look look); /* "int", "embstr", "raw"; "listpack", "hashtable" */
int64_t object_refcount(struct slice value,
                        enum item_look look); /* small integers are shared in Redis: INT32_MAX */

#endif
