fuzz_target(fifo SOURCES fuzz_fifo.c USES ha base)
