fuzz_target(tun SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_tun.c USES engine)
