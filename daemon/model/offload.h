/* model/offload.h - names of the kernel's segmentation and coalescing that we can make use of.
 *
 * Owner: nobody, plain values. Threads: any. Never: asks the kernel anything. */
#pragma once
#include <stddef.h>

enum offload {
    OFFLOAD_UDP_GRO = 1 << 0,  /* several datagrams in one receive */
    OFFLOAD_UDP_GSO = 1 << 1,  /* several datagrams in one send */
    OFFLOAD_TUN_VNET = 1 << 2, /* virtio headers on the TUN; the two below need it */
    OFFLOAD_TUN_TSO = 1 << 3,
    OFFLOAD_TUN_USO = 1 << 4,
};
#define OFFLOAD_ALL 31u
#define OFFLOAD_TEXT_LEN 64
#define OFFLOAD_EXPECTED                                                                           \
    "auto, off, those to use of udp-gro, udp-gso, vnet, tso, uso, or those not to use: -tso, -uso"

/* What OFFLOAD_EXPECTED says, in any case, with or without blanks at the commas; "on" is "auto".
 * A name brings what it needs, and takes what needs it. -EINVAL. */
int offload_parse(const char *text, unsigned *ret);
const char *offload_format(unsigned set, char buf[OFFLOAD_TEXT_LEN]);
