#include "wg/gate.h"
#include "base/clock.h"

#define HEARD_LATELY_NS (500 * NS_PER_MS) /* five heartbeats */

struct counter_tag gate_tag(const struct gate *g)
{
    uint32_t word = atomic_load_explicit(&g->tag, memory_order_acquire);

    return (struct counter_tag){
        .member = word & 0xff, .seq = (uint8_t)(word >> 8), .rnd = (uint8_t)(word >> 16)};
}

void gate_set_tag(struct gate *g, struct counter_tag tag)
{
    atomic_store_explicit(&g->tag,
                          (uint32_t)tag.member | (uint32_t)tag.seq << 8 | (uint32_t)tag.rnd << 16,
                          memory_order_release);
}

bool gate_owned(const struct gate *g, uint16_t vip_slot)
{
    if (g->plain)
        return vip_slot == VIP_SLOT_PLAIN;
    return vip_slot < VIPS_MAX &&
           atomic_load_explicit(&g->vip[vip_slot].owned, memory_order_acquire);
}

bool gate_coming(const struct gate *g, uint16_t vip_slot)
{
    return !g->plain && vip_slot < VIPS_MAX &&
           atomic_load_explicit(&g->vip[vip_slot].from, memory_order_acquire);
}

bool gate_left(const struct gate *g, uint16_t vip_slot)
{
    return !g->plain && vip_slot < VIPS_MAX &&
           atomic_load_explicit(&g->vip[vip_slot].left, memory_order_acquire) &&
           !gate_owned(g, vip_slot);
}

bool gate_hears(const struct gate *g, uint8_t member, uint64_t now_ns)
{
    return now_ns < atomic_load_explicit(&g->member[member].heartbeat_ns, memory_order_relaxed) +
                        HEARD_LATELY_NS;
}
