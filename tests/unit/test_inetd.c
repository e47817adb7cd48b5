/* test_inetd.c: the connection on standard input, served to its end (inetd.h). What a client has to
 * say, he has said before: so he needs no process beside the one that serves him. */
#include "suite.h"

#include "base/clock.h"
#include "server/inetd.h"

#include <signal.h>
#include <sys/resource.h>

/* How a process ended: inetd_serve returned -1; or 0, and behind it the connection was still open,
 * so was what had been left open, or the process could do what a child cannot (confine.h). */
enum { SERVED = 0, NOT_SERVED = 1, OPEN_STILL, OTHERS_OPEN, NOT_CONFINED };

static struct options options;
static struct capture errors;
static int client; /* the client's end */

/* What a process does to what it was given, before it serves. */
static void leave_it(void)
{
}

typedef void preparation(void);

struct start {
    int input; /* what becomes standard input */
    preparation *prepare;
};

static int serve_input(void *data)
{
    const struct start *start = data;
    struct rlimit core;
    int stays = dup(start->input); /* as one that was left open by accident */

    if (dup2(start->input, STDIN_FILENO) == -1)
        return 100;
    close(start->input);
    start->prepare();
    close(client);
    if (inetd_serve(&options) == -1)
        return NOT_SERVED;
    if (fcntl(STDIN_FILENO, F_GETFD) != -1)
        return OPEN_STILL;
    if (fcntl(stays, F_GETFD) != -1)
        return OTHERS_OPEN;
    return getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0 && open("/", O_RDONLY) == -1
               ? SERVED
               : NOT_CONFINED;
}

/* Serves `input` in a process of its own, by options up to NULL. Returns how that ended; what it
 * logged is in `errors`. */
static int serve_so(int input, preparation *prepare, char **words)
{
    char *arguments[16] = {"oneecho", "-i", "-v"};
    struct start start = {input, prepare};
    int count = 3, status;

    while (*words != NULL)
        arguments[count++] = *words++;
    options = (struct options){0};
    optind = 1; /* a process reads one command line, but for this */
    ck_assert_int_eq(options_read(&options, "oneecho", NULL, "", count, arguments), OPTIONS_SERVE);
    log_name("oneecho");
    capture_begin(&errors, STDERR_FILENO);
    status = suite_in_child(serve_input, &start);
    capture_end(&errors);
    close(input);
    return status;
}

#define SERVE(input, ...) serve_so(input, leave_it, (char *[]){__VA_ARGS__, NULL})
#define SERVE_PLAIN(input) serve_so(input, leave_it, (char *[]){NULL})

/* ---- connections ---- */

/* A Unix connection. Returns the server's end. */
static int local_connection(void)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    client = ends[0];
    return ends[1];
}

static int listening(struct sockaddr_in *name)
{
    socklen_t length = sizeof *name;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    *name = (struct sockaddr_in){.sin_family = AF_INET};
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)name, sizeof *name), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)name, &length), 0);
    ck_assert_int_eq(listen(listener, 4), 0);
    return listener;
}

/* A connection of TCP, and what the log calls its client. Returns the server's end. */
static int tcp_connection(char *from, size_t size)
{
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    int listener = listening(&name), server;

    client = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&name, sizeof name), 0);
    server = accept(listener, (struct sockaddr *)&name, &length);
    ck_assert_int_ge(server, 0);
    close(listener);
    snprintf(from, size, "127.0.0.1:%u", (unsigned)ntohs(name.sin_port));
    return server;
}

/* Sends all that there will be. */
static void say(const char *text)
{
    ck_assert_int_eq(write(client, text, strlen(text)), (ssize_t)strlen(text));
    shutdown(client, SHUT_WR);
}

/* Asserts that this is all that has come, and then the end. */
static void expect_echo(const char *text)
{
    char bytes[256];
    size_t size = 0;
    ssize_t more;

    while ((more = read(client, bytes + size, sizeof bytes - size)) > 0)
        size += (size_t)more;
    ck_assert_int_eq(more, 0);
    ck_assert_msg(size == strlen(text) && memcmp(bytes, text, size) == 0, "not '%s' but '%.*s'",
                  text, (int)size, bytes);
}

static void expect_log(const char *what)
{
    ck_assert_msg(strstr(errors.text, what) != NULL, "no '%s' in:\n%s", what, errors.text);
}

/* ---- the service ---- */

/* Catches bytes that are lost or not counted, a client of another name, and a line too few. */
START_TEST(a_client_is_served_and_told_as_by_any_server)
{
    char from[64], accepted[128], ended[128];
    int input = tcp_connection(from, sizeof from);

    say("hello");
    ck_assert_int_eq(SERVE_PLAIN(input), SERVED);
    expect_echo("hello");
    snprintf(accepted, sizeof accepted, " from=%s live=1\n", from);
    snprintf(ended, sizeof ended, " from=%s in=5 out=5 secs=", from);
    ck_assert_int_eq(strncmp(errors.text, "accept pid=", 11), 0);
    expect_log(accepted);
    expect_log(ended);
    expect_log(" how=eof live=0\n");
    ck_assert_int_eq(lines_of(errors.text), 2);
}
END_TEST

/* Catches one that has no address taken for one who has gone. */
START_TEST(a_local_client_is_served)
{
    int input = local_connection();

    say("hello");
    ck_assert_int_eq(SERVE(input, "-m", "<%m>"), SERVED);
    expect_echo("<hello>");
    expect_log(" from=local in=5 out=7 ");
}
END_TEST

/* Catches a process that is ended as it writes to a client who has gone, without a line. */
START_TEST(a_client_who_goes_is_told)
{
    struct linger at_once = {.l_onoff = 1};
    char from[64];
    int input = tcp_connection(from, sizeof from);

    ck_assert_int_eq(write(client, "x", 1), 1);
    shutdown(input, SHUT_WR); /* so writing is not possible: SIGPIPE, or an error */
    ck_assert_int_eq(SERVE_PLAIN(input), SERVED);
    expect_log(" in=1 out=0 ");
    expect_log(" how=reset ");
    close(client);

    input = tcp_connection(from, sizeof from);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(client);
    ck_assert_int_eq(SERVE_PLAIN(input), OPEN_STILL); /* for nobody */
    ck_assert_str_eq(errors.text, "refuse from=unknown why=gone\n");
}
END_TEST

/* Catches a way in beside -X, and a refused client who is left without an end. */
START_TEST(a_denied_client_is_refused)
{
    char from[64], expected[128];
    int input = tcp_connection(from, sizeof from);

    ck_assert_int_eq(SERVE(input, "-X", "127.0.0.0/8"), NOT_CONFINED); /* but closed */
    snprintf(expected, sizeof expected, "refuse from=%s why=denied\n", from);
    ck_assert_str_eq(errors.text, expected);
    expect_echo("");
}
END_TEST

static void do_not_block(void)
{
    (void)fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
}

/* Catches a session that ends, or spins, as its descriptor does not block: here it has a limit to
 * wait for, at which it is to end. */
START_TEST(a_descriptor_that_does_not_block_is_made_to)
{
    int input = local_connection();
    double start = clock_seconds();

    ck_assert_int_eq(serve_so(input, do_not_block, (char *[]){"-t", "0.05", NULL}), SERVED);
    ck_assert_double_ge(clock_seconds() - start, 0.05);
    expect_log(" how=idle ");
}
END_TEST

/* With a client who has it ended once he is served. */
static void ignore_and_block(void)
{
    pid_t target = getpid();
    sigset_t all;
    char byte;

    signal(SIGTERM, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    if (fork() != 0)
        return;
    if (write(client, "x", 1) == 1 && read(client, &byte, 1) == 1)
        kill(target, SIGTERM);
    _exit(0);
}

/* Catches a service that cannot be stopped but by SIGKILL, as its starter has SIGTERM blocked and
 * ignored. */
START_TEST(a_signal_ends_it_whatever_the_starter_did)
{
    int input = local_connection();

    ck_assert_int_eq(serve_so(input, ignore_and_block, (char *[]){NULL}), 256 + SIGTERM);
}
END_TEST

static void put_it_everywhere(void)
{
    dup2(STDIN_FILENO, STDOUT_FILENO);
    dup2(STDIN_FILENO, STDERR_FILENO);
}

/* Catches a log in the echo, and a copy of the connection that is left: then the client waits for
 * an end that does not come, for as long as the process lives. */
START_TEST(the_client_gets_the_echo_and_nothing_else)
{
    int input = local_connection();

    say("hello");
    ck_assert_int_eq(serve_so(input, put_it_everywhere, (char *[]){NULL}), SERVED);
    expect_echo("hello");
    ck_assert_str_eq(errors.text, "");
}
END_TEST

/* ---- what cannot be served ---- */

/* Catches a wrong standard input that is served, waited for, or spoilt without a word. */
START_TEST(what_is_no_connection_is_said)
{
    struct sockaddr_in name;
    int ends[2];

    client = -1;
    ck_assert_int_eq(SERVE_PLAIN(open("/dev/null", O_RDWR)), NOT_SERVED);
    expect_log("oneecho: cannot serve standard input (-i): it is not a socket; ");
    ck_assert_int_eq(SERVE_PLAIN(socket(AF_INET, SOCK_DGRAM, 0)), NOT_SERVED);
    expect_log("(-i): it is not a stream socket; ");
    ck_assert_int_eq(SERVE_PLAIN(listening(&name)), NOT_SERVED);
    expect_log("(-i): it listens, and is no connection; ");
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(SERVE_PLAIN(ends[0]), NOT_SERVED);
    expect_log("(-i): it is not a socket; ");
    ck_assert_int_eq(lines_of(errors.text), 1);
}
END_TEST

/* Catches a client who is served by somebody else than the one that was asked for. */
START_TEST(an_unknown_user_serves_nobody)
{
    int input = local_connection();

    say("hello");
    ck_assert_int_eq(SERVE(input, "-u", "no-such-user-here"), NOT_SERVED);
    expect_log("no-such-user-here");
    ck_assert_int_eq(lines_of(errors.text), 1);
    close(client);
}
END_TEST

SUITE("inetd", a_client_is_served_and_told_as_by_any_server, a_local_client_is_served,
      a_client_who_goes_is_told, a_denied_client_is_refused,
      a_descriptor_that_does_not_block_is_made_to, a_signal_ends_it_whatever_the_starter_did,
      the_client_gets_the_echo_and_nothing_else, what_is_no_connection_is_said,
      an_unknown_user_serves_nobody)
