fuzz_target(handshake SOURCES fuzz_handshake.c ${PROJECT_SOURCE_DIR}/tests/unit/wg/ends.c USES wg)
target_include_directories(fuzz_handshake PRIVATE ${PROJECT_SOURCE_DIR}/tests)
fuzz_target(aead SOURCES fuzz_aead.c USES wg noise)
