/* cli/draft.h - the configurations of a new cluster, from a few words and fresh keys. Pure.
 *
 * Owner:   the caller, of a zeroed struct draft; words are pointed to, not copied.
 * Threads: any.
 * Errors:  negative, with a line that names the option, or the line of the text that came out.
 * Never:   reads or writes a file; hands out a text that conf_parse() would refuse. */
#pragma once
#include "base/rng.h"
#include "conf/conf.h"

#define DRAFT_SYNC_PORT 51900
#define DRAFT_TEXT_MAX 16384 /* bytes of one configuration, with its NUL */
#define DRAFT_MEMBERS_MIN 2

enum draft_word {
    DRAFT_NAME,
    DRAFT_HUB_ADDRESS,
    DRAFT_OUTER,
    DRAFT_INNER,
    DRAFT_PORT,
    DRAFT_VRID_OUTER,
    DRAFT_VRID_INNER,
    DRAFT_OUTER_PROBE,
    DRAFT_INNER_PROBE,
    DRAFT_WORDS,
};
extern const char *const draft_options[DRAFT_WORDS]; /* "--name", ... */

struct draft {
    const char *word[DRAFT_WORDS]; /* NULL: not given */
    struct draft_member {          /* in the order of preference; ids count from 1 */
        char name[MEMBER_NAME_MAX + 1];
        struct endpoint sync;
    } member[MEMBER_ID_MAX];
    unsigned member_count;
    bool alone; /* the first member of a cluster whose others are invited */
};

/* Secrets: in memory that is locked and wiped. */
struct draft_keys {
    uint8_t cluster[32], hub[32], hub_public[32];
    uint8_t sync[MEMBER_ID_MAX][32], sync_public[MEMBER_ID_MAX][32];
};

int draft_set(struct draft *d, enum draft_word w, const char *text, char error[CONF_ERROR_LEN]);
/* "NAME=ADDRESS" or "NAME=ADDRESS:PORT", the end of its sync channel. */
int draft_add_member(struct draft *d, const char *text, char error[CONF_ERROR_LEN]);
/* After the last word: the defaults, and what is missing or goes without its other half. */
int draft_finish(struct draft *d, char error[CONF_ERROR_LEN]);
/* The interface of the first address of DRAFT_OUTER or DRAFT_INNER, which is set. */
const char *draft_interface(const struct draft *d, enum draft_word w, char ret[IFNAME_MAX + 1]);

int draft_make_keys(struct draft_keys *k, unsigned members, const struct rng *rng);
/* The file of the @i-th member. It holds keys. */
int draft_conf(const struct draft *d, const struct draft_keys *k, unsigned i,
               char ret_text[DRAFT_TEXT_MAX], struct conf **ret_conf, char error[CONF_ERROR_LEN]);
