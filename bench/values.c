/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/values.h"

#include "bench/rng.h"

#include <endian.h>
#include <string.h>

uint64_t value_owner(struct slice key)
{
    uint64_t hash = key.size;
    size_t at = 0;
    for (; at + 8 <= key.size; at += 8) {
        hash = rng_mix(hash ^ get_u64le(key.data + at));
    }
    uint64_t rest = 0;
    if (at < key.size) {
        memcpy(&rest, key.data + at, key.size - at);
    }
    return rng_mix(hash ^ rest ^ ((uint64_t)(key.size - at) << 56));
}

static uint64_t stream_seed(uint64_t owner, uint32_t version, size_t size)
{
    return rng_mix(owner ^ rng_mix(((uint64_t)version << 32) ^ (uint64_t)size));
}

static uint64_t stream_word(uint64_t seed, size_t i)
{
    return rng_mix(seed + (uint64_t)i * 0x9e3779b97f4a7c15ull);
}

static void stream_write(char *dst, size_t size, uint64_t seed)
{
    size_t words = size / 8;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = htole64(stream_word(seed, i));
        memcpy(dst + i * 8, &word, sizeof word);
    }
    if (size % 8 != 0) {
        char last[8];
        put_u64le(last, stream_word(seed, words));
        memcpy(dst + words * 8, last, size % 8);
    }
}

static bool stream_equal(const char *src, size_t size, uint64_t seed)
{
    size_t words = size / 8;
    uint64_t difference = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = 0;
        memcpy(&word, src + i * 8, sizeof word);
        difference |= word ^ htole64(stream_word(seed, i));
    }
    if (size % 8 != 0) {
        char last[8];
        put_u64le(last, stream_word(seed, words));
        return difference == 0 && memcmp(src + words * 8, last, size % 8) == 0;
    }
    return difference == 0;
}

void value_write(char *dst, size_t size, uint64_t owner, uint32_t version)
{
    if (size < VALUE_STAMP_SIZE) {
        stream_write(dst, size, stream_seed(owner, 0, size));
        return;
    }
    uint64_t seed = stream_seed(owner, version, size);
    put_u64le(dst, owner);
    put_u32le(dst + 8, version);
    put_u32le(dst + 12, (uint32_t)seed);
    stream_write(dst + VALUE_STAMP_SIZE, size - VALUE_STAMP_SIZE, seed);
}

bool value_belongs(struct slice value, uint64_t owner)
{
    if (value.size < VALUE_STAMP_SIZE) {
        return stream_equal(value.data, value.size, stream_seed(owner, 0, value.size));
    }
    uint64_t seed = stream_seed(owner, get_u32le(value.data + 8), value.size);
    return get_u64le(value.data) == owner && get_u32le(value.data + 12) == (uint32_t)seed &&
           stream_equal(value.data + VALUE_STAMP_SIZE, value.size - VALUE_STAMP_SIZE, seed);
}

size_t value_size_of(uint64_t owner, size_t size_min, size_t size_max)
{
    if (size_max <= size_min) {
        return size_min;
    }
    return size_min + (size_t)(rng_mix(~owner) % (size_max - size_min + 1));
}
