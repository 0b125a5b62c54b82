/* ha/health.h - the files by which keepalived is told how fit this member is, two for each VIP.
 *
 * Owner:   health: the sentinel process; weight: the daemon's main thread.
 * Never:   makes the directory (keepalived's watch is on it: it must be there before keepalived
 *          starts and stay), follows a file that is half written: a rename puts it in place.
 *
 * The rendered configuration fails closed: a missing health file is FAULT for its VIP; a missing
 * weight file is weight 0. HEALTH_FILE without a number is there when those of all VIPs are: for
 * monitors, and for configurations that were rendered when there was no other. */
#pragma once
#include "model/vip.h"

#define HEALTH_FILE "health" /* -N: of the VIP with the number N */
#define WEIGHT_FILE "weight" /* -N: of the VIP with the number N */
#define DRAINED_FILE "drained"

/* Values of the weight file; render.c's priorities are made for them. An owner keeps WEIGHT_FIT,
 * whatever becomes of its siblings, until it is drained: else a joiner that is in sync a moment
 * sooner would take the VIP for nothing. */
#define WEIGHT_FIT 0
#define WEIGHT_BEHIND (-50) /* not in sync: yields to one that is, serves when alone (O3) */
#define WEIGHT_DRAIN (-100) /* gives its VIPs to any member that is fit */
#define WEIGHT_PROMOTE 100  /* above every other one: keepalived stops at 254 */
#define WEIGHT_MAX 253

/* Replace @dir/@name by one line of text. */
int health_put(const char *dir, const char *name, const char *text);
#define HEALTH_OF_ALL 0                           /* no VIP has this number */
int health_raise(const char *dir, uint16_t vip);  /* "1": fit */
int health_remove(const char *dir, uint16_t vip); /* 0 too when there is none; needs no space */
/* That of all first. The first error is returned, when all have been tried. */
int health_remove_all(const char *dir, const struct vip *vips, unsigned count);
/* -ERANGE beyond +-WEIGHT_MAX. */
int weight_write(const char *dir, uint16_t vip, int weight);

/* VIPs that this member is drained of, in the state directory: they outlive the daemon. */
int drained_save(const char *dir, const uint16_t *vips, unsigned count);
/* Returns how many there are; what is no number is passed over. */
unsigned drained_load(const char *dir, uint16_t *ret, unsigned max);
