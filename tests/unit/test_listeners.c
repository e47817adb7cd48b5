/* test_listeners.c: opening, accepting on and closing listening sockets (listeners.h). */
#include "suite.h"

#include "process/log.h"
#include "server/listeners.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/time.h>

/* Where Unix sockets are made; it is emptied and removed when the suite is over. */
static char directory[80];

static struct listeners listeners;
static struct options options;
static struct capture errors;

/* "/directory/name", in memory that stays. */
static const char *path_of(const char *name)
{
    static char paths[8][128];
    static size_t next;
    char *path = paths[next++ % SUITE_LENGTH(paths)];

    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void add_listen(const char *text)
{
    ck_assert_ptr_null(address_split(text, &options.listen[options.listen_count].endpoint));
    options.listen[options.listen_count++].text = text;
}

/* Opens what the texts say; NULL ends them, or the third does. Returns what listeners_open
 * does; what it said is in `errors`. */
static int open_all(const char *first, const char *second, const char *third)
{
    const char *texts[] = {first, second, third};
    int result;

    options = (struct options){.program = "forkecho", .backlog = 8, .service = {.idle = 600}};
    for (size_t i = 0; i < 3 && texts[i] != NULL; i++)
        add_listen(texts[i]);
    capture_begin(&errors, STDERR_FILENO);
    log_open(LOG_NORMAL, -1);
    result = listeners_open(&listeners, &options);
    capture_end(&errors);
    ck_assert_int_eq(lines_of(errors.text), result == 0 ? 0 : 1);
    return result;
}

static void expect_open(const char *first, const char *second, const char *third)
{
    ck_assert_msg(open_all(first, second, third) == 0, "%s", errors.text);
}

static unsigned port_of(size_t listener)
{
    return address_port(&listeners.all[listener].address.name.any);
}

static int family_of(size_t listener)
{
    return listeners.all[listener].address.name.any.sa_family;
}

static int connect_to(const struct address *address)
{
    int client = socket(address->name.any.sa_family, SOCK_STREAM, 0);

    ck_assert_int_ne(client, -1);
    if (connect(client, &address->name.any, address->length) == 0)
        return client;
    close(client);
    return -1;
}

static bool exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

/* A Unix socket that something else than the tested module made. */
static int bind_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int other = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(address.sun_path, path);
    ck_assert_int_eq(bind(other, (struct sockaddr *)&address, sizeof address), 0);
    return other;
}

/* Whether this machine has IPv6 at all. */
static bool has_v6(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = probe != -1 && bind(probe, (struct sockaddr *)&any, sizeof any) == 0;

    close(probe);
    return has;
}

/* Catches a listener that blocks the loop, stays open in what is executed, or does not listen. */
START_TEST(listeners_are_nonblocking_close_on_exec_and_listening)
{
    int before = open_descriptors();

    expect_open("127.0.0.1:0", path_of("flags"), NULL);
    ck_assert_uint_eq(listeners.count, 2);
    for (size_t i = 0; i < 2; i++) {
        int descriptor = listeners.all[i].descriptor, listening = 0;
        socklen_t size = sizeof listening;
        struct peer peer;
        ck_assert_int_ne(fcntl(descriptor, F_GETFL) & O_NONBLOCK, 0);
        ck_assert_int_ne(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
        ck_assert_int_eq(getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size), 0);
        ck_assert_int_ne(listening, 0);
        ck_assert_int_eq(listener_accept(&listeners.all[i], &options, &peer), -1);
        ck_assert(errno == EAGAIN || errno == EWOULDBLOCK);
    }
    listeners_close(&listeners);
    ck_assert_uint_eq(listeners.count, 0);
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert(!exists(path_of("flags")));
}
END_TEST

/* Catches a name whose families get different ports where the kernel chooses, and an IPv6
 * socket that takes IPv4 clients, which would appear as v4-mapped ones. */
START_TEST(a_star_is_a_socket_a_family_on_one_port)
{
    int only = 0;
    socklen_t size = sizeof only;

    for (int round = 0; round < 20; round++) {
        expect_open("*:0", NULL, NULL);
        ck_assert_uint_eq(listeners.count, has_v6() ? 2 : 1);
        ck_assert_uint_ne(port_of(0), 0);
        for (size_t i = 0; i < listeners.count; i++) {
            ck_assert_uint_eq(port_of(i), port_of(0));
            if (family_of(i) != AF_INET6)
                continue;
            ck_assert_int_eq(getsockopt(listeners.all[i].descriptor, IPPROTO_IPV6, IPV6_V6ONLY,
                                        &only, &size), 0);
            ck_assert_int_ne(only, 0);
        }
        ck_assert(listeners.count == 1 || family_of(0) != family_of(1));
        listeners_close(&listeners);
    }
}
END_TEST

/* Catches one -l whose port goes over into the next. */
START_TEST(each_listen_gets_a_port_of_its_own)
{
    expect_open("127.0.0.1:0", "127.0.0.1:0", "localhost:0");
    ck_assert_uint_ge(listeners.count, 3);
    ck_assert_uint_ne(port_of(0), port_of(1));
    ck_assert_uint_ne(port_of(1), port_of(2));
    listeners_close(&listeners);
}
END_TEST

static bool has_flag(int descriptor, int level, int option)
{
    int value = 0;
    socklen_t size = sizeof value;

    ck_assert_int_eq(getsockopt(descriptor, level, option, &value, &size), 0);
    return value != 0;
}

static double timeout_of(int descriptor, int option)
{
    struct timeval value = {0, 0};
    socklen_t size = sizeof value;

    ck_assert_int_eq(getsockopt(descriptor, SOL_SOCKET, option, &value, &size), 0);
    return (double)value.tv_sec + (double)value.tv_usec / 1e6;
}

/* Catches a connection without its options, or with the listener's O_NONBLOCK, whether the
 * system lets it inherit them or not; the second accept of TCP is the one that asks no more. */
START_TEST(accepted_connections_block_and_have_their_options)
{
    expect_open("127.0.0.1:0", path_of("options"), NULL);
    for (size_t i = 0; i < 2; i++) {
        struct listener *listener = &listeners.all[i];
        for (int round = 0; round < 2; round++) {
            int client = connect_to(&listener->address), accepted;
            struct peer peer;
            ck_assert_int_ne(client, -1);
            ck_assert_int_eq(poll(&(struct pollfd){listener->descriptor, POLLIN, 0}, 1, -1), 1);
            accepted = listener_accept(listener, &options, &peer);
            ck_assert_int_ne(accepted, -1);
            ck_assert_int_eq(fcntl(accepted, F_GETFL) & O_NONBLOCK, 0);
            ck_assert_double_eq(timeout_of(accepted, SO_RCVTIMEO), 600);
            ck_assert_double_eq(timeout_of(accepted, SO_SNDTIMEO), 600.0 / SESSION_WRITE_PARTS);
            ck_assert(i == 1 || has_flag(accepted, IPPROTO_TCP, TCP_NODELAY));
            ck_assert(i == 1 || has_flag(accepted, SOL_SOCKET, SO_KEEPALIVE));
            close(accepted);
            close(client);
        }
    }
    listeners_close(&listeners);
}
END_TEST

static void set_timeout(int descriptor, int option, int seconds)
{
    struct timeval value = {.tv_sec = seconds};

    ck_assert_int_eq(setsockopt(descriptor, SOL_SOCKET, option, &value, sizeof value), 0);
}

/* Catches a client with the limits of an earlier server on the same socket: it had connected
 * when they still were the listener's; and one such that makes each later one dearer. */
START_TEST(a_client_of_an_earlier_server_has_our_limits)
{
    static const int limits[] = {SO_RCVTIMEO, SO_SNDTIMEO};
    static const int ours[] = {600, 600 / SESSION_WRITE_PARTS};
    struct peer peer;

    for (size_t i = 0; i < SUITE_LENGTH(limits); i++) {
        int listener, client, accepted;
        expect_open("127.0.0.1:0", NULL, NULL);
        listener = listeners.all[0].descriptor;
        set_timeout(listener, limits[i], 30);
        client = connect_to(&listeners.all[0].address);
        ck_assert_int_ne(client, -1);
        ck_assert_int_eq(poll(&(struct pollfd){listener, POLLIN, 0}, 1, -1), 1);
        set_timeout(listener, limits[i], ours[i]);
        accepted = listener_accept(&listeners.all[0], &options, &peer);
        ck_assert_int_ne(accepted, -1);
        ck_assert_double_eq(timeout_of(accepted, limits[i]), ours[i]);
        close(accepted);
        close(client);
        /* The next one is younger than our options: it settles that they are inherited. */
        client = connect_to(&listeners.all[0].address);
        ck_assert_int_eq(poll(&(struct pollfd){listener, POLLIN, 0}, 1, -1), 1);
        close(listener_accept(&listeners.all[0], &options, &peer));
        ck_assert(listeners.all[0].inherits);
        close(client);
        listeners_close(&listeners);
    }
}
END_TEST

/* Catches a connection that ends as idle with -t 0, since whoever accepted it had a limit. */
START_TEST(no_idle_limit_takes_an_earlier_one_away)
{
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);

    set_timeout(descriptor, SO_RCVTIMEO, 30);
    set_timeout(descriptor, SO_SNDTIMEO, 30);
    options = (struct options){.service = {.idle = 0}};
    listener_set_options(descriptor, false, &options);
    ck_assert_double_eq(timeout_of(descriptor, SO_RCVTIMEO), 0);
    ck_assert_double_eq(timeout_of(descriptor, SO_SNDTIMEO), 0);
    close(descriptor);
}
END_TEST

/* Catches a client that is logged, or counted, under another address than its own; and what lay
 * in memory before, behind the address, which an upgrade would pass on. */
START_TEST(the_peer_is_the_clients_own_address)
{
    static const char nothing[sizeof(struct peer)];
    struct address name = {.length = sizeof name.name};
    struct peer peer;
    int client, accepted;
    char ours[ADDRESS_TEXT_MAX], told[ADDRESS_TEXT_MAX];

    expect_open("127.0.0.1:0", path_of("peer"), NULL);
    for (size_t i = 0; i < 2; i++) {
        client = connect_to(&listeners.all[i].address);
        ck_assert_int_ne(client, -1);
        memset(&peer, 'x', sizeof peer);
        accepted = listener_accept(&listeners.all[i], &options, &peer);
        ck_assert_int_ne(accepted, -1);
        ck_assert_int_eq(getsockname(client, &name.name.any, &name.length), 0);
        ck_assert_str_eq(peer_text(&peer, told),
                         i == 0 ? address_text(&name.name.any, ours) : "local");
        if (i == 0)
            ck_assert_mem_eq((char *)&peer + sizeof peer.name.v4, nothing,
                             sizeof peer - sizeof peer.name.v4);
        close(accepted);
        close(client);
    }
    listeners_close(&listeners);
}
END_TEST

/* Catches an address in the log, or from -1, that is not where the server listens. */
START_TEST(the_addresses_are_written_as_bound)
{
    char text[512], expected[512];

    expect_open("127.0.0.1:0", path_of("bound"), NULL);
    snprintf(expected, sizeof expected, "127.0.0.1:%u,%s", port_of(0), path_of("bound"));
    listeners_text(&listeners, text, sizeof text);
    ck_assert_str_eq(text, expected);
    listeners_close(&listeners);
    listeners_text(&listeners, text, sizeof text);
    ck_assert_str_eq(text, "");
}
END_TEST

/* Catches a line that is overrun by many addresses, or cut without its mark, at any size. */
START_TEST(addresses_that_do_not_fit_are_cut_and_marked)
{
    char whole[200], text[201];

    for (listeners.count = 0; listeners.count < 4; listeners.count++) {
        struct address *address = &listeners.all[listeners.count].address;
        address->name.local.sun_family = AF_UNIX;
        memset(address->name.local.sun_path, '/', 10 + listeners.count);
    }
    listeners_text(&listeners, whole, sizeof whole);
    for (size_t size = sizeof ",..."; size <= sizeof whole; size++) {
        size_t length;
        memset(text, 'x', sizeof text);
        listeners_text(&listeners, text, size);
        length = strlen(text);
        ck_assert_uint_lt(length, size);
        ck_assert_int_eq(text[size], 'x');
        if (strcmp(text, whole) == 0)
            continue;
        ck_assert_msg(length >= 4 && strcmp(text + length - 4, ",...") == 0, "%zu: '%s'", size,
                      text);
        ck_assert_int_eq(strncmp(text, whole, length - 4), 0);
    }
}
END_TEST

/* Catches a server that cannot start again after it was killed. */
START_TEST(a_stale_socket_is_replaced)
{
    const char *path = path_of("stale");
    int client;

    close(bind_path(path));
    ck_assert(exists(path));
    expect_open(path, NULL, NULL);
    client = connect_to(&listeners.all[0].address);
    ck_assert_int_ne(client, -1);
    close(client);
    listeners_close(&listeners);
    ck_assert(!exists(path));
}
END_TEST

/* Catches a second server that takes the socket away from a first one, also from one so busy
 * that its backlog is full. */
START_TEST(a_live_socket_is_not_replaced)
{
    const char *path = path_of("live");
    struct listeners first;
    int clients[64], count = 0;

    expect_open(path, NULL, NULL);
    first = listeners;
    for (int full = 0; full < 2; full++) {
        ck_assert_int_eq(open_all(path, NULL, NULL), -1);
        ck_assert_ptr_nonnull(strstr(errors.text, path));
        ck_assert_ptr_nonnull(strstr(errors.text, "another server"));
        ck_assert(exists(path));
        while (full == 0 && count < 64) {
            clients[count] = socket(AF_UNIX, SOCK_STREAM, 0);
            set_nonblocking(clients[count]);
            if (connect(clients[count++], &first.all[0].address.name.any,
                        first.all[0].address.length) == -1)
                break;
        }
    }
    ck_assert_int_gt(count, 1); /* the probe of the second server took one place, not all */
    while (count > 0)
        close(clients[--count]);
    listeners_close(&first);
    ck_assert(!exists(path));
}
END_TEST

/* Catches a server that deletes an administrator's file because it was in the way: a file, a
 * directory, a link that leads to a stale socket. */
START_TEST(what_is_no_socket_is_not_removed)
{
    const char *file = path_of("file"), *link = path_of("link"), *target = path_of("target");
    const char *in_the_way[] = {file, link};
    int descriptor = open(file, O_CREAT | O_EXCL | O_WRONLY, 0600);

    ck_assert_int_ne(descriptor, -1);
    close(descriptor);
    close(bind_path(target));
    ck_assert_int_eq(symlink(target, link), 0);
    for (size_t i = 0; i < SUITE_LENGTH(in_the_way); i++) {
        ck_assert_int_eq(open_all(in_the_way[i], NULL, NULL), -1);
        ck_assert_ptr_nonnull(strstr(errors.text, in_the_way[i]));
        ck_assert(exists(in_the_way[i]));
    }
    ck_assert(exists(target));
    ck_assert_int_eq(open_all(directory, NULL, NULL), -1);
    ck_assert(exists(directory));
    unlink(file);
    unlink(link);
    unlink(target);
}
END_TEST

/* Catches a stopping server that removes the socket of the one that has taken its place. */
START_TEST(a_successors_socket_is_not_removed)
{
    const char *path = path_of("successor");
    int other;

    expect_open(path, NULL, NULL);
    ck_assert_int_eq(unlink(path), 0);
    other = bind_path(path);
    listeners_close(&listeners);
    ck_assert(exists(path));
    close(other);
    unlink(path);
}
END_TEST

/* Catches sockets, files or descriptors that a failed start leaves behind. */
START_TEST(a_failed_start_leaves_nothing_behind)
{
    const char *file = path_of("occupied"), *made = path_of("made");
    int before, descriptor = open(file, O_CREAT | O_EXCL | O_WRONLY, 0600);

    ck_assert_int_ne(descriptor, -1);
    close(descriptor);
    before = open_descriptors();
    ck_assert_int_eq(open_all("127.0.0.1:0", made, file), -1);
    ck_assert_ptr_nonnull(strstr(errors.text, file));
    ck_assert(!exists(made));
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(open_all(made, "no..name:7", NULL), -1);
    ck_assert_ptr_nonnull(strstr(errors.text, "no..name:7"));
    ck_assert(!exists(made));
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(open_all(path_of("no-such-directory/socket"), NULL, NULL), -1);
    ck_assert_ptr_nonnull(strstr(errors.text, "no-such-directory"));
    ck_assert_int_eq(open_descriptors(), before);
    unlink(file);
}
END_TEST

/* Catches an error that leaves the administrator to guess the address or what to do. */
START_TEST(an_address_in_use_is_named_with_the_way_out)
{
    struct listeners first;
    char given[40], named[128];

    expect_open("127.0.0.1:0", NULL, NULL);
    first = listeners;
    snprintf(given, sizeof given, "127.0.0.1:%u", port_of(0));
    snprintf(named, sizeof named, "forkecho: cannot listen on %s (-l %s): ", given, given);
    ck_assert_int_eq(open_all(given, NULL, NULL), -1);
    ck_assert_msg(strncmp(errors.text, named, strlen(named)) == 0, "%s", errors.text);
    ck_assert_ptr_nonnull(strstr(errors.text, "another port"));
    listeners_close(&first);
}
END_TEST

/* Catches a foreign address that is taken for one of this machine (RFC 5737). */
START_TEST(an_address_of_another_machine_is_named)
{
    ck_assert_int_eq(open_all("192.0.2.1:0", NULL, NULL), -1);
    ck_assert_ptr_nonnull(strstr(errors.text, "192.0.2.1:0"));
}
END_TEST

/* Catches a new server that cannot bind while connections of the one before live on. */
START_TEST(a_port_can_be_bound_again_while_its_connections_live)
{
    struct address address;
    char given[40];
    struct peer peer;
    int client, accepted;

    expect_open("127.0.0.1:0", NULL, NULL);
    address = listeners.all[0].address;
    client = connect_to(&address);
    ck_assert_int_ne(client, -1);
    accepted = listener_accept(&listeners.all[0], &options, &peer);
    ck_assert_int_ne(accepted, -1);
    listeners_close(&listeners);
    expect_open(address_text(&address.name.any, given), NULL, NULL);
    listeners_close(&listeners);
    close(accepted); /* ours first: then it stays in TIME_WAIT */
    close(client);
    expect_open(given, NULL, NULL);
    listeners_close(&listeners);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        listeners_are_nonblocking_close_on_exec_and_listening,
        a_star_is_a_socket_a_family_on_one_port, each_listen_gets_a_port_of_its_own,
        accepted_connections_block_and_have_their_options,
        a_client_of_an_earlier_server_has_our_limits, no_idle_limit_takes_an_earlier_one_away,
        the_peer_is_the_clients_own_address,
        the_addresses_are_written_as_bound, addresses_that_do_not_fit_are_cut_and_marked,
        a_stale_socket_is_replaced, a_live_socket_is_not_replaced,
        what_is_no_socket_is_not_removed, a_successors_socket_is_not_removed,
        a_failed_start_leaves_nothing_behind, an_address_in_use_is_named_with_the_way_out,
        an_address_of_another_machine_is_named,
        a_port_can_be_bound_again_while_its_connections_live};
    int status;

    if (suite_make_directory(directory, sizeof directory) == -1)
        return EXIT_FAILURE;
    status = suite_run("listeners", tests, SUITE_LENGTH(tests));
    suite_remove_directory(directory);
    return status;
}
