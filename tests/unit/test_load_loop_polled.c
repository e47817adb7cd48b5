/* test_load_loop_polled.c: all that the event loop promises (load/loop.h), of connections that are
 * polled. */
#define MECHANISM &readiness_poll

#include "test_load_loop.c" /* NOLINT(bugprone-suspicious-include) */
