/* gm-sim: a cluster, its clients and an attacker on one virtual clock.
 *
 *   gm-sim [--scenario NAME] [--seed N] [--seeds N] [--seconds S] [--members M] [--clients C]
 *          [--trace] [--quiet] [--disk DIR] [--list]
 *   gm-sim-planted ... --plant NAME, --plants
 *
 * --list names the scenarios; the first is the default. --disk: databases are files in DIR.
 * Exit status: 0 all seeds without a violation, 1 a violation (the seed is named), 2 usage.
 * With --plant (only in gm-sim-planted) the run is expected to find a violation: 0 found, 1 not;
 * scenario and seed are the bug's own unless they are given. --plants: all of them. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/plant.h"
#include "base/secret.h"
#include "noise/noise.h"
#include "sim/plants.h"
#include "sim/scenarios.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    const struct scenario *scenario;
    uint64_t seed, seeds, seconds;
    unsigned members, clients;
    bool trace, quiet;
    const char *disk;
};

static void report(const struct world *w, uint64_t seed)
{
    printf("seed %llu: %u members, %u clients, %llu events, %llu packets, %llu delivered, "
           "%llu edits, %llu revocations, digest %016llx, %u violations\n",
           (unsigned long long)seed, w->members, w->clients, (unsigned long long)w->events_run,
           (unsigned long long)oracle_packets(w->oracle),
           (unsigned long long)oracle_deliveries(w->oracle), (unsigned long long)w->edits,
           (unsigned long long)w->revocations, (unsigned long long)w->digest,
           oracle_violations(w->oracle));
}

static unsigned run(const struct options *o, uint64_t seed)
{
    const struct scenario *s = o->scenario;
    struct world *w = calloc(1, sizeof(*w));
    unsigned members = o->members   ? o->members
                       : s->members ? s->members
                                    : 2 + (unsigned)(seed % (s->holders_only ? HOLDERS_MAX
                                                             : s->active     ? 3
                                                                         : SIM_MEMBERS_MAX - 1));
    unsigned clients = s->operators ? 0
                       : o->clients ? o->clients
                       : s->clients ? s->clients
                                    : 1 + (unsigned)(seed % 5);

    if (!w)
        return 1;
    world_init(w, seed, members, clients, s->active ? members : 1);
    w->trace = o->trace;
    w->warm = s->warm;
    w->operators = s->operators;
    w->disk = o->disk;
    w->probes = seed % 2;
    w->attacker = seed % 3 != 0;
    for (unsigned i = 0; i < w->members + w->clients; i++)
        if (machine_start(&w->machine[i]) < 0)
            return 1;
    scenario_run(w, s, o->seconds);
    unsigned violations = oracle_violations(w->oracle);
    if (!o->quiet || violations)
        report(w, seed);
    world_done(w);
    free(w);
    return violations;
}

/* So many seeds, with databases where the scenario wants some. How many have violations; -1: there
 * is no place for databases. */
static int run_seeds(struct options o, bool until_found)
{
    char template[] = "/tmp/gm-sim-XXXXXX";
    bool own_disk = o.scenario->disk && !o.disk;
    int bad = 0;

    if (own_disk && !(o.disk = mkdtemp(template)))
        return -1;
    for (uint64_t seed = o.seed; seed < o.seed + o.seeds && !(bad && until_found); seed++)
        bad += run(&o, seed) != 0;
    if (own_disk)
        rmdir(o.disk);
    return bad;
}

/* With @plant the run is expected to fail, without to pass. */
static bool as_expected(struct options o, const char *plant)
{
    plant_choose(plant);
    int bad = run_seeds(o, true);
    return plant ? bad > 0 : bad == 0;
}

/* Every bug is found where it is said to be, and nothing is found there without it. */
static int all_plants(struct options o)
{
    unsigned bad = 0, count = 0;

    for (const struct plant *p = plants; p->name; p++, count++) {
        o.scenario = scenario_find(p->scenario);
        o.seed = p->seed;
        if (!o.scenario || !as_expected(o, p->name)) {
            printf("planted bug %s: NOT FOUND by scenario %s, seed %llu\n", p->name, p->scenario,
                   (unsigned long long)p->seed);
            bad++;
        }
        bool looked = false;
        for (const struct plant *q = plants; q < p; q++)
            looked |= q->seed == p->seed && strcmp(q->scenario, p->scenario) == 0;
        if (!looked && o.scenario && !as_expected(o, NULL)) {
            printf("scenario %s, seed %llu: fails without a bug\n", p->scenario,
                   (unsigned long long)p->seed);
            bad++;
        }
    }
    printf("%u planted bugs, %u problems\n", count, bad);
    return bad != 0;
}

static int list(void)
{
    for (const struct scenario *s = scenarios; s->name; s++)
        printf("%-15s %s\n", s->name, s->promise);
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: gm-sim [--scenario NAME] [--seed N] [--seeds N] [--seconds S] "
                    "[--members M] [--clients C] [--trace] [--quiet] [--disk DIR] [--list] "
                    "[--plant NAME] [--plants]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"scenario", required_argument, NULL, 'S'},
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 't'},
        {"members", required_argument, NULL, 'm'},
        {"clients", required_argument, NULL, 'c'},
        {"trace", no_argument, NULL, 'T'},
        {"plant", required_argument, NULL, 'p'},
        {"quiet", no_argument, NULL, 'q'},
        {"disk", required_argument, NULL, 'd'},
        {"list", no_argument, NULL, 'l'},
        {"plants", no_argument, NULL, 'P'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.scenario = &scenarios[0], .seed = 1, .seeds = 1, .seconds = 60};
    const struct plant *plant = NULL;
    bool every_plant = false;
    uint64_t v = 0;
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == '?' || (strchr("sntmc", c) && !parse_u64(optarg, 0, UINT64_MAX / 2, &v)))
            return usage();
        switch (c) {
        case 'S':
            o.scenario = scenario_find(optarg);
            if (!o.scenario)
                return usage();
            break;
        case 's':
            o.seed = v;
            break;
        case 'n':
            o.seeds = v;
            break;
        case 't':
            o.seconds = v;
            break;
        case 'm':
            o.members = (unsigned)MIN(v, SIM_MEMBERS_MAX);
            break;
        case 'c':
            o.clients = (unsigned)MIN(v, SIM_CLIENTS_MAX);
            break;
        case 'T':
            o.trace = true;
            break;
        case 'd':
            o.disk = optarg;
            break;
        case 'q':
            o.quiet = true;
            break;
        case 'l':
            return list();
        case 'P':
            every_plant = true;
            break;
        case 'p':
            plant = plant_find(optarg);
            if (!plant || !plant_choose(optarg)) {
                fprintf(stderr, "gm-sim: no planted bug '%s' in this binary\n", optarg);
                return 2;
            }
            o.scenario = scenario_find(plant->scenario);
            o.seed = plant->seed;
            break;
        }
    }
    if (noise_init() < 0 || secret_arena_init(1 << 16, false) < 0) {
        fprintf(stderr, "gm-sim: the crypto libraries do not start\n");
        return 1;
    }
    if (every_plant)
        return all_plants(o);
    if (plant)
        return !as_expected(o, plant->name);
    int bad = run_seeds(o, false);
    if (o.seeds > 1)
        printf("%llu seeds, %d with violations\n", (unsigned long long)o.seeds, bad);
    return bad != 0;
}
