/* SPDX-License-Identifier: BSD-3-Clause */
/* bans_help.h -- bans and checks in words. */
#ifndef TERRACE_TESTS_UNIT_BANS_HELP_H
#define TERRACE_TESTS_UNIT_BANS_HELP_H

#include "protocol/check.h"
#include "protocol/hash.h"
#include "protocol/limits.h"
#include "tiers/bans.h"
#include "tiers/base/glob.h"
#include "tiers/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    HELP_TAGS_MAX = 8
};

static inline void help_ban(struct bans *bans, enum frame_ban_kind kind, const char *ns,
                            const char *text, uint64_t hard, uint64_t soft, int64_t now_ms)
{
    struct buf name = {0};
    struct frame_ban ban;
    CHECK(frame_ban_name(&name, kind, slice_of(ns), slice_of(text)) == OK);
    CHECK(frame_ban_read_name(buf_slice(&name), &ban) == OK);
    ban.hard = hard;
    ban.soft = soft;
    bans_add(bans, &ban, now_ms);
    buf_done(&name);
}

/* `tags` may end early, with NULL. */
static inline enum ban_verdict help_check(const struct bans *bans, struct bans_memo *memo,
                                          const char *ns_name, const char *key, uint64_t version,
                                          const char *const *tags, unsigned tag_count)
{
    struct namespace ns = {0};
    char hashes[HELP_TAGS_MAX * sizeof(uint64_t)];
    unsigned count = 0;
    snprintf(ns.name, sizeof ns.name, "%s", ns_name);
    for (; count < tag_count && tags[count] != NULL; count++) {
        put_u64le(hashes + count * sizeof(uint64_t),
                  bans_tag_hash((struct slice){.data = "", .size = 0}, slice_of(tags[count])));
    }
    const uint64_t hash = hash_checksum_of_two(slice_of(ns_name), slice_of(key));
    return bans_check(bans, memo, &ns, slice_of(key), hash, version, hashes, count);
}

/* Keys that begin alike, in words of 8 bytes and out of them. */
static inline void help_key(struct rand *rand, char dst[24])
{
    snprintf(dst, 24, "k:%c%c:%06u:%u", (char)('a' + rand_below(rand, 2)),
             (char)('a' + rand_below(rand, 2)), (unsigned)rand_below(rand, 3),
             (unsigned)rand_below(rand, 1000));
}

#endif
