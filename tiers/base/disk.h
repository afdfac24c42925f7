/* SPDX-License-Identifier: BSD-3-Clause */
/* disk.h -- all of what is to be written or read, where the system does a part of it, or is interrupted.
 *
 * Threads: any; they block.
 * Errors:  INVALID or NO_MEMORY, and errno; of what was written or read a part may be there. */
#ifndef TERRACE_TIERS_BASE_DISK_H
#define TERRACE_TIERS_BASE_DISK_H

#include "protocol/bytes.h"

enum status disk_write(int fd, struct slice bytes) MUST_USE;
/* Exactly so many; INVALID also if they are not there. */
enum status disk_read_at(int fd, uint64_t offset, char *dst, size_t size) MUST_USE;
/* From where the descriptor is to the end, behind what `bytes` has. More than size_max bytes in all: INVALID, EFBIG. */
enum status disk_read_all(int fd, size_t size_max, struct buf *bytes) MUST_USE;

#endif
