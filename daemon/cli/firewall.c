#include "cli/firewall.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 1024                  /* what is longer is cut: a set of many elements */
#define OWN_TABLE "table inet guardmount_" /* and a hub's id */
#define HOOK_LEN 32

/* The lines, one by one, of all tables but ours; without blanks around, and counters, which `nft
 * -s` leaves as a word. */
struct reader {
    const char *at;
    bool ours;
    char line[LINE_MAX_LEN];
};

static bool is_ours(const char *table)
{
    const char *id = table + sizeof(OWN_TABLE) - 1;

    return strncmp(table, OWN_TABLE, sizeof(OWN_TABLE) - 1) == 0 &&
           id[strspn(id, "0123456789")] == ' ';
}

static bool next(struct reader *r)
{
    while (*r->at) {
        size_t len = strcspn(r->at, "\n"), skip = strspn(r->at, " \t");
        bool top = skip == 0;

        skip = skip < len ? skip : len;
        snprintf(r->line, sizeof(r->line), "%.*s", (int)(len - skip), r->at + skip);
        r->at += len + (r->at[len] == '\n');
        if (top && strncmp(r->line, "table ", 6) == 0)
            r->ours = is_ours(r->line);
        if (!r->ours)
            return true;
    }
    return false;
}

/* A rule without a condition that lets nothing past it. */
static bool ends_all(const char *rule)
{
    if (strncmp(rule, "counter ", 8) == 0)
        rule += 8;
    return strcmp(rule, "drop") == 0 || strncmp(rule, "reject", 6) == 0;
}

bool firewall_closes(const char *ruleset, const char *hook)
{
    struct reader r = {.at = ruleset};
    char base[HOOK_LEN + 8], last[LINE_MAX_LEN] = "";
    bool within = false;

    snprintf(base, sizeof(base), " hook %.*s ", HOOK_LEN, hook);
    while (next(&r)) {
        if (strncmp(r.line, "type filter", 11) == 0 && strstr(r.line, base)) {
            if (strstr(r.line, "policy drop"))
                return true;
            within = true;
        } else if (*r.line == '}') {
            if (within && ends_all(last))
                return true;
            within = false;
        }
        memcpy(last, r.line, sizeof(last));
    }
    return false;
}

/* Words of addresses and names are no numbers. */
static bool is_part_of_a_word(char c)
{
    return isalnum((unsigned char)c) || strchr("._:/\"", c);
}

bool firewall_names(const char *ruleset, unsigned number)
{
    struct reader r = {.at = ruleset};

    while (next(&r))
        for (const char *c = r.line; *c; c++) {
            char *end;
            unsigned long from, to;

            if (!isdigit((unsigned char)*c) || (c > r.line && is_part_of_a_word(c[-1])))
                continue;
            from = to = strtoul(c, &end, 10);
            if (*end == '-' && isdigit((unsigned char)end[1]))
                to = strtoul(end + 1, &end, 10);
            if ((!*end || !is_part_of_a_word(*end)) && from <= number && number <= to)
                return true;
            c = end - 1;
        }
    return false;
}

static bool names_interface(const char *line, const char *ifname)
{
    char quoted[24];

    snprintf(quoted, sizeof(quoted), "\"%s\"", ifname);
    return strstr(line, quoted);
}

bool firewall_accepts_all_of(const char *ruleset, const char *ifname)
{
    struct reader r = {.at = ruleset};

    while (next(&r)) {
        size_t len = strlen(r.line);

        if (len > 7 && strcmp(r.line + len - 7, " accept") == 0 &&
            names_interface(r.line, ifname) && !strstr(r.line, "dport") &&
            !strstr(r.line, "ct state") && !strstr(r.line, "protocol"))
            return true;
    }
    return false;
}

bool firewall_names_interface(const char *ruleset, const char *ifname)
{
    struct reader r = {.at = ruleset};

    while (next(&r))
        if (names_interface(r.line, ifname))
            return true;
    return false;
}

bool firewall_translates(const char *ruleset)
{
    static const char *const verbs[] = {"masquerade", "snat", "dnat"};
    struct reader r = {.at = ruleset};

    while (next(&r))
        for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
            const char *at = strstr(r.line, verbs[i]);
            size_t len = strlen(verbs[i]);

            /* As a word of its own, and no chain's name. */
            if (at && (at == r.line || at[-1] == ' ') && (!at[len] || at[len] == ' ') &&
                strncmp(r.line, "chain ", 6) != 0 && strncmp(r.line, "type ", 5) != 0)
                return true;
        }
    return false;
}
