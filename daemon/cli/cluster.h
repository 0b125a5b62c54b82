/* cli/cluster.h - what the verbs of `guardmount cluster` share; cmd_cluster.c lists them.
 *
 * Threads: one. */
#pragma once
#include "cli/cli.h"
#include "cli/place.h"

int cluster_invite(const struct cli *c, int argc, char **argv);
int cluster_join(const struct cli *c, int argc, char **argv);
int cluster_admit(const struct cli *c, int argc, char **argv);
int cluster_remove(const struct cli *c, int argc, char **argv);
int cluster_members(const struct cli *c, int argc, char **argv);
int cluster_status(const struct cli *c, int argc, char **argv);

enum cluster_word {
    WORD_MEMBER,
    WORD_OUTER_ADDRESS,
    WORD_INNER_ADDRESS,
    WORD_ID,
    WORD_KEY,
    WORD_WITHIN,
    WORD_PORT,
    WORD_DEV,
    WORD_KEEPALIVED,
    CLUSTER_WORDS,
};
#define WORD(w) (1u << WORD_##w)

struct cluster_words {
    const char *verb, *word[CLUSTER_WORDS]; /* NULL: not given */
    char *argument;                         /* what is no option; NULL: none */
    const char *conf, *keepalived;          /* paths */
};

/* EXIT_GOOD, or EXIT_USAGE and said why. @argument: what it is called; NULL: there is none. */
int cluster_take(const struct cli *c, const char *verb, unsigned allowed, const char *argument,
                 int argc, char **argv, struct cluster_words *ret);
/* The member that --member and the addresses tell of; its key is zero. Without --id: the id behind
 * the highest of @now, or the lowest that is free. EXIT_GOOD, or failed and said why. */
int cluster_guest(const struct cluster_words *w, const struct conf *now, struct conf_member *ret);
/* The configuration as it is and with @change. EXIT_GOOD, or failed and said why. */
int cluster_prepare(const struct cluster_words *w, const struct conftext_change *change,
                    struct placing *ret);
int cluster_write(const struct cluster_words *w, struct placing *p, bool fresh);
/* What is left to do by hand after cluster_write(). */
void cluster_print_start(const struct placing *p);
/* The same after a change of the members. */
void cluster_print_restart(const struct placing *p);
