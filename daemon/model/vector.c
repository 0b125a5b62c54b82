#include "model/vector.h"
#include "base/err.h"

bool vector_covers(const struct vector *v, const struct vector *other)
{
    for (unsigned m = 1; m < MEMBERS_MAX; m++)
        if (v->seq[m] < other->seq[m])
            return false;
    return true;
}

bool vector_equal(const struct vector *a, const struct vector *b)
{
    return vector_covers(a, b) && vector_covers(b, a);
}

void vector_join(struct vector *v, const struct vector *other)
{
    for (unsigned m = 1; m < MEMBERS_MAX; m++)
        v->seq[m] = MAX(v->seq[m], other->seq[m]);
}

bool vector_covers_peer(const struct vector *v, const struct peer *p)
{
    for (unsigned f = 0; f < PEER_FIELDS; f++) {
        uint8_t member = p->version[f].member;

        if (member && member < MEMBERS_MAX && p->version[f].seq > v->seq[member])
            return false;
    }
    return true;
}
