/*
 * fuzz_session.c: a session against a model of it (session.h), over a socketpair, however the
 * bytes are cut and whenever each side comes to read and write.
 *
 * Input: a line of letters that say what kind of service it is and who runs the session, a
 * line of acts, each a letter and a digit, and the rest is what the client sends.
 *
 *   kind  m q a: replies by a template (templates[] below); G: a greeting; P: a PROXY header is
 *         due; w: a delay; k: small socket buffers; x: the data is sent again and again, until
 *         it fills all buffers there are; 1 to 9: the message size; B: runs by itself, blocking
 *         (session_run), in a thread, and then as plain echo, for what was one message cannot
 *         be seen from outside
 *   acts  cN: the client sends up to so much; rN: reads; tN: the session takes so many steps;
 *         h: half-closes; v: vanishes. Digits stand for sizes[] below.
 *
 * After the acts everything goes on until it ends. Catches: a byte that is lost, doubled or
 * late where a write is short, an end of file that cuts what is unsent, a header whose bytes are
 * echoed or that swallows some of the first message, counts that are not what was sent, and a
 * session that waits for ever or spins.
 */
#include "base/clock.h"
#include "echo/session.h"
#include "fuzz.h"
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* What the digits of an act mean: one byte, a message, around a buffer's end, more than that. */
static const size_t sizes[] = {1, 2, 3, 7, 16, 100, 1000, 4096, 65536, 200000};

static const char *const templates[] = {"<%m>", "%q\n", "%a: %m%m%%"};

/* How much the kind x sends: more than a session's buffer and those of both sockets hold; but
 * not more messages than that, where they are small. */
#define MUCH 550000
#define MANY 500

/* Turns without a byte moved, after which a run has hung; in a thread, seconds. */
#define IDLE_TURNS 1000
#define IDLE_SECONDS 10

/* One run: the two ends, and what has gone in and should come out. */
static struct {
    struct session session;
    const char *template, *greeting;
    uint8_t *data;
    size_t size, sent;
    struct bytes received, expected;
    int client;      /* -1: it has vanished */
    bool half_closed;
} run;

static bool has(const struct input *kind, char letter)
{
    return kind->left > 0 && memchr(kind->at, letter, kind->left) != NULL;
}

/* ---- the model ---- */

/* What the first `size` bytes are as a header, where one is due: 1, 0 or -1, as proxy_parse
 * says. Where none is due it is complete, of no bytes. */
static int find_header(size_t size, struct proxy_header *header, enum proxy_problem *problem)
{
    memset(header, 0, sizeof *header);
    if (run.session.service->proxies.count == 0)
        return 1;
    return proxy_parse((const char *)run.data, size < PROXY_HEADER_MAX ? size : PROXY_HEADER_MAX,
                       header, problem);
}

/* Where the messages begin. */
static size_t header_size(void)
{
    struct proxy_header header;
    enum proxy_problem problem;

    return find_header(run.size, &header, &problem) == 1 ? header.size : 0;
}

/* The session has read something: adds what the client should get for it. What is one message
 * only the session knows, by its reads. */
static void answer(size_t begin, size_t size)
{
    const char *message = (const char *)run.data + begin;

    if (run.template == NULL)
        bytes_add(&run.expected, message, size);
    else
        (void)model_reply(&run.expected, run.template, message, size, &run.session.peer);
}

static void greet(void)
{
    if (run.greeting != NULL)
        (void)model_reply(&run.expected, run.greeting, NULL, 0, &run.session.peer);
}

/* What came is what should have: all of it at an orderly end, its beginning at any other. */
static void check_received(bool all)
{
    FUZZ_HOLDS(run.received.size <= run.expected.size);
    FUZZ_HOLDS(!all || run.received.size == run.expected.size);
    FUZZ_HOLDS(run.received.size == 0 ||
               memcmp(run.received.at, run.expected.at, run.received.size) == 0);
}

/* ---- the client ---- */

static bool is_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Sends up to `size` bytes. Returns whether something moved. */
static bool client_sends(size_t size)
{
    size_t left = run.size - run.sent;
    ssize_t sent;

    if (run.client == -1 || run.half_closed || left == 0)
        return false;
    sent = send(run.client, run.data + run.sent, size < left ? size : left,
                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == -1) {
        run.half_closed = !is_later();
        return run.half_closed;
    }
    run.sent += (size_t)sent;
    return true;
}

static bool client_reads(size_t size)
{
    static char bytes[200000];
    ssize_t found = -1;

    if (run.client != -1)
        found = recv(run.client, bytes, size < sizeof bytes ? size : sizeof bytes, MSG_DONTWAIT);
    if (found > 0)
        bytes_add(&run.received, bytes, (size_t)found);
    return found > 0;
}

static void client_finishes(void)
{
    if (run.client != -1 && !run.half_closed)
        (void)shutdown(run.client, SHUT_WR);
    run.half_closed = true;
}

static void client_vanishes(void)
{
    if (run.client != -1)
        close(run.client);
    run.client = -1;
}

/* ---- the session, step by step ---- */

/* Takes a step. Returns whether something moved. */
static bool session_moves(void)
{
    uint64_t before = run.session.in;
    bool due = run.session.header.due, moved;

    if (run.session.wants == SESSION_DONE)
        return false;
    moved = session_step(&run.session);
    if (run.session.in > before)
        answer(header_size() + (size_t)before, (size_t)(run.session.in - before));
    if (due && !run.session.header.due)
        greet();
    return moved;
}

static void act(char letter, size_t digit)
{
    switch (letter) {
    case 'c': (void)client_sends(sizes[digit]); break;
    case 'r': (void)client_reads(sizes[digit]); break;
    case 'h': client_finishes(); break;
    case 'v': client_vanishes(); break;
    case 't':
        for (size_t i = 0; i <= digit; i++)
            (void)session_moves();
        break;
    default: break;
    }
}

/* Goes on until the session has ended and its client has read all. */
static void run_to_the_end(void)
{
    int idle = 0;
    bool moved;

    do {
        if (run.sent == run.size)
            client_finishes();
        moved = client_sends(SIZE_MAX);
        moved = session_moves() || moved;
        moved = client_reads(SIZE_MAX) || moved;
        idle = moved ? 0 : idle + 1;
        FUZZ_HOLDS(idle < IDLE_TURNS);
    } while (moved || run.session.wants != SESSION_DONE);
}

/* ---- the session, in a thread of its own ---- */

static void *run_session(void *session)
{
    session_run(session);
    (void)shutdown(run.session.descriptor, SHUT_WR);
    return NULL;
}

/* The client's part beside it: the acts, of which those of the session mean nothing here. Goes
 * on until it sees the end. */
static void play_client(struct input acts)
{
    struct pollfd ready = {.fd = run.client};

    for (; run.client != -1; ready.fd = run.client) {
        char letter = (char)take_byte(&acts), end;

        if (acts.left > 0) {
            act(letter == 't' ? '-' : letter, take_byte(&acts) % 10U);
            continue;
        }
        (void)client_sends(SIZE_MAX);
        if (run.sent == run.size)
            client_finishes();
        if (client_reads(SIZE_MAX))
            continue;
        ready.events = (short)(run.half_closed ? POLLIN : POLLIN | POLLOUT);
        FUZZ_HOLDS(clock_poll(&ready, 1, IDLE_SECONDS) > 0);
        if (recv(run.client, &end, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
            return;
    }
}

static void run_beside(struct input acts)
{
    bool due = run.session.header.due;
    pthread_t thread;

    if (pthread_create(&thread, NULL, run_session, &run.session) != 0)
        abort();
    play_client(acts);
    pthread_join(thread, NULL);
    if (due && !run.session.header.due)
        greet();
    answer(header_size(), (size_t)run.session.in);
}

/* ---- how it ended ---- */

/* The ending that what was sent asks for, where the client stays to the end. */
static void check_ending(void)
{
    struct proxy_header header;
    enum proxy_problem problem = PROXY_CUT;
    int found = find_header(run.sent, &header, &problem);

    if (found == 1 || (found == 0 && run.sent == 0)) {
        FUZZ_HOLDS(run.session.ending == SESSION_EOF);
        FUZZ_HOLDS(run.session.in == run.sent - header.size);
        FUZZ_HOLDS(run.session.header.named == header.known);
    } else {
        FUZZ_HOLDS(run.session.ending == SESSION_PROXY && run.session.in == 0);
        FUZZ_HOLDS(run.session.header.problem == problem);
    }
}

static void check_end(bool stayed)
{
    FUZZ_HOLDS(run.session.wants == SESSION_DONE);
    if (stayed) {
        check_ending();
        FUZZ_HOLDS(run.session.out == run.expected.size);
    } else {
        FUZZ_HOLDS(run.session.ending != SESSION_IDLE && run.session.ending != SESSION_LIFETIME);
    }
    check_received(stayed);
}

/* ---- a run ---- */

static struct service service_of(const struct input *kind, bool blocking)
{
    struct service service = {.answers.message_size = 16, .idle = blocking ? IDLE_SECONDS : 0};
    const char *problem;
    struct block all;

    for (size_t i = 0; i < FUZZ_LENGTH(templates); i++)
        if (has(kind, "mqa"[i]) && !blocking)
            run.template = templates[i];
    for (size_t digit = 1; digit <= 9; digit++)
        if (has(kind, "0123456789"[digit]))
            service.answers.message_size = sizes[digit] < 65536 ? sizes[digit] : 65536;
    if (run.template != NULL)
        service.answers.reply = reply_compile(run.template, true, &problem);
    if (has(kind, 'G'))
        service.answers.greeting = reply_compile(run.greeting = "hi %a\n", false, &problem);
    if (has(kind, 'w'))
        service.answers.delay = 1e-6;
    if (has(kind, 'P') && block_parse("192.0.2.0/24", &all, (char[BLOCK_PROBLEM_MAX]){""}) == 0)
        (void)access_add(&service.proxies, ACCESS_ALLOW, &all);
    return service;
}

/* What the client sends: the rest of the input, once or often. */
static void set_data(const struct input *kind, struct input rest, size_t message_size)
{
    size_t most = run.template != NULL ? MANY * message_size : MUCH;

    run.size = rest.left == 0 || !has(kind, 'x') ? rest.left : most < MUCH ? most : MUCH;
    run.data = fuzz_memory(run.size);
    for (size_t at = 0; at < run.size; at += rest.left)
        memcpy(run.data + at, rest.at, run.size - at < rest.left ? run.size - at : rest.left);
}

static int open_pair(const struct input *kind, bool blocking)
{
    int ends[2], small = 4096;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == -1)
        abort();
    for (size_t i = 0; i < 2 && has(kind, 'k'); i++)
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    session_set_timeouts(ends[0], IDLE_SECONDS);
    if (!blocking)
        (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    run.client = ends[1];
    return ends[0];
}

static void begin(const struct service *service, const struct input *kind, bool blocking,
                  char *buffer)
{
    static const uint8_t address[16] = {192, 0, 2, 1};
    struct peer peer = peer_of(AF_INET, address, 7);

    session_open(&run.session, service, open_pair(kind, blocking), &peer, buffer);
    if (!run.session.header.due)
        greet();
}

static void play(struct input acts, bool blocking)
{
    if (blocking) {
        run_beside(acts);
        return;
    }
    while (acts.left > 0) {
        char letter = (char)take_byte(&acts);
        act(letter, take_byte(&acts) % 10U);
    }
    run_to_the_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_of(data, size);
    char *kind_line = take_line(&input), *acts_line = take_line(&input), *buffer;
    struct input kind, acts;
    struct service service;
    bool blocking;

    if (acts_line == NULL) {
        free(kind_line);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN); /* as in a server */
    memset(&run, 0, sizeof run);
    kind = input_of((const uint8_t *)kind_line, strlen(kind_line));
    acts = input_of((const uint8_t *)acts_line, strlen(acts_line));
    blocking = has(&kind, 'B');
    service = service_of(&kind, blocking);
    set_data(&kind, input, service.answers.message_size);
    buffer = fuzz_memory(session_buffer_size(&service));
    begin(&service, &kind, blocking, buffer);
    play(acts, blocking);
    check_end(run.client != -1);

    client_vanishes();
    close(run.session.descriptor);
    free((struct reply *)service.answers.reply);
    free((struct reply *)service.answers.greeting);
    free(service.proxies.entries);
    free(run.data);
    bytes_free(&run.expected);
    bytes_free(&run.received);
    free(buffer);
    free(kind_line);
    free(acts_line);
    return 0;
}
