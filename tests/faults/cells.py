"""The cells of the fault matrix: which call may fail with what, and what has to happen then.

ERRNOS names each error with its source. RULES says what has to happen. The first rule that matches
a cell counts, and a cell that no rule matches fails. Outcomes:

    serves    every client is served, while the fault is there
    waits     clients wait until it is over, and are served then
    cuts      the clients whose own call failed are ended early; all others are served
    refuses   an upgrade is refused with one line; the running program goes on
    ends      a stop that was asked for is done, with exit 0
    stops     the server logs why in one line and ends with exit 1

Two outcomes in one rule: there the servers differ by their kind. A session that blocks takes
EAGAIN for the end of its time (SO_RCVTIMEO), one in an event loop for "not now".
"""
import errno

from harness import source_number

# The clauses of POSIX.1-2008 (System Interfaces) and Linux's manual pages (man-pages 6.03). What
# Linux adds is behind the bar. Left out are errors of options that nobody here gives (O_DIRECT),
# and EPIPE on a pipe, which would mean that the parent or the starter is gone, though it is not
# (tests/unit/test_ledger.c and tests/behaviour/test_daemon.py end them).
ERRNOS = {
    'ACCEPT': 'EAGAIN EBADF ECONNABORTED EINTR EINVAL EMFILE ENFILE ENOBUFS ENOMEM ENOTSOCK '
              'EOPNOTSUPP EPROTO | EFAULT EPERM ENETDOWN ENOPROTOOPT EHOSTDOWN ENONET '
              'EHOSTUNREACH ENETUNREACH ENOSR ESOCKTNOSUPPORT EPROTONOSUPPORT ETIMEDOUT',
    'FORK': 'EAGAIN ENOMEM | ENOSYS',
    'THREAD': 'EAGAIN EINVAL EPERM',
    'PSELECT': 'EBADF EINTR EINVAL | ENOMEM',
    'POLL': 'EAGAIN EINTR EINVAL | EFAULT ENOMEM',
    'EPOLL_WAIT': '| EBADF EFAULT EINTR EINVAL',
    'READ_CLIENT': 'EAGAIN EBADF ECONNRESET EINTR EINVAL EIO ENOBUFS ENOMEM ENOTCONN ENOTSOCK '
                   'EOPNOTSUPP ETIMEDOUT ENXIO | ECONNREFUSED EFAULT EISDIR',
    'READ_PIPE': 'EAGAIN EBADF EINTR EINVAL EIO | EFAULT EISDIR',
    'WRITE_CLIENT': 'EACCES EAGAIN EBADF ECONNRESET EINTR EINVAL EIO ENETDOWN ENETUNREACH ENOBUFS '
                    'ENOSPC ENXIO EPIPE EFBIG ERANGE | EDESTADDRREQ EDQUOT EFAULT EPERM',
    'WRITE_PIPE': 'EAGAIN EBADF EINTR EINVAL EIO | EFAULT EPERM',
    'WRITE_LOG': 'EAGAIN EBADF EFBIG EINTR EINVAL EIO ENOSPC ENXIO EPIPE ERANGE | EDQUOT EFAULT '
                 'EPERM',
    'WAITPID': 'ECHILD EINTR EINVAL | ESRCH',
    'CLOSE': 'EBADF EINTR EIO | EDQUOT ENOSPC',
    'SHUTDOWN': 'EBADF EINVAL ENOBUFS ENOTCONN ENOTSOCK',
    'SETSOCKOPT': 'EBADF EDOM EINVAL EISCONN ENOBUFS ENOMEM ENOPROTOOPT ENOTSOCK | EFAULT',
    'PIPE': 'EMFILE ENFILE | EFAULT EINVAL',
    'SOCKET': 'EACCES EAFNOSUPPORT EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT '
              'EPROTOTYPE | EINVAL',
    'BIND': 'EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EALREADY EBADF EDESTADDRREQ EINPROGRESS '
            'EINVAL EIO EISCONN EISDIR ELOOP ENAMETOOLONG ENOBUFS ENOENT ENOTDIR ENOTSOCK '
            'EOPNOTSUPP EROFS | EFAULT ENOMEM',
    'LISTEN': 'EACCES EBADF EDESTADDRREQ EINVAL ENOBUFS ENOTSOCK EOPNOTSUPP | EADDRINUSE',
    'SIGACTION': 'EINVAL ENOTSUP | EFAULT',
    'SETRLIMIT': 'EINVAL EPERM | EFAULT',
    'SETUID': 'EINVAL EPERM | EAGAIN',
    'SETGID': 'EINVAL EPERM',
    'SETGROUPS': '| EFAULT EINVAL ENOMEM EPERM',
    'CHROOT': '| EACCES EFAULT EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM',
    'EXEC': 'E2BIG EACCES EINVAL ELOOP ENAMETOOLONG ENOENT ENOEXEC ENOMEM ENOTDIR ETXTBSY | '
            'EAGAIN EFAULT EIO EISDIR ELIBBAD EMFILE ENFILE EPERM',
}

# The calls that fail: the first of them, one more each `period`.
WHENS = {'first': (1, 0), 'fifth': (5, 0), 'tenth': (10, 10), 'always': (1, 1)}

# Errors that say that something else came first, and so cannot last: a signal, or another process
# that took the client, the bytes or the room that there were when the wait ended. Where the column
# is "always", nine of ten calls fail with them.
MOMENTARY = {'EINTR': '*', 'EAGAIN': 'ACCEPT READ_CLIENT READ_PIPE WRITE_CLIENT'.split()}

WAITS = 'PSELECT POLL EPOLL_WAIT'

# What is tried in which phase of a server's life; trials.py has a function for each.
PHASES = {
    'start': 'SOCKET BIND LISTEN SETSOCKOPT SIGACTION SETRLIMIT SETUID SETGID SETGROUPS CHROOT '
             'PIPE FORK THREAD CLOSE',
    'detach': 'PIPE FORK READ_PIPE WRITE_PIPE CLOSE',
    'serve': f'ACCEPT FORK THREAD {WAITS} READ_CLIENT READ_PIPE WRITE_CLIENT WRITE_PIPE WRITE_LOG '
             'WAITPID CLOSE SHUTDOWN SETSOCKOPT SIGACTION SETRLIMIT SOCKET PIPE',
    'crowd': 'FORK THREAD WAITPID',
    'idle': f'SHUTDOWN {WAITS}',
    'upgrade': f'EXEC SIGACTION PIPE CLOSE WAITPID READ_PIPE WRITE_LOG FORK {WAITS}',
    'programs': 'EXEC SIGACTION WAITPID FORK',
    'stop': f'{WAITS} READ_PIPE WRITE_PIPE WRITE_LOG WAITPID CLOSE SHUTDOWN SIGACTION',
}

# Calls that main.c and the library make before a model's serve() begins, or in its one
# server_announce: the same code on the same path in every server.
SHARED = {'start': 'SOCKET BIND LISTEN SETUID SETGID SETGROUPS CHROOT',
          'detach': 'PIPE WRITE_PIPE'}

# Calls that every server ('*') or this one has to make at least; else the cell is a failure.
REACHED = {
    'start': {'*': 'SOCKET BIND LISTEN SETSOCKOPT SIGACTION SETUID SETGID SETGROUPS CHROOT CLOSE',
              'forkecho': 'PIPE', 'preforkecho': 'PIPE FORK', 'threadpoolecho': 'PIPE'},
    'detach': {'*': 'PIPE FORK READ_PIPE WRITE_PIPE CLOSE'},
    'serve': {'*': 'ACCEPT READ_CLIENT WRITE_CLIENT WRITE_LOG CLOSE SETSOCKOPT',
              'forkecho': 'FORK PSELECT READ_PIPE WRITE_PIPE WAITPID SETRLIMIT',
              'preforkecho': 'PSELECT READ_PIPE WRITE_PIPE',
              'threadpoolecho': 'THREAD PSELECT READ_PIPE WRITE_PIPE'},
    'crowd': {'forkecho': 'FORK', 'preforkecho': 'FORK WAITPID', 'threadecho': 'THREAD',
              'threadpoolecho': 'THREAD'},
    'idle': {'*': 'SHUTDOWN'},
    'upgrade': {'forkecho': 'EXEC SIGACTION WAITPID CLOSE PSELECT'},
    'programs': {'forkecho': 'EXEC SIGACTION WAITPID FORK'},
    'stop': {'*': 'WRITE_LOG CLOSE', 'forkecho': 'PSELECT READ_PIPE WAITPID',
             'preforkecho': 'PSELECT READ_PIPE WAITPID', 'threadpoolecho': 'PSELECT READ_PIPE'},
}

# For servers whose kind makes them differ. These come before RULES, and have the same form.
OWN_RULES = {
    # Its children have their listeners, wait by themselves, and are there before their clients.
    'preforkecho': [
        # The parent makes fewer than five; the fifth is a child's, whose failure ends nobody else.
        ('detach', 'FORK', '*', 'fifth', 'serves'),
        ('detach', 'READ_PIPE', 'EINTR', '*', 'serves'),
        # Two writes for each child say which process is the better victim (platform_fork).
        ('detach', 'WRITE_PIPE', '*', 'fifth tenth', 'stops serves'),
        # It reads its ledger at once, and may do so before the starter reads.
        ('detach', 'READ_PIPE', '*', 'first', 'stops serves'),
        ('serve', f'FORK {WAITS}', '*', '*', 'serves'),
        # When a child says that its listener is none, the parent looks at its own.
        ('serve', 'ACCEPT', 'EBADF EFAULT EINVAL ENOTSOCK', 'always', 'waits'),
        ('serve', 'ACCEPT', 'EBADF EFAULT EINVAL ENOTSOCK', '*', 'serves'),
        ('idle', '*', '*', '*', 'serves'),
    ],
}

# Phase, call, errors, when, outcomes; '*' is any.
RULES = [
    # Listening: each problem is logged, and the start fails. A port that the kernel has chosen and
    # somebody took meanwhile is chosen again, up to 16 times.
    ('start', 'BIND', 'EADDRINUSE', 'first fifth tenth', 'serves'),
    ('start', 'LISTEN', 'EADDRINUSE', 'first fifth tenth', 'serves'),
    ('start', 'SOCKET BIND LISTEN', '*', '*', 'stops'),
    # Of the five options of a listener only the first, SO_REUSEADDR, must not fail.
    ('start', 'SETSOCKOPT', '*', 'first always', 'stops'),
    ('start', 'SETSOCKOPT', '*', 'fifth tenth', 'serves'),
    # A server that would miss signals, or keeps a power that it should give up, does not serve.
    # Six signals are handled, three ignored, and one is set to its default.
    ('start', 'SIGACTION SETUID SETGID SETGROUPS CHROOT PIPE', '*', '*', 'stops'),
    ('start', 'FORK THREAD', '*', 'always', 'stops waits'),
    ('start', 'FORK THREAD', '*', '*', 'stops serves'),
    # Limits that cannot be raised and descriptors that are gone anyway.
    ('start', 'SETRLIMIT CLOSE', '*', '*', 'serves'),

    # Who started it learns that it does not run.
    ('detach', 'READ_PIPE WRITE_PIPE', 'EINTR', '*', 'serves'),
    ('detach', 'CLOSE', '*', '*', 'serves'),
    ('detach', '*', '*', '*', 'stops'),

    # accept: an error of the new connection alone costs nothing; one that others have to cure is
    # waited out; one that says that our listener is none ends the server (server/gate.h).
    ('serve', 'ACCEPT', 'EBADF EFAULT EINVAL ENOTSOCK', '*', 'stops'),
    ('serve', 'ACCEPT', 'EINTR EAGAIN', '*', 'serves'),
    ('serve', 'ACCEPT FORK THREAD', '*', 'always', 'waits'),
    ('serve', 'ACCEPT FORK THREAD', '*', '*', 'serves'),
    ('serve', WAITS, 'EINTR', '*', 'serves'),
    ('serve', WAITS, '*', 'always', 'waits'),
    ('serve', WAITS, '*', '*', 'serves'),
    # A session's own calls are its own affair.
    ('serve', 'READ_CLIENT WRITE_CLIENT', 'EINTR', '*', 'serves'),
    ('serve', 'READ_CLIENT WRITE_CLIENT', 'EAGAIN', '*', 'serves cuts'),
    # The fifth and the tenth read may be one that finds the end: all is echoed by then.
    ('serve', 'READ_CLIENT', '*', 'fifth tenth', 'cuts serves'),
    ('serve', 'READ_CLIENT WRITE_CLIENT', '*', '*', 'cuts'),
    # Where threads write exit records, their clients are closed once these have been read.
    ('serve', 'READ_PIPE WRITE_PIPE', '*', 'always', 'serves waits'),
    # The ledger, the log, and what is asked of the kernel in passing: no client notices.
    ('serve', 'READ_PIPE WRITE_PIPE WRITE_LOG WAITPID CLOSE SHUTDOWN', '*', '*', 'serves'),
    ('serve', 'SETSOCKOPT SIGACTION SETRLIMIT', '*', '*', 'serves'),

    # All clients stay: no place becomes free for one that waits.
    ('crowd', 'FORK THREAD', '*', 'always', 'waits'),
    ('crowd', '*', '*', '*', 'serves'),

    # Whoever has been idle for too long is ended, by shutdown or by close.
    ('idle', WAITS, 'EINTR', '*', 'serves'),
    # Where one loop has all clients, none is read from meanwhile, and all are idle for too long.
    ('idle', WAITS, '*', 'always', 'serves waits cuts'),
    ('idle', '*', '*', '*', 'serves'),

    # The new program that cannot install its handlers is the one under test.
    ('upgrade', 'EXEC SIGACTION', '*', '*', 'refuses'),
    # Signals arrive also where the wait fails (sigwait).
    ('upgrade', '*', '*', '*', 'serves'),

    # A child that cannot become its program closes the connection without an answer.
    ('programs', 'EXEC', '*', '*', 'cuts'),
    ('programs', 'FORK', '*', 'always', 'waits'),
    ('programs', '*', '*', '*', 'serves'),

    ('stop', '*', '*', '*', 'ends'),
]


# The failure of one connection is not logged: a port scanner could fill the log (accept(2), "Error
# handling", names those of TCP).
SILENT = ('EAGAIN EINTR ECONNABORTED EPROTO EPERM ENETDOWN ENOPROTOOPT EHOSTDOWN ENONET '
          'EHOSTUNREACH EOPNOTSUPP ENETUNREACH ETIMEDOUT')


def is_silent(phase, point, error, when):
    return (phase, point) == ('serve', 'ACCEPT') and when != 'always' and error in SILENT.split()


def errors_of(point):
    return [name for name in ERRNOS[point].split() if name != '|']


def calls_that_fail(point, error, when):
    """From which call on, each how many, and of how many one is spared: shim.c."""
    momentary = MOMENTARY.get(error, '')
    spared = when == 'always' and (momentary == '*' or point in momentary)
    return (*WHENS[when], 10 if spared else 0)


def number_of(error):
    return getattr(errno, error)


def expected(server, phase, point, error, when):
    """The outcomes that the first rule allows; none when there is no rule."""
    for *rule, outcomes in OWN_RULES.get(server, []) + RULES:
        if all(words == '*' or word in words.split()
               for words, word in zip(rule, (phase, point, error, when))):
            return outcomes.split()
    return []


def is_shared(phase, point, error):
    return point in SHARED.get(phase, '').split() and error != errors_of(point)[0]


def has_to_be_reached(server, phase, point, when):
    return when in ('first', 'always') and any(point in REACHED[phase].get(who, '').split()
                                               for who in ('*', server))


# Idle children that preforkecho has at least.
SPARE = source_number('examples/variants/parts/pool.h', 'POOL_SPARE_LEAST')


def is_right(server, live, status, before, now, point):
    """Whether a server with `live` clients has what its model has then. `before` it had none."""
    peak, has_processes = status.number('peak'), server in ('forkecho', 'preforkecho')
    least = most = before.children + (live if server == 'forkecho' else 0)
    threads = before.threads + (live if server == 'threadecho' else 0)
    if server == 'preforkecho':
        # As many idle ones as there have to be, and no more in all than the most that were busy at
        # once have asked for. At a limit one is enough (pool.c, pool_wants).
        least, most = live + (1 if point == 'FORK' else SPARE), peak + SPARE
    elif server == 'threadpoolecho':
        threads = 1 + peak  # one is started where none is idle, and all stay
    return (status['zombies'] == '0' and status.number('live') == live and now.zombies == 0 and
            least <= now.children <= most and now.threads == threads and
            before.descriptors.items() <= now.descriptors.items() and
            len(now.descriptors) == len(before.descriptors) + (0 if has_processes else live))
