/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/hash.h"

#include "protocol/check.h"

#include <string.h>

/* Inlined: a call through the library costs as much as hashing a short key. */
#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert((int)HASH_SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "XXH3 wants a longer secret");

void hash_secret_init(struct hash_secret *secret, const unsigned char random[HASH_SECRET_SIZE])
{
    memcpy(secret->bytes, random, HASH_SECRET_SIZE);
}

/* xxHash adds to the pointer it is given, which must not be done to NULL. */
static const char *not_null(struct slice bytes)
{
    if (bytes.size == 0) {
        return "";
    }
    CHECK(bytes.data != NULL);
    return bytes.data;
}

uint64_t hash_key(const struct hash_secret *secret, struct slice key)
{
    return XXH3_64bits_withSecret(not_null(key), key.size, secret->bytes, sizeof secret->bytes);
}

uint64_t hash_checksum(struct slice bytes)
{
    return XXH64(not_null(bytes), bytes.size, 0);
}

uint64_t hash_checksum_of_two(struct slice head, struct slice rest)
{
    XXH64_state_t state;
    CHECK(XXH64_reset(&state, 0) == XXH_OK);
    CHECK(XXH64_update(&state, not_null(head), head.size) == XXH_OK);
    CHECK(XXH64_update(&state, not_null(rest), rest.size) == XXH_OK);
    return XXH64_digest(&state);
}

_Static_assert(sizeof(struct hash_sum) >= sizeof(XXH64_state_t), "a sum has room for XXH64's");
_Static_assert(_Alignof(struct hash_sum) >= _Alignof(XXH64_state_t), "where it may lie");

void hash_sum_begin(struct hash_sum *sum)
{
    CHECK(XXH64_reset((XXH64_state_t *)(void *)sum->room, 0) == XXH_OK);
}

void hash_sum_add(struct hash_sum *sum, struct slice bytes)
{
    CHECK(XXH64_update((XXH64_state_t *)(void *)sum->room, not_null(bytes), bytes.size) == XXH_OK);
}

uint64_t hash_sum_end(const struct hash_sum *sum)
{
    return XXH64_digest((const XXH64_state_t *)(const void *)sum->room);
}
