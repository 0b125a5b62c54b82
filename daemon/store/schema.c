/* The tables of the peer database, as they grew. */
#include "store/db.h"

const char *const db_migrations[STORE_USER_VERSION] = {
    /* 0: an empty file */
    "CREATE TABLE peer ("
    "  id INTEGER PRIMARY KEY,"
    "  hub INTEGER NOT NULL CHECK (hub BETWEEN 1 AND 255),"
    "  key TEXT NOT NULL," /* base64, as everywhere in WireGuard */
    "  gen INTEGER NOT NULL,"
    "  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),"
    "  psk BLOB CHECK (psk IS NULL OR length(psk) = 32),"
    "  endpoint TEXT,"
    "  keepalive INTEGER NOT NULL,"
    "  vip INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  peer_group TEXT NOT NULL,"
    "  policy INTEGER NOT NULL,"
    "  rate_bps INTEGER NOT NULL,"
    "  quota_bytes INTEGER NOT NULL,"
    "  versions BLOB NOT NULL," /* of each field: hlc 8, member 1, seq 8 bytes, big-endian */
    "  UNIQUE (hub, key)"
    ") STRICT;"
    "CREATE TABLE allowed ("
    "  peer INTEGER NOT NULL REFERENCES peer (id) ON DELETE CASCADE,"
    "  prefix TEXT NOT NULL,"
    "  PRIMARY KEY (peer, prefix)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE stamp ("
    "  hub INTEGER NOT NULL,"
    "  key TEXT NOT NULL,"
    "  received BLOB NOT NULL CHECK (length(received) = 12)," /* TAI64N */
    "  sent_ns INTEGER NOT NULL,"
    "  PRIMARY KEY (hub, key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE clock ("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  hlc INTEGER NOT NULL,"
    "  seq INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO clock VALUES (1, 0, 0);",
    /* 1: what is known of each member's edits; peers that are kept and not served */
    "CREATE TABLE known ("
    "  member INTEGER PRIMARY KEY CHECK (member BETWEEN 1 AND 15),"
    "  seq INTEGER NOT NULL"
    ") STRICT;"
    "ALTER TABLE peer ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0"
    "  CHECK (disabled BETWEEN 0 AND 1);",
    /* 2: the life of a peer, what is noted of it, and groups */
    "ALTER TABLE peer ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;" /* UTC seconds */
    "ALTER TABLE peer ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE peer ADD COLUMN replaces TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE peer ADD COLUMN mtu INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE peer ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE peer ADD COLUMN device TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE peer ADD COLUMN note TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE peer ADD COLUMN dns TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE peer ADD COLUMN routes TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE peer ADD COLUMN networks TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE peer ADD COLUMN is_group INTEGER NOT NULL DEFAULT 0;",
    /* 3: the audit log */
    "CREATE TABLE audit ("
    "  serial INTEGER PRIMARY KEY,"
    "  entry TEXT NOT NULL,"
    "  hash BLOB NOT NULL"
    ") STRICT;",
};
