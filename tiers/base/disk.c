/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/disk.h"

#include <errno.h>
#include <unistd.h>

enum status disk_write(int fd, struct slice bytes)
{
    while (bytes.size > 0) {
        const ssize_t count = write(fd, bytes.data, bytes.size);
        if (count < 0 && errno != EINTR) {
            return INVALID;
        }
        const size_t done = count > 0 ? (size_t)count : 0;
        bytes = (struct slice){bytes.data + done, bytes.size - done};
    }
    return OK;
}

enum status disk_read_at(int fd, uint64_t offset, char *dst, size_t size)
{
    while (size > 0) {
        const ssize_t count = pread(fd, dst, size, (off_t)offset);
        if (count == 0) {
            errno = EIO;
        }
        if (count == 0 || (count < 0 && errno != EINTR)) {
            return INVALID;
        }
        const size_t done = count > 0 ? (size_t)count : 0;
        dst += done;
        offset += done;
        size -= done;
    }
    return OK;
}
