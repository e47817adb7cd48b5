/* test_server.c: what every server does alike: counting, the gate, and stopping, without a model
 * (server.h). What the tests start are entries of its table, not processes. */
#include "suite.h"

#include "base/clock.h"
#include "process/signals.h"
#include "server/serve.h"

#include <poll.h>
#include <sys/resource.h>

/* Far beyond what a test takes, in seconds: what is due then is not due now. */
#define LATER 1000.0

static struct serve_model model; /* a test says what its own has */
static struct options options;
static struct pidfile no_pidfile = {.descriptor = -1};
static struct capture errors;

/* ---- a server ---- */

/* A server with room for `most` clients. From here on the log is in `errors`. */
static struct server *new_server(size_t most)
{
    struct server *server;

    options.program = "test";
    options.max_connections = most;
    options.grace = 30;
    options.backlog = 16;
    options.facility = -1;
    capture_begin(&errors, STDERR_FILENO);
    log_name("test");
    log_open(LOG_CLIENTS, -1);
    server = server_open(&model, &options, &no_pidfile);
    ck_assert_ptr_nonnull(server);
    return server;
}

/* The same, with a listener on a port of 127.0.0.1, and with signals as in a server. */
static struct server *new_listening_server(size_t most)
{
    struct server *server = new_server(most);

    options.listen[0].text = "127.0.0.1:0";
    strcpy(options.listen[0].endpoint.host, "127.0.0.1");
    strcpy(options.listen[0].endpoint.port, "0");
    options.listen_count = 1;
    signals_open();
    ck_assert_int_eq(listeners_open(&server->listeners, &options), 0);
    return server;
}

/* How many lines of the log have this in them. Does not end the capture. */
static int logged(const char *what)
{
    ssize_t size = pread(fileno(errors.file), errors.text, sizeof errors.text - 1, 0);
    int lines = 0;

    ck_assert_int_ge(size, 0);
    errors.text[size] = '\0';
    for (const char *line = errors.text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        const char *found = strstr(line, what);
        lines += found != NULL && found < end;
    }
    return lines;
}

/* Asserts that it was logged once. A second copy, and none, shows the log. */
static void expect_logged_once(const char *what)
{
    int lines = logged(what);

    ck_assert_msg(lines == 1, "\"%s\" was logged %d times:\n%s", what, lines, errors.text);
}

static bool adds_up(const struct server *server)
{
    const struct statistics *count = &server->statistics;

    return count->accepted == count->ended + count->refused + server->children->live +
                                  (server->gate.holding ? 1 : 0);
}

/* ---- clients ---- */

static struct client client_at(const char *address)
{
    struct client client = {.descriptor = open("/dev/null", O_RDWR),
                            .peer = peer_at(address, 4242)};

    ck_assert_int_ne(client.descriptor, -1);
    return client;
}

static bool is_open(const struct client *client)
{
    return fcntl(client->descriptor, F_GETFD) != -1;
}

/* One that is admitted, and served as child `id`. */
static struct child *served(struct server *server, int64_t id, const char *address)
{
    struct client client = client_at(address);
    struct child *child;

    ck_assert(server_admit(server, &client));
    child = server_began(server, id, &client);
    ck_assert_ptr_nonnull(child);
    close(client.descriptor);
    return child;
}

static void deny(const char *block_as_text)
{
    char problem[BLOCK_PROBLEM_MAX];
    struct block block;

    ck_assert_int_eq(block_parse(block_as_text, &block, problem), 0);
    ck_assert_int_eq(access_add(&options.access, ACCESS_DENY, &block), 0);
}

/* Connects, and waits until the server could accept it. */
static int connected(const struct server *server)
{
    const struct listener *listener = &server->listeners.all[0];
    struct pollfd waiting = {.fd = listener->descriptor, .events = POLLIN};
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ne(descriptor, -1);
    ck_assert_int_eq(
        connect(descriptor, &listener->address.name.any, listener->address.length), 0);
    ck_assert_int_eq(poll(&waiting, 1, -1), 1);
    return descriptor;
}

static void wait_for(struct server *server, double seconds)
{
    server_wait(server, clock_seconds() + seconds);
}

/* ---- counting ---- */

/* Catches a path on which a client is counted twice, or not at all, or without its line. */
START_TEST(counts_add_up_over_every_life)
{
    enum { MOST = 8 };
    static const char *const addresses[] = {"192.0.2.1", "192.0.2.2", "2001:db8::1", "10.0.0.1"};
    struct server *server;
    unsigned long long in = 0, out = 0;
    uint64_t state = 7;
    size_t peak = 0;

    deny("10.0.0.0/8");
    options.max_per_source = 3;
    server = new_server(MOST);
    for (int64_t step = 1; step <= 300; step++) {
        unsigned choice = random_below(&state, 10);
        struct child *oldest = server->children->oldest;
        if (choice < 5 && accept_is_open(server, clock_seconds())) {
            struct client client = client_at(addresses[random_below(&state, 4)]);
            if (server_admit(server, &client) && choice > 0) {
                server_began(server, step, &client);
                close(client.descriptor);
            } else if (is_open(&client)) {
                errno = EAGAIN;
                server_hold(server, &client, "fork");
            }
        } else if (choice < 7 && oldest != NULL) {
            struct record record = {.id = oldest->id, .in = (uint64_t)step, .out = 1};
            if (choice == 6) {
                ck_assert_ptr_eq(server_exit_recorded(server, &record), oldest);
                in += (unsigned long long)step;
                out++;
            }
            server_ended(server, oldest, choice == 6 ? 0 : SIGSEGV);
        } else if (server->gate.holding) {
            struct client client;
            server->gate.closed_until = 0;
            ck_assert(server_accept(server, &client));
            server_began(server, step, &client);
            close(client.descriptor);
        }
        if (server->children->live > peak)
            peak = server->children->live;
        ck_assert_msg(adds_up(server), "after step %ld", (long)step);
    }
    ck_assert_uint_gt(server->statistics.refused, 0);
    ck_assert_uint_gt(server->statistics.ended, 0);
    ck_assert_uint_eq(server->statistics.in, in);
    ck_assert_uint_eq(server->statistics.out, out);
    ck_assert_uint_eq(server->statistics.peak, peak);
    ck_assert_int_eq(logged("end pid="), (int)server->statistics.ended);
    ck_assert_int_eq(logged("refuse from="), (int)server->statistics.refused);
}
END_TEST

/* Catches a record that is believed of whoever it names: bytes that nobody has sent. */
START_TEST(a_record_for_nobody_is_ignored_and_logged)
{
    struct server *server = new_server(2);
    struct child *child = served(server, 7, "192.0.2.1");
    struct record record = {.id = 8, .in = 100, .out = 100};

    ck_assert_ptr_null(server_exit_recorded(server, &record));
    expect_logged_once("ignored a record on the ledger for 8, which is no live child");
    ck_assert(!child->exit_recorded);
    server_ended(server, child, SIGSEGV);
    record.id = 7;
    ck_assert_ptr_null(server_exit_recorded(server, &record));
    expect_logged_once("for 7, which is no live child");
    ck_assert_uint_eq(server->statistics.in, 0);
    ck_assert_uint_eq(server->statistics.ended, 1);
}
END_TEST

/* Catches a child that writes a second exit record, for itself or for another, and changes the
 * count. */
START_TEST(a_second_record_is_ignored_and_logged)
{
    struct server *server = new_server(2);
    struct child *child = served(server, 7, "192.0.2.1");
    struct record record = {.id = 7, .in = 5, .out = 6, .ending = SESSION_IDLE};
    struct record again = {.id = 7, .in = 50, .out = 60, .ending = SESSION_EOF};

    ck_assert_ptr_eq(server_exit_recorded(server, &record), child);
    ck_assert_ptr_null(server_exit_recorded(server, &again));
    expect_logged_once("for 7, which has written its exit record already");
    server_ended(server, child, 0);
    expect_logged_once("end pid=7 from=192.0.2.1:4242 in=5 out=6 secs=");
    expect_logged_once("how=idle live=0");
    ck_assert_uint_eq(server->statistics.in, 5);
    ck_assert_uint_eq(server->statistics.out, 6);
}
END_TEST

/* Catches a record of another kind that is taken for an exit record: a child that serves would be
 * counted no more. */
START_TEST(a_record_of_another_kind_is_no_exit)
{
    static const uint64_t kinds[] = {RECORD_ARRIVAL, RECORD_ACCEPT_FAILED, 3, UINT64_MAX};
    struct server *server = new_server(1);
    struct child *child = served(server, 7, "192.0.2.1");

    for (size_t i = 0; i < SUITE_LENGTH(kinds); i++) {
        struct record record = {.kind = kinds[i], .id = 7};
        ck_assert_ptr_null(server_exit_recorded(server, &record));
    }
    ck_assert(!child->exit_recorded);
    ck_assert_int_eq(logged("for 7, which cannot write such a record"), (int)SUITE_LENGTH(kinds));
}
END_TEST

/* Catches numbers of a compromised child that lead beyond a table of words. */
START_TEST(endings_that_there_are_not_are_errors)
{
    static const int64_t wrong[] = {-1, SESSION_ENDINGS, INT64_MAX, INT64_MIN,
                                    (INT64_C(1) << 32) + SESSION_EOF};
    struct server *server = new_server(1);

    for (size_t i = 0; i < SUITE_LENGTH(wrong); i++) {
        struct child *child = served(server, 7, "192.0.2.1");
        struct record record = {.id = 7, .ending = wrong[i], .problem = wrong[i]};
        ck_assert_ptr_eq(server_exit_recorded(server, &record), child);
        ck_assert_int_eq(child->ending, SESSION_ERROR);
        ck_assert(child->problem >= PROXY_RIGHT && child->problem < PROXY_PROBLEMS);
        server_ended(server, child, 0);
    }
    ck_assert_int_eq(logged("how=error"), (int)SUITE_LENGTH(wrong));
}
END_TEST

/* Catches a child that names a client although its peer is no proxy: anybody could be blamed. */
START_TEST(only_a_proxy_names_a_client)
{
    static const char *const peers[] = {"192.0.2.1", "10.0.0.1"};
    const struct peer named = peer_at("198.51.100.9", 0);
    struct record record = {.kind = RECORD_EXIT};
    char problem[BLOCK_PROBLEM_MAX];
    struct block block;
    struct server *server;

    ck_assert_int_eq(block_parse("10.0.0.0/8", &block, problem), 0);
    ck_assert_int_eq(access_add(&options.service.proxies, ACCESS_ALLOW, &block), 0);
    memcpy(record.client, &named, sizeof record.client);
    server = new_server(2);
    for (int64_t i = 0; i < 2; i++) {
        struct child *child = served(server, i + 1, peers[i]);
        record.id = i + 1;
        ck_assert_ptr_eq(server_exit_recorded(server, &record), child);
        server_ended(server, child, 0);
    }
    expect_logged_once("end pid=1 from=192.0.2.1:4242 in=");
    expect_logged_once("end pid=2 from=198.51.100.9:0 via=10.0.0.1:4242 in=");
}
END_TEST

/* Catches a session of this process whose bytes or ending are lost, or another's. */
START_TEST(a_session_that_ends_is_counted_as_its_own)
{
    struct server *server = new_server(2);
    struct child *one = served(server, 1, "192.0.2.1"), *other = served(server, 2, "192.0.2.2");
    struct session session = {.peer = one->peer, .ending = SESSION_IDLE, .in = 5, .out = 3};

    server_session_ended(server, one, &session, 0);
    ck_assert(!other->exit_recorded);
    session = (struct session){.peer = other->peer, .ending = SESSION_EOF, .in = 70, .out = 70};
    server_session_ended(server, other, &session, SIGTERM);
    expect_logged_once("end pid=1 from=192.0.2.1:4242 in=5 out=3 secs=");
    expect_logged_once("how=idle live=1");
    expect_logged_once("how=signal-15 live=0");
    ck_assert_uint_eq(server->statistics.in, 75);
    ck_assert_uint_eq(server->statistics.out, 73);
    ck_assert_uint_eq(server->statistics.ended, 2);
}
END_TEST

/* Catches a child that a signal has ended, logged as one that finished, with bytes that no record
 * said. */
START_TEST(a_killed_child_is_logged_as_such)
{
    struct server *server = new_server(1);

    server_ended(server, served(server, 7, "192.0.2.1"), SIGKILL);
    expect_logged_once("in=- out=- ");
    expect_logged_once("how=signal-9 live=0");
}
END_TEST

/* Catches a stop line of a server that has never started, and one that does not add up. */
START_TEST(a_stop_is_logged_where_a_start_was)
{
    struct server *server = new_server(1);

    server_close(server);
    ck_assert_int_eq(logged("stop "), 0);
    server->started = clock_seconds();
    server_ended(server, served(server, 7, "192.0.2.1"), 0);
    server_close(server);
    expect_logged_once("stop accepted=1 ended=1 refused=0 in=0 out=0 secs=");
}
END_TEST

/* ---- who comes in ---- */

/* Catches a denied client that is served, or one that is refused and keeps its descriptor. */
START_TEST(a_denied_client_is_refused_and_closed)
{
    struct client denied = client_at("10.1.2.3"), other = client_at("192.0.2.1");
    struct server *server;

    deny("10.0.0.0/8");
    server = new_server(1);
    ck_assert(!server_admit(server, &denied));
    ck_assert(!is_open(&denied));
    expect_logged_once("refuse from=10.1.2.3:4242 why=denied");
    ck_assert(server_admit(server, &other));
    ck_assert(is_open(&other));
    ck_assert_uint_eq(server->statistics.accepted, 2);
    ck_assert_uint_eq(server->statistics.refused, 1);
}
END_TEST

/* Catches a limit that is off by one, counts others, or is not given back by a child's end. */
START_TEST(a_source_has_no_more_than_its_share)
{
    struct server *server;
    struct child *first;
    struct client more = client_at("192.0.2.1"), again = client_at("192.0.2.1");

    options.max_per_source = 2;
    server = new_server(8);
    first = served(server, 1, "192.0.2.1");
    served(server, 2, "192.0.2.1");
    served(server, 3, "192.0.2.2");
    ck_assert(!server_admit(server, &more));
    ck_assert(!is_open(&more));
    expect_logged_once("refuse from=192.0.2.1:4242 why=max-per-source");
    server_ended(server, first, 0);
    ck_assert(server_admit(server, &again));
    ck_assert(is_open(&again));
    ck_assert_uint_eq(server->statistics.refused, 1);
}
END_TEST

/* Catches a limit of 0 that is taken for none at all. */
START_TEST(without_a_limit_a_source_has_all_it_wants)
{
    struct server *server = new_server(50);

    for (int64_t id = 1; id <= 50; id++)
        served(server, id, "192.0.2.1");
    ck_assert_uint_eq(server->statistics.refused, 0);
}
END_TEST

/* ---- failures ---- */

/* Holds a client from 192.0.2.1, as when fork has failed, until `LATER`. */
static struct client held(struct server *server)
{
    struct client client = client_at("192.0.2.1");

    ck_assert(server_admit(server, &client));
    errno = EAGAIN;
    server_hold(server, &client, "fork");
    server->gate.closed_until = clock_seconds() + LATER;
    return client;
}

/* Catches a client that is lost, since it was accepted but could not be started, and one that a
 * program under test inherits meanwhile. */
START_TEST(a_held_client_comes_back_when_a_child_has_ended)
{
    struct server *server = new_server(4);
    struct child *child = served(server, 1, "192.0.2.2");
    struct client client = held(server), next;

    ck_assert(adds_up(server));
    ck_assert_int_eq(fcntl(client.descriptor, F_GETFD), FD_CLOEXEC);
    ck_assert(!accept_is_open(server, clock_seconds()));
    ck_assert(!server_accept(server, &next));
    server_ended(server, child, 0);
    ck_assert(!accept_is_open(server, clock_seconds())); /* before all others */
    ck_assert(server_accept(server, &next));
    ck_assert_int_eq(next.descriptor, client.descriptor);
    ck_assert(is_open(&next));
    ck_assert_uint_eq(address_port(&next.peer.name.any), 4242);
    ck_assert(accept_is_open(server, clock_seconds()));
    ck_assert(!server_accept(server, &next)); /* once */
    ck_assert_uint_eq(server->statistics.accepted, 2);
}
END_TEST

/* Catches a pause without an end, where no child is there that could end. */
START_TEST(a_held_client_comes_back_after_the_pause)
{
    struct server *server = new_server(4);
    struct client client = held(server), next;

    server->gate.closed_until = server->gate.failed_last + GATE_PAUSE_FIRST;
    while (!server_accept(server, &next)) /* the suite's timeout ends it */
        wait_for(server, LATER);
    ck_assert(clock_seconds() >= server->gate.failed_last + GATE_PAUSE_FIRST);
    ck_assert_int_eq(next.descriptor, client.descriptor);
}
END_TEST

/* Catches a held client that is slept over, as its pause ended between the look at it and the wait:
 * where no child is live, nothing else ends that wait. */
START_TEST(a_held_client_whose_pause_is_over_is_not_slept_over)
{
    struct server *server = new_server(4);

    held(server);
    server->gate.closed_until = clock_seconds();
    ck_assert_double_eq(gate_wakes(&server->gate, server->gate.closed_until),
                        server->gate.closed_until);
    wait_for(server, LATER); /* the suite's timeout ends it */
    ck_assert(server->gate.holding);
    server->gate.closed_until = 0; /* a child has ended */
    wait_for(server, LATER);
}
END_TEST

/* Catches a load on a machine that has too much of it already: pauses that do not grow, and
 * clients who wait for minutes: pauses that grow for ever. */
START_TEST(pauses_grow_to_a_second)
{
    static const double expected[] = {0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 1};
    struct server *server = new_server(1);
    struct client client = client_at("192.0.2.1");

    for (size_t i = 0; i < SUITE_LENGTH(expected); i++) {
        server_hold(server, &client, "fork");
        ck_assert_double_eq_tol(server->gate.closed_until - server->gate.failed_last, expected[i],
                                1e-6);
        ck_assert_double_eq(gate_wakes(&server->gate, server->gate.failed_last),
                            server->gate.closed_until);
    }
}
END_TEST

/* Catches a line for each failure of thousands, a reason that is not the failure's, and an end
 * that is never told, or while a client still waits. */
START_TEST(an_episode_of_failures_is_two_lines)
{
    struct server *server = new_server(1);
    struct client next;
    char line[200];

    held(server);
    for (int i = 0; i < 4; i++) {
        server->gate.closed_until = 0;
        ck_assert(server_accept(server, &next));
        errno = ENOMEM;
        server_hold(server, &next, "fork");
    }
    snprintf(line, sizeof line, "test: fork failed: %s; ", strerror(EAGAIN));
    expect_logged_once(line);
    expect_logged_once(" failed: ");
    gate_end_episode(&server->gate, server->gate.failed_last + LATER);
    ck_assert_int_eq(logged("resume"), 0); /* the client still waits */
    server->gate.closed_until = 0;
    ck_assert(server_accept(server, &next));
    ck_assert_double_eq(gate_wakes(&server->gate, clock_seconds()), server->gate.failed_last + 1);
    gate_end_episode(&server->gate, server->gate.failed_last + 0.9);
    ck_assert_int_eq(logged("resume"), 0);
    gate_end_episode(&server->gate, server->gate.failed_last + 1);
    expect_logged_once("resume failures=5 secs=");
    gate_end_episode(&server->gate, server->gate.failed_last + 2);
    expect_logged_once("resume");
    ck_assert_double_eq(gate_wakes(&server->gate, clock_seconds()), 0);
    server_hold(server, &next, "fork");
    ck_assert_int_eq(logged("test: fork failed: "), 2); /* the next episode */
}
END_TEST

/* Catches a pause taken for a recovery: the same error once more after each, and pauses that never
 * grow. */
START_TEST(a_pause_is_no_recovery)
{
    struct server *server = new_server(1);

    for (int i = 0; i < 8; i++)
        gate_pause(&server->gate, EMFILE, "accept", "");
    ck_assert_double_eq(server->gate.closed_until, server->gate.failed_last + 1);
    gate_end_episode(&server->gate, server->gate.closed_until);
    gate_end_episode(&server->gate, server->gate.closed_until + 0.9);
    ck_assert_int_eq(logged("resume"), 0);
    gate_pause(&server->gate, EMFILE, "accept", "");
    expect_logged_once(" failed: ");
    gate_end_episode(&server->gate, server->gate.closed_until + 1);
    expect_logged_once("resume failures=9 secs=");
}
END_TEST

/* Catches a child whose end lets the next client in where memory lacks: the kernel frees that later,
 * and short connections one behind the other would fill it for good. */
START_TEST(for_memory_a_pause_is_waited_out)
{
    struct server *server = new_server(4);

    gate_pause(&server->gate, ENOMEM, "a child", "");
    server_ended(server, served(server, 1, "192.0.2.1"), 0);
    ck_assert(!accept_is_open(server, server->gate.failed_last));
    ck_assert(accept_is_open(server, server->gate.failed_last + 1));
    gate_pause(&server->gate, EAGAIN, "fork", "");
    server_ended(server, served(server, 2, "192.0.2.1"), 0);
    ck_assert(accept_is_open(server, server->gate.failed_last));
}
END_TEST

/* Catches a server that spins at a limit, or ends at it, a failure that is counted for each of its
 * listeners, and a message without the way out. */
START_TEST(without_descriptors_accepting_pauses)
{
    struct server *server = new_listening_server(4);
    struct rlimit before, limit;
    struct client next;
    char line[100];
    int lowest;

    listeners_close(&server->listeners);
    options.listen[options.listen_count++] = options.listen[0];
    ck_assert_int_eq(listeners_open(&server->listeners, &options), 0);
    connected(server);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_ne(lowest = dup(STDIN_FILENO), -1);
    close(lowest);
    limit = before;
    limit.rlim_cur = (rlim_t)lowest;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    wait_for(server, LATER);
    server->listeners.all[1].ready = true; /* its accept fails whoever is there */
    ck_assert(!server_accept(server, &next));
    ck_assert_uint_eq(server->gate.failures, 1);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0); /* a sanitizer's end needs some */
    ck_assert_double_ge(server->gate.closed_until, server->gate.failed_last + GATE_PAUSE_FIRST);
    ck_assert(!accept_is_open(server, server->gate.failed_last));
    ck_assert_int_eq(server->stop.phase, SERVER_SERVING);
    ck_assert_uint_eq(server->statistics.accepted, 0);
    snprintf(line, sizeof line, "limits: RLIMIT_NOFILE %d (ulimit -n); clients wait", lowest);
    expect_logged_once(line);
}
END_TEST

/* Catches a server that goes on for ever with a listener that is none. */
START_TEST(a_defect_of_its_own_stops_it)
{
    struct server *server = new_listening_server(4);
    struct client next;

    close(server->listeners.all[0].descriptor);
    server->listeners.all[0].ready = true;
    ck_assert(!server_accept(server, &next));
    ck_assert(server->stop.failed);
    ck_assert_int_eq(server->stop.phase, SERVER_DRAINING);
    ck_assert(!server_running(server));
    server_stop_failed(server, "accept", EBADF); /* it stops already */
    expect_logged_once("; stopping");
    expect_logged_once("drain why=failure live=0 grace=30");
}
END_TEST

/* Catches failures of starting that close the gate for no time, or hold a client that is not there,
 * and a hint that is lost with errno. */
START_TEST(a_start_that_fails_for_nobody_closes_the_gate)
{
    struct server *server = new_server(4);
    char line[200];

    errno = ENOMEM;
    server_start_failed(server, "fork");
    snprintf(line, sizeof line, "test: fork failed: %s", strerror(ENOMEM));
    expect_logged_once(line);
    ck_assert(!server->gate.holding);
    ck_assert(!accept_is_open(server, server->gate.failed_last));
    ck_assert(accept_is_open(server, server->gate.closed_until));
    ck_assert(adds_up(server));
}
END_TEST

/* ---- the gate, with clients ---- */

/* Catches a client beyond the limit, a full server that spins while somebody waits, and clients
 * who have waited counted as others, or others as them. */
START_TEST(a_full_server_defers)
{
    struct server *server = new_listening_server(1);
    struct client first, second;
    double until;

    connected(server);
    wait_for(server, LATER);
    ck_assert(server_accept(server, &first));
    ck_assert_ptr_nonnull(server_began(server, 1, &first));
    ck_assert_uint_eq(server->statistics.deferred, 0);
    connected(server);
    until = clock_seconds() + 0.1;
    server_wait(server, until);
    ck_assert(clock_seconds() >= until);
    ck_assert(!server_accept(server, &second));
    server_ended(server, children_find(server->children, 1), 0);
    wait_for(server, LATER);
    ck_assert(server_accept(server, &second));
    ck_assert_ptr_nonnull(server_began(server, 2, &second));
    ck_assert_uint_eq(server->statistics.deferred, 1);
    ck_assert_uint_eq(server->statistics.deferred_cap, 1);
    wait_for(server, 0); /* full, and nobody waits */
    server_ended(server, children_find(server->children, 2), 0);
    wait_for(server, LATER);
    connected(server);
    wait_for(server, LATER);
    ck_assert(server_accept(server, &first));
    ck_assert_uint_eq(server->statistics.deferred, 1);
    ck_assert_uint_eq(server->statistics.accepted, 3);
}
END_TEST

/* One more client of 127.0.0.1, from where there may be no more: it is kept for so many seconds. */
static void come_over_cap(struct server *server, double seconds)
{
    size_t before = server->over_cap_count;
    struct client next;

    connected(server);
    wait_for(server, LATER);
    ck_assert(!server_accept(server, &next));
    ck_assert_uint_eq(server->over_cap_count, before + 1);
    server->over_cap[before].until = clock_seconds() + seconds;
}

static struct server *new_server_over_cap(double seconds)
{
    struct server *server;

    options.max_per_source = 1;
    server = new_listening_server(2);
    served(server, 1, "127.0.0.1");
    come_over_cap(server, seconds);
    ck_assert_uint_eq(server->statistics.refused, 0);
    ck_assert(adds_up(server));
    return server;
}

/* Catches a client that is refused as the one before it is about to end, more of them that wait for
 * that than there is room for, and one that comes in beyond -c. */
START_TEST(one_too_many_of_a_source_comes_in_when_another_ends)
{
    struct server *server = new_server_over_cap(LATER);
    struct client next;

    while (server->over_cap_count < OVER_CAP_MAX)
        come_over_cap(server, LATER);
    connected(server);
    wait_for(server, LATER);
    ck_assert(!server_accept(server, &next));
    expect_logged_once("why=max-per-source");
    served(server, 2, "192.0.2.2");
    server_ended(server, children_find(server->children, 1), 0);
    served(server, 3, "192.0.2.3");
    ck_assert(!server_accept(server, &next)); /* it is full */
    server_ended(server, children_find(server->children, 2), 0);
    ck_assert(server_accept(server, &next));
    ck_assert(is_open(&next));
    ck_assert_int_eq(fcntl(next.descriptor, F_GETFD), FD_CLOEXEC);
    ck_assert_ptr_nonnull(server_began(server, 4, &next));
    ck_assert(!server_accept(server, &next)); /* another has come for it */
    ck_assert_uint_eq(server->over_cap_count, OVER_CAP_MAX - 1);
    ck_assert_uint_eq(server->statistics.accepted, 5);
    ck_assert(adds_up(server));
}
END_TEST

/* Catches a client that is kept for ever, or for which the server does not wake up. */
START_TEST(one_too_many_of_a_source_is_refused_in_time)
{
    struct server *server = new_server_over_cap(0.1);
    double until = server->over_cap[0].until;
    struct client next;

    while (server->statistics.refused == 0) {
        server_wait(server, 0);
        ck_assert(!server_accept(server, &next));
    }
    ck_assert_double_ge(clock_seconds(), until);
    expect_logged_once("why=max-per-source");
    ck_assert(adds_up(server));
}
END_TEST

/* Catches one that is forgotten at a stop. */
START_TEST(one_too_many_of_a_source_is_refused_by_a_stop)
{
    struct server *server = new_server_over_cap(LATER);

    server_stop_failed(server, "accept", EBADF);
    expect_logged_once("why=stopping");
    ck_assert(adds_up(server));
}
END_TEST

/* Catches a failure that is counted as the limit: who reads it would raise -c. */
START_TEST(who_waits_for_a_failure_is_not_deferred_by_the_limit)
{
    struct server *server = new_listening_server(4);
    struct client next;

    held(server);
    connected(server);
    wait_for(server, 0.001);
    server->gate.closed_until = 0;
    ck_assert(server_accept(server, &next));
    ck_assert_ptr_nonnull(server_began(server, 1, &next));
    wait_for(server, LATER);
    ck_assert(server_accept(server, &next));
    ck_assert_uint_eq(server->statistics.deferred, 1);
    ck_assert_uint_eq(server->statistics.deferred_cap, 0);
    ck_assert_ptr_nonnull(server_began(server, 2, &next));
    raise(SIGUSR1);
    signals_deliver();
    server_handle_requests(server);
    expect_logged_once("status live=2 peak=2 accepted=2 ended=0 refused=0 deferred=1 in=0 out=0 "
                     "zombies=0 deferred-cap=0 deferred-failure=1 ");
}
END_TEST

/* Catches a mark of having waited that stays with the listener, for all who come later, and one
 * that only the first of those who waited has. */
START_TEST(all_who_have_waited_are_deferred_and_nobody_later)
{
    struct server *server = new_listening_server(8);
    struct client next;

    held(server);
    connected(server);
    connected(server);
    wait_for(server, 0.001);
    server->gate.closed_until = 0;
    ck_assert(server_accept(server, &next));
    for (int64_t id = 1; id <= 2; id++) {
        ck_assert_ptr_nonnull(server_began(server, id, &next));
        wait_for(server, LATER);
        ck_assert(server_accept(server, &next));
    }
    ck_assert_uint_eq(server->statistics.deferred, 2);
    wait_for(server, 0.001); /* nobody is there */
    connected(server);
    wait_for(server, LATER);
    ck_assert(server_accept(server, &next));
    ck_assert_uint_eq(server->statistics.deferred, 2);
    ck_assert_uint_eq(server->statistics.accepted, 4);
}
END_TEST

/* ---- stopping ---- */

/* Sends itself a signal, and lets the server hear it. */
static void signalled(struct server *server, int number)
{
    ck_assert_int_eq(kill(getpid(), number), 0);
    wait_for(server, LATER);
}

/* So late that it is a request of its own. */
static void signalled_again(struct server *server, int number)
{
    server->stop.once_until = clock_seconds();
    signalled(server, number);
}

/* Catches a drain that still listens, or that ends children at once, as timeout(1) or a wrapper has
 * asked for it twice; and a second request, later, that is ignored. */
START_TEST(a_graceful_stop_drains_and_a_second_one_terminates)
{
    static const struct {
        int number;
        const char *lines[2];
    } cases[] = {
        {SIGTERM, {"drain why=SIGTERM live=1 grace=30", "drain why=SIGTERM live=1 grace=0"}},
        {SIGINT, {"drain why=SIGINT live=1 grace=30", "drain why=SIGINT live=1 grace=0"}},
    };

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        struct server *server = new_listening_server(2);
        int listener = server->listeners.all[0].descriptor;
        struct client next;
        served(server, 1, "192.0.2.1");
        signalled(server, cases[i].number);
        expect_logged_once(cases[i].lines[0]);
        ck_assert_int_eq(server->stop.phase, SERVER_DRAINING);
        ck_assert_int_eq(server->stop.signal, 0);
        ck_assert_uint_eq(server->listeners.count, 0);
        ck_assert_int_eq(fcntl(listener, F_GETFD), -1);
        ck_assert(!accept_is_open(server, clock_seconds()));
        ck_assert(!server_accept(server, &next));
        ck_assert(server_running(server));
        signalled(server, cases[i].number);
        ck_assert_int_eq(server->stop.phase, SERVER_DRAINING);
        signalled_again(server, cases[i].number);
        expect_logged_once(cases[i].lines[1]);
        ck_assert_int_eq(server->stop.phase, SERVER_TERMINATING);
        ck_assert_int_eq(server->stop.signal, SIGTERM);
        ck_assert(!server->stop.failed);
        capture_end(&errors);
    }
}
END_TEST

/* Catches children that outlive the grace, and a SIGKILL without time to end before. */
START_TEST(the_grace_ends_in_terminating_and_that_in_killing)
{
    struct server *server = new_listening_server(2);
    double due;

    served(server, 1, "192.0.2.1");
    signalled(server, SIGTERM);
    due = server->stop.phase_ends;
    ck_assert(due > clock_seconds() && due <= clock_seconds() + options.grace);
    requests_handle_stop(server, due - 0.001);
    ck_assert_int_eq(server->stop.phase, SERVER_DRAINING);
    requests_handle_stop(server, due);
    ck_assert_int_eq(server->stop.phase, SERVER_TERMINATING);
    ck_assert_int_eq(server->stop.signal, SIGTERM);
    ck_assert_double_eq_tol(server->stop.phase_ends, due + 1, 1e-6);
    due = server->stop.phase_ends;
    requests_handle_stop(server, due - 0.001);
    ck_assert_int_eq(server->stop.phase, SERVER_TERMINATING);
    requests_handle_stop(server, due);
    ck_assert_int_eq(server->stop.phase, SERVER_KILLING);
    ck_assert_int_eq(server->stop.signal, SIGKILL);
    requests_handle_stop(server, due + LATER);
    ck_assert_int_eq(server->stop.phase, SERVER_KILLING);
    ck_assert(server_running(server)); /* until the child is reaped */
    server_ended(server, server->children->oldest, SIGKILL);
    ck_assert(!server_running(server));
}
END_TEST

/* Catches SIGQUIT that waits for anything, is logged again each time, or is taken back. */
START_TEST(sigquit_kills_at_once_and_once)
{
    struct server *server = new_listening_server(2);

    served(server, 1, "192.0.2.1");
    signalled(server, SIGQUIT);
    ck_assert_int_eq(server->stop.phase, SERVER_KILLING);
    ck_assert_int_eq(server->stop.signal, SIGKILL);
    ck_assert_uint_eq(server->listeners.count, 0);
    server->stop.signal = 0;
    signalled(server, SIGQUIT);
    signalled(server, SIGTERM);
    ck_assert_int_eq(server->stop.phase, SERVER_KILLING);
    ck_assert_int_eq(server->stop.signal, 0);
    expect_logged_once("drain why=SIGQUIT live=1 grace=0");
    expect_logged_once("drain ");
}
END_TEST

/* Catches a held client that a drain forgets, or that is served after children are told to end. */
START_TEST(a_drain_serves_who_is_held_and_terminating_refuses)
{
    for (int terminating = 0; terminating < 2; terminating++) {
        struct server *server = new_listening_server(2);
        struct client client = held(server), next;
        signalled(server, SIGTERM);
        ck_assert(server_running(server));
        if (terminating)
            signalled_again(server, SIGTERM);
        else
            server->gate.closed_until = 0;
        ck_assert(server_accept(server, &next) == !terminating);
        ck_assert(is_open(&client) == !terminating);
        ck_assert_int_eq(logged("refuse from=192.0.2.1:4242 why=stopping"), terminating);
        ck_assert(!server->gate.holding);
        ck_assert(!server_running(server));
        ck_assert(adds_up(server) == terminating); /* else the client is the model's now */
        capture_end(&errors);
    }
}
END_TEST

static int closings, closing_listener;

static void note_closing(struct server *server)
{
    closings++;
    closing_listener = server->listeners.all[0].descriptor;
    ck_assert_int_ne(fcntl(closing_listener, F_GETFD), -1);
}

/* Catches a model that is told when its listeners are closed already, twice, or never: they would
 * stay in what it waits by. */
START_TEST(a_model_is_told_before_its_listeners_are_closed)
{
    struct server *server = new_listening_server(2);
    int listener = server->listeners.all[0].descriptor;

    model.before_close = note_closing;
    served(server, 1, "192.0.2.1");
    signalled(server, SIGTERM);
    ck_assert_int_eq(closings, 1);
    ck_assert_int_eq(closing_listener, listener);
    ck_assert_int_eq(fcntl(listener, F_GETFD), -1);
    signalled(server, SIGTERM);
    signalled(server, SIGQUIT);
    ck_assert_int_eq(closings, 1);
}
END_TEST

/* Catches a next phase, or a signal that no child has yet, that is slept over: nothing else wakes
 * the server then. */
START_TEST(a_stop_is_not_slept_over)
{
    struct server *server = new_listening_server(2);

    served(server, 1, "192.0.2.1");
    signalled(server, SIGTERM);
    server->stop.phase_ends = clock_seconds();
    wait_for(server, LATER); /* the suite's timeout ends it */
    ck_assert_int_eq(server->stop.phase, SERVER_TERMINATING);
    ck_assert_int_eq(server->stop.signal, SIGTERM);
    server->stop.phase_ends = clock_seconds() + LATER;
    wait_for(server, LATER);
    ck_assert_int_eq(server->stop.signal, SIGTERM);
}
END_TEST

static int64_t stopped[8];
static size_t stopped_count;
static int stopped_by;

static void note_stop(struct server *server, struct child *child, int signal)
{
    ck_assert_uint_lt(stopped_count, SUITE_LENGTH(stopped));
    stopped[stopped_count++] = child->id;
    stopped_by = signal;
    if (child->id == 10)
        return;
    server_ended(server, child, signal);
    child->younger = NULL; /* what is removed leads nowhere */
}

/* Catches a visit that is lost when the child that is stopped is removed, and a signal sent each
 * turn. */
START_TEST(a_stop_goes_to_each_child_once_the_oldest_first)
{
    static const int64_t ids[] = {30, 10, 20};
    struct server *server = new_server(4);

    model.stop_child = note_stop;
    for (size_t i = 0; i < SUITE_LENGTH(ids); i++)
        served(server, ids[i], "192.0.2.1");
    server_handle_requests(server);
    ck_assert_uint_eq(stopped_count, 0);
    server->stop.signal = SIGTERM;
    server_handle_requests(server);
    server_handle_requests(server);
    ck_assert_uint_eq(stopped_count, SUITE_LENGTH(ids));
    ck_assert_int_eq(memcmp(stopped, ids, sizeof ids), 0);
    ck_assert_int_eq(stopped_by, SIGTERM);
    ck_assert_uint_eq(server->children->live, 1);
}
END_TEST

/* Catches a stop that does not reach the processes of a model that has no way of its own. */
START_TEST(a_stop_is_a_signal_to_the_childs_process)
{
    struct server *server = new_server(4);
    pid_t pid = fork();
    int status;

    if (pid == 0)
        for (;;)
            pause();
    ck_assert_int_ne(pid, -1);
    served(server, pid, "192.0.2.1");
    server->stop.signal = SIGKILL;
    server_handle_requests(server);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
END_TEST

/* ---- other requests ---- */

static size_t reap_three(struct server *server)
{
    (void)server;
    return 3;
}

/* Catches a status line that does not come, comes twice, that nobody has asked for, or that does
 * not say how many were reaped for it. */
START_TEST(a_status_is_logged_once_when_it_was_asked_for)
{
    struct server *server = new_listening_server(4);

    served(server, 1, "192.0.2.1");
    server_handle_requests(server);
    ck_assert_int_eq(logged("status "), 0);
    signalled(server, SIGUSR1);
    server_handle_requests(server);
    server_handle_requests(server);
    expect_logged_once("status live=1 ");
    expect_logged_once(" zombies=0 ");
    model.reap_all = reap_three;
    signalled(server, SIGUSR1);
    server_handle_requests(server);
    expect_logged_once(" zombies=3 ");
}
END_TEST

/* Catches an upgrade that is asked for in vain, without a word, or that ends the clients: the
 * SIGHUP does not say that a terminal has gone. */
START_TEST(an_upgrade_is_declined_and_nobody_is_cut)
{
    struct server *server = new_listening_server(4);

    model.no_upgrade = "has no time";
    model.stop_child = note_stop;
    served(server, 1, "192.0.2.1");
    signalled(server, SIGHUP);
    server_handle_requests(server);
    server_handle_requests(server);
    expect_logged_once("cannot upgrade (SIGHUP): test has no time; restart it instead");
    ck_assert_uint_eq(stopped_count, 0);
    ck_assert_int_eq(server->stop.phase, SERVER_SERVING);
    ck_assert_int_eq(logged("drain"), 0);
}
END_TEST

static int upgrades;

static void note_upgrade(struct server *server)
{
    (void)server;
    upgrades++;
}

/* Catches a SIGHUP that a model never hears of, or more than once. */
START_TEST(an_upgrade_is_begun_once_for_each_request)
{
    struct server *server = new_listening_server(4);

    model.upgrade = note_upgrade;
    server_handle_requests(server);
    ck_assert_int_eq(upgrades, 0);
    signalled(server, SIGHUP);
    server_handle_requests(server);
    server_handle_requests(server);
    ck_assert_int_eq(upgrades, 1);
    ck_assert_int_eq(logged("cannot upgrade"), 0);
}
END_TEST

SUITE("server", counts_add_up_over_every_life, a_record_for_nobody_is_ignored_and_logged,
      a_second_record_is_ignored_and_logged, a_record_of_another_kind_is_no_exit,
      endings_that_there_are_not_are_errors,
      only_a_proxy_names_a_client, a_session_that_ends_is_counted_as_its_own, a_killed_child_is_logged_as_such,
      a_stop_is_logged_where_a_start_was, a_denied_client_is_refused_and_closed,
      a_source_has_no_more_than_its_share, without_a_limit_a_source_has_all_it_wants,
      a_held_client_comes_back_when_a_child_has_ended, a_held_client_comes_back_after_the_pause,
      a_held_client_whose_pause_is_over_is_not_slept_over,
      pauses_grow_to_a_second, an_episode_of_failures_is_two_lines, a_pause_is_no_recovery,
      for_memory_a_pause_is_waited_out,
      without_descriptors_accepting_pauses, a_defect_of_its_own_stops_it,
      a_start_that_fails_for_nobody_closes_the_gate, a_full_server_defers,
      one_too_many_of_a_source_comes_in_when_another_ends,
      one_too_many_of_a_source_is_refused_in_time,
      one_too_many_of_a_source_is_refused_by_a_stop,
      who_waits_for_a_failure_is_not_deferred_by_the_limit,
      all_who_have_waited_are_deferred_and_nobody_later,
      a_graceful_stop_drains_and_a_second_one_terminates,
      the_grace_ends_in_terminating_and_that_in_killing, sigquit_kills_at_once_and_once,
      a_drain_serves_who_is_held_and_terminating_refuses,
      a_model_is_told_before_its_listeners_are_closed, a_stop_is_not_slept_over,
      a_stop_goes_to_each_child_once_the_oldest_first, a_stop_is_a_signal_to_the_childs_process,
      a_status_is_logged_once_when_it_was_asked_for, an_upgrade_is_declined_and_nobody_is_cut,
      an_upgrade_is_begun_once_for_each_request)
