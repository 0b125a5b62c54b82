/* cli/qr.h - a text as a QR code: for a terminal, as PNG, as SVG.
 *
 * Owner:   the caller; the text is a client's private key as a rule. Threads: one.
 * Errors:  -EFBIG: more than a QR code holds (2953 bytes); -ENOMEM; -EIO of the stream. */
#pragma once
#include <stddef.h>
#include <stdio.h>

struct qr;

int qr_new(const char *text, size_t len, struct qr **ret);
void qr_free(struct qr *q); /* wipes; NULL is fine */
static inline void qr_freep(struct qr **q)
{
    qr_free(*q);
}

/* Two rows of modules a line, in UTF-8 half blocks; dark on light whatever the terminal's colours.
 */
int qr_write_text(const struct qr *q, FILE *out);
int qr_write_png(const struct qr *q, FILE *out);
int qr_write_svg(const struct qr *q, FILE *out);
