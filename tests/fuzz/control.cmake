fuzz_target(control SOURCES fuzz_control.c USES proto model base)
