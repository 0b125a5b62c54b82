fuzz_target(conf SOURCES fuzz_conf.c USES conf base)
fuzz_target(model SOURCES fuzz_model.c USES model base)
