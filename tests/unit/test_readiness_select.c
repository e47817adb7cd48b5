/* test_readiness_select.c: all that readiness.h promises, by select. */
#define MECHANISM &readiness_select

#include "test_readiness.c" /* NOLINT(bugprone-suspicious-include) */
