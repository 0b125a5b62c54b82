/* What a sibling gets when it connects, phase by phase; what changes meanwhile goes by the log. */
#include "base/bytes.h"
#include "base/secret.h"
#include "node/internal.h"

enum snapshot_phase {
    PHASE_CLAIMS,
    PHASE_RECORDS,
    PHASE_STAMPS,
    PHASE_ENDPOINTS,
    PHASE_KEYS,
    PHASE_DONE
};

void snapshot_begin(const struct node *n, struct sibling *s)
{
    s->phase = PHASE_CLAIMS;
    s->phase_cursor = 0;
    s->next_key = n->keys.next;
}

/* A key that we serve and @member is no holder of: it may have owned the key once, and believe so
 * still. */
static bool owned_without(const struct node *n, const struct node_key *k, uint8_t member)
{
    uint16_t slot = atomic_load(&k->kp->vip);

    return !n->conf.warm && gate_owned(n->gate, slot) && !vip_backup(n, slot, n->conf.self, member);
}

bool snapshot_next(void *ctx, uint8_t member, uint64_t *cursor, struct sync_msg *ret,
                   struct replica_token *ret_token)
{
    struct node *n = ctx;
    struct sibling *s = &n->sibling[member];
    struct wg_peer *wp;

    *ret_token = (struct replica_token){0};
    while (s->phase != PHASE_DONE) {
        switch (s->phase) {
        case PHASE_CLAIMS:
            if (s->phase_cursor < n->conf.vip_count) {
                struct vip_run *v = &n->vip[++s->phase_cursor];
                if (!failover_owned(&v->failover))
                    continue;
                *ret = (struct sync_msg){
                    .kind = SYNC_CLAIM,
                    .claim = {.vip = v->conf.id,
                              .epoch = v->failover.epoch,
                              .member = n->conf.self,
                              .held = true,
                              .leaving = moves_leaving(n, (uint16_t)s->phase_cursor)}};
                return true;
            }
            break;
        case PHASE_RECORDS:
            if (entropy_snapshot_next(n, s, ret))
                return true;
            break;
        case PHASE_STAMPS:
            wp = node_peer_next(n, &s->phase_cursor);
            if (wp) {
                struct node_peer *p = wp->owner_data;
                if (!p->sent_real_ns && secret_is_zero(p->received, TAI64N_LEN))
                    continue;
                *ret = peer_stamps(n, p);
                return true;
            }
            break;
        case PHASE_ENDPOINTS:
            wp = node_peer_next(n, &s->phase_cursor);
            if (wp) {
                if (!peer_place(n, wp->owner_data, n->now, ret))
                    continue;
                return true;
            }
            break;
        case PHASE_KEYS:
            while (s->next_key && s->next_key != &n->keys) {
                struct node_key *k = list_entry(s->next_key, struct node_key, all);
                s->next_key = s->next_key->next;
                if (!k->ours || (k->held_by >> member & 1))
                    continue;
                if (owned_without(n, k, member)) {
                    *ret = key_adopted_message(n, k);
                    return true;
                }
                if (!key_record(n, k, s, n->now, ret, ret_token))
                    continue;
                key_record_sent(n, k, s, ret->session.limit);
                return true;
            }
            break;
        }
        s->phase++;
        s->phase_cursor = 0;
    }
    return false;
}
