#include "ha/flapfile.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ha/health.h"

#define HEAD "guardmount flaps 1 boot "
#define END "end\n"
#define ROW_MAX 512 /* a VIP with DAMPING_FLAPS_MAX flaps has some 400 */

int flapfile_save(const char *dir, const char *boot_id, const struct flap_memory *all,
                  unsigned count)
{
    _cleanup_(freep) char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return -ENOMEM;
    fprintf(f, HEAD "%s\n", boot_id);
    for (unsigned i = 0; i < count; i++) {
        const struct damping *d = &all[i].damping;

        fprintf(f, "%u %u %u %" PRIu64, all[i].vip, all[i].fit, d->level, d->until_ns);
        for (unsigned n = 0; n < d->flaps; n++)
            fprintf(f, " %" PRIu64, d->flap_ns[n]);
        fputc('\n', f);
    }
    fputs(END, f);
    if (fclose(f) != 0)
        return -ENOMEM;
    return health_put(dir, FLAPS_FILE, text);
}

/* The next number of a row. False: there is none, or it is above @most. */
static bool take(const char **at, uint64_t most, uint64_t *ret)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *ret = strtoull(*at, &end, 10);
    if (errno || *ret > most || (*end != ' ' && *end != '\n'))
        return false;
    *at = end + (*end == ' ');
    return true;
}

static bool row_parse(const char *row, uint64_t now_ns, struct flap_memory *ret)
{
    struct damping *d = &ret->damping;
    uint64_t vip, fit, level, last_ns = 0;

    *ret = (struct flap_memory){0};
    if (!take(&row, UINT16_MAX, &vip) || !take(&row, 1, &fit) || !take(&row, UINT_MAX, &level) ||
        !take(&row, UINT64_MAX, &d->until_ns))
        return false;
    ret->vip = (uint16_t)vip;
    ret->fit = fit;
    d->level = (unsigned)level;
    while (*row != '\n') {
        uint64_t *at_ns = &d->flap_ns[d->flaps];

        if (d->flaps == DAMPING_FLAPS_MAX || !take(&row, now_ns, at_ns) || *at_ns < last_ns)
            return false;
        last_ns = *at_ns;
        d->flaps++;
    }
    return true;
}

int flapfile_load(const char *dir, const char *boot_id, uint64_t now_ns, struct flap_memory *ret,
                  unsigned max)
{
    char path[PATH_MAX], row[ROW_MAX];
    unsigned count = 0;
    int r = -EBADMSG;

    snprintf(path, sizeof(path), "%s/" FLAPS_FILE, dir);
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? 0 : -errno;
    if (fgets(row, sizeof(row), f) && strncmp(row, HEAD, strlen(HEAD)) == 0) {
        row[strcspn(row, "\n")] = 0;
        if (strcmp(row + strlen(HEAD), boot_id) != 0)
            r = 0;
        else
            while (r < 0 && fgets(row, sizeof(row), f)) {
                if (strcmp(row, END) == 0)
                    r = (int)count;
                else if (count == max || !row_parse(row, now_ns, &ret[count++]))
                    break;
            }
    }
    fclose(f);
    return r;
}
