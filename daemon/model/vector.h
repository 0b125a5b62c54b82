/* model/vector.h - a version vector: of each member, up to which operation all is known (P12).
 *
 * An operation is one edit; its number rises with each edit of a member and skips at will, so an
 * entry says "all that is up to here", not how many. The log of operations is kept in compact form:
 * a record's field versions name the operation that wrote each field, so the records that a vector
 * does not cover are what its owner lacks.
 *
 * Owner: whoever holds it; a plain value. */
#pragma once
#include "model/peer.h"

struct vector {
    uint64_t seq[MEMBERS_MAX]; /* by member id; [0] is not used */
};

bool vector_covers(const struct vector *v, const struct vector *other);
bool vector_equal(const struct vector *a, const struct vector *b);
void vector_join(struct vector *v, const struct vector *other);
/* Every operation that wrote a field of the record. */
bool vector_covers_peer(const struct vector *v, const struct peer *p);
