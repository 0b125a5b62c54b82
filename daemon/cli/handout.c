#include "cli/handout.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "cli/qr.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENT_FILE_MAX 65536 /* bytes */

bool handout_wanted(const struct handout *h)
{
    return h->qr || h->path[HANDOUT_CONF] || h->path[HANDOUT_PNG] || h->path[HANDOUT_SVG];
}

void handout_drop(struct handout *h)
{
    for (unsigned i = 0; i < HANDOUT_FILES; i++) {
        if (!h->out[i] || h->out[i] == stdout)
            continue;
        fclose(h->out[i]);
        unlink(h->path[i]);
        h->out[i] = NULL;
    }
}

static FILE *open_new(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (fd >= 0 && !f)
        close(fd);
    return f;
}

int handout_open(struct handout *h)
{
    if (h->qr && !isatty(STDOUT_FILENO))
        return cli_fail(EXIT_USAGE, "--qr shows a private key, and standard output is no terminal; "
                                    "name a file with --qr-png or --qr-svg");
    for (unsigned i = 0; i < HANDOUT_FILES; i++) {
        if (!h->path[i])
            continue;
        if (i == HANDOUT_CONF && strcmp(h->path[i], "-") == 0) {
            h->out[i] = stdout;
            continue;
        }
        h->out[i] = open_new(h->path[i]);
        if (h->out[i])
            continue;
        int e = errno;
        handout_drop(h);
        if (e == EEXIST)
            return cli_fail(EXIT_FAILED, "%s is there already; remove it, or name another file",
                            h->path[i]);
        return cli_fail(EXIT_FAILED, "%s: %s", h->path[i], strerror(e));
    }
    return EXIT_GOOD;
}

static void write_key(FILE *out, const char *name, const uint8_t key[32])
{
    char text[KEY_TEXT_LEN + 1];

    key_to_base64(key, text);
    fprintf(out, "%s = %s\n", name, text);
    secret_wipe(text, sizeof(text));
}

static void write_conf(const struct handout *h, FILE *out, const struct peer_rows *rows,
                       const uint8_t *psk)
{
    const struct peer_row *row = &rows->row[0];
    const char *routes = h->routes ? h->routes : *rows->routes ? rows->routes : "all";
    unsigned addresses = 0;

    fputs("[Interface]\n", out);
    write_key(out, "PrivateKey", h->private_key);
    for (unsigned i = 0; i < row->allowed_count; i++) {
        const char *slash = strchr(row->allowed[i], '/');
        const char *whole = strchr(row->allowed[i], ':') ? "/128" : "/32";

        if (slash && strcmp(slash, whole) == 0) /* networks behind it are not its own address */
            fprintf(out, "%s%s", addresses++ ? ", " : "Address = ", row->allowed[i]);
    }
    if (addresses)
        fputc('\n', out);
    if (h->dns || *rows->dns)
        fprintf(out, "DNS = %s\n", h->dns ? h->dns : rows->dns);
    if (rows->hub_mtu)
        fprintf(out, "MTU = %u\n", rows->hub_mtu);
    fprintf(out, "\n[Peer]\nPublicKey = %s\n", rows->hub_public_key);
    if (row->has_psk && psk)
        write_key(out, "PresharedKey", psk);
    fprintf(out, "Endpoint = %s\nAllowedIPs = %s\n", rows->hub_endpoint,
            strcmp(routes, "all") == 0 ? "0.0.0.0/0, ::/0" : routes);
    if (row->keepalive_s)
        fprintf(out, "PersistentKeepalive = %u\n", row->keepalive_s);
}

static int write_one(const struct handout *h, unsigned which, const char *text, const struct qr *q)
{
    FILE *out = h->out[which];

    switch (which) {
    case HANDOUT_PNG:
        return qr_write_png(q, out);
    case HANDOUT_SVG:
        return qr_write_svg(q, out);
    default:
        return fputs(text, out) < 0 || fflush(out) != 0 ? -errno : 0;
    }
}

static int write_all(struct handout *h, const char *text, const char **ret_path)
{
    _cleanup_(qr_freep) struct qr *q = NULL;
    bool code = h->qr || h->out[HANDOUT_PNG] || h->out[HANDOUT_SVG];
    int r = 0, made = code ? qr_new(text, strlen(text), &q) : 0;

    for (unsigned i = 0; i < HANDOUT_FILES; i++) {
        FILE *out = h->out[i];

        if (!out || (i != HANDOUT_CONF && made < 0))
            continue; /* handout_drop() removes what stays empty */
        int done = write_one(h, i, text, q);
        if (done >= 0 && out != stdout && fsync(fileno(out)) < 0)
            done = -errno;
        if (out != stdout && fclose(out) != 0 && done >= 0)
            done = -errno;
        h->out[i] = NULL;
        if (done < 0 && r >= 0) {
            r = done;
            *ret_path = h->path[i];
        }
    }
    if (q && h->qr && qr_write_text(q, stdout) < 0 && r >= 0)
        r = -EIO;
    return r < 0 ? r : made;
}

int handout_write(struct handout *h, const struct peer_rows *rows, const uint8_t *psk,
                  const char **ret_path)
{
    char *text = calloc(1, CLIENT_FILE_MAX);
    FILE *out = text ? fmemopen(text, CLIENT_FILE_MAX, "w") : NULL;
    int r = -ENOMEM;

    *ret_path = "the QR code";
    if (out) {
        write_conf(h, out, rows, psk);
        r = fflush(out) != 0 || ferror(out) ? -EFBIG : 0;
        fclose(out);
    }
    if (r >= 0)
        r = write_all(h, text, ret_path);
    handout_drop(h);
    if (text)
        secret_wipe(text, CLIENT_FILE_MAX);
    free(text);
    return r;
}
