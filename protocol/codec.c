/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/codec.h"

#include "protocol/check.h"
#include "protocol/limits.h"

#include <lz4.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(LIMIT_BULK <= LZ4_MAX_INPUT_SIZE, "any value is one block");

struct codec_dictionary {
    LZ4_stream_t stream; /* with the bytes in its table; only ever copied */
    size_t size;
    char bytes[];
};

struct codec_dictionary *codec_dictionary_new(struct slice bytes)
{
    if (bytes.size == 0 || bytes.size > CODEC_DICTIONARY_MAX) {
        return NULL;
    }
    struct codec_dictionary *dictionary = malloc(sizeof *dictionary + bytes.size);
    if (dictionary == NULL) {
        return NULL;
    }
    dictionary->size = bytes.size;
    memcpy(dictionary->bytes, bytes.data, bytes.size);
    CHECK(LZ4_initStream(&dictionary->stream, sizeof dictionary->stream) != NULL);
    (void)LZ4_loadDict(&dictionary->stream, dictionary->bytes, (int)bytes.size);
    return dictionary;
}

void codec_dictionary_free(struct codec_dictionary *dictionary)
{
    free(dictionary);
}

struct slice codec_dictionary_bytes(const struct codec_dictionary *dictionary)
{
    return (struct slice){dictionary->bytes, dictionary->size};
}

size_t codec_dictionary_footprint(const struct codec_dictionary *dictionary)
{
    return sizeof *dictionary + dictionary->size;
}

enum status codec_compress(struct buf *out, struct slice value,
                           const struct codec_dictionary *dictionary, bool *ret_used)
{
    CHECK(value.size <= LIMIT_BULK);
    const bool use = dictionary != NULL && value.size <= CODEC_DICTIONARY_VALUE_MAX;
    const size_t room = value.size - (value.size * CODEC_SAVING_PERCENT + 99) / 100;
    if (room == 0) {
        return MISS;
    }
    if (buf_reserve(out, room) != OK) {
        return NO_MEMORY;
    }
    char *dst = out->data + out->size;
    int size;
    if (use) {
        /* A copy of 16 KiB: half of what making the table anew costs at 4 KiB of dictionary, a tenth at 32. */
        LZ4_stream_t stream = dictionary->stream;
        size = LZ4_compress_fast_continue(&stream, value.data, dst, (int)value.size, (int)room, 1);
    } else {
        size = LZ4_compress_default(value.data, dst, (int)value.size, (int)room);
    }
    if (size <= 0) {
        return MISS;
    }
    out->size += (size_t)size;
    *ret_used = use;
    return OK;
}

bool codec_fits(size_t block_size, size_t value_size)
{
    return value_size <= LIMIT_BULK && value_size / CODEC_EXPANSION_MAX <= block_size;
}

enum status codec_decompress(char *dst, size_t size, struct slice block,
                             const struct codec_dictionary *dictionary)
{
    CHECK(size <= LIMIT_BULK);
    if (block.size > (size_t)LZ4_COMPRESSBOUND(LIMIT_BULK)) {
        return MALFORMED;
    }
    const int got = dictionary == NULL
                        ? LZ4_decompress_safe(block.data, dst, (int)block.size, (int)size)
                        : LZ4_decompress_safe_usingDict(block.data, dst, (int)block.size, (int)size,
                                                        dictionary->bytes, (int)dictionary->size);
    return got >= 0 && (size_t)got == size ? OK : MALFORMED;
}
