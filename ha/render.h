/* ha/render.h - the complete keepalived.conf of this member, from its configuration.
 *
 * Owner:   nobody: a pure function of struct conf. The text is the caller's to free().
 * Never:   reads a file or an interface; writes anything that `keepalived -t` warns about, since
 *          reload_check_config makes a warning fatal (keepalived.md section 4).
 *
 * Per VIP: an OUTER and an INNER instance in a sync group GM_<vip id>, or one instance of that name
 * when the VIP has one side only. Every member writes the same number of addresses into
 * virtual_ipaddress (one), all others are `excluded`: lists that differ make two masters. */
#pragma once
#include <stdint.h>

#include "conf/conf.h"

#define RENDER_ERROR_LEN 256
#define RENDER_MARK "# Written by `guardmount ha render`" /* how the text begins */
#define RENDER_RT_PRIORITY 50 /* used below RENDER_RT_BELOW_MS even if none is configured */
#define RENDER_RT_BELOW_MS 100
#define RENDER_ADVERT_MIN_MS 10
#define RENDER_ADVERT_MAX_MS 1000
#define RENDER_ADVERT_STEP_MS 10

/* *ret_error is one line. -EINVAL: this configuration cannot be rendered; -ENOENT: no VIP lists
 * this member. */
int render_keepalived(const struct conf *c, char **ret_text, char ret_error[RENDER_ERROR_LEN]);

/* VRRP base priority of @member for @v; 0: it is not in the VIP's order. From the same order come
 * the holder sets (S8): the first 1 + HOLDERS_MAX members. */
unsigned render_priority(const struct conf *c, const struct vip *v, uint8_t member);
