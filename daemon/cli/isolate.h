/* cli/isolate.h - the LANs of a VIP go dead on this machine for a while, and come back whatever
 * becomes of us.
 *
 * Owner: cmd_drill. Threads: one. Needs root, nft(8) and Linux 5.16 (egress hooks).
 *
 * A table of nftables' own drops what comes and goes on those interfaces, but for the sync channel.
 * Before it is there, a process of its own, with no terminal and no parent, is on its way to take
 * it off again when the time is over. */
#pragma once
#include <stdint.h>

#define ISOLATE_TABLE "netdev guardmount_drill"

/* @interfaces: names with commas. An exit code; on failure a line was printed and nothing is cut.
 */
int isolate_begin(const char *interfaces, uint16_t sync_port, unsigned ms);
void isolate_end(void); /* sooner; without isolation nothing happens */
