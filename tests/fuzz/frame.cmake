fuzz_target(channel SOURCES fuzz_channel.c ${PROJECT_SOURCE_DIR}/tests/unit/sync/pair.c USES sync)
set(sim ${PROJECT_SOURCE_DIR}/tests/sim)
fuzz_target(frame SOURCES fuzz_frame.c ${sim}/world.c ${sim}/machine.c ${sim}/vrrp.c ${sim}/faults.c ${sim}/peers.c ${sim}/receiver.c
    ${sim}/oracle.c USES node)
foreach(target channel frame)
    target_include_directories(fuzz_${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
endforeach()
