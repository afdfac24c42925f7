/* SPDX-License-Identifier: BSD-3-Clause */
/* native_memory.h -- the memory in which messages are unpacked: what protobuf-c uses meanwhile, and what is kept of it.
 *
 * A message lives in a scratch only while it is read: some stack, then memory that is freed all at once and is never more than
 * a share of what is read. What is kept is copied into one piece of exactly its size, arrays first.
 *
 * Owns:    a scratch what it spilled; of a keep the caller frees `memory`.
 * Threads: one object, one thread. */
#ifndef TERRACE_PROTOCOL_NATIVE_MEMORY_H
#define TERRACE_PROTOCOL_NATIVE_MEMORY_H

#include "protocol/bytes.h"

#include <protobuf-c/protobuf-c.h>

enum {
    SCRATCH_SIZE = 2048 /* a message of each kind with what is noted of some dozens of fields */
};

struct spill;
struct scratch {
    ProtobufCAllocator allocator;
    struct spill *spills;
    size_t used;     /* of bytes */
    size_t may_take; /* beyond them */
    bool is_refused; /* memory was */
    _Alignas(16) char bytes[SCRATCH_SIZE];
};

/* The message; NULL: *ret_status is MALFORMED or NO_MEMORY. Then scratch_done, in any case. */
const void *scratch_unpack(struct scratch *scratch, const ProtobufCMessageDescriptor *descriptor,
                           struct slice meta, enum status *ret_status);
void scratch_done(struct scratch *scratch);

struct keep {
    char *memory; /* NULL: nothing is to be kept */
    char *at;
};

enum status keep_begin(struct keep *keep, size_t size) MUST_USE;
/* NULL of size 0; `from` NULL: the caller fills it in. */
void *keep_array(struct keep *keep, const void *from, size_t size);
struct slice keep_bytes(struct keep *keep, ProtobufCBinaryData bytes);
/* With a 0 behind it, so it takes text_size(text). Never NULL. */
const char *keep_text(struct keep *keep, ProtobufCBinaryData text);
size_t text_size(ProtobufCBinaryData text);

/* Whether they are UTF-8. */
bool is_text(ProtobufCBinaryData bytes);

#endif
