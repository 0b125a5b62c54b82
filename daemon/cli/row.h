/* cli/row.h - peers and groups of a reply as JSON, as `peer`, `group`, `export` and `apply` have
 * it.
 *
 * Threads: one. */
#pragma once
#include "proto/control.h"
#include <jansson.h>

/* With the preshared key if @secrets. NULL: no memory. */
json_t *row_peer_json(const struct peer_row *r, bool secrets);
json_t *row_group_json(const struct peer_row *r);
