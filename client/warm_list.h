/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_list.h -- lists of warm jobs and of hot keys for an application, of the bodies that nodes answer
 * (protocol/native_warm.h).
 *
 * Rows first, then texts, each with a 0 behind it, all in one piece of memory of exactly the size that the message needs.
 *
 * Owns:    a list that was read, its memory (terrace_warm_list_done, terrace_hot_done).
 * Threads: pure.
 * Limits:  what is unpacked takes at most NATIVE_UNPACK_SHARE times its size meanwhile.
 * Errors:  MALFORMED (no such body), NO_MEMORY; the list is empty. */
#ifndef TERRACE_CLIENT_WARM_LIST_H
#define TERRACE_CLIENT_WARM_LIST_H

#include "client/terrace.h"
#include "protocol/bytes.h"

/* Of a body, which may go away. */
enum status warm_list_jobs(struct slice body, struct terrace_warm_list *ret) MUST_USE;
enum status warm_list_keys(struct slice body, struct terrace_hot_list *ret) MUST_USE;

#endif
