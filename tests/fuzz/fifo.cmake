fuzz_target(fifo SOURCES fuzz_fifo.c USES ha base)
fuzz_target(lanprobe SOURCES fuzz_lanprobe.c USES ha base)
