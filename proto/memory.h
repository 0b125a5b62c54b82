/* proto/memory.h - memory that protobuf-c unpacks into: bounded, wiped when freed (K1, S6).
 *
 * Owner:   the codec function on whose stack it is; gone when the unpacked message is freed.
 * Threads: any, one at a time. */
#pragma once
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#define MEMORY_LEN_MAX (256u << 10) /* of one message, unpacked */

struct memory {
    ProtobufCAllocator allocator; /* give its address to ..._unpack() and ..._free_unpacked() */
    size_t used, max;
    bool exhausted; /* the system had no memory, which is not the message's fault */
};

void memory_init(struct memory *m, size_t max);
