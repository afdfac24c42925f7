/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/warm_file.h"

#include "server/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status refuse(const char *path, const char *name, const char *why,
                          char error[WARM_ERROR_MAX])
{
    char shown[64];
    (void)snprintf(shown, sizeof(shown), "%s", name);
    for (char *c = shown; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '.';
    }
    (void)snprintf(error, WARM_ERROR_MAX, "%s: %s: %s", path, shown, why);
    return INVALID;
}

static const char *words_of(int number)
{
    switch (number) {
    case ENOENT: return "no such file in warm-dir";
    case EACCES: return "this node may not read it";
    case ELOOP: return "it is a link, and those are not followed";
    default: return "it cannot be opened";
    }
}

static bool is_plain(const struct stat *stat)
{
    return S_ISREG(stat->st_mode);
}

static enum status open_in(int folder, const char *path, const char *name, int *ret_fd,
                           char error[WARM_ERROR_MAX])
{
    struct stat seen;
    if (fstatat(folder, name, &seen, AT_SYMLINK_NOFOLLOW) != 0) {
        return refuse(path, name, words_of(errno), error);
    }
    if (!is_plain(&seen)) {
        return refuse(path, name, S_ISLNK(seen.st_mode) ? words_of(ELOOP) : "it is no plain file",
                      error);
    }
    const int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return refuse(path, name, words_of(errno), error);
    }
    if (fstat(fd, &seen) != 0 || !is_plain(&seen)) {
        (void)close(fd);
        return refuse(path, name, "it is no plain file", error);
    }
    *ret_fd = fd;
    return OK;
}

enum status warm_file_open(struct node *node, const char *path, const char *name, int *ret_fd,
                           char error[WARM_ERROR_MAX])
{
    (void)pthread_mutex_lock(&node->options_lock); /* a reload frees it */
    const char *folder = node->options.warm_dir;
    const bool has_folder = folder[0] != '\0';
    const int fd = has_folder ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    (void)pthread_mutex_unlock(&node->options_lock);
    if (fd < 0) {
        return refuse(path, name,
                      has_folder ? "warm-dir of this node cannot be opened"
                                 : "this node has no warm-dir, where it would lie",
                      error);
    }
    const enum status status = open_in(fd, path, name, ret_fd, error);
    (void)close(fd);
    return status;
}
