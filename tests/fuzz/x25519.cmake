fuzz_target(x25519 SOURCES fuzz_x25519.c USES noise)
