/* A path-compressed bit trie for each family.
 *
 * A node stands for a prefix; its children are longer prefixes below it, one for each next bit.
 * Nodes that no peer owns exist only where two branches part. What identifies a node never changes
 * after publication; `peer` and the two child pointers do, each by one release store, and every
 * change of shape is one store into one pointer:
 *
 *   insert   a new leaf, or a new branch above an old node, complete before it is linked;
 *   remove   the peer is cleared, then a node with less than two children is bypassed.
 *
 * A reader that is inside a bypassed node goes on along its child pointers, which still lead into
 * the tree of a moment ago; memory lives on until @retire's grace period is over. It sees the table
 * before or after any one change, never a prefix of nobody's that has always had an owner. */
#include "wg/allowedips.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/plant.h"
#include <stdatomic.h>

#define BITS4 32
#define BITS6 128
#define IPV4_HEADER_MIN 20
#define IPV6_HEADER 40

/* Most significant bit first; an IPv4 address is the top 32 bits. */
struct bits {
    uint64_t hi, lo;
};

struct allowedips_node {
    uint64_t hi;
    struct wg_peer *_Atomic peer; /* NULL: only a branch */
    struct allowedips_node *_Atomic child[2];
    uint8_t len;
    uint64_t lo[]; /* one, of IPv6 nodes only: there are two nodes for a peer's address */
};

typedef struct allowedips_node *_Atomic link_t;

static struct bits prefix_of(const struct allowedips_node *node, bool v6)
{
    return (struct bits){.hi = node->hi, .lo = v6 ? node->lo[0] : 0};
}

static struct bits bits4(const uint8_t addr[4])
{
    return (struct bits){.hi = (uint64_t)load_be32(addr) << 32};
}

static struct bits bits6(const uint8_t addr[16])
{
    return (struct bits){.hi = load_be64(addr), .lo = load_be64(addr + 8)};
}

static unsigned bit_at(const struct bits *b, unsigned i)
{
    return (i < 64 ? b->hi >> (63 - i) : b->lo >> (127 - i)) & 1;
}

/* Leading bits in which they agree, 128 at most. */
static unsigned common(struct bits a, struct bits b)
{
    uint64_t hi = a.hi ^ b.hi, lo = a.lo ^ b.lo;

    if (hi)
        return (unsigned)__builtin_clzll(hi);
    return 64 + (lo ? (unsigned)__builtin_clzll(lo) : 64);
}

static struct bits cut(struct bits b, unsigned len)
{
    if (len < 64)
        return (struct bits){.hi = len ? b.hi & ~0ull << (64 - len) : 0};
    if (len < 128)
        b.lo = len > 64 ? b.lo & ~0ull << (128 - len) : 0;
    return b;
}

static struct allowedips_node *load(const link_t *link)
{
    return atomic_load_explicit(link, memory_order_acquire);
}

/* The writer's own view needs no ordering. */
static struct allowedips_node *peek(const link_t *link)
{
    return atomic_load_explicit(link, memory_order_relaxed);
}

static void publish(link_t *link, struct allowedips_node *node)
{
    atomic_store_explicit(link, node, memory_order_release);
}

static struct wg_peer *owner_of(const struct allowedips_node *node)
{
    return atomic_load_explicit(&node->peer, memory_order_relaxed);
}

static struct allowedips_node *node_new(bool v6, struct bits prefix, unsigned len,
                                        struct wg_peer *p)
{
    struct allowedips_node *node = malloc(sizeof(*node) + (v6 ? sizeof(node->lo[0]) : 0));

    if (!node)
        return NULL;
    prefix = cut(prefix, len);
    node->hi = prefix.hi;
    if (v6)
        node->lo[0] = prefix.lo;
    node->len = (uint8_t)len;
    atomic_init(&node->peer, p);
    atomic_init(&node->child[0], NULL);
    atomic_init(&node->child[1], NULL);
    return node;
}

static void drop(struct allowedips *t, struct allowedips_node *node)
{
    if (t->retire)
        t->retire(t->retire_ctx, node, free);
    else
        free(node);
}

void allowedips_init(struct allowedips *t,
                     void (*retire)(void *ctx, void *node, void (*free_fn)(void *)), void *ctx)
{
    atomic_init(&t->root4, NULL);
    atomic_init(&t->root6, NULL);
    t->count = 0;
    t->retire = retire;
    t->retire_ctx = ctx;
}

static void drop_tree(struct allowedips *t, struct allowedips_node *node)
{
    if (!node)
        return;
    drop_tree(t, peek(&node->child[0])); /* at most as deep as an address is long */
    drop_tree(t, peek(&node->child[1]));
    drop(t, node);
}

void allowedips_done(struct allowedips *t)
{
    drop_tree(t, atomic_exchange(&t->root4, NULL));
    drop_tree(t, atomic_exchange(&t->root6, NULL));
    t->count = 0;
}

/* Where @prefix begins in the tables; -EINVAL. */
static int locate(struct allowedips *t, const struct ip_prefix *prefix, link_t **ret_root,
                  struct bits *ret_bits)
{
    if (prefix->len > (prefix->v6 ? BITS6 : BITS4))
        return -EINVAL;
    *ret_root = prefix->v6 ? &t->root6 : &t->root4;
    *ret_bits = cut(prefix->v6 ? bits6(prefix->addr.b) : bits4(prefix->addr.b + 12), prefix->len);
    return 0;
}

int allowedips_insert(struct allowedips *t, const struct ip_prefix *prefix, struct wg_peer *p)
{
    struct allowedips_node *node, *leaf, *branch;
    struct bits bits, old;
    unsigned shared = 0;
    link_t *link;

    if (locate(t, prefix, &link, &bits) < 0 || !p)
        return -EINVAL;
    while ((node = peek(link))) {
        old = prefix_of(node, prefix->v6);
        shared = MIN(common(bits, old), MIN(prefix->len, node->len));
        if (shared < node->len)
            break; /* it must branch off above @node */
        if (node->len == prefix->len) {
            if (!owner_of(node))
                t->count++;
            atomic_store_explicit(&node->peer, p, memory_order_release);
            return 0;
        }
        link = &node->child[bit_at(&bits, node->len)];
    }
    leaf = node_new(prefix->v6, bits, prefix->len, p);
    if (!leaf)
        return -ENOMEM;
    if (!node) {
        publish(link, leaf);
    } else if (shared == prefix->len) { /* @node lies inside the new prefix */
        atomic_init(&leaf->child[bit_at(&old, shared)], node);
        publish(link, leaf);
    } else {
        branch = node_new(prefix->v6, bits, shared, NULL);
        if (!branch) {
            free(leaf);
            return -ENOMEM;
        }
        atomic_init(&branch->child[bit_at(&bits, shared)], leaf);
        atomic_init(&branch->child[bit_at(&old, shared)], node);
        publish(link, branch);
    }
    t->count++;
    return 0;
}

/* Takes @node out of @link if it neither is owned nor parts two branches. */
static bool bypass(struct allowedips *t, link_t *link)
{
    struct allowedips_node *node = peek(link);
    struct allowedips_node *left = peek(&node->child[0]), *right = peek(&node->child[1]);

    if (owner_of(node) || (left && right))
        return false;
    publish(link, left ? left : right);
    drop(t, node);
    return true;
}

bool allowedips_remove(struct allowedips *t, const struct ip_prefix *prefix,
                       const struct wg_peer *p)
{
    struct allowedips_node *node;
    struct bits bits;
    link_t *link, *above = NULL;

    if (locate(t, prefix, &link, &bits) < 0 || !p)
        return false;
    while ((node = peek(link)) && node->len < prefix->len &&
           common(bits, prefix_of(node, prefix->v6)) >= node->len) {
        above = link;
        link = &node->child[bit_at(&bits, node->len)];
    }
    if (!node || node->len != prefix->len ||
        common(bits, prefix_of(node, prefix->v6)) < node->len || owner_of(node) != p)
        return false;
    atomic_store_explicit(&node->peer, NULL, memory_order_release);
    t->count--;
    if (bypass(t, link) && above)
        bypass(t, above); /* the branch above may part nothing any more */
    return true;
}

static struct wg_peer *find(const link_t *root, struct bits bits, unsigned len)
{
    const struct allowedips_node *node = load(root);
    struct wg_peer *best = NULL, *p;

    while (node && common(bits, prefix_of(node, len == BITS6)) >= node->len) {
        p = atomic_load_explicit(&node->peer, memory_order_acquire);
        if (p && !(best && PLANTED("shortest-prefix")))
            best = p;
        if (node->len == len)
            break;
        node = load(&node->child[bit_at(&bits, node->len)]);
    }
    return best;
}

struct wg_peer *allowedips_find4(const struct allowedips *t, const uint8_t addr[4])
{
    return find(&t->root4, bits4(addr), BITS4);
}

struct wg_peer *allowedips_find6(const struct allowedips *t, const uint8_t addr[16])
{
    return find(&t->root6, bits6(addr), BITS6);
}

/* Length of an inner packet by its header; 0: no IP packet, or longer than what is there. */
static size_t packet_len(const uint8_t *packet, size_t len)
{
    size_t total;

    if (len >= IPV4_HEADER_MIN && packet[0] >> 4 == 4) {
        size_t header = (packet[0] & 15) * 4u;

        total = load_be16(packet + 2);
        return header >= IPV4_HEADER_MIN && total >= header && total <= len ? total : 0;
    }
    if (len >= IPV6_HEADER && packet[0] >> 4 == 6) {
        total = IPV6_HEADER + (size_t)load_be16(packet + 4);
        return total <= len ? total : 0;
    }
    return 0;
}

struct wg_peer *allowedips_find_dst(const struct allowedips *t, const uint8_t *packet, size_t len)
{
    if (!packet_len(packet, len))
        return NULL;
    return packet[0] >> 4 == 4 ? allowedips_find4(t, packet + 16)
                               : allowedips_find6(t, packet + 24);
}

struct wg_peer *allowedips_find_src(const struct allowedips *t, const uint8_t *packet, size_t len,
                                    size_t *ret_len)
{
    *ret_len = packet_len(packet, len);
    if (!*ret_len)
        return NULL;
    return packet[0] >> 4 == 4 ? allowedips_find4(t, packet + 12) : allowedips_find6(t, packet + 8);
}
