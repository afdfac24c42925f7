/* SPDX-License-Identifier: BSD-3-Clause */
/* base64.h -- bytes as text, for JSON, which has nothing but text (RFC 4648, section 4; padded).
 *
 * Threads: pure. */
#ifndef TERRACE_PROTOCOL_BASE64_H
#define TERRACE_PROTOCOL_BASE64_H

#include "protocol/bytes.h"

/* NO_MEMORY: nothing was appended. */
enum status base64_append(struct slice bytes, struct buf *to) MUST_USE;

#endif
