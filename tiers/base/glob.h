/* SPDX-License-Identifier: BSD-3-Clause */
/* glob.h -- whether a name fits a pattern, as Redis' KEYS, SCAN MATCH and CONFIG GET understand patterns.
 *
 *   *  any bytes       ?  one byte       [abc] [a-z] [^a]  one byte of a set       \x  x itself
 *
 * Byte for byte the language of Redis 7.0, its corners included: a set that is not closed ends with the pattern, a
 * range may be written backwards, bytes above 127 sort below 0, an escaped byte in a set is compared with its case,
 * and nothing but the empty pattern fits the empty name ("*" too: KEYS and SCAN treat a lone "*" before they ask).
 *
 * No recursion. When a part fails, only the last star is moved: every other item of the language eats exactly one
 * byte, so an earlier star never has to be moved again. That makes it pattern times name at worst.
 *
 * Threads: none of its own; pure.
 * Limits:  LIMIT_PATTERN_STEPS bytes of pattern looked at, LIMIT_PATTERN_STARS of its stars (several in a row are one, and one
 *          at the end is not counted); above that the answer is "does not fit". */
#ifndef TERRACE_TIERS_BASE_GLOB_H
#define TERRACE_TIERS_BASE_GLOB_H

#include "protocol/bytes.h"

bool glob_match(struct slice pattern, struct slice name, bool nocase); /* nocase: ASCII */

#endif
