/*
 * platform.h: all that POSIX.1-2008 lacks and a good server wants.
 *
 * Files of each system: linux.c and *_linux.c, and null.c for one of which only POSIX is known.
 * "Elsewhere" below says what null.c does, and so what is lost there. Nothing else asks what system
 * it runs on.
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Forks like fork(2), for a single-threaded parent whose child calls only its own functions and
 * those that are async-signal-safe, and ends with _exit. Where libc has _Fork (POSIX.1-2024), that
 * leaves out the locks and pthread_atfork's handlers, which cost page faults. Elsewhere: fork. */
pid_t platform_fork(void);

/* Call it first, with main's `argv`: makes the environment the one again that the program was
 * executed with. What libraries have put into it before main may be true of this program alone.
 * Elsewhere nothing. */
void platform_reset_environment(char **argv);

/* Whether this process runs the file at `path`: whoever started it may have called it by any name.
 * By /proc/self/exe, and without it, as in another root, by what was executed (AT_EXECFN,
 * getauxval(3)). Elsewhere false: it is not known. */
bool platform_runs(const char *path);

/* When memory runs out, has the kernel kill a child of platform_fork rather than this process, of
 * which all clients are: each is forked with a higher oom_score_adj (proc(5)) than its parent has.
 * Call it in the process that forks, before it gives up privileges; `file`, not 0, is what the
 * program before us in this process had from it. Returns a descriptor, 0 where that cannot be.
 *
 * Fork may be what runs out of memory, and then the parent has the child's value: so each child has
 * a lower one than the child before, from the highest down to 1, or to one above the parent's, and
 * again. What gap is left is in forkecho-internals(7). Cost: two system calls a fork, 2 us of some
 * 170 a connection. That the child raises its own value took 16 us, and it may not do so where the
 * program may not be read (mode 711). Elsewhere 0. */
int platform_prefer_children(int file);

/* Whether the kernel has ended a process of our control group for want of memory since this was
 * asked last (oom_kill of memory.events.local; of memory.oom_control in version 1 of cgroups(7)).
 * Elsewhere, and without such a group, false. */
bool platform_memory_ran_out(void);

/* How many bytes of memory our control group has left, with what the kernel would give back at
 * need, such as files that it keeps. Elsewhere, and without a limit, ULLONG_MAX or nearly that. */
unsigned long long platform_memory_left(void);

/* Zeroed memory that fork leaves out (MADV_DONTFORK, madvise(2)): a child that touches it dies of
 * SIGSEGV. For the server's tables: a compromised child cannot read of other clients, and the size
 * does not slow fork. Never freed. NULL with errno on failure. Elsewhere: ordinary memory. */
void *platform_private_memory(size_t size);

/* Keeps from children what malloc has, and the pages by which the kernel tells the time (vdso(7)):
 * they cannot allocate nor look at the clock (session_only_calls). Fork has less to copy: 5 % of
 * the processor time of a connection (tests/bench/FIGURES). Where more is loaded than the program,
 * libc and its loader, such as what is preloaded and may do either, and elsewhere: nothing. */
void platform_withhold_memory(void);

/* Makes ps(1) show the text in `area`, of `size` bytes, up to its first NUL as our command line.
 * The last byte belongs to this function. Call it once before a chroot. 0 or -1; elsewhere -1. */
int platform_show_title(char *area, size_t size);

/* Opens a new file, gone with its last descriptor: readable, writable, close-on-exec. Returns the
 * descriptor, or -1 with errno. In memory (memfd_create(2)); elsewhere a file of tmpfile(3), which
 * needs a folder. platform_sealed_file: `size` NUL bytes, sealed against growing (F_SEAL_GROW,
 * fcntl(2)) by another process that writes to it. Elsewhere that may fill the disk. */
int platform_anonymous_file(void);
int platform_sealed_file(size_t size);

/* Lets a pipe hold `size` bytes (F_SETPIPE_SZ, fcntl(2)), where the system allows it, which is as
 * pipe(7) says. Elsewhere nothing: as a rule it holds 64 KiB. */
void platform_widen_pipe(int end, int size);

/* Has the system refuse the descriptors (SCM_RIGHTS, unix(7)) of all who connect to a Unix listener
 * from then on (SO_PASSRIGHTS, Linux 6.16): their sendmsg fails with EPERM. Whether a client has
 * been refused them from its first moment on. Elsewhere nothing, and false. */
void platform_forbid_rights(int listener);
bool platform_forbids_rights(int descriptor);

/* The user of the process that connected to a Unix listener (SO_PEERCRED, unix(7)), and its group
 * and number where these are not NULL. Elsewhere, and where it is not known, 0: all are one. */
uid_t platform_peer_user(int descriptor, gid_t *group, pid_t *process);

/* Before a TCP connection is closed: has the system give up what its client does not take once
 * nothing was taken for `seconds` (TCP_USER_TIMEOUT, tcp(7)), and free the memory that it occupies.
 * Elsewhere nothing: the system keeps it for as long as it likes, which may be minutes. */
void platform_give_up_after(int descriptor, double seconds);

/* Whether an interface has an address of this family (getifaddrs(3)), bound or not yet to be bound;
 * false also where that cannot be found out, such as without netlink(7), and elsewhere. */
bool platform_has_family(int family);

/* Closes the descriptors from `lowest` on, async-signal-safe. One system call (close_range(2)); or
 * one each of those that /proc/self/fd lists, for which one number has to be free. Where there is
 * no /proc, and elsewhere: descriptors_close_from. */
void platform_close_from(int lowest);

/* Makes `count` groups the supplementary groups of the process (setgroups(2)), or `path` its root
 * (chroot(2)), not its working directory. Returns 0, or -1 with errno, EPERM without the privilege.
 * Elsewhere -1 with ENOSYS: root starts a server only if it is to stay root, and there is no -r. */
int platform_set_groups(size_t count, const gid_t *groups);
int platform_change_root(const char *path);

/* Call it when the user has been changed. Gives up the privileges that are left to a process that
 * is not root (capabilities(7)), and keeps it and its children from gaining any by executing a
 * program (PR_SET_NO_NEW_PRIVS, prctl(2)). Elsewhere nothing: set-user-ID programs still work. */
void platform_forbid_privileges(void);

/* Whether processes of the same user, such as a compromised child, cannot trace this one nor read
 * its memory (PR_SET_DUMPABLE, prctl(2)); and how to have it so. Linux sees to that when a process
 * changes its user, but forgets it at exec. Elsewhere false, and nothing: it is not known. */
bool platform_is_untraceable(void);
void platform_forbid_tracing(void);

/* Takes from a child what POSIX cannot (process/confine.h): on Linux and FreeBSD new processes
 * (RLIMIT_NPROC, which does not bind root), on OpenBSD (pledge(2)) and FreeBSD (cap_enter(2)) all
 * but its descriptors. Elsewhere nothing. */
void platform_confine_child(void);

/* Whether waitpid(2) for one pid takes the same however many children live: Linux since 5.13, by
 * uname(2). Elsewhere false: it walks them all. */
bool platform_waits_by_pid(void);

/* The C library that this was built with: "glibc-2.36", "musl". Elsewhere "other". */
const char *platform_libc(void);

/* Writes into `text` the limits on processes that may have made fork fail, the lowest, which is the
 * likely one, first: "RLIMIT_NPROC 64 (ulimit -u), kernel.pid_max 32768". Elsewhere "". */
void platform_process_limits(char *text, size_t size);

#endif
