fuzz_target(uapi SOURCES fuzz_uapi.c USES control model base)
