/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/native_frame.h"

/* Offsets in the header, as drawn in native_frame.h. */
enum {
    AT_VERSION = 1,
    AT_OP = 2,
    AT_FLAGS = 3,
    AT_ID = 4,
    AT_META = 8,
    AT_KEYS = 12,
    AT_BODY = 16,
    AT_WORD = 20
};

void native_header_write(char *dst, const struct native_header *header)
{
    dst[0] = (char)NATIVE_MAGIC;
    dst[AT_VERSION] = (char)header->version;
    dst[AT_OP] = (char)header->op;
    dst[AT_FLAGS] = (char)header->flags;
    put_u32le(dst + AT_ID, header->id);
    put_u32le(dst + AT_META, header->meta_size);
    put_u32le(dst + AT_KEYS, header->keys_size);
    put_u32le(dst + AT_BODY, header->body_size);
    put_u32le(dst + AT_WORD, header->word);
}

static void header_read(const char *src, struct native_header *ret)
{
    *ret = (struct native_header){
        .version = (uint8_t)src[AT_VERSION],
        .op = (uint8_t)src[AT_OP],
        .flags = (uint8_t)src[AT_FLAGS],
        .id = get_u32le(src + AT_ID),
        .meta_size = get_u32le(src + AT_META),
        .keys_size = get_u32le(src + AT_KEYS),
        .body_size = get_u32le(src + AT_BODY),
        .word = get_u32le(src + AT_WORD),
    };
}

static bool is_within(const struct native_header *header, const struct native_limits *limits)
{
    return header->meta_size <= limits->meta && header->keys_size <= limits->keys &&
           header->body_size <= limits->body;
}

enum status native_frame_read(struct slice input, const struct native_limits *limits,
                              struct native_frame *ret_frame, size_t *ret_used, size_t *ret_missing)
{
    if (input.size > 0 && (uint8_t)input.data[0] != NATIVE_MAGIC) {
        return MALFORMED;
    }
    if (input.size < NATIVE_HEADER_SIZE) {
        *ret_missing = NATIVE_HEADER_SIZE - input.size;
        return AGAIN;
    }
    struct native_header *header = &ret_frame->header;
    header_read(input.data, header);
    if (header->version != NATIVE_VERSION) {
        return INVALID;
    }
    if (!is_within(header, limits)) {
        return TOO_BIG;
    }
    /* Three sizes of 32 bits: their sum fits. */
    const uint64_t size =
        NATIVE_HEADER_SIZE + (uint64_t)header->meta_size + header->keys_size + header->body_size;
    if (input.size < size) {
        *ret_missing = (size_t)(size - input.size);
        return AGAIN;
    }
    const char *at = input.data + NATIVE_HEADER_SIZE;
    ret_frame->meta = (struct slice){at, header->meta_size};
    at += header->meta_size;
    ret_frame->keys = (struct slice){at, header->keys_size};
    at += header->keys_size;
    ret_frame->body = (struct slice){at, header->body_size};
    *ret_used = (size_t)size;
    return OK;
}
