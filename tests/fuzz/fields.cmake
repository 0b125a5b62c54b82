fuzz_target(fields SOURCES fuzz_fields.c USES base)
