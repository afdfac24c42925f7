/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/snapshot_place.h"

#include "protocol/hash.h"
#include "tiers/base/rand.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char boot_file[] = "/proc/sys/kernel/random/boot_id";

/* --- of what it is ---------------------------------------------------------------------------------------------------- */

/* Which boot of which machine this is. False: that cannot be told, and so it is no other's. */
static bool read_boot(unsigned char boot[SNAPSHOT_BOOT_SIZE])
{
    char text[64] = "";
    const int fd = open(boot_file, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    unsigned digits = 0;
    (void)(fd >= 0 && close(fd) != 0);
    memset(boot, 0, SNAPSHOT_BOOT_SIZE);
    for (ssize_t i = 0; i < size && digits < 2 * SNAPSHOT_BOOT_SIZE; i++) {
        if (isxdigit((unsigned char)text[i])) {
            const char digit = (char)tolower((unsigned char)text[i]);
            const unsigned value = (unsigned)(digit >= 'a' ? digit - 'a' + 10 : digit - '0');
            boot[digits / 2] = (unsigned char)((unsigned)boot[digits / 2] << 4 | value);
            digits++;
        }
    }
    if (digits < 2 * SNAPSHOT_BOOT_SIZE) {
        rand_secret(boot, SNAPSHOT_BOOT_SIZE);
    }
    return digits == 2 * SNAPSHOT_BOOT_SIZE;
}

struct snapshot_now snapshot_clocks(const struct node *node)
{
    struct snapshot_now now = {.now_ms = clock_now_ms(&node->clock),
                               .unix_ms = clock_unix_us() / 1000};
    now.boot_ms = now.now_ms - node->clock.offset_ns / 1000000;
    (void)read_boot(now.boot);
    return now;
}

uint64_t snapshot_l2(const struct node *node)
{
    struct hash_sum sum;
    if (node->tiers == NULL) {
        return 0;
    }
    hash_sum_begin(&sum);
    for (size_t i = 0; i < node->urls.count; i++) {
        char address[L2_URL_ADDRESS_MAX];
        l2_url_address(&node->urls.urls[i], address);
        hash_sum_add(&sum, (struct slice){address, strlen(address) + 1});
    }
    if (node->urls.master_name != NULL) {
        hash_sum_add(&sum, slice_of(node->urls.master_name));
    }
    return hash_sum_end(&sum) | 1;
}

/* The first address of the options, as a name of a file. */
static void name_file(const struct node *node, char name[SNAPSHOT_NAME_ROOM])
{
    struct option_address first;
    char address[SNAPSHOT_NAME_ROOM - 16];
    if (options_first_address(&node->options, false, &first) == OK ||
        options_first_address(&node->options, true, &first) == OK) {
        (void)snprintf(address, sizeof(address), "%.*s_%d", (int)first.host.size, first.host.data,
                       first.port);
    } else {
        (void)snprintf(address, sizeof(address), "%s", node->options.unixsocket);
    }
    for (char *at = address; *at != '\0'; at++) {
        *at = isalnum((unsigned char)*at) || (*at == '.' && at != address) ? *at : '_';
    }
    (void)snprintf(name, SNAPSHOT_NAME_ROOM, "%s.snapshot", address);
}

const char *snapshot_boot_unknown(void)
{
    unsigned char boot[SNAPSHOT_BOOT_SIZE];
    return read_boot(boot) ? NULL : boot_file;
}

/* --- where it is ------------------------------------------------------------------------------------------------------ */

void snapshot_place_name(const struct snapshot_place *place, const char *suffix,
                         char dst[SNAPSHOT_NAME_MAX])
{
    (void)snprintf(dst, SNAPSHOT_NAME_MAX, "%s%s", place->name, suffix);
}

static enum status complain(const char *folder, const char *what, char error[NODE_ERROR_MAX])
{
    (void)snprintf(error, NODE_ERROR_MAX, "snapshot-dir %s: %s: %s", folder, what, strerror(errno));
    return INVALID;
}

enum status snapshot_place_open(const struct node *node, struct snapshot_place *place,
                                char error[NODE_ERROR_MAX])
{
    const char *folder = node->options.snapshot_dir;
    char lock[SNAPSHOT_NAME_MAX];
    *place = (struct snapshot_place){.folder_fd = -1, .lock_fd = -1};
    if (mkdir(folder, S_IRWXU) != 0 && errno != EEXIST) {
        return complain(folder, "cannot be made", error);
    }
    place->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->folder_fd < 0) {
        return complain(folder, "cannot be opened", error);
    }
    name_file(node, place->name);
    (void)snprintf(place->path, sizeof(place->path), "%s/%s", folder, place->name);
    snapshot_place_name(place, ".lock", lock);
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    place->lock_fd = openat(place->folder_fd, lock, flags, S_IRUSR | S_IWUSR);
    if (place->lock_fd < 0) {
        return complain(folder, "cannot be written", error);
    }
    if (flock(place->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return complain(folder, "another node of this address has its snapshot there", error);
    }
    return OK;
}

void snapshot_place_close(struct snapshot_place *place)
{
    (void)(place->lock_fd >= 0 && close(place->lock_fd) != 0);
    (void)(place->folder_fd >= 0 && close(place->folder_fd) != 0);
}
