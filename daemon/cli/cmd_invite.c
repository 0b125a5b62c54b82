/* cluster invite: wait for one new member, and give it its configuration.
 *
 * The secret is in this process alone, and is wiped with the first joiner that proves it: no crash,
 * restart or restored disk makes a token good again. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/cluster.h"
#include "cli/draft.h"
#include "cli/meeting.h"
#include "cli/writer.h"
#include "conf/value.h"
#include "noise/noise.h"
#include <jansson.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PORT 51901
#define WITHIN "30m"
#define WITHIN_MIN_MS 100ull
#define WITHIN_MAX_MS (24 * 3600 * 1000ull)
#define MEETING_NS (15 * NS_PER_S)
#define STRANGER_NS (3 * NS_PER_S) /* until it has proved itself */
#define PAUSE_NS (200 * NS_PER_MS) /* after one that did not: five a second (S7) */

struct invitation {
    const struct cli *c;
    struct cluster_words w;
    struct conf_member guest;
    struct token token;
    struct secret32 *private_key; /* arena */
    uint64_t until_ns;
    unsigned strangers;
};

/* ---- before: everything that can be known now ---- */

/* With a key in the guest's place: whatever a joiner brings, the rest is right. */
static int rehearse(const struct invitation *v)
{
    struct conf_member guest = v->guest;
    struct placing ours, theirs;
    char key[KEY_TEXT_LEN + 1];
    int status;

    memcpy(guest.sync_public_key, v->token.public_key, 32);
    key_to_base64(v->private_key->b, key);
    status = cluster_prepare(&v->w, &(struct conftext_change){.add = &guest}, &ours);
    if (status != EXIT_GOOD)
        return status;
    place_done(&ours);
    status = cluster_prepare(
        &v->w, &(struct conftext_change){.add = &guest, .self = guest.id, .private_key = key},
        &theirs);
    if (status == EXIT_GOOD)
        place_done(&theirs);
    secret_wipe(key, sizeof(key));
    return status;
}

static int take_times(struct invitation *v)
{
    const char *within = v->w.word[WORD_WITHIN] ? v->w.word[WORD_WITHIN] : WITHIN;
    uint64_t port = PORT, ms;

    if (!value_duration(within, &ms) || ms < WITHIN_MIN_MS || ms > WITHIN_MAX_MS)
        return cli_fail(EXIT_USAGE, "cluster invite: --within: expected 100ms to 1440m");
    if (v->w.word[WORD_PORT] && !parse_u64(v->w.word[WORD_PORT], 1, UINT16_MAX, &port))
        return cli_fail(EXIT_USAGE, "cluster invite: --port: expected 1..65535");
    v->token.where.port = (uint16_t)port;
    v->token.ends_s = (uint32_t)((clock_real_ns() + ms * NS_PER_MS) / NS_PER_S);
    v->until_ns = clock_boot_ns() + ms * NS_PER_MS;
    return EXIT_GOOD;
}

static int make(struct invitation *v)
{
    char error[CONF_ERROR_LEN] = "";
    struct conf *conf = NULL;
    int status;

    if (noise_init() < 0 || !(v->private_key = secret_alloc()))
        return cli_fail(EXIT_FAILED, "no memory for keys");
    if (conf_load(v->w.conf, &conf, error) < 0)
        return cli_fail(EXIT_FAILED, "%s", error);
    v->token.where = conf->member[conf->self].sync_address;
    status = cluster_guest(&v->w, conf, &v->guest);
    conf_free(conf);
    if (status == EXIT_GOOD)
        status = take_times(v);
    if (status != EXIT_GOOD)
        return status;
    v->token.member = v->guest.sync_address;
    x25519_keygen(&rng_system, v->private_key->b, v->token.public_key);
    rng_fill(&rng_system, v->token.secret, sizeof(v->token.secret));
    return rehearse(v);
}

static int open_listener(const struct endpoint *at, int *ret_fd)
{
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(at, &sa);
    _cleanup_(closep) int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    char text[ENDPOINT_TEXT_LEN];
    int on = 1;

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 4) < 0)
        return cli_fail(EXIT_FAILED, "TCP %s: %s%s", endpoint_format(at, text), strerror(errno),
                        errno == EADDRINUSE ? "; is another invitation open? --port takes another"
                                            : "");
    *ret_fd = TAKE_FD(fd);
    return EXIT_GOOD;
}

/* ---- the conversation ---- */

/* The configuration as it is now, with the guest whose key is known. */
static int on_ask(struct invitation *v, struct meeting *m, struct placing *ret)
{
    struct conftext_change change = {
        .add = &v->guest, .self = v->guest.id, .private_key = "made-by-the-new-member"};
    char *text = NULL, *offer = sodium_malloc(PLACE_TEXT_MAX + 1);
    size_t len = 0, offer_len = 0;
    int status = cluster_prepare(&v->w, &(struct conftext_change){.add = &v->guest}, ret);

    if (status == EXIT_GOOD &&
        (!offer || place_read(v->w.conf, &text, &len) < 0 ||
         conftext_change(text, len, &change, offer, PLACE_TEXT_MAX + 1, &offer_len) < 0 ||
         meeting_send(m, INVITATION_OFFER, offer, offer_len) < 0)) {
        status = cli_fail(EXIT_FAILED, "nothing was changed: %s was not told its configuration: %s",
                          v->guest.name, meeting_reason(m));
        place_done(ret);
    }
    sodium_free(text); /* wipe */
    sodium_free(offer);
    return status;
}

static int broken_off(const struct invitation *v, struct meeting *m, int error,
                      const struct invitation_message *said)
{
    if (error == -ECANCELED)
        return cli_fail(EXIT_FAILED, "nothing was changed: %s cannot use it: %.*s; invite it again",
                        v->guest.name, (int)said->len, (const char *)said->body);
    return cli_fail(EXIT_FAILED, "nothing was changed: %s: %s; invite it again", v->guest.name,
                    meeting_reason(m));
}

static int converse(struct invitation *v, struct meeting *m, struct placing *ret)
{
    struct invitation_message said = {0};
    int status, r = meeting_receive(m, INVITATION_ASK, &said);

    if (r < 0)
        return broken_off(v, m, r, &said);
    memcpy(v->guest.sync_public_key, said.body, 32);
    status = on_ask(v, m, ret);
    if (status != EXIT_GOOD)
        return status;
    r = meeting_receive(m, INVITATION_ACCEPT, &said);
    if (r < 0)
        status = broken_off(v, m, r, &said);
    else
        status = cluster_write(&v->w, ret, false);
    if (status == EXIT_GOOD && meeting_send(m, INVITATION_DONE, NULL, 0) < 0)
        status = cli_fail(EXIT_FAILED,
                          "%s is a member in %s now, but may not know it (%s); if so: guardmount "
                          "cluster remove %s, and invite it again",
                          v->guest.name, v->w.conf, meeting_reason(m), v->guest.name);
    if (status != EXIT_GOOD)
        place_done(ret);
    return status;
}

/* Somebody at the door. NULL: it was not the guest. */
static struct meeting *greet(struct invitation *v, int listener,
                             const struct channel_identity *identity)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct endpoint from;
    struct meeting *m;
    int fd = accept4(listener, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (endpoint_from_sockaddr((struct sockaddr *)&sa, &from) < 0 ||
        !addr_equal(&from.addr, &v->guest.sync_address.addr)) {
        close(fd);
        v->strangers++;
        return NULL;
    }
    m = meeting_open(fd, identity, clock_boot_ns() + STRANGER_NS);
    if (m && meeting_is_proved(m))
        return m;
    fprintf(stderr, "guardmount: somebody at the address of %s did not prove the token: %s\n",
            v->guest.name, m ? meeting_reason(m) : "no memory");
    meeting_close(m);
    cli_sleep(PAUSE_NS);
    return NULL;
}

static int wait_and_serve(struct invitation *v, int listener, struct placing *ret)
{
    struct channel_identity identity;
    struct meeting *m = NULL;
    int status;

    if (invitation_identity(&v->token, v->private_key, &identity) < 0)
        return cli_fail(EXIT_FAILED, "no memory for keys");
    for (uint64_t now = clock_boot_ns(); !m && now < v->until_ns; now = clock_boot_ns()) {
        struct pollfd p = {.fd = listener, .events = POLLIN};

        if (poll(&p, 1, (int)((v->until_ns - now) / NS_PER_MS) + 1) == 1)
            m = greet(v, listener, &identity);
    }
    secret_wipe(&v->token, sizeof(v->token));
    if (m) {
        meeting_extend(m, clock_boot_ns() + MEETING_NS);
        status = converse(v, m, ret);
    } else {
        status = cli_fail(
            EXIT_FAILED, "the invitation has ended, and %s did not come%s; nothing was changed",
            v->guest.name, v->strangers ? ", but others did, from other addresses" : "");
    }
    meeting_close(m);
    invitation_done(&identity);
    return status;
}

/* ---- what is shown ---- */

static void show_token(const struct invitation *v)
{
    char token[TOKEN_TEXT_MAX], at[ENDPOINT_TEXT_LEN], from[ADDR_TEXT_LEN], ends[SHOWN_LEN];

    token_format(&v->token, token);
    endpoint_format(&v->token.where, at);
    addr_format(&v->guest.sync_address.addr, from);
    show_time(ends, (uint64_t)v->token.ends_s * NS_PER_S);
    if (v->c->json)
        printf("{\"schema\":1,\"token\":\"%s\",\"member\":\"%s\",\"id\":%u,\"ends\":\"%s\"}\n",
               token, v->guest.name, v->guest.id, ends);
    else
        printf(
            "On %s, as root, until %s:\n\n  guardmount cluster join %s\n\n"
            "It comes from %s to TCP %s: firewalls must let it through until then.\n"
            "The token is good once, and only while this command waits. Show it to nobody else.\n",
            v->guest.name, ends, token, from, at);
    fflush(stdout);
    secret_wipe(token, sizeof(token));
}

static void show_result(const struct invitation *v, const struct placing *p)
{
    char key[KEY_TEXT_LEN + 1], at[ENDPOINT_TEXT_LEN];

    key_to_base64(v->guest.sync_public_key, key);
    if (v->c->json) {
        printf("{\"schema\":1,\"joined\":\"%s\",\"id\":%u,\"sync_public_key\":\"%s\"}\n",
               v->guest.name, v->guest.id, key);
        return;
    }
    printf("\n%s has joined as member %u; %s names it now. Left to do by hand, here:\n",
           v->guest.name, v->guest.id, v->w.conf);
    cluster_print_restart(p);
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        const struct conf_member *m = &p->conf->member[i];

        if (m->id && i != p->conf->self && i != v->guest.id)
            printf("\nOn %s, and then as it says:\n"
                   "    guardmount cluster admit --member %s=%s --id %u --key %s\n",
                   m->name, v->guest.name, endpoint_format(&v->guest.sync_address, at), v->guest.id,
                   key);
    }
}

int cluster_invite(const struct cli *c, int argc, char **argv)
{
    struct invitation v = {.c = c};
    struct placing p;
    int listener = -1, status;

    status = cluster_take(c, "invite",
                          WORD(MEMBER) | WORD(OUTER_ADDRESS) | WORD(INNER_ADDRESS) | WORD(ID) |
                              WORD(WITHIN) | WORD(PORT) | WORD(KEEPALIVED),
                          NULL, argc, argv, &v.w);
    if (status == EXIT_GOOD)
        status = make(&v);
    if (status == EXIT_GOOD)
        status = open_listener(&v.token.where, &listener);
    if (status == EXIT_GOOD) {
        show_token(&v);
        status = wait_and_serve(&v, listener, &p);
        close(listener);
    }
    if (status == EXIT_GOOD) {
        show_result(&v, &p);
        place_done(&p);
    }
    secret_wipe(&v.token, sizeof(v.token));
    secret_free(v.private_key);
    return status;
}
