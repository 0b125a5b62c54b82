/* The peer database at start: opened, or set aside when it is damaged and siblings have what was in
 * it. */
#include "app_internal.h"

static bool has_siblings(const struct conf *conf)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (conf->member[i].id && i != conf->self)
            return true;
    return false;
}

int app_open_store(struct app *a)
{
    const struct conf *conf = a->cluster->conf;
    char path[CONF_PATH_MAX + 16], aside[sizeof(path) + 32] = "", error[STORE_ERROR_LEN] = "";
    int r;

    snprintf(path, sizeof(path), "%s/peers.db", conf->state_dir);
    r = store_open(path, conf->self, &a->store, error);
    if (r == -EUCLEAN && has_siblings(conf)) {
        log_error(error, "path=%s", path);
        r = store_set_aside(path, app_now().real_ns, aside, sizeof(aside));
        log_error(r < 0 ? "the damaged peer database cannot be moved aside"
                        : "the damaged peer database was moved aside; siblings refill an empty one",
                  "to=%s", aside);
        if (r >= 0)
            r = store_open(path, conf->self, &a->store, error);
    }
    if (r < 0)
        log_error(error, "path=%s", path);
    return r;
}
