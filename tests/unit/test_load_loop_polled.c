/* test_load_loop_polled.c: all that the event loop promises (load/loop.h), of few connections, which are
 * polled. */
#define DESCRIPTORS 0

#include "test_load_loop.c" /* NOLINT(bugprone-suspicious-include) */
