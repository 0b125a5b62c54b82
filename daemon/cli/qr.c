#include "cli/qr.h"
#include "base/err.h"
#include "base/secret.h"
#include <png.h>
#include <qrencode.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define QUIET 4     /* modules of light around the code (ISO 18004) */
#define PNG_SCALE 6 /* pixels a module */

struct qr {
    QRcode *code;
    int side; /* modules, with the quiet zone */
};

int qr_new(const char *text, size_t len, struct qr **ret)
{
    struct qr *q = calloc(1, sizeof(*q));

    if (!q)
        return -ENOMEM;
    q->code = QRcode_encodeData((int)len, (const unsigned char *)text, 0, QR_ECLEVEL_L);
    if (!q->code) {
        int r = errno == ERANGE ? -EFBIG : -errno;

        free(q);
        return r;
    }
    q->side = q->code->width + 2 * QUIET;
    *ret = q;
    return 0;
}

void qr_free(struct qr *q)
{
    if (!q)
        return;
    secret_wipe(q->code->data, (size_t)q->code->width * (size_t)q->code->width);
    QRcode_free(q->code);
    free(q);
}

/* With the quiet zone; beyond it all is light. */
static bool dark(const struct qr *q, int x, int y)
{
    int width = q->code->width;

    x -= QUIET;
    y -= QUIET;
    return x >= 0 && y >= 0 && x < width && y < width && (q->code->data[y * width + x] & 1);
}

static int flushed(FILE *out)
{
    return fflush(out) != 0 || ferror(out) ? -EIO : 0;
}

int qr_write_text(const struct qr *q, FILE *out)
{
    static const char *const block[2][2] = {{" ", "▄"}, {"▀", "█"}}; /* dark: upper, lower */

    for (int y = 0; y < q->side; y += 2) {
        fputs("\033[30;107m", out);
        for (int x = 0; x < q->side; x++)
            fputs(block[dark(q, x, y)][dark(q, x, y + 1)], out);
        fputs("\033[0m\n", out);
    }
    return flushed(out);
}

int qr_write_png(const struct qr *q, FILE *out)
{
    png_uint_32 side = (png_uint_32)(q->side * PNG_SCALE);
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = side, .height = side, .format = PNG_FORMAT_GRAY};
    uint8_t *pixel = malloc((size_t)side * side);
    bool good;

    if (!pixel)
        return -ENOMEM;
    for (png_uint_32 y = 0; y < side; y++)
        for (png_uint_32 x = 0; x < side; x++)
            pixel[y * side + x] = dark(q, (int)x / PNG_SCALE, (int)y / PNG_SCALE) ? 0 : 255;
    good = png_image_write_to_stdio(&image, out, 0, pixel, 0, NULL);
    png_image_free(&image);
    secret_wipe(pixel, (size_t)side * side);
    free(pixel);
    return good ? flushed(out) : -EIO;
}

int qr_write_svg(const struct qr *q, FILE *out)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" shape-rendering=\"crispEdges\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<path d=\"",
            q->side, q->side, q->side * PNG_SCALE, q->side * PNG_SCALE);
    for (int y = 0; y < q->side; y++)
        for (int x = 0; x < q->side; x++)
            if (dark(q, x, y))
                fprintf(out, "M%d %dh1v1h-1z", x, y);
    fputs("\"/>\n</svg>\n", out);
    return flushed(out);
}
