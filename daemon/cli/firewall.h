/* cli/firewall.h - what a rule set of nftables may keep out, by its text. Pure.
 *
 * A guess that errs towards silence: rules are not run through. Of a hook whose chain drops by
 * policy or by its last rule it is only looked for whether anything in the rule set names what must
 * pass. Our own table is left out.
 * Threads: any. */
#pragma once
#include <stdbool.h>

/* Does a base chain of @hook ("input", "forward") end with drop or reject? */
bool firewall_closes(const char *ruleset, const char *hook);
/* Does a rule name this number (a port, a protocol), alone or within a range? */
bool firewall_names(const char *ruleset, unsigned number);
/* Does a rule translate addresses (masquerade, snat, dnat)? */
bool firewall_translates(const char *ruleset);
/* Does a rule let all of the interface through, or name it at all? */
bool firewall_accepts_all_of(const char *ruleset, const char *ifname);
bool firewall_names_interface(const char *ruleset, const char *ifname);
