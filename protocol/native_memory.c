/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/native_memory.h"

#include "protocol/native_codec.h"
#include "protocol/utf8.h"

#include <stdlib.h>
#include <string.h>

/* --- the memory of protobuf-c ---------------------------------------------------------------------------------------- */

struct spill {
    struct spill *next;
    _Alignas(16) char bytes[];
};

static void *spill_alloc(struct scratch *scratch, size_t size)
{
    if (size > scratch->may_take) {
        return NULL;
    }
    struct spill *spill = malloc(sizeof *spill + size);
    if (spill == NULL) {
        scratch->is_refused = true;
        return NULL;
    }
    scratch->may_take -= size;
    spill->next = scratch->spills;
    scratch->spills = spill;
    return spill->bytes;
}

static void *scratch_alloc(void *arg, size_t size)
{
    struct scratch *scratch = arg;
    if (size > SCRATCH_SIZE - scratch->used) {
        return spill_alloc(scratch, size);
    }
    void *memory = scratch->bytes + scratch->used;
    scratch->used += (size + 15) & ~(size_t)15; /* SCRATCH_SIZE is a multiple */
    return memory;
}

static void scratch_free(void *arg, void *memory)
{
    (void)arg;
    (void)memory;
}

static void scratch_init(struct scratch *scratch, size_t meta_size)
{
    scratch->allocator = (ProtobufCAllocator){
        .alloc = scratch_alloc, .free = scratch_free, .allocator_data = scratch};
    scratch->spills = NULL;
    scratch->used = 0;
    scratch->may_take = 4096 + NATIVE_UNPACK_SHARE * meta_size;
    scratch->is_refused = false;
}

void scratch_done(struct scratch *scratch)
{
    while (scratch->spills != NULL) {
        struct spill *next = scratch->spills->next;
        free(scratch->spills);
        scratch->spills = next;
    }
}

const void *scratch_unpack(struct scratch *scratch, const ProtobufCMessageDescriptor *descriptor,
                           struct slice meta, enum status *ret_status)
{
    scratch_init(scratch, meta.size);
    const void *message = protobuf_c_message_unpack(descriptor, &scratch->allocator, meta.size,
                                                    (const uint8_t *)meta.data);
    *ret_status = message != NULL ? OK : scratch->is_refused ? NO_MEMORY : MALFORMED;
    return message;
}

/* --- what is kept of a message --------------------------------------------------------------------------------------- */

enum status keep_begin(struct keep *keep, size_t size)
{
    keep->memory = size > 0 ? malloc(size) : NULL;
    keep->at = keep->memory;
    return size > 0 && keep->memory == NULL ? NO_MEMORY : OK;
}

void *keep_array(struct keep *keep, const void *from, size_t size)
{
    void *array = keep->at;
    if (size == 0) {
        return NULL;
    }
    if (from != NULL) {
        memcpy(array, from, size);
    }
    keep->at += size;
    return array;
}

struct slice keep_bytes(struct keep *keep, ProtobufCBinaryData bytes)
{
    if (bytes.len == 0) {
        return (struct slice){0};
    }
    return (struct slice){keep_array(keep, bytes.data, bytes.len), bytes.len};
}

size_t text_size(ProtobufCBinaryData text)
{
    return text.len + 1;
}

const char *keep_text(struct keep *keep, ProtobufCBinaryData text)
{
    char *copy = keep->at;
    (void)keep_bytes(keep, text);
    *keep->at++ = '\0';
    return copy;
}

bool is_text(ProtobufCBinaryData bytes)
{
    return utf8_is((struct slice){(const char *)bytes.data, bytes.len});
}
