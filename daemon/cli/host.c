/* Reading the machine. What cannot be read stays "not known"; nothing here decides. */
#include "cli/host.h"
#include "base/clock.h"
#include "base/err.h"
#include "ha/health.h"
#include "ha/render.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/wait.h>

#define CONNECT_MS 1000
#define SETTLE_NS (500 * NS_PER_MS)
#define FILE_MAX (1u << 20)
#define CAP_IPC_LOCK_BIT 14

/* ---- files ---- */

/* Up to FILE_MAX bytes, with a NUL; NULL: cannot be read. */
static char *read_text(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = f ? malloc(FILE_MAX + 1) : NULL;

    if (text)
        text[fread(text, 1, FILE_MAX, f)] = '\0';
    if (f)
        fclose(f);
    return text;
}

static long read_number(const char *format, const char *name)
{
    char path[128];
    long value = -1;
    char *text;

    snprintf(path, sizeof(path), format, name);
    text = read_text(path);
    if (text && sscanf(text, "%ld", &value) != 1)
        value = -1;
    free(text);
    return value;
}

/* A process of this name; 0: none is seen. */
static pid_t process_of(const char *name)
{
    DIR *proc = opendir("/proc");
    const struct dirent *e;
    pid_t found = 0;

    while (proc && !found && (e = readdir(proc))) {
        char path[300], *comm, *end;
        long pid = strtol(e->d_name, &end, 10);

        if (*end || pid <= 0)
            continue;
        snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
        comm = read_text(path);
        if (comm && strcspn(comm, "\n") == strlen(name) && strncmp(comm, name, strlen(name)) == 0)
            found = (pid_t)pid;
        free(comm);
    }
    if (proc)
        closedir(proc);
    return found;
}

/* ---- the kernel ---- */

static void read_kernel(struct host *h)
{
    struct timex t = {0};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), state = adjtimex(&t);

    h->tun = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    h->clock_known = state >= 0;
    h->clock_synchronised = state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
    h->forward4 = (int)read_number("/proc/sys/net/ipv4/ip_forward", "");
    h->forward6 = (int)read_number("/proc/sys/net/ipv6/conf/%s/forwarding", "all");
    h->rp_filter_all = (int)read_number("/proc/sys/net/ipv4/conf/%s/rp_filter", "all");
    h->redirects_all = (int)read_number("/proc/sys/net/ipv4/conf/%s/send_redirects", "all");
    h->rmem_max = read_number("/proc/sys/net/core/rmem_max", "");
    h->wmem_max = read_number("/proc/sys/net/core/wmem_max", "");
}

static bool has_capability(pid_t pid, unsigned bit)
{
    unsigned long long mask = 0;
    char path[64], *text, *at;

    snprintf(path, sizeof(path), pid ? "/proc/%d/status" : "/proc/self/status", (int)pid);
    text = read_text(path);
    at = text ? strstr(text, "\nCapEff:") : NULL;
    if (at)
        sscanf(at, "\nCapEff: %llx", &mask);
    free(text);
    return mask >> bit & 1;
}

static void read_memlock(struct host *h)
{
    pid_t daemon = process_of("guardmountd");
    struct rlimit limit;

    h->daemon_runs = daemon;
    h->memlock_known = prlimit(daemon, RLIMIT_MEMLOCK, NULL, &limit) == 0;
    h->memlock = limit.rlim_cur;
    h->may_lock = has_capability(daemon, CAP_IPC_LOCK_BIT);
}

static void add_iface(struct host *h, const char *name, bool outer)
{
    struct ifreq r = {0};
    struct host_if *f = h->iface;
    int fd;

    while (f < h->iface + h->iface_count && strcmp(f->name, name) != 0)
        f++;
    if (f == h->iface + HOST_IFS_MAX)
        return;
    f->outer |= outer;
    if (f < h->iface + h->iface_count)
        return;
    h->iface_count++;
    snprintf(f->name, sizeof(f->name), "%s", name);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    f->present = ioctl(fd, SIOCGIFFLAGS, &r) == 0;
    f->up = f->present && (r.ifr_flags & IFF_UP) && (r.ifr_flags & IFF_RUNNING);
    if (ioctl(fd, SIOCGIFMTU, &r) == 0)
        f->mtu = (unsigned)r.ifr_mtu;
    close(fd);
    f->rp_filter = (int)read_number("/proc/sys/net/ipv4/conf/%s/rp_filter", name);
    f->redirects = (int)read_number("/proc/sys/net/ipv4/conf/%s/send_redirects", name);
}

static void read_ifaces(struct host *h)
{
    const struct conf *c = h->conf;

    for (unsigned v = 0; v < c->vip_count; v++) {
        for (unsigned i = 0; i < c->vip[v].outer_count; i++)
            add_iface(h, c->vip[v].outer[i].ifname, true);
        for (unsigned i = 0; i < c->vip[v].inner_count; i++)
            add_iface(h, c->vip[v].inner[i].ifname, false);
    }
    for (unsigned i = 0; i < c->lan_count; i++)
        add_iface(h, c->lan[i].ifname, false);
}

/* ---- addresses and ports ---- */

static int try_bind(const struct endpoint *e, int type)
{
    struct sockaddr_storage at;
    socklen_t len = endpoint_to_sockaddr(e, &at);
    int fd = socket(at.ss_family, type | SOCK_CLOEXEC, 0), on = 1, err = 0;

    if (type == SOCK_DGRAM) /* a VIP need not be here */
        setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* Only listening tells that another one listens, with SO_REUSEADDR. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 ||
        (type == SOCK_STREAM && listen(fd, 1) < 0))
        err = errno;
    if (fd >= 0)
        close(fd);
    return err;
}

static void add_port(struct host *h, const struct endpoint *e, int type, const char *of)
{
    struct host_port *p = &h->port[h->port_count];
    char text[ENDPOINT_TEXT_LEN];

    if (h->port_count == HOST_PORTS_MAX)
        return;
    h->port_count++;
    snprintf(p->what, sizeof(p->what), "%s %s of %s", type == SOCK_DGRAM ? "UDP" : "TCP",
             endpoint_format(e, text), of);
    p->err = try_bind(e, type);
}

static void read_ports(struct host *h)
{
    const struct conf *c = h->conf;
    char of[64];

    for (unsigned v = 0; v < c->vip_count; v++)
        for (unsigned i = 0; i < c->vip[v].outer_count; i++) {
            snprintf(of, sizeof(of), "VIP %s", c->vip[v].name);
            add_port(h, &(struct endpoint){c->vip[v].outer[i].addr, c->vip[v].port}, SOCK_DGRAM,
                     of);
        }
    add_port(h, &c->member[c->self].sync_address, SOCK_STREAM, "the sync channel");
}

static int try_connect(const struct endpoint *e)
{
    struct sockaddr_storage at;
    socklen_t len = endpoint_to_sockaddr(e, &at), err_len = sizeof(int);
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err = 0;
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    if (fd < 0 || (connect(fd, (struct sockaddr *)&at, len) < 0 && errno != EINPROGRESS))
        err = errno;
    else if (poll(&p, 1, CONNECT_MS) != 1)
        err = ETIMEDOUT;
    else
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_len);
    if (fd >= 0)
        close(fd);
    return err;
}

/* A running daemon knows its links: it is believed, and the siblings are left alone. */
static int sibling_error(const struct host *h, unsigned id)
{
    for (unsigned i = 0; h->status && i < h->status->member_count; i++)
        if (h->status->member[i].id == id && strcmp(h->status->member[i].link, "live") == 0)
            return 0;
    return try_connect(&h->conf->member[id].sync_address);
}

static void read_siblings(struct host *h)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        struct host_sibling *s = &h->sibling[h->sibling_count];

        if (!h->conf->member[i].id || i == h->conf->self)
            continue;
        h->sibling_count++;
        snprintf(s->name, sizeof(s->name), "%s", h->conf->member[i].name);
        s->err = sibling_error(h, i);
    }
}

static void add_address(struct host *h, const struct vip *v, const struct vip_addr *a,
                        const struct ifaddrs *all)
{
    for (; all; all = all->ifa_next) {
        struct host_address *to = &h->address[h->address_count];
        struct endpoint e;

        if (!all->ifa_addr || endpoint_from_sockaddr(all->ifa_addr, &e) < 0 ||
            !addr_equal(&e.addr, &a->addr) || h->address_count == HOST_ADDRESSES_MAX)
            continue;
        h->address_count++;
        addr_format(&a->addr, to->text);
        to->vip_id = v->id;
        snprintf(to->vip, sizeof(to->vip), "%s", v->name);
        snprintf(to->ifname, sizeof(to->ifname), "%s", all->ifa_name);
        snprintf(to->wants, sizeof(to->wants), "%s", a->ifname);
    }
}

static void read_addresses(struct host *h)
{
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) < 0)
        return;
    for (unsigned v = 0; v < h->conf->vip_count; v++) {
        const struct vip *vip = &h->conf->vip[v];

        for (unsigned i = 0; i < vip->outer_count; i++)
            add_address(h, vip, &vip->outer[i], all);
        for (unsigned i = 0; i < vip->inner_count; i++)
            add_address(h, vip, &vip->inner[i], all);
    }
    freeifaddrs(all);
}

/* ---- keepalived ---- */

static bool holds_vips(const struct conf *c, const char *text)
{
    for (unsigned i = 0; i < c->vip_count; i++) {
        char name[32];
        const char *at = text;

        snprintf(name, sizeof(name), "GM_%u", c->vip[i].id);
        while ((at = strstr(at, name)) && strspn(at + strlen(name), "0123456789") > 0)
            at += strlen(name);
        if (!at)
            return false;
    }
    return true;
}

static void look_at(struct host *h, const char *text, const char *rendered)
{
    char one_health[CONF_PATH_MAX + 32];

    h->keepalived_ours |= holds_vips(h->conf, text);
    h->keepalived_current |= rendered && strstr(text, rendered) != NULL;
    snprintf(one_health, sizeof(one_health), "file %s/" HEALTH_FILE "\n", h->conf->run_dir);
    h->keepalived_one_health |= strstr(text, one_health) != NULL;
}

/* That of all is there only together with those of each. */
static bool is_of_all_only(const struct conf *c)
{
    char path[CONF_PATH_MAX + 32];

    snprintf(path, sizeof(path), "%s/" HEALTH_FILE, c->run_dir);
    if (access(path, F_OK) < 0)
        return false;
    snprintf(path, sizeof(path), "%s/" HEALTH_FILE "-%u", c->run_dir, c->vip[0].id);
    return access(path, F_OK) < 0;
}

/* Files that a line "include PATTERN" of @text names; relative ones follow the including file. */
static void look_at_included(struct host *h, const char *text, const char *rendered)
{
    const char *slash = strrchr(h->keepalived_conf, '/');
    int dir = slash ? (int)(slash - h->keepalived_conf) + 1 : 0;

    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char word[16], pattern[CONF_PATH_MAX + 1], path[2 * CONF_PATH_MAX + 2];
        glob_t files;

        if (sscanf(line, " %15[a-z] %255[^ \t\r\n]", word, pattern) != 2 ||
            strncmp(word, "include", strlen("include")) != 0)
            continue;
        snprintf(path, sizeof(path), "%.*s%s", *pattern == '/' ? 0 : dir, h->keepalived_conf,
                 pattern);
        if (glob(path, 0, NULL, &files) == 0)
            for (size_t i = 0; i < files.gl_pathc; i++) {
                char *included = read_text(files.gl_pathv[i]);
                if (included)
                    look_at(h, included, rendered);
                free(included);
            }
        globfree(&files);
    }
}

static void run_test(struct host *h)
{
    char command[CONF_PATH_MAX + 64];
    int status;
    FILE *out;

    h->keepalived_test = -1;
    if (!h->keepalived_installed || !h->root || strpbrk(h->keepalived_conf, "'\n"))
        return;
    snprintf(command, sizeof(command), "%s -t -f '%s' 2>&1",
             "PATH=$PATH:/usr/sbin:/sbin keepalived", h->keepalived_conf);
    out = popen(command, "re");
    if (!out)
        return;
    if (!fgets(h->keepalived_says, sizeof(h->keepalived_says), out))
        h->keepalived_says[0] = '\0';
    h->keepalived_says[strcspn(h->keepalived_says, "\n")] = '\0';
    while (fgetc(out) != EOF)
        ;
    status = pclose(out);
    if (WIFEXITED(status))
        h->keepalived_test = WEXITSTATUS(status);
}

static void read_keepalived(struct host *h)
{
    static const char *const places[] = {"/usr/sbin/keepalived", "/usr/local/sbin/keepalived",
                                         "/sbin/keepalived"};
    char error[RENDER_ERROR_LEN], *rendered = NULL, *text = read_text(h->keepalived_conf);

    for (unsigned i = 0; i < ARRAY_LEN(places); i++)
        h->keepalived_installed |= access(places[i], X_OK) == 0;
    h->keepalived_running = process_of("keepalived");
    h->daemon_one_health = is_of_all_only(h->conf);
    h->conntrackd_running = process_of("conntrackd");
    if (render_keepalived(h->conf, &rendered, error) < 0)
        rendered = NULL;
    if (text) {
        look_at(h, text, rendered);
        look_at_included(h, text, rendered);
        run_test(h);
    } else {
        h->keepalived_test = -1;
    }
    free(rendered);
    free(text);
}

/* ---- all of it ---- */

static void read_daemon(const struct cli *c, struct host *h)
{
    struct control_request request = {.version = CONTROL_VERSION, .kind = CONTROL_STATUS};
    struct control_reply reply;
    char error[CLI_ERROR_LEN];

    if (client_try(c, &request, &reply, error) != EXIT_GOOD)
        return;
    h->status = TAKE_PTR(reply.status);
    control_reply_done(&reply);
}

/* May others than root or its owner choose what lies in the folder of @path? */
static bool is_open(const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[CONF_PATH_MAX + 1] = ".";
    struct stat st;

    if (slash)
        snprintf(dir, sizeof(dir), "%.*s", (int)MAX(slash - path, 1), path);
    return stat(dir, &st) == 0 && (st.st_mode & 022) && !(st.st_mode & S_ISVTX);
}

/* A VIP that is just moving answers before anybody told who has it now. */
static void look_again(const struct cli *c, struct host *h)
{
    cli_sleep(SETTLE_NS);
    status_free(h->status);
    h->status = NULL;
    read_daemon(c, h);
    h->address_count = 0;
    read_addresses(h);
    host_read_strangers(h);
}

void host_read(const struct cli *c, const char *keepalived_conf, struct host *ret)
{
    struct cli with_conf = *c;
    struct stat st;

    *ret = (struct host){.root = geteuid() == 0, .keepalived_test = -1};
    snprintf(ret->conf_path, sizeof(ret->conf_path), "%s", c->conf ? c->conf : DEFAULT_CONF);
    snprintf(ret->keepalived_conf, sizeof(ret->keepalived_conf), "%s", keepalived_conf);
    read_kernel(ret);
    read_memlock(ret);
    if (conf_load(ret->conf_path, &ret->conf, ret->conf_error) < 0)
        ret->conf = NULL;
    ret->conf_missing = !ret->conf && access(ret->conf_path, F_OK) < 0 && errno == ENOENT;
    with_conf.conf = ret->conf ? ret->conf_path : NULL;
    read_daemon(&with_conf, ret);
    ret->daemon_runs |= ret->status != NULL;
    if (!ret->conf)
        return;
    ret->state_dir_known = stat(ret->conf->state_dir, &st) == 0;
    ret->state_dir_mode = ret->state_dir_known ? st.st_mode & 07777 : 0;
    read_ifaces(ret);
    read_ports(ret);
    read_siblings(ret);
    read_addresses(ret);
    read_keepalived(ret);
    ret->conf_dir_open = is_open(ret->conf_path);
    host_read_net(ret);
    if (ret->stranger_count)
        look_again(&with_conf, ret);
}

void host_done(struct host *h)
{
    conf_free(h->conf);
    status_free(h->status);
    free(h->ruleset);
    *h = (struct host){0};
}
