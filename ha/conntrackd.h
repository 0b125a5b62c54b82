/* ha/conntrackd.h - the complete conntrackd.conf of this member, from its configuration.
 *
 * Owner:   nobody: a pure function of struct conf. The text is the caller's to free().
 * Never:   reads a file or an interface.
 *
 * Each kernel is given the entries of all members as they come (DisableExternalCache), so that a
 * VIP that moves finds its connections there: nothing has to be done at a takeover, and a member
 * may own some VIPs while its siblings own others. Two members speak FTFW (acknowledged, UDP); more
 * of them NOTRACK by multicast, since FTFW is for two. */
#pragma once
#include "ha/render.h"

#define CONNTRACKD_GROUP_V4 "225.0.0.50"
#define CONNTRACKD_GROUP_V6 "ff15::50" /* (of the site) */

/* As render_keepalived(). -ENOENT: the configuration asks for none. */
int render_conntrackd(const struct conf *c, char **ret_text, char ret_error[RENDER_ERROR_LEN]);
