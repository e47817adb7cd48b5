/* raise_limit.h: for a program that has all its clients in one process. */
#ifndef RAISE_LIMIT_H
#define RAISE_LIMIT_H

/* Raises the soft limit on open descriptors (RLIMIT_NOFILE) to the hard one. Returns it. */
long raise_limit(void);

#endif
