/* test_readiness_poll.c: all that readiness.h promises, by poll. */
#define MECHANISM &readiness_poll

#include "test_readiness.c" /* NOLINT(bugprone-suspicious-include) */
