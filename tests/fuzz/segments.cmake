fuzz_target(segments SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_segments.c USES engine)
