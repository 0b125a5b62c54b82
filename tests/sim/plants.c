#include "sim/plants.h"
#include "base/plant.h"
#include <stddef.h>
#include <string.h>

#ifdef GM_PLANT
const char *plant_chosen;

bool plant_choose(const char *name)
{
    plant_chosen = name;
    return true;
}
#endif

const struct plant plants[] = {
    /* Send counters. */
    {"no-member-bits", "takeovers", 1, "all members send with one member's tag"},
    {"low-from-zero", "takeovers", 2, "a second stay of a process begins at packet 0 again"},
    {"term-not-raised", "takeovers", 1, "the adopter's term is not above the last one known"},
    {"adopter-in-creator-space", "takeovers", 1, "the adopter sends in term 0"},
    {"suspicion-ignored", "naps", 1, "no new term after the process stood still"},
    {"later-life-ignored", "restarts", 3, "a rolled-back start counter is believed"},
    {"no-quarantine", "strangers", 3, "an unproved life adopts any key"},
    /* Receiving. */
    {"no-replay-window", "takeovers", 1, "a copy is accepted"},
    {"window-from-zero", "takeovers", 1, "the adopter's window begins at 0"},
    {"window-not-cleared", "moves", 4, "the ring keeps what was seen a turn ago"},
    {"ceiling-ignored", "takeovers", 1, "the owner accepts whatever comes"},
    {"ceiling-included", "takeovers", 5, "the owner accepts L itself"},
    {"no-holder-after-adoption", "moves", 1, "the adopter tells no holder, and asks none"},
    {"raised-before-ack", "takeovers", 20, "a raise is used before it is acked"},
    {"one-holder-is-enough", "takeovers", 9, "a raise is used when one of two has acked"},
    {"lowered-unbound", "bursts", 1, "a lower L is told before it binds the owner"},
    {"promise-undone", "promises", 1, "an owner lowers what was promised to another"},
    {"adoption-unheard", "yields", 1, "a sibling's adoption does not silence"},
    {"unfit-adopted", "strangers", 3, "a replica is adopted though main says that it is not fit"},
    {"stale-adopted", "dozers", 2, "a replica is adopted though its owner was not heard lately"},
    {"queue-is-fresh", "dozers", 2, "a heartbeat from the queue counts as just heard"},
    {"never-in-doubt", "sleepers", 16, "own keys are good whoever died while we slept"},
    {"replicas-sleep-well", "believers", 1, "and so are replicas of who is dead by then"},
    {"no-window-handed", "moves", 1, "the window is not handed over"},
    {"gap-handed-as-seen", "gap-handed", 1, "what an adopter never saw is handed on as seen"},
    {"transit-not-waited", "moves", 1, "packets of a key on its way are not held"},
    {"strays-dropped", "moves", 2, "what waited at the former owner is dropped"},
    /* Time. */
    {"age-restarted", "expiry", 1, "a replica is born when it arrives"},
    {"sent-for-ever", "expiry", 1, "a key of 180 s still sends"},
    {"accepted-for-ever", "expiry", 1, "a key of 180 s still receives"},
    {"keys-kept", "expiry", 1, "old keys stay in memory"},
    /* Handshakes. */
    {"mac1-not-checked", "forgers", 1, "any mac1 will do"},
    {"stamp-not-compared", "forgers", 1, "an initiation is answered again"},
    {"endpoint-of-initiation", "forgers", 1, "an unconfirmed handshake moves the endpoint"},
    {"answered-at-once", "takeovers", 1, "the response leaves before a sibling has the key"},
    {"stamp-of-own-clock", "clocks", 1, "stamps are of the member's clock alone"},
    {"no-stamp-cap", "clocks", 1, "a clock that is set far ahead poisons the clients"},
    {"cookies-of-its-own", "load", 1, "each member has a cookie secret of its own"},
    {"no-rescue", "lag", 1, "unknown receiver indices are left alone"},
    {"rescue-at-old-endpoint", "roam", 1, "a rescue goes to where the client was"},
    {"senders-take-back", "cut-off", 1, "a packet to a client takes its key from who hears it"},
    {"copied-answer-moves", "copies", 1, "an answer moves the endpoint, whoever sent it"},
    {"late-answers-taken", "late-answers", 1,
     "an answer counts when a later initiation is answered"},
    {"keys-leave", "warm", 1, "session keys are replicated in warm mode"},
    /* Ownership. */
    {"gate-left-open", "faults", 1, "a member goes on without the VIP"},
    {"address-not-looked-at", "faults", 22, "the VIP's address may go, and nobody looks"},
    {"no-announcement", "unannounced", 2, "a master does not announce itself again"},
    {"silent-after-a-cut", "unannounced", 1, "nor when its LAN is back"},
    {"lesser-not-outbid", "split", 43,
     "a master that hears a lesser one goes on under the old terms"},
    {"rescued-once", "split", 2,
     "an initiation of a rescue that was lost is not followed by another"},
    {"silent-after-the-other", "let-go", 1, "nor when the other of two has let go"},
    {"copies-move-keys", "switch", 1, "a copied packet moves a session to another VIP"},
    {"holder-not-counted", "dismissed", 2, "one holder more than are asked gets a session"},
    {"told-is-asked", "unasked", 1, "who is told of an adoption takes himself for a holder"},
    {"no-asks", "switch", 1, "nobody asks the owner for a session that came to another VIP"},
    {"flaps-not-damped", "flaps", 1, "a member that flaps takes its VIP back each time"},
    {"damped-is-unfit", "flaps", 1, "who flapped does not serve though it is the only one"},
    {"routes-to-lower-claims", "active", 226, "a route follows an older claim"},
    {"waiting-left-behind", "active-moves", 179, "what waited for a VIP that went elsewhere"},
    {"guests-unexplained", "strayed", 1, "nobody is told why he gets a guest's packets"},
    {"answered-vip-untold", "strayed", 7, "the VIP of a session that the hub began is not told"},
    {"place-of-another-vip", "guests", 1, "a key of an earlier VIP takes its peer back there"},
    {"shortest-prefix", "takeovers", 1, "the widest of two prefixes gets the packet"},
    /* The store. */
    {"edits-not-merged", "operators", 1, "a sibling's edit is thrown away"},
    {"no-anti-entropy", "operators", 6, "what was missed is never sent"},
    {"served-form-sent", "operators", 2, "a record is sent without what is not in force"},
    {"vector-of-the-end", "operators", 165, "a vector is told before what it covers"},
    {"revocation-by-clock", "operators", 16, "the later clock beats a revocation"},
    {"prefix-of-two", "operators", 2, "a prefix is active for two peers"},
    {"acked-is-revoked", "operators", 1, "any answer counts as a confirmed revocation"},
    {"no-second-revocation", "operators", 241, "a concurrent reinstatement survives"},
    {"unsaved-counted", "operators-disk", 83, "what no disk has is told as durable"},
    {"ghost-merged", "haunt", 1, "a removed peer of an old database is taken for a new one"},
    {NULL, NULL, 0, NULL},
};

const struct plant *plant_find(const char *name)
{
    for (const struct plant *p = plants; p->name; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}
