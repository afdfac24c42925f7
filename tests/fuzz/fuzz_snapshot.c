/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_snapshot.c -- any bytes as the file of a snapshot, into an L1.
 *
 * Sums of random bytes are never right, so the bytes are read twice: as they are, and with the sums of what looks like a head,
 * blocks and an end made right. What must hold: an answer comes, memory stays within what the bytes allow, L1 is empty after a
 * refusal, and (by the sanitizers, the file at an address of its own) nothing beyond it is looked at. */
#include "protocol/check.h"
#include "protocol/hash.h"
#include "tiers/snapshot_l1.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    HEAD_FIXED = 152,
    RAW_MAX = 1 << 20
};

static enum status read_bytes(void *arg, uint64_t offset, char *dst, size_t size)
{
    memcpy(dst, (const char *)arg + offset, size);
    return OK;
}

static struct namespaces *spaces_new(bool is_alone)
{
    const struct namespace_spec specs[] = {
        {.name = SLICE_LITERAL("default"),
         .settings = {.mode = {.bound_ms = 1000}, .memory = 1 << 20}},
        {.name = SLICE_LITERAL("managed"),
         .prefix = SLICE_LITERAL("m:"),
         .managed = true,
         .settings = {.mode = {.bound_ms = 1000}, .memory = 1 << 20, .told = true}}};
    struct namespaces *spaces = namespaces_new(specs, is_alone ? 1 : 2, 1);
    CHECK(spaces != NULL);
    return spaces;
}

static uint64_t entries(const struct namespaces *spaces)
{
    struct l1_stats stats;
    namespaces_stats(spaces, &stats);
    return stats.items;
}

static void restore(char *bytes, size_t size, bool is_alone)
{
    const struct snapshot_now now = {.now_ms = 1000000, .boot_ms = 5000, .unix_ms = 1000000};
    const struct snapshot_source source = {.read = read_bytes, .arg = bytes, .size = size};
    struct snapshot_reader reader;
    struct snapshot_restored restored;
    enum status status = snapshot_open(&reader, &source, RAW_MAX);
    if (status == OK) {
        struct namespaces *spaces = spaces_new(is_alone);
        status = snapshot_restore(&reader, spaces, is_alone, &now, NULL, &restored);
        CHECK(status == OK || entries(spaces) == 0);
        CHECK(status != OK || restored.mark.managed_floor_ms >= 0);
        namespaces_free(spaces);
    }
    CHECK(status == OK || reader.error[0] != '\0');
    CHECK(reader.raw.capacity <= 4 * RAW_MAX);
    snapshot_close(&reader);
}

/* Returns where the blocks begin; 0: it is no head. */
static size_t seal_head(char *bytes, size_t size)
{
    if (size < HEAD_FIXED + 8) {
        return 0;
    }
    const size_t head = get_u32le(bytes + 16);
    if (head < HEAD_FIXED + 8 || head > size) {
        return 0;
    }
    put_u64le(bytes + head - 8, hash_checksum((struct slice){bytes + 16, head - 24}));
    return head;
}

static void seal(char *bytes, size_t size)
{
    const size_t head = seal_head(bytes, size);
    size_t at = head;
    uint64_t blocks = 0;
    while (head > 0 && size - at > SNAPSHOT_END_SIZE + SNAPSHOT_BLOCK_HEAD) {
        const size_t packed = get_u32le(bytes + at + 12);
        if (packed > size - at - SNAPSHOT_BLOCK_HEAD) {
            return;
        }
        const struct slice body = {bytes + at + SNAPSHOT_BLOCK_HEAD, packed};
        put_u64le(bytes + at + 16, hash_checksum_of_two((struct slice){bytes + at, 16}, body));
        at += SNAPSHOT_BLOCK_HEAD + packed;
        blocks++;
    }
    if (head > 0 && size - at == SNAPSHOT_END_SIZE) {
        char summed[32];
        put_u64le(bytes + at + 8, blocks);
        memcpy(summed, bytes + at + 8, 24);
        memcpy(summed + 24, bytes + head - 8, 8);
        put_u64le(bytes + at + 32, hash_checksum((struct slice){summed, sizeof summed}));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    restore(copy, size, true);
    restore(copy, size, false);
    seal(copy, size);
    restore(copy, size, true);
    restore(copy, size, false);
    free(copy);
    return 0;
}
