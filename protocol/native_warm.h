/* SPDX-License-Identifier: BSD-3-Clause */
/* native_warm.h -- the bodies of the answers to WARM and HOT: lists of jobs and of hot keys.
 *
 * The node makes them of what CACHE.WARM and CACHE.HOT answer, by names: a value of a map goes into the field of the
 * .proto that is called so, and one that no field is called so is left out. So a command and its frame cannot disagree,
 * and a figure that a command learns to tell is in the frame as soon as the .proto has it.
 *
 * client/warm_list.h reads them.
 *
 * Threads: pure.
 * Limits:  NATIVE_WARM_DEPTH levels of maps.
 * Errors:  MALFORMED (RESP3 that is no list of maps, values of another kind than the field's), NO_MEMORY; what is
 *          appended to is as it was. */
#ifndef TERRACE_PROTOCOL_NATIVE_WARM_H
#define TERRACE_PROTOCOL_NATIVE_WARM_H

#include "protocol/bytes.h"

enum {
    NATIVE_WARM_DEPTH = 4
};

/* WarmList of an array of maps, or of one map. Appends. */
enum status native_warm_list_of(struct slice resp3, struct buf *to) MUST_USE;
/* HotList, the same. */
enum status native_hot_list_of(struct slice resp3, struct buf *to) MUST_USE;

#endif
