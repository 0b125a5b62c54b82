/* control/metrics.h - a status as OpenMetrics 1.0 text. Pure: rows in, text out.
 *
 * The rows of status_add_metric() are written with the rows of one name together, wherever they
 * were added. Beside them stands what the status itself says: the state of the member, links, VIPs,
 * peers; wireguard_* has the names of mdlayher/wireguard_exporter. A name that rows bring is not
 * written a second time.
 * Never: an endpoint as a label (it changes, and it is personal data). */
#pragma once
#include "proto/control.h"
#include <stdio.h>

/* Ends with "# EOF". Errors are @out's (ferror). */
void metrics_write(const struct status *s, FILE *out);
/* The same for readers of the older text format (version 0.0.4): families have the names of their
 * samples, and there are no types info and stateset. */
void metrics_write_plain(const struct status *s, FILE *out);
