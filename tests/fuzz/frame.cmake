fuzz_target(channel SOURCES fuzz_channel.c ${PROJECT_SOURCE_DIR}/tests/unit/sync/pair.c USES sync)
set(world world.c machine.c machine_handshake.c machine_ops.c machine_packets.c machine_check.c
    vrrp.c faults.c peers.c receiver.c oracle.c)
list(TRANSFORM world PREPEND ${PROJECT_SOURCE_DIR}/tests/sim/)
fuzz_target(frame SOURCES fuzz_frame.c ${world} USES node)
foreach(target channel frame)
    target_include_directories(fuzz_${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
endforeach()
