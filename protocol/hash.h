/* SPDX-License-Identifier: BSD-3-Clause */
/* hash.h -- the table hash: XXH3 under a random secret.
 *
 * Seeded XXH3 is no defence against crafted keys (colliding pairs are published); a random 192-byte secret is. Each L1
 * makes its own, so the hash of a key never leaves the process and is never a placement hash.
 *
 * Threads: a secret is read-only after hash_secret_init; hashing is pure. */
#ifndef TERRACE_PROTOCOL_HASH_H
#define TERRACE_PROTOCOL_HASH_H

#include "protocol/bytes.h"

enum {
    HASH_SECRET_SIZE = 192
};

struct hash_secret {
    unsigned char bytes[HASH_SECRET_SIZE];
};

/* Fills the secret from `random` (HASH_SECRET_SIZE unpredictable bytes, the caller's). */
void hash_secret_init(struct hash_secret *secret, const unsigned char random[HASH_SECRET_SIZE]);
uint64_t hash_key(const struct hash_secret *secret, struct slice key);

/* XXH64, seed 0: checksums and stream hashes that other nodes must reproduce. */
uint64_t hash_checksum(struct slice bytes);
/* The same over `head` followed by `rest`, which lie apart. */
uint64_t hash_checksum_of_two(struct slice head, struct slice rest);
/* The same over bytes that come one after the other. */
struct hash_sum {
    _Alignas(8) unsigned char room[88];
};
void hash_sum_begin(struct hash_sum *sum);
void hash_sum_add(struct hash_sum *sum, struct slice bytes);
uint64_t hash_sum_end(const struct hash_sum *sum);

#endif
