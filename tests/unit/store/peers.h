/* unit/store/peers.h - changes, writes and comparisons in few words, for the tests of the store. */
#pragma once
#include "model/change.h"
#include "store/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUB 1
#define NOW_NS 1750000000000000000ull

struct public_key key_of(unsigned n);
struct ip_prefix prefix_of(const char *text);

struct store *memory_store(uint8_t member);
struct store *file_store(const char *path, uint8_t member);
/* Apply, commit and publish; 0 or the error of the first that failed. Frees @c. */
int put(struct store *s, struct change *c);
/* A set of one peer with these prefixes, NULL ends; more is added by the caller. */
struct change *change_of(unsigned peer, const char *const *allowed);
int add(struct store *s, unsigned peer, const char *prefix); /* NULL: none */
int drop(struct store *s, unsigned peer);
const struct peer *find(const struct store *s, unsigned peer);
bool serves(const struct store *s, unsigned peer, const char *prefix);
bool active(const struct store *s, unsigned peer);
/* Everything that replicates is alike. */
bool same_record(const struct peer *a, const struct peer *b);
/* All records of @from into @to, as a sibling would send them; the number that changed. */
unsigned merge_all(struct store *to, const struct store *from);
/* Aborts the test if a prefix is served for two active peers. */
void assert_exclusive(const struct store *s);
/* A new directory under /tmp; dir_remove() takes it away with the files in it. */
char *dir_make(void);
void dir_remove(char *dir);
/* A place for a database: fixtures that leave it in *state, and take it away. */
struct place {
    char *dir;
    char path[256];
};
int place_make(void **state);
int place_remove(void **state);
