/* readiness_null.c: the best readiness (readiness.h) of a system that has only what POSIX has. */
#include "platform/readiness.h"

const struct readiness_mechanism *const readiness_best = &readiness_poll;
