/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/slurp.h"

#include "protocol/limits.h"

#include <errno.h>
#include <unistd.h>

enum {
    PIECE = 64 << 10
};

enum status slurp(int fd, struct buf *to)
{
    for (;;) {
        if (buf_reserve(to, PIECE) != OK) {
            errno = ENOMEM;
            return NO_MEMORY;
        }
        const ssize_t size = read(fd, to->data + to->size, to->capacity - to->size);
        if (size == 0) {
            return OK;
        }
        if (size < 0 && errno != EINTR) {
            return INVALID;
        }
        to->size += size > 0 ? (size_t)size : 0;
        if (to->size > LIMIT_BULK) {
            errno = EFBIG;
            return TOO_BIG;
        }
    }
}
