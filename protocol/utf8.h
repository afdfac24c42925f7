/* SPDX-License-Identifier: BSD-3-Clause */
/* utf8.h -- whether bytes are text.
 *
 * Threads: pure. */
#ifndef TERRACE_PROTOCOL_UTF8_H
#define TERRACE_PROTOCOL_UTF8_H

#include "protocol/bytes.h"

/* UTF-8 (RFC 3629, section 4): no overlong form, no surrogate, nothing beyond U+10FFFF. */
bool utf8_is(struct slice bytes);
/* The size of the character that begins at `at`, below bytes.size; 0: there is none. */
size_t utf8_character(struct slice bytes, size_t at);

#endif
