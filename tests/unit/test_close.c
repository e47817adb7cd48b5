/* test_close.c: closing what a client can make slow to close (server/listener.h). */
#include "suite.h"

#include "server/listener.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Fills a TCP connection that nobody reads from, whose close waits for a minute. Returns it. */
static int lingering_socket(void)
{
    static const char block[1 << 16];
    const struct linger minute = {.l_onoff = 1, .l_linger = 60};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof any;
    int listener = socket(AF_INET, SOCK_STREAM, 0), sender = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&any, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&any, &length), 0);
    ck_assert_int_eq(connect(sender, (struct sockaddr *)&any, length), 0);
    ck_assert_int_ne(accept(listener, NULL, NULL), -1); /* stays open, unread */
    ck_assert_int_eq(setsockopt(sender, SOL_SOCKET, SO_LINGER, &minute, sizeof minute), 0);
    while (send(sender, block, sizeof block, MSG_DONTWAIT) > 0)
        continue;
    return sender;
}

/* Passes a descriptor on (SCM_RIGHTS) and closes it here. */
static void pass(int way, int descriptor)
{
    char byte = 'x';
    struct iovec data = {&byte, 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control};

    memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    ck_assert_int_eq(sendmsg(way, &message, 0), 1);
    close(descriptor);
}

static void refuse(int descriptor)
{
    listener_refuse(descriptor, &(struct peer){.name.any.sa_family = AF_UNIX});
}

/* Catches a close that waits for what a client has passed, and a process that is left behind. The
 * suite's own time is over before the minute is. */
START_TEST(a_refusal_does_not_wait)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    pass(ends[1], lingering_socket());
    refuse(ends[0]);
    ck_assert_int_eq(fcntl(ends[0], F_GETFD), -1);
    ck_assert_int_eq(send(ends[1], "x", 1, MSG_NOSIGNAL), -1);
    ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

static int close_where_fork_fails(void *data)
{
    const struct rlimit none = {0, 0};
    int descriptor = *(int *)data;

    if (setrlimit(RLIMIT_NPROC, &none) == -1 || (geteuid() == 0 && setuid(65534) == -1))
        return 1;
    if (fork() != -1)
        return 2;
    refuse(descriptor);
    return fcntl(descriptor, F_GETFD) == -1 ? 0 : 3;
}

/* Catches a descriptor that stays open where no process is to be had, and a kill of all others. */
START_TEST(a_refusal_closes_where_fork_fails)
{
    int descriptor = dup(STDERR_FILENO);

    ck_assert_int_eq(suite_in_child(close_where_fork_fails, &descriptor), 0);
}
END_TEST

SUITE("close", a_refusal_does_not_wait, a_refusal_closes_where_fork_fails)
