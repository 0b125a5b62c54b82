/* lib/in_child.h - what would end or change the test's process, in a child of its own. */
#pragma once
#include <stdbool.h>

/* Sanitized runtimes allow most, do not lock memory, and make an exit of a bad access. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* In a child, where cmocka's asserts would jump into the parent's frames. */
#define CHECK(condition) child_check(condition, #condition, __FILE__, __LINE__)
void child_check(bool holds, const char *condition, const char *file, int line);

/* Signal that ended a child that ran @body; 0: it returned. A failed CHECK fails the test. */
int in_child(void (*body)(void));
