/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/snapshot_file.h"

#include "tiers/base/disk.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    GATHER = 256 << 10 /* bytes that are written together */
};

/* --- writing --------------------------------------------------------------------------------------------------------- */

enum status snapshot_file_set_ended(int fd, uint64_t word)
{
    char bytes[8];
    put_u64le(bytes, word);
    return pwrite(fd, bytes, sizeof(bytes), SNAPSHOT_ENDED_OFFSET) == (ssize_t)sizeof(bytes)
               ? OK
               : INVALID;
}

static enum status write_gathered(struct snapshot_writing *writing)
{
    const enum status status = disk_write(writing->fd, buf_slice(&writing->gathered));
    writing->gathered.size = 0;
    return status;
}

static enum status on_bytes(void *arg, struct slice bytes)
{
    struct snapshot_writing *writing = arg;
    if (writing->gathered.size + bytes.size > GATHER) {
        const enum status status = write_gathered(writing);
        if (status != OK) {
            return status;
        }
    }
    return bytes.size > GATHER ? disk_write(writing->fd, bytes)
                               : buf_append_slice(&writing->gathered, bytes);
}

static enum status write_file(struct snapshot_writing *writing, struct namespaces *spaces)
{
    struct snapshot_writer *writer = &writing->writer;
    enum status status = snapshot_begin(
        writer, (struct snapshot_sink){.write = on_bytes, .arg = writing}, &writing->head);
    if (status == OK) {
        status = snapshot_take(writer, spaces, writing->bytes_max, writing->head.now_ms);
    }
    if (status == OK) {
        status = snapshot_end(writer);
    }
    if (status == OK) {
        status = write_gathered(writing);
    }
    if (status == OK && writing->ends) {
        status = snapshot_file_set_ended(writing->fd, snapshot_ended(writer));
    }
    if (status == NO_MEMORY) {
        errno = ENOMEM;
    }
    return status == OK && fsync(writing->fd) == 0 ? OK : INVALID;
}

enum status snapshot_file_write(const struct snapshot_place *place,
                                struct snapshot_writing *writing, struct namespaces *spaces)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    char fresh[SNAPSHOT_NAME_MAX];
    snapshot_place_name(place, ".new", fresh);
    writing->fd = openat(place->folder_fd, fresh, flags, S_IRUSR | S_IWUSR);
    if (writing->fd < 0) {
        return INVALID;
    }
    enum status status = write_file(writing, spaces);
    const int why = errno;
    (void)close(writing->fd);
    if (status != OK) {
        (void)unlinkat(place->folder_fd, fresh, 0);
        errno = why;
        return status;
    }
    return renameat(place->folder_fd, fresh, place->folder_fd, place->name) == 0 &&
                   fsync(place->folder_fd) == 0
               ? OK
               : INVALID;
}

void snapshot_writing_done(struct snapshot_writing *writing)
{
    snapshot_writer_done(&writing->writer);
    buf_done(&writing->gathered);
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static enum status read_exactly(void *arg, uint64_t offset, char *dst, size_t size)
{
    return disk_read_at(*(const int *)arg, offset, dst, size);
}

enum status snapshot_file_find(const struct snapshot_place *place, const char *name, int flags,
                               uint64_t raw_max, struct snapshot_file *file)
{
    struct stat stat;
    *file = (struct snapshot_file){.fd = -1};
    file->fd = openat(place->folder_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file->fd < 0 && errno == ENOENT) {
        return MISS;
    }
    if (file->fd < 0 || fstat(file->fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        (void)snprintf(file->reader.error, sizeof(file->reader.error), "%s",
                       file->fd < 0 ? strerror(errno) : "it is no file");
        return INVALID;
    }
    const struct snapshot_source source = {
        .read = read_exactly, .arg = &file->fd, .size = (uint64_t)stat.st_size};
    return snapshot_open(&file->reader, &source, raw_max);
}

void snapshot_file_close(struct snapshot_file *file)
{
    snapshot_close(&file->reader);
    (void)(file->fd >= 0 && close(file->fd) != 0);
    file->fd = -1;
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];
        if (!isalnum((unsigned char)c) && c != '_' && c != '-' && (c != '.' || i == 0)) {
            return false;
        }
    }
    return name.size < SNAPSHOT_NAME_ROOM;
}

enum status snapshot_file_open(const struct snapshot_place *place, struct slice name,
                               uint64_t raw_max, struct snapshot_file *file,
                               char error[SNAPSHOT_ERROR_MAX])
{
    char text[SNAPSHOT_NAME_ROOM];
    if (!is_name(name)) {
        (void)snprintf(error, SNAPSHOT_ERROR_MAX, "a name has letters, digits and . _ - only");
        return INVALID;
    }
    (void)snprintf(text, sizeof(text), "%.*s", (int)name.size, name.data);
    const enum status status =
        snapshot_file_find(place, name.size == 0 ? place->name : text, O_RDONLY, raw_max, file);
    if (status != OK) {
        (void)snprintf(error, SNAPSHOT_ERROR_MAX, "%s",
                       status == MISS        ? "there is no such file"
                       : status == NO_MEMORY ? "no memory"
                                             : file->reader.error);
        snapshot_file_close(file);
    }
    return status == MISS ? INVALID : status;
}
