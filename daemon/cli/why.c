#include "cli/why.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/writer.h"
#include "model/notice.h"
#include <stdarg.h>
#include <string.h>

#define SESSION_MS 180000 /* REJECT_AFTER_TIME: older ones carry nothing */
#define LATELY_NS (60 * NS_PER_S)
#define AHEAD_NS (5 * NS_PER_S) /* a timestamp so far in the future came from a wrong clock */

static void find(struct why *w, const char *code, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void find(struct why *w, const char *code, const char *remedy, const char *format, ...)
{
    struct why_finding *f = &w->finding[w->count];
    va_list args;

    if (w->count == WHY_FINDINGS_MAX)
        return;
    w->count++;
    snprintf(f->code, sizeof(f->code), "%s", code);
    snprintf(f->remedy, sizeof(f->remedy), "%s", remedy);
    va_start(args, format);
    vsnprintf(f->sentence, sizeof(f->sentence), format, args);
    va_end(args);
}

static const char *age_of(const struct control_why *y, uint64_t real_ns, char buf[SHOWN_LEN])
{
    return show_age(buf, y->now_real_ns > real_ns ? (y->now_real_ns - real_ns) / NS_PER_MS : 0);
}

static bool lately(const struct control_why *y, const struct control_fact *f)
{
    return f->real_ns && f->real_ns + LATELY_NS >= y->now_real_ns;
}

static const char *origin(const struct control_fact *f)
{
    return *f->endpoint ? f->endpoint : "an unknown endpoint";
}

static void find_reason(const struct control_why *y, struct why *w, const char *what,
                        const struct control_fact *f)
{
    const struct notice_reason_info *reason = &notice_reasons[notice_reason_find(f->reason)];
    char age[SHOWN_LEN];

    find(w, f->reason, reason->remedy, "%s %s ago%s%s: %s", what, age_of(y, f->real_ns, age),
         *f->endpoint ? " from " : "", f->endpoint, reason->sentence);
}

/* Its timestamps only rise: one that a clock in the future made locks out all right ones. */
static void find_clock(const struct control_why *y, struct why *w)
{
    char ahead[SHOWN_LEN];

    if (strcmp(y->refused.reason, notice_reasons[REASON_STALE_STAMP].name) != 0 ||
        y->stamp_real_ns <= y->now_real_ns + AHEAD_NS)
        return;
    show_age(ahead, (y->stamp_real_ns - y->now_real_ns) / NS_PER_MS);
    find(w, "clock-was-ahead",
         "give the peer a new key, or wait until that time has come; keep its clock synchronised",
         "a timestamp %s ahead of this member's clock was accepted from it once", ahead);
}

static void judge_handshake(const struct control_why *y, struct why *w)
{
    uint64_t refused = y->refused.real_ns, answered = y->answered.real_ns,
             unanswered = y->unanswered.real_ns;
    char age[SHOWN_LEN];

    if (refused && refused >= answered && refused >= unanswered) {
        find_reason(y, w, "its last handshake was refused", &y->refused);
        find_clock(y, w);
    } else if (answered && answered >= unanswered) {
        find(w, "unconfirmed",
             "look for a firewall or NAT that lets nothing back to the peer, and compare the "
             "preshared key on both sides",
             "its handshake from %s was answered %llu time%s, the last %s ago, but it never used "
             "the session",
             origin(&y->answered), (unsigned long long)y->answered.count,
             y->answered.count == 1 ? "" : "s", age_of(y, answered, age));
    } else if (y->attempts || unanswered) {
        find(w, "no-answer",
             "the peer is off, its address changed, or a firewall drops UDP on the way; it can "
             "begin itself at any time",
             "the hub asks for a handshake at %s and gets no answer",
             *y->endpoint ? y->endpoint : origin(&y->unanswered));
    } else if (!*y->endpoint) {
        find(w, "no-endpoint",
             "start the peer, and check the Endpoint and the hub's PublicKey in its configuration",
             "it never reached the hub, and the hub does not know where it is");
    } else if (y->handshake_real_ns) {
        find(w, "silent", "the peer is off or idle; PersistentKeepalive makes it stay",
             "it has been silent; its last handshake was %s ago",
             age_of(y, y->handshake_real_ns, age));
    } else {
        find(w, "never",
             "start the peer, and check the Endpoint and the hub's PublicKey in its configuration",
             "nothing came from it, and nothing is to be sent to it");
    }
}

/* Not about the peer, but about this member: the first of these ends the search. True: found. */
static bool judge_member(const struct control_why *y, struct why *w)
{
    char remedy[WHY_TEXT_MAX];

    if (strcmp(y->state, "unknown") == 0) {
        find(w, "unknown-peer", "add the peer, or correct its key", "no peer has this public key");
        if (y->refused.real_ns)
            find_reason(y, w, "somebody with this key tried", &y->refused);
        return true;
    }
    if (strcmp(y->state, "active") != 0) {
        find(w, y->state,
             strcmp(y->state, "revoked") == 0 ? "a revoked key never comes back: make a new one"
             : strcmp(y->state, "expired") == 0
                 ? "prolong it: guardmount peer set ... --expires 30d"
             : strcmp(y->state, "pending") == 0 ? "approve it: guardmount peer approve ..."
                                                : "enable it, or add it again",
             "the peer is %s", y->state);
        if (y->refused.real_ns)
            find_reason(y, w, "it tried all the same", &y->refused);
        return true;
    }
    if (!y->served) {
        find(w, "not-served", "see the daemon's log; the memory for keys may be too small",
             "the peer is stored, but this member could not make room for it");
        return true;
    }
    if (!y->vip_owned && y->owner) {
        w->elsewhere = true;
        snprintf(remedy, sizeof(remedy), "ask there: guardmount why, on %s", y->owner_name);
        find(w, notice_reasons[REASON_WRONG_MEMBER].name, remedy,
             "its VIP %s is served by %s, not by this member", y->vip, y->owner_name);
        return true;
    }
    if (!y->fit) {
        find(w, notice_reasons[REASON_NOT_READY].name, "see guardmount health",
             "this member is not fit to serve");
        return true;
    }
    if (!y->vip_owned) {
        find(w, "no-owner", "look at keepalived on all members (guardmount status)",
             "nobody is known to own its VIP %s, which is %s here", y->vip, y->vip_state);
        return true;
    }
    return false;
}

void why_judge(const struct control_why *y, struct why *ret)
{
    char age[SHOWN_LEN];

    *ret = (struct why){0};
    if (judge_member(y, ret))
        return;
    ret->up = y->has_session && y->session.age_ms < SESSION_MS;
    if (ret->up)
        find(ret, "up", "", "it has a session, %s old", show_age(age, y->session.age_ms));
    else
        judge_handshake(y, ret);
    if (ret->up && y->isolated)
        find(ret, "isolated", "guardmount group set, with --network, lets the group reach more",
             "its group %s is isolated: it reaches %.160s and nothing else", y->group,
             *y->networks ? y->networks : "no network");
    if (lately(y, &y->data_refused))
        find_reason(y, ret, "data was refused", &y->data_refused);
    if (lately(y, &y->session_refused))
        find_reason(y, ret, "its session could not be taken over", &y->session_refused);
    if (ret->up && lately(y, &y->refused))
        find_reason(y, ret, "a handshake was refused", &y->refused);
}
