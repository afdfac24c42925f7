/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_codec.c -- any bytes as an LZ4 block, and any bytes as a value.
 *
 *      0  u8   size of the dictionary in steps of 4    1  u16 size that the block shall become    3  dictionary, block
 *
 * What must hold: a block decodes to exactly so many bytes or is malformed, without a step beyond (by the sanitizers, all
 * at addresses of their own); the same bytes as a value come back as they were. */
#include "protocol/check.h"
#include "protocol/codec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *copy_of(struct slice bytes)
{
    char *own = malloc(bytes.size + (bytes.size == 0));
    CHECK(own != NULL);
    memcpy(own, bytes.data, bytes.size);
    return own;
}

static void decode(struct slice block, size_t size, const struct codec_dictionary *dictionary)
{
    char *dst = malloc(size + (size == 0));
    CHECK(dst != NULL);
    const enum status status = codec_decompress(dst, size, block, dictionary);
    CHECK(status == OK || status == MALFORMED);
    CHECK(status != OK || codec_fits(block.size, size));
    free(dst);
}

static void there_and_back(struct slice value, const struct codec_dictionary *dictionary)
{
    struct buf block = {0};
    bool used = false;
    const enum status status = codec_compress(&block, value, dictionary, &used);
    CHECK(status == OK || (status == MISS && block.size == 0));
    if (status == OK) {
        char *dst = malloc(value.size);
        CHECK(dst != NULL && codec_fits(block.size, value.size));
        CHECK(codec_decompress(dst, value.size, buf_slice(&block), used ? dictionary : NULL) == OK);
        CHECK(memcmp(dst, value.data, value.size) == 0);
        free(dst);
    }
    buf_done(&block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    const size_t wanted = data[0] * 4u;
    const size_t rest = size - 3;
    const size_t dictionary_size = wanted < rest ? wanted : rest;
    const struct slice bytes = {(const char *)data + 3 + dictionary_size, rest - dictionary_size};
    char *own = copy_of(bytes);
    const struct slice block = {own, bytes.size};
    struct codec_dictionary *dictionary =
        codec_dictionary_new((struct slice){(const char *)data + 3, dictionary_size});
    decode(block, get_u16le(data + 1), dictionary);
    decode(block, get_u16le(data + 1), NULL);
    there_and_back(block, dictionary);
    there_and_back(block, NULL);
    codec_dictionary_free(dictionary);
    free(own);
    return 0;
}
