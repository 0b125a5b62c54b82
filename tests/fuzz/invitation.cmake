fuzz_target(invitation SOURCES fuzz_invitation.c USES cli conf channel noise model base)
