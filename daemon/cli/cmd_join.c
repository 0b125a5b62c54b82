/* cluster join: this machine becomes a member of the cluster that the token is of. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/cluster.h"
#include "cli/meeting.h"
#include "cli/writer.h"
#include "conf/value.h"
#include "noise/noise.h"
#include <net/if.h>
#include <poll.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define DIAL_MS 5000
#define MEETING_NS (15 * NS_PER_S)
#define RENAMES_MAX 16
#define STDIN_WORD "-"

struct join {
    const struct cli *c;
    struct cluster_words w;
    struct token token;
    struct conftext_rename rename[RENAMES_MAX];
    unsigned rename_count;
    char key[KEY_TEXT_LEN + 1]; /* private; for the file */
    uint8_t public_key[32];
    char reason[INVITATION_REASON_MAX + 1]; /* why the offer cannot be used; "": it can */
};

/* ---- what was typed ---- */

/* It is a secret for a while: it does not stay in the list of processes. */
static int take_token(struct join *j)
{
    char line[TOKEN_TEXT_MAX + 2] = "", *text = j->w.argument;
    int r;

    if (strcmp(text, STDIN_WORD) == 0) {
        if (!fgets(line, sizeof(line), stdin))
            return cli_fail(EXIT_USAGE, "cluster join: no token on standard input");
        line[strcspn(line, "\r\n")] = '\0';
        text = line;
    }
    r = token_parse(text, &j->token);
    secret_wipe(text, strlen(text));
    if (r == -EPROTONOSUPPORT)
        return cli_fail(EXIT_USAGE,
                        "cluster join: a token of another version; invite and join with "
                        "the same version of guardmount (this is %s)",
                        GM_VERSION);
    return r < 0 ? cli_fail(EXIT_USAGE, "cluster join: this is no whole token; copy all that "
                                        "'guardmount cluster invite' printed, from gm1_ on")
                 : EXIT_GOOD;
}

static int take_dev(struct join *j)
{
    const char *at = j->w.word[WORD_DEV];
    char one[2 * IFNAME_MAX + 2];

    while (at && value_list_next(&at, one, sizeof(one))) {
        struct conftext_rename *r = &j->rename[j->rename_count];
        char *equals = strchr(one, '=');

        if (equals)
            *equals = '\0';
        if (!equals || !value_ifname(one) || !value_ifname(equals + 1) ||
            j->rename_count++ == RENAMES_MAX)
            return cli_fail(EXIT_USAGE, "cluster join: --dev: expected THERE=HERE, names of "
                                        "interfaces, with commas between");
        strcpy(r->from, one);
        strcpy(r->to, equals + 1);
    }
    return EXIT_GOOD;
}

static int make_key(struct join *j)
{
    uint8_t private_key[32];

    if (noise_init() < 0)
        return cli_fail(EXIT_FAILED, "libsodium does not start");
    x25519_keygen(&rng_system, private_key, j->public_key);
    key_to_base64(private_key, j->key);
    secret_wipe(private_key, sizeof(private_key));
    return EXIT_GOOD;
}

/* ---- the way there ---- */

static int connect_in_time(int fd, const struct sockaddr *to, socklen_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t error_len = sizeof(int);
    int error = 0;

    if (connect(fd, to, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    if (poll(&p, 1, DIAL_MS) != 1)
        return -ETIMEDOUT;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
    return -error;
}

static int not_reached(const struct join *j, int error)
{
    char where[ENDPOINT_TEXT_LEN], ends[SHOWN_LEN];

    endpoint_format(&j->token.where, where);
    if (error == -ECONNREFUSED && clock_real_ns() / NS_PER_S > j->token.ends_s)
        return cli_fail(EXIT_FAILED, "the invitation ended at %s; invite again",
                        show_time(ends, (uint64_t)j->token.ends_s * NS_PER_S));
    if (error == -ECONNREFUSED)
        return cli_fail(EXIT_FAILED,
                        "nobody waits at %s: the token was used already, or the "
                        "invitation was withdrawn; invite again",
                        where);
    return cli_fail(EXIT_FAILED, "%s is not reached: %s; is a firewall between?", where,
                    strerror(-error));
}

static int dial(const struct join *j, int *ret_fd)
{
    struct endpoint from = {.addr = j->token.member.addr};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&from, &sa);
    _cleanup_(closep) int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    char text[ADDR_TEXT_LEN];
    int r;

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0)
        return cli_fail(EXIT_FAILED, "%s: %s; the invitation is for the machine with this address",
                        addr_format(&from.addr, text), strerror(errno));
    len = endpoint_to_sockaddr(&j->token.where, &sa);
    r = connect_in_time(fd, (struct sockaddr *)&sa, len);
    if (r < 0)
        return not_reached(j, r);
    *ret_fd = TAKE_FD(fd);
    return EXIT_GOOD;
}

/* ---- the conversation ---- */

__attribute__((format(printf, 2, 3))) static void object(struct join *j, const char *format, ...)
{
    va_list args;

    if (*j->reason)
        return;
    va_start(args, format);
    vsnprintf(j->reason, sizeof(j->reason), format, args);
    va_end(args);
}

static void look_for(struct join *j, const char *ifname)
{
    if (!if_nametoindex(ifname))
        object(j, "it has no interface %s; join with --dev %s=NAME", ifname, ifname);
}

/* What would fail when the daemon starts is better known before anybody wrote anything. */
static void judge(struct join *j, const struct conf *c)
{
    if (memcmp(c->member[c->self].sync_public_key, j->public_key, 32) != 0)
        object(j, "its key is not in the configuration that it was offered");
    for (unsigned v = 0; v < c->vip_count; v++) {
        for (unsigned i = 0; i < c->vip[v].outer_count; i++)
            look_for(j, c->vip[v].outer[i].ifname);
        for (unsigned i = 0; i < c->vip[v].inner_count; i++)
            look_for(j, c->vip[v].inner[i].ifname);
    }
    for (unsigned i = 0; i < c->lan_count; i++)
        look_for(j, c->lan[i].ifname);
}

static int on_offer(struct join *j, struct meeting *m, const struct invitation_message *offer,
                    struct placing *ret)
{
    struct conftext_change change = {
        .private_key = j->key, .rename = j->rename, .rename_count = j->rename_count};
    char error[CONF_ERROR_LEN] = "";

    if (place_prepare(j->w.conf, (const char *)offer->body, offer->len, &change, ret, error) < 0) {
        *ret = (struct placing){0};
        object(j, "%.*s", (int)strcspn(error, "\n"), error);
    } else {
        judge(j, ret->conf);
    }
    if (!*j->reason)
        return meeting_send(m, INVITATION_ACCEPT, NULL, 0) < 0
                   ? cli_fail(EXIT_FAILED, "nothing was written: %s", meeting_reason(m))
                   : EXIT_GOOD;
    meeting_send(m, INVITATION_REFUSE, j->reason, strlen(j->reason));
    return cli_fail(EXIT_FAILED,
                    "nothing was written: this machine cannot join: %s; the token is "
                    "used up, invite again",
                    j->reason);
}

static int converse(struct join *j, struct meeting *m, struct placing *ret)
{
    struct invitation_message said;
    int status;

    if (meeting_send(m, INVITATION_ASK, j->public_key, 32) < 0 ||
        meeting_receive(m, INVITATION_OFFER, &said) < 0)
        return cli_fail(EXIT_FAILED, "nothing was written: the inviter: %s", meeting_reason(m));
    status = on_offer(j, m, &said, ret);
    if (status == EXIT_GOOD && meeting_receive(m, INVITATION_DONE, &said) < 0)
        status = cli_fail(EXIT_FAILED,
                          "nothing was written, but the inviter may name this member already (%s); "
                          "if so, there: guardmount cluster remove %s, and invite again",
                          meeting_reason(m), ret->conf->member[ret->conf->self].name);
    if (status == EXIT_GOOD)
        status = cluster_write(&j->w, ret, true);
    return status;
}

static int meet(struct join *j, struct placing *ret)
{
    struct channel_identity identity;
    struct meeting *m;
    int fd = -1, status = dial(j, &fd);

    if (status != EXIT_GOOD)
        return status;
    if (invitation_identity(&j->token, NULL, &identity) < 0) {
        close(fd);
        return cli_fail(EXIT_FAILED, "no memory for keys");
    }
    m = meeting_open(fd, &identity, clock_boot_ns() + MEETING_NS);
    if (m && meeting_is_proved(m))
        status = converse(j, m, ret);
    else
        status = cli_fail(EXIT_FAILED,
                          "who waits there did not prove that it made this token (%s); is it the "
                          "token of the invitation that is open now?",
                          m ? meeting_reason(m) : "no memory");
    meeting_close(m);
    invitation_done(&identity);
    return status;
}

/* ---- what is shown ---- */

static void show(const struct join *j, const struct placing *p)
{
    const struct conf *c = p->conf;
    const struct conf_member *self = &c->member[c->self];

    if (j->c->json) {
        printf("{\"schema\":1,\"cluster\":\"%s\",\"member\":\"%s\",\"id\":%u,\"config\":\"%s\"}\n",
               c->cluster, self->name, self->id, j->w.conf);
        return;
    }
    printf("This machine is member %u of %s, %s. Written: %s%s%s\nLeft to do by hand:\n", self->id,
           c->cluster, self->name, j->w.conf, *p->where ? ", " : "", p->where);
    cluster_print_start(p);
}

int cluster_join(const struct cli *c, int argc, char **argv)
{
    struct join j = {.c = c};
    struct placing p = {0};
    int status = cluster_take(c, "join", WORD(DEV) | WORD(KEEPALIVED), "TOKEN", argc, argv, &j.w);

    if (status == EXIT_GOOD)
        status = take_dev(&j);
    if (status == EXIT_GOOD)
        status = take_token(&j);
    if (status == EXIT_GOOD && lstat(j.w.conf, &(struct stat){0}) == 0)
        status = cli_fail(EXIT_FAILED,
                          "%s exists: this machine is a member already; move the file "
                          "away first if it shall be one elsewhere",
                          j.w.conf);
    if (status == EXIT_GOOD)
        status = make_key(&j);
    if (status == EXIT_GOOD)
        status = meet(&j, &p);
    if (status == EXIT_GOOD)
        show(&j, &p);
    place_done(&p);
    secret_wipe(&j, sizeof(j));
    return status;
}
