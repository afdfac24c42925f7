/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/disk.h"

#include <errno.h>
#include <unistd.h>

enum {
    READ_STEP = 64 << 10
};

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

enum status disk_read_all(int fd, size_t size_max, struct buf *bytes)
{
    ssize_t count = 0;
    do {
        if (buf_reserve(bytes, READ_STEP) != OK) {
            errno = ENOMEM;
            return NO_MEMORY;
        }
        count = read(fd, bytes->data + bytes->size, READ_STEP);
        bytes->size += count > 0 ? (size_t)count : 0;
        if (bytes->size > size_max) {
            errno = EFBIG;
            return INVALID;
        }
    } while (count > 0 || (count < 0 && errno == EINTR));
    return count == 0 ? OK : INVALID;
}
