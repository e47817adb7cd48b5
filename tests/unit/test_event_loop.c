/* test_event_loop.c: a server of one loop (event_loop.h). In the place of the library's mechanism
 * (readiness.h) stands one that holds the loop to the mechanism's contract; and each wait is where
 * the clients, who are this process as well, take their next step. */
#include "suite.h"

#include "base/clock.h"
#include "parts/event_loop.h"
#include "platform/readiness.h"
#include "process/log.h"
#include "process/signals.h"
#include "server/serve.h"

#include <sys/select.h>

/* What one read of a session takes: the size of its buffer (session.h). */
#define STEP_MAX 65536

static const struct serve_model model = {
    .before_close = event_loop_before_close, .stop_child = event_loop_stop_child};
static struct options options;
static struct pidfile pidfile = {.descriptor = -1};
static struct server *server;
static struct capture errors;

/* What the clients do at wait number `wait`, from 1, until they are done. */
static void (*act)(int wait);
static bool are_done;
static int waits;
static double wait_seconds; /* as the loop asked for the wait that they are in */

/* ---- the mechanism ---- */

static struct {
    unsigned wanted;
    void *owner;
} watched[FD_SETSIZE];
static size_t room;           /* what readiness_new was asked for */
static int made, freed;
static bool cannot_be_made;
static int refuse_client;     /* so many watches of a new client fail ... */
static int refuse_change;     /* ... of one that is watched already ... */
static int refuse_listener;   /* ... of a listener ... */
static int refuse_wait;       /* ... and waits */

static const struct readiness_mechanism mechanism;

struct readiness *readiness_new(const struct readiness_mechanism *asked, size_t limit)
{
    ck_assert_ptr_eq(asked, &mechanism);
    room = limit;
    if (cannot_be_made) {
        errno = ENOMEM;
        return NULL;
    }
    made++;
    return (struct readiness *)watched;
}

void readiness_free(struct readiness *readiness)
{
    freed += readiness != NULL;
}

static bool is_refused(int *count)
{
    if (*count == 0)
        return false;
    --*count;
    errno = EMFILE;
    return true;
}

int readiness_watch(struct readiness *readiness, int descriptor, unsigned was, unsigned wanted,
                    void *owner)
{
    ck_assert_ptr_eq(readiness, watched);
    ck_assert(descriptor >= 0 && descriptor < FD_SETSIZE);
    ck_assert_int_ne(fcntl(descriptor, F_GETFD), -1); /* what is closed cannot be stopped either */
    ck_assert_uint_eq(watched[descriptor].wanted, was);
    if (owner == NULL ? is_refused(&refuse_listener)
                      : is_refused(watched[descriptor].owner == owner ? &refuse_change
                                                                      : &refuse_client))
        return -1;
    watched[descriptor].wanted = wanted;
    watched[descriptor].owner = owner;
    return 0;
}

void readiness_forget(struct readiness *readiness, int descriptor)
{
    ck_assert_ptr_eq(readiness, watched);
    watched[descriptor].wanted = READINESS_NONE;
    watched[descriptor].owner = NULL;
}

static size_t tell(struct readiness_event *events, size_t limit, const fd_set *readable,
                   const fd_set *writable)
{
    size_t count = 0;

    for (int i = 0; i < FD_SETSIZE && count < limit; i++) {
        unsigned ready = (FD_ISSET(i, readable) ? READINESS_READ : 0u) |
                         (FD_ISSET(i, writable) ? READINESS_WRITE : 0u);
        if (ready != 0)
            events[count++] = (struct readiness_event){i, watched[i].owner, ready};
    }
    return count;
}

int readiness_wait(struct readiness *readiness, struct readiness_event *events, size_t limit,
                   double seconds, const sigset_t *mask)
{
    struct timespec timeout;
    fd_set readable, writable;
    int found;

    ck_assert_ptr_eq(readiness, watched);
    ck_assert_ptr_eq(mask, signals_wait_mask());
    for (int i = 0; i < FD_SETSIZE; i++) /* what is closed is forgotten before */
        ck_assert(watched[i].wanted == READINESS_NONE || fcntl(i, F_GETFD) != -1);
    waits++;
    wait_seconds = seconds;
    if (!are_done)
        act(waits);
    if (is_refused(&refuse_wait))
        return -1;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    for (int i = 0; i < FD_SETSIZE; i++) {
        if ((watched[i].wanted & READINESS_READ) != 0)
            FD_SET(i, &readable);
        if ((watched[i].wanted & READINESS_WRITE) != 0)
            FD_SET(i, &writable);
    }
    timeout = clock_timespec(seconds < 0 ? 0 : seconds);
    found = pselect(FD_SETSIZE, &readable, &writable, NULL, seconds < 0 ? NULL : &timeout, mask);
    if (found == -1)
        ck_assert_int_eq(errno, EINTR);
    return found <= 0 ? 0 : (int)tell(events, limit, &readable, &writable);
}

/* ---- a server and its clients ---- */

/* Serves until the clients stop it. Arguments are options, up to NULL. */
static int serve(void (*clients_act)(int wait), char **words)
{
    char *arguments[16] = {"oneecho", "-v", "-l", "127.0.0.1:0", "-t", "0"};
    int count = 6, outcome;

    while (*words != NULL)
        arguments[count++] = *words++;
    act = clients_act;
    are_done = false;
    optind = 1; /* a process reads one command line, but for this */
    ck_assert_int_eq(options_read(&options, "oneecho", NULL, "", count, arguments), OPTIONS_SERVE);
    capture_begin(&errors, STDERR_FILENO);
    log_name("oneecho");
    log_open((enum log_level)options.verbosity, -1);
    signals_open();
    server = server_open(&model, &options, &pidfile);
    ck_assert_ptr_nonnull(server);
    ck_assert_int_eq(listeners_open(&server->listeners, server->options), 0);
    outcome = event_loop_serve(server, &mechanism);
    capture_end(&errors);
    return outcome;
}

#define SERVE(clients_act, ...) serve(clients_act, (char *[]){__VA_ARGS__, NULL})

static void stop(void)
{
    ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
}

/* Stops the server, which may have clients to take leave of. */
static void finish(void)
{
    are_done = true;
    stop();
}

static int listener(void)
{
    return server->listeners.all[0].descriptor;
}

static int connected(void)
{
    const struct address *address = &server->listeners.all[0].address;
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(connect(descriptor, &address->name.any, address->length), 0);
    set_nonblocking(descriptor);
    return descriptor;
}

/* What is watched for the one client; there are no others. */
static unsigned wanted_for_client(void)
{
    unsigned wanted = READINESS_NONE;

    for (int i = 0; i < FD_SETSIZE; i++)
        if (watched[i].owner != NULL)
            wanted |= watched[i].wanted;
    return wanted;
}

static void send_text(int client, const char *text)
{
    ck_assert_int_eq(write(client, text, strlen(text)), (ssize_t)strlen(text));
}

/* Asserts that this, and nothing else, has come by now. */
static void expect_text(int client, const char *text)
{
    char bytes[256];
    ssize_t size = read(client, bytes, sizeof bytes);

    ck_assert_msg(size == (ssize_t)strlen(text), "%d bytes, not '%s'", (int)size, text);
    ck_assert_mem_eq(bytes, text, (size_t)size);
}

static void expect_nothing(int client)
{
    char byte;

    ck_assert_int_eq(read(client, &byte, 1), -1);
    ck_assert(errno == EAGAIN || errno == EWOULDBLOCK);
}

static void expect_end(int client)
{
    char byte;

    ck_assert_int_eq(read(client, &byte, 1), 0);
}

/* Takes what there is, without waiting. Returns how much. */
static size_t take_all(int client)
{
    static char bytes[STEP_MAX];
    size_t size = 0;
    ssize_t more;

    while ((more = read(client, bytes, sizeof bytes)) > 0)
        size += (size_t)more;
    return size;
}

/* Sends as much as there is room for. Returns how much. */
static size_t fill(int client)
{
    static const char bytes[STEP_MAX];
    size_t size = 0;
    ssize_t more;

    while ((more = write(client, bytes, sizeof bytes)) > 0)
        size += (size_t)more;
    return size;
}

static void expect_log(const char *what)
{
    ck_assert_msg(strstr(errors.text, what) != NULL, "no '%s' in:\n%s", what, errors.text);
}

static int clients[4];

/* ---- a turn ---- */

static void echo_once(int wait)
{
    if (wait == 1) {
        clients[0] = connected();
        send_text(clients[0], "early");
    } else if (wait == 2) {
        expect_text(clients[0], "early");
        send_text(clients[0], "next");
    } else if (wait == 3) {
        expect_text(clients[0], "next");
        shutdown(clients[0], SHUT_WR);
    } else if (wait == 4) {
        expect_end(clients[0]);
        ck_assert_uint_eq(server->children->live, 0);
        finish();
    }
}

/* Catches a turn more than a message needs, as the first one of a client waits for it, a session
 * that outlives its client, and a server that outlives its stop. */
START_TEST(a_connection_takes_a_wait_and_each_message_one)
{
    ck_assert_int_eq(SERVE(echo_once, "-c", "4"), 0);
    ck_assert_int_eq(waits, 4);
    ck_assert_uint_eq(server->statistics.in, 9);
    ck_assert_uint_eq(server->statistics.out, 9);
    ck_assert_uint_eq(server->statistics.ended, 1);
    expect_log("how=eof live=0\n");
}
END_TEST

static void come_together(int wait)
{
    if (wait == 1)
        for (int i = 0; i < 3; i++)
            clients[i] = connected();
    else
        ck_assert_uint_eq(server->statistics.accepted, (unsigned)wait - 1);
    if (wait == 4) {
        for (int i = 0; i < 3; i++)
            close(clients[i]);
        finish();
    }
}

/* Catches a crowd that comes in at once, while those that are served wait. */
START_TEST(one_client_comes_in_a_turn)
{
    ck_assert_int_eq(SERVE(come_together, "-c", "8"), 0);
    ck_assert_uint_eq(server->statistics.ended, 3);
}
END_TEST

static void send_much_beside_another(int wait)
{
    if (wait == 1) {
        clients[0] = connected();
    } else if (wait == 2) {
        clients[1] = connected();
    } else if (wait == 3) {
        ck_assert_uint_gt(fill(clients[0]), STEP_MAX);
        send_text(clients[1], "short");
    } else if (wait == 4) { /* one step each */
        size_t size = take_all(clients[0]);
        ck_assert_uint_gt(size, 0);
        ck_assert_uint_le(size, STEP_MAX);
        expect_text(clients[1], "short");
        close(clients[0]);
        close(clients[1]);
        finish();
    }
}

/* Catches a client who is served for as long as he sends, while all others wait. */
START_TEST(a_client_has_one_step_a_turn)
{
    ck_assert_int_eq(SERVE(send_much_beside_another, "-c", "8"), 0);
    ck_assert_int_ge(waits, 4);
}
END_TEST

static size_t sent;

/* Sends without reading until nothing moves, and only then reads. */
static void read_late(int wait)
{
    if (wait == 1) {
        clients[0] = connected();
    } else if (clients[1] == 0) {
        sent += fill(clients[0]);
        if (wanted_for_client() != READINESS_WRITE)
            return;
        clients[1] = 1;
    }
    if (clients[1] == 1) {
        sent -= take_all(clients[0]);
        if (sent == 0) {
            ck_assert_uint_eq(wanted_for_client(), READINESS_READ);
            shutdown(clients[0], SHUT_WR);
            finish();
        }
    }
}

/* Catches a session that is watched for what it cannot use: it would spin, or sleep for ever. */
START_TEST(a_session_is_watched_for_what_it_wants)
{
    ck_assert_int_eq(SERVE(read_late, "-c", "4"), 0);
    ck_assert_uint_eq(server->statistics.in, server->statistics.out);
    expect_log("how=eof");
}
END_TEST

/* ---- the gate ---- */

static void come_to_a_full_server(int wait)
{
    if (wait == 1) {
        ck_assert_uint_eq(watched[listener()].wanted, READINESS_READ);
        clients[0] = connected();
    } else if (wait == 2) {
        ck_assert_uint_eq(watched[listener()].wanted, READINESS_NONE);
        clients[1] = connected();
        send_text(clients[1], "second");
        ck_assert(wait_seconds < 0); /* nothing wakes it for nothing */
        close(clients[0]);
    } else if (wait == 3) {
        ck_assert_uint_eq(watched[listener()].wanted, READINESS_READ);
        ck_assert_uint_eq(server->statistics.accepted, 1);
    } else if (wait == 4) {
        ck_assert_uint_eq(watched[listener()].wanted, READINESS_NONE);
        expect_text(clients[1], "second");
        close(clients[1]);
        finish();
    }
}

/* Catches a full server that watches its listeners, and spins while somebody waits, and one that
 * does not watch them again. */
START_TEST(listeners_are_watched_while_the_gate_is_open)
{
    ck_assert_int_eq(SERVE(come_to_a_full_server, "-c", "1"), 0);
    ck_assert_uint_eq(server->statistics.deferred_cap, 1);
    ck_assert_uint_eq(server->statistics.ended, 2);
}
END_TEST

/* ---- times ---- */

static double opened, moved;

static void fall_silent(int wait)
{
    if (wait == 1) {
        clients[0] = connected();
        opened = clock_seconds();
    } else if (clock_seconds() < opened + 0.6) {
        ck_assert(wait_seconds >= 0 && wait_seconds <= 0.4);
        take_all(clients[0]);
        moved = clock_seconds();
        send_text(clients[0], "x");
    } else if (server->children->live == 0) {
        ck_assert(clock_seconds() >= moved + 0.4);
        ck_assert(wait_seconds < 0); /* no timer is left behind */
        finish();
    }
}

/* Catches an idle limit that is not awaited, or counts from the beginning, and the timer of a
 * session that has ended: it leads to what was freed. */
START_TEST(an_idle_session_ends_at_its_limit)
{
    ck_assert_int_eq(SERVE(fall_silent, "-c", "4", "-t", "0.4"), 0);
    expect_log("how=idle live=0\n");
}
END_TEST

static void end_before_the_limit(int wait)
{
    if (wait == 1) {
        clients[0] = connected();
    } else if (wait == 2) {
        ck_assert(wait_seconds > 100);
        shutdown(clients[0], SHUT_WR);
    } else if (wait == 3) {
        ck_assert(wait_seconds < 0);
        finish();
    }
}

/* Catches a timer that stays when the session ends by itself. */
START_TEST(a_session_that_ends_is_due_no_more)
{
    ck_assert_int_eq(SERVE(end_before_the_limit, "-c", "4", "-t", "500", "-T", "600"), 0);
    expect_log("how=eof live=0\n");
}
END_TEST

static void wait_for_the_first_read(int wait)
{
    if (wait == 1) {
        clients[0] = connected();
        send_text(clients[0], "x");
        opened = clock_seconds();
    } else if (clock_seconds() < opened + 0.3 && take_all(clients[0]) == 0) {
        ck_assert_uint_eq(wanted_for_client(), READINESS_NONE);
        ck_assert(wait_seconds >= 0 && wait_seconds <= 0.3);
    } else if (wanted_for_client() == READINESS_READ) {
        close(clients[0]);
        finish();
    }
}

/* Catches a pause in which a client who sends wakes the server again and again, and one that does
 * not end, or at once. */
START_TEST(in_a_pause_nothing_is_watched)
{
    ck_assert_int_eq(SERVE(wait_for_the_first_read, "-c", "4", "-w", "0.3"), 0);
    ck_assert_uint_eq(server->statistics.in, 1);
    ck_assert_int_lt(waits, 20);
}
END_TEST

/* ---- what fails ---- */

static void come_while_no_client_can_be_watched(int wait)
{
    if (wait == 1) {
        clients[0] = connected();
    } else if (wait == 2) {
        refuse_client = 1000;
        clients[1] = connected();
        send_text(clients[1], "held");
    } else if (wait == 3) {
        ck_assert(server->gate.holding);
        ck_assert_int_lt(refuse_client, 1000);
        refuse_client = 0;
        expect_nothing(clients[1]);
        ck_assert_uint_eq(watched[listener()].wanted, READINESS_NONE);
        close(clients[0]); /* which may free what was missing */
    } else if (!server->gate.holding) {
        expect_text(clients[1], "held");
        ck_assert_uint_eq(server->statistics.accepted, 2);
        close(clients[1]);
        finish();
    }
}

/* Catches a client that is lost, or closed, as he could not be watched. */
START_TEST(who_cannot_be_watched_is_held)
{
    ck_assert_int_eq(SERVE(come_while_no_client_can_be_watched, "-c", "4"), 0);
    expect_log("oneecho: watching a client failed: ");
    ck_assert_uint_eq(server->statistics.ended, 2);
}
END_TEST

static void fill_while_no_change_is_possible(int wait)
{
    if (wait == 1) {
        clients[0] = connected();
        refuse_change = 1;
    } else if (server->children->live > 0) {
        fill(clients[0]);
    } else {
        ck_assert_int_eq(refuse_change, 0);
        finish();
    }
}

/* Catches a session that nothing wakes any more, and that stays: it was not to be watched for what
 * it wants. */
START_TEST(a_session_that_cannot_go_on_ends)
{
    ck_assert_int_eq(SERVE(fill_while_no_change_is_possible, "-c", "4"), 0);
    expect_log("how=error live=0\n");
}
END_TEST

static void come_in_spite_of_failures(int wait)
{
    if (clients[0] == 0) { /* the first wait that could be begun */
        ck_assert_int_eq(refuse_listener, 0);
        clients[0] = connected();
        send_text(clients[0], "x");
    } else if (wait > 1 && refuse_wait == 0 && server->statistics.accepted > 0) {
        expect_text(clients[0], "x");
        close(clients[0]);
        finish();
    }
}

/* Catches a server that ends, or spins, where a wait fails, and one that says it each time. */
START_TEST(a_wait_that_fails_is_paused_and_goes_on)
{
    for (int of_listeners = 0; of_listeners < 2; of_listeners++) {
        double before = clock_seconds();
        const char *said;
        waits = clients[0] = 0; /* from the beginning */
        refuse_listener = of_listeners ? 2 : 0;
        refuse_wait = of_listeners ? 0 : 2;
        ck_assert_int_eq(SERVE(come_in_spite_of_failures, "-c", "4"), 0);
        ck_assert(clock_seconds() - before >= 0.1); /* two pauses */
        expect_log("oneecho: the wait failed: ");
        said = strstr(errors.text, "the wait failed");
        ck_assert_ptr_null(strstr(said + 1, "the wait failed"));
        ck_assert_uint_eq(server->statistics.ended, 1);
    }
}
END_TEST

static void never(int wait)
{
    ck_abort_msg("there is a wait, number %d", wait);
}

/* Catches a server that crashes, or serves, where it could not set up what it needs, and fails
 * without a word. */
START_TEST(what_cannot_be_set_up_is_said)
{
    cannot_be_made = true;
    ck_assert_int_eq(SERVE(never, "-c", "77"), -1);
    expect_log("oneecho: cannot set up the wait for 77 clients: ");
    ck_assert_int_eq(lines_of(errors.text), 1);
}
END_TEST

/* ---- the end ---- */

static void stop_with_a_client(int wait)
{
    if (wait == 1) {
        clients[0] = connected();
    } else if (wait == 2) {
        clients[1] = listener();
        stop();
    } else if (wait == 3) { /* a drain: he may finish */
        ck_assert_int_eq(server->stop.phase, SERVER_DRAINING);
        ck_assert_uint_eq(watched[clients[1]].wanted, READINESS_NONE);
        ck_assert_uint_eq(server->listeners.count, 0);
        send_text(clients[0], "x");
    } else if (wait == 4) {
        expect_text(clients[0], "x");
        server->stop.once_until = 0; /* else it would be the first again */
        stop();
    } else {
        ck_abort_msg("it still waits");
    }
}

/* Catches a listener that is closed while it is watched: whoever shares it would wake us for ever;
 * a drain that cuts, and a second signal that waits. */
START_TEST(a_stop_unwatches_listeners_and_a_second_one_ends_all)
{
    ck_assert_int_eq(SERVE(stop_with_a_client, "-c", "4", "-g", "500"), 0);
    ck_assert_int_eq(waits, 4);
    expect_end(clients[0]);
    expect_log("in=1 out=1 ");
    expect_log("how=signal-15 live=0\n");
}
END_TEST

/* Catches room for too few: the last of the clients who were promised would be held for ever; and
 * what is left open, or not given back. */
START_TEST(there_is_room_for_all_and_all_is_given_back)
{
    int before = open_descriptors();

    ck_assert_int_eq(SERVE(echo_once, "-c", "50"), 0);
    ck_assert_uint_ge(room, 50 + EVENT_LOOP_RESERVED);
    ck_assert_int_eq(made, 1);
    ck_assert_int_eq(freed, 1);
    close(clients[0]);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

SUITE("event_loop", a_connection_takes_a_wait_and_each_message_one, one_client_comes_in_a_turn,
      a_client_has_one_step_a_turn, a_session_is_watched_for_what_it_wants,
      listeners_are_watched_while_the_gate_is_open, an_idle_session_ends_at_its_limit,
      a_session_that_ends_is_due_no_more, in_a_pause_nothing_is_watched,
      who_cannot_be_watched_is_held, a_session_that_cannot_go_on_ends,
      a_wait_that_fails_is_paused_and_goes_on, what_cannot_be_set_up_is_said,
      a_stop_unwatches_listeners_and_a_second_one_ends_all,
      there_is_room_for_all_and_all_is_given_back)
