/* test_takeover.c: the state that a program leaves to the next one (takeover.h). */
#include "suite.h"

#include "base/clock.h"
#include "platform/platform.h"
#include "process/log_sink.h"
#include "process/manager.h"
#include "server/serve.h"
#include "upgrade/takeover.h"

#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>

#define MOST 8 /* -c */
#define STATE_MAX 65536
#define PIDFILE_NAME "a\npid" /* a path may have any byte in it */

/* A program that serves, and all that it could leave to another. */
static struct options options = {.program = "forkecho", .max_connections = MOST};
static struct pidfile pidfile = {.descriptor = -1};
static const struct serve_model no_model = {0};
static struct ledger ledger;
static struct server *server;
static char folder[] = "/tmp/takeover-XXXXXX";

/* Its state as text, and what a test has made of that. */
static char state[STATE_MAX], changed[STATE_MAX];

static char *path_of(const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* ---- a server that has all there can be ---- */

static void give_listeners(void)
{
    static char local[64], listen_text[64];
    static const char *const texts[] = {"127.0.0.1:0", "127.0.0.2:0", listen_text};

    snprintf(listen_text, sizeof listen_text, "%s", path_of("socket", local, sizeof local));
    options.backlog = 1;
    for (size_t i = 0; i < SUITE_LENGTH(texts); i++) {
        options.listen[i].text = texts[i];
        ck_assert_ptr_null(address_split(texts[i], &options.listen[i].endpoint));
    }
    options.listen_count = SUITE_LENGTH(texts);
    ck_assert_int_eq(listeners_open(&server->listeners, server->options), 0);
    server->listeners.all[1].inherits = true;
    options.status[0] = options.listen[0];
    options.status_count = 1;
    ck_assert_int_eq(listeners_open_status(&server->status_listeners, server->options), 0);
}

static void give_children(void)
{
    static const char *const peers[] = {"192.0.2.1", "192.0.2.1", "2001:db8::1",
                                        "local",     "local",     "::ffff:192.0.2.9"};

    for (size_t i = 0; i < SUITE_LENGTH(peers); i++) {
        struct peer peer = peer_at(peers[i], 40000 + (unsigned)i);
        struct child *child =
            children_add(server->children, 4711 - 3 * (int64_t)i, &peer, 1000.5 + (double)i / 7);
        ck_assert_ptr_nonnull(child);
        child->exit_recorded = i % 2 == 1;
        if (child->exit_recorded)
            children_leave_source(server->children, child);
        child->ending = (int)i;
        child->problem = (int)i + 1;
        child->in = UINT64_MAX - i;
        child->out = UINT64_C(1) << (32 + i);
        child->stop_signal = i == 2 ? SIGTERM : 0;
        child->owes_header = i == 2;
        if (i == 1)
            child->client = peer_at("2001:db8:7::7", 7);
        if (i == 3)
            child->client = peer_at("198.51.100.7", 65535);
    }
}

static void set_up(void)
{
    char path[64];
    int ends[2];

    ck_assert_ptr_nonnull(mkdtemp(folder));
    server = server_open(&no_model, &options, &pidfile);
    ck_assert_ptr_nonnull(server);
    give_listeners();
    ck_assert_int_eq(pidfile_open(&pidfile, path_of(PIDFILE_NAME, path, sizeof path)), 0);
    ck_assert_int_eq(ledger_open(&ledger, LEDGER_GIVES_UP), 0);
    server->ledger.read_end = ledger.read_end;
    server->ledger.write_end = ledger.write_end;
    give_children();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    server->gate.holding = true;
    server->gate.held = (struct client){.descriptor = ends[0], .peer = peer_at("192.0.2.77", 77)};
    server->statistics = (struct statistics){
        .accepted = ULLONG_MAX, .ended = 2, .refused = 3, .deferred = 4, .deferred_cap = 5,
        .in = UINT64_C(0x123456789abcdef0), .out = 7, .peak = 8, .upgrades = 9,
        .since = UINT64_C(1800000000)};
    for (size_t how = 0; how < ENDED_HOWS; how++)
        server->statistics.ended_how[how] = 10 + how;
    for (size_t why = 0; why < REFUSALS; why++)
        server->statistics.refused_why[why] = 30 + why;
    server->started = 123456.789012345;
    manager_connect(socket(AF_UNIX, SOCK_DGRAM, 0));
    log_sink_moved(socket(AF_UNIX, SOCK_DGRAM, 0));
    server->score = platform_anonymous_file();
}

static void tear_down(void)
{
    listeners_close(&server->listeners);
    listeners_close(&server->status_listeners);
    pidfile_close(&pidfile);
    close(manager_descriptor());
    manager_connect(-1);
    log_sink_moved(-1);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* ---- writing and reading it ---- */

static int write_to(int file)
{
    int descriptors[TAKEOVER_DESCRIPTORS_MAX] = {0};

    return takeover_write(file, server, descriptors);
}

/* Those that the state names, which has room for TAKEOVER_DESCRIPTORS_MAX. Returns how many. */
static size_t named_descriptors(int *descriptors)
{
    int file = platform_anonymous_file();
    size_t count = 0;

    memset(descriptors, 0, TAKEOVER_DESCRIPTORS_MAX * sizeof *descriptors);
    ck_assert_int_eq(takeover_write(file, server, descriptors), 0);
    close(file);
    while (descriptors[count] != 0)
        count++;
    return count;
}

static void write_state(void)
{
    int file = platform_anonymous_file();
    ssize_t size;

    ck_assert_int_eq(write_to(file), 0);
    size = pread(file, state, sizeof state - 1, 0);
    ck_assert_int_gt(size, 0);
    state[size] = '\0';
    close(file);
}

/* Has another server read `text`. Returns it, or NULL where it is refused. */
static struct server *read_bytes(const char *text, size_t size, struct pidfile *adopted)
{
    int file = platform_anonymous_file(), result;
    struct server *next = server_open(&no_model, &options, adopted);

    ck_assert(next != NULL && write(file, text, size) == (ssize_t)size);
    result = takeover_read(file, next, true);
    ck_assert(result == 0 || result == -1);
    close(file);
    return result == 0 ? next : NULL;
}

static struct server *read_text(const char *text)
{
    return read_bytes(text, strlen(text), NULL);
}

/* ---- comparing ---- */

/* Addresses are handed on byte by byte, so they are compared like that. */
static bool same_bytes(const void *one, const void *other, size_t size)
{
    return memcmp(one, other, size) == 0;
}

static bool same_peer(const struct peer *one, const struct peer *other)
{
    return same_bytes(one, other, sizeof *one);
}

static bool same_child(const struct child *one, const struct child *other)
{
    double apart = one->since - other->since;

    return one->id == other->id && same_peer(&one->peer, &other->peer) &&
           same_peer(&one->client, &other->client) && apart < 1e-6 && apart > -1e-6 &&
           one->exit_recorded == other->exit_recorded && one->ending == other->ending &&
           one->problem == other->problem && one->in == other->in && one->out == other->out &&
           one->stop_signal == other->stop_signal && one->owes_header == other->owes_header;
}

static const char *children_difference(const struct server *one, const struct server *other)
{
    const struct child *left = one->children->oldest;
    const struct child *right = other->children->oldest;

    if (one->children->live != other->children->live)
        return "the number of live children";
    for (; left != NULL && right != NULL; left = left->younger, right = right->younger) {
        if (!same_child(left, right))
            return "a child, or the order of age";
        if (children_from(one->children, &left->peer) != children_from(other->children, &left->peer))
            return "the count of a source";
    }
    return left == right ? NULL : "the youngest child";
}

static const char *listeners_difference(const struct listeners *one, const struct listeners *other)
{
    if (one->count != other->count)
        return "the number of listeners";
    for (size_t i = 0; i < one->count; i++) {
        const struct listener *left = &one->all[i], *right = &other->all[i];
        if (left->descriptor != right->descriptor || left->device != right->device ||
            left->file != right->file || left->inherits != right->inherits)
            return "a listener";
        if (left->address.length != right->address.length ||
            !same_bytes(&left->address.name, &right->address.name, sizeof left->address.name))
            return "the address of a listener";
    }
    return NULL;
}

static const char *difference(const struct server *next)
{
    const char *what = listeners_difference(&server->listeners, &next->listeners);
    const char *also = listeners_difference(&server->status_listeners, &next->status_listeners);
    double apart = next->started - server->started;

    if (what == NULL)
        what = also != NULL ? also : children_difference(server, next);
    if (what != NULL)
        return what;
    if (memcmp(&server->statistics, &next->statistics, sizeof next->statistics) != 0)
        return "statistics";
    if (apart > 1e-6 || apart < -1e-6)
        return "the start";
    if (next->earlier.manager != manager_descriptor() || next->earlier.syslog != log_sink_descriptor())
        return "a socket to the manager or syslogd";
    if (next->score != server->score)
        return "the file of the score";
    if (next->gate.holding != server->gate.holding ||
        (next->gate.holding && (next->gate.held.descriptor != server->gate.held.descriptor ||
                           !same_peer(&next->gate.held.peer, &server->gate.held.peer))))
        return "the client that is held";
    if (next->ledger.read_end != ledger.read_end ||
        next->ledger.write_end != ledger.write_end)
        return "the ledger";
    return NULL;
}

/* Does with a server whatever the loop would, so that what it cannot bear is noticed here. */
static void use(struct server *next)
{
    char text[LOG_LINE_MAX];
    const struct child *each = next->children->oldest;

    listeners_text(&next->listeners, text, sizeof text);
    for (; each != NULL; each = each->younger) {
        ck_assert(each->id > 0 && each->id <= INT32_MAX);
        ck_assert(each->exit_recorded || children_from(next->children, &each->peer) > 0);
        peer_text(&each->peer, text);
        peer_text(&each->client, text);
        ck_assert_ptr_nonnull(session_ending_name(each->ending));
        ck_assert_ptr_nonnull(proxy_problem_text(each->problem));
    }
    for (size_t i = 0; i < next->listeners.count; i++)
        ck_assert(next->listeners.all[i].descriptor > 2 &&
                  next->listeners.all[i].descriptor < FD_SETSIZE);
    if (next->gate.holding)
        peer_text(&next->gate.held.peer, text);
}

/* ---- changing it ---- */

/* The state with `text` in place of the `length` bytes at `at`. */
static const char *spliced(const char *at, size_t length, const char *text)
{
    size_t before = (size_t)(at - state);

    ck_assert_uint_lt(strlen(state) - length + strlen(text), sizeof changed);
    memcpy(changed, state, before);
    strcpy(changed + before, text);
    strcat(changed, at + length);
    return changed;
}

/* The state with the first `old` replaced. */
static const char *replaced(const char *old, const char *new)
{
    const char *at = strstr(state, old);

    ck_assert_msg(at != NULL, "'%s' is not in:\n%s", old, state);
    return spliced(at, strlen(old), new);
}

/* The state in which word `number` of the first line that begins with `kind` is another. */
static const char *with_word(const char *kind, int number, const char *word)
{
    char start[32];
    const char *at;

    snprintf(start, sizeof start, "\n%s ", kind);
    at = strstr(state, start);
    ck_assert_ptr_nonnull(at);
    for (at++; number > 0; number--)
        at += strcspn(at, " ") + 1;
    return spliced(at, strcspn(at, " \n"), word);
}

static const char *with_number(const char *kind, int number, long long value)
{
    char word[32];

    snprintf(word, sizeof word, "%lld", value);
    return with_word(kind, number, word);
}

/* Where line `number` of the state is, and its length with the newline; NULL behind the last. */
static const char *line_at(int number, size_t *length)
{
    const char *at = state;

    while (number-- > 0 && *at != '\0')
        at += strcspn(at, "\n") + 1;
    *length = strcspn(at, "\n") + 1;
    return *at != '\0' ? at : NULL;
}

/* Fails unless `text` is refused, in one line. */
static void expect_refusal(const char *text, const char *what)
{
    struct capture *capture = malloc(sizeof *capture);
    const char *said;
    struct server *next;

    capture_begin(capture, STDERR_FILENO);
    next = read_text(text);
    said = capture_end(capture);
    ck_assert_msg(next == NULL, "believed: %s", what);
    ck_assert_msg(lines_of(said) == 1 && strstr(said, "cannot take over: ") != NULL, "%s: '%s'",
                  what, said);
    free(capture);
}

/* ---- tests ---- */

/* Catches whatever is forgotten: each upgrade would lose it. */
START_TEST(what_was_written_is_read_back)
{
    struct pidfile adopted = {.descriptor = -1};
    struct server *next;
    char path[64];

    set_up();
    write_state();
    next = read_bytes(state, strlen(state), &adopted);
    ck_assert_ptr_nonnull(next);
    ck_assert_pstr_eq(difference(next), NULL);
    ck_assert_int_eq(adopted.descriptor, pidfile.descriptor);
    ck_assert_str_eq(adopted.path, path_of(PIDFILE_NAME, path, sizeof path));
    tear_down();
}
END_TEST

/* Catches a server that passes on what it has not got: no child, no pidfile, nobody held. */
START_TEST(a_server_with_nothing_leaves_nothing)
{
    struct server *next;

    set_up();
    pidfile_close(&pidfile);
    server->gate.holding = false;
    while (server->children->live > 0)
        children_remove(server->children, server->children->oldest);
    write_state();
    ck_assert_ptr_null(strstr(state, "child"));
    ck_assert_ptr_null(strstr(state, "held"));
    ck_assert_ptr_null(strstr(state, "pidfile"));
    next = read_text(state);
    ck_assert_ptr_nonnull(next);
    ck_assert_pstr_eq(difference(next), NULL);
    tear_down();
}
END_TEST

/* Catches a second state that ends with the rest of a longer first one. */
START_TEST(a_state_replaces_the_one_before)
{
    int file = platform_anonymous_file();
    struct server *next = server_open(&no_model, &options, NULL);

    set_up();
    ck_assert_int_eq(write_to(file), 0);
    while (server->children->live > 0)
        children_remove(server->children, server->children->oldest);
    ck_assert_int_eq(write_to(file), 0);
    ck_assert_int_eq(takeover_read(file, next, true), 0);
    ck_assert_pstr_eq(difference(next), NULL);
    tear_down();
}
END_TEST

/* Catches a descriptor that an exec would close, and one that a child's exec would not. */
START_TEST(each_descriptor_is_named_once_and_is_close_on_exec_afterwards)
{
    int descriptors[TAKEOVER_DESCRIPTORS_MAX];
    size_t count;

    set_up();
    count = named_descriptors(descriptors);
    ck_assert_uint_eq(count, server->listeners.count + server->status_listeners.count + 7);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(fcntl(descriptors[i], F_SETFD, 0), 0);
        for (size_t j = 0; j < i; j++)
            ck_assert_int_ne(descriptors[i], descriptors[j]);
    }
    write_state();
    ck_assert_ptr_nonnull(read_text(state));
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(fcntl(descriptors[i], F_GETFD), FD_CLOEXEC);
    server->gate.holding = false;
    pidfile_close(&pidfile);
    ck_assert_uint_eq(named_descriptors(descriptors), count - 2);
    tear_down();
}
END_TEST

/* Catches a copy of a descriptor that stays behind each time: a server is upgraded often. */
START_TEST(writing_and_reading_leave_no_descriptor_behind)
{
    int before, closed = dup(STDERR_FILENO), readable;

    set_up();
    readable = open("/dev/null", O_RDONLY);
    close(closed);
    before = open_descriptors();
    write_state();
    (void)read_text(state);
    (void)read_text("takeover 7 forkecho\nchild\n");
    ck_assert_int_eq(write_to(closed), -1);
    ck_assert_int_eq(write_to(readable), -1);
    ck_assert_int_eq(open_descriptors(), before);
    tear_down();
}
END_TEST

/* Catches a full disk, where the state is a file, that nobody notices: half of it is no state. */
START_TEST(a_state_that_finds_no_room_is_an_error)
{
    const struct rlimit small = {100, RLIM_INFINITY};
    int file = platform_anonymous_file();

    set_up();
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_eq(write_to(file), -1);
    ck_assert_int_eq(errno, EFBIG);
    tear_down();
}
END_TEST

/* Catches a state that was cut and is believed: clients that nobody counts, or a listener less. */
START_TEST(a_state_that_was_cut_is_refused_wherever_that_was)
{
    size_t size;

    set_up();
    write_state();
    size = strlen(state);
    for (size_t length = 0; length + 1 < size; length++)
        ck_assert_msg(read_bytes(state, length, NULL) == NULL, "the first %zu of %zu bytes",
                      length, size);
    ck_assert_ptr_nonnull(read_bytes(state, size - 1, NULL)); /* but for the last newline */
    tear_down();
}
END_TEST

/* Catches a crash, or a server that cannot bear what it believed: each byte is another in turn. */
START_TEST(any_byte_may_be_another)
{
    static const char others[] = {'0', '9', 'f', ' ', '\n', '\0', '-', '\xff'};
    size_t size;

    set_up();
    write_state();
    size = strlen(state);
    for (size_t at = 0; at < size; at++)
        for (size_t i = 0; i < SUITE_LENGTH(others); i++) {
            struct server *next;
            memcpy(changed, state, size);
            changed[at] = others[i];
            next = read_bytes(changed, size, NULL);
            if (next != NULL)
                use(next);
        }
    tear_down();
}
END_TEST

/* Catches the same for words: none, several, others, and numbers of every size. */
START_TEST(any_word_may_be_another)
{
    static char endless[4096];
    static const char *const others[] = {
        "", " ", "-1", "+1", "0", "1", "3", "0x10", "2147483647", "2147483648", "4294967295",
        "4294967296", "9223372036854775808", "18446744073709551616", "-9223372036854775809",
        "99999999999999999999999999", "1e400", "1e300", "nan", "inf", "-inf", "x", "%s%n", "end",
        endless};

    set_up();
    write_state();
    memset(endless, '1', sizeof endless - 1);
    for (const char *at = state; *at != '\0'; at += strspn(at, " \n"), at += strcspn(at, " \n"))
        for (size_t i = 0; i < SUITE_LENGTH(others); i++) {
            const char *word = at + strspn(at, " \n");
            struct server *next;
            next = read_text(spliced(word, strcspn(word, " \n"), others[i]));
            if (next != NULL)
                use(next);
        }
    tear_down();
}
END_TEST

/* Catches words run together that are read as two others: 12 34.5 as 123 and 4.5. */
START_TEST(each_space_counts)
{
    set_up();
    write_state();
    for (char *at = strchr(state, ' '); at != NULL; at = strchr(at + 1, ' ')) {
        ck_assert_msg(read_text(spliced(at, 1, "")) == NULL, "one space less:\n%s", changed);
        ck_assert_msg(read_text(spliced(at, 0, " ")) == NULL, "one space more:\n%s", changed);
    }
    tear_down();
}
END_TEST

/* Catches a line that may be missing, or come twice: two listeners on one descriptor, a child that
 * is counted twice, a second held client that hides the first. A child or a listener less is no error that can be seen. */
START_TEST(each_line_comes_once)
{
    const char *line;
    char copy[2048];
    size_t length;

    set_up();
    write_state();
    for (int number = 0; (line = line_at(number, &length)) != NULL; number++) {
        bool needed = strncmp(line, "takeover", 8) == 0 || strncmp(line, "limit", 5) == 0 ||
                      strncmp(line, "statistics", 10) == 0 || strncmp(line, "ledger", 6) == 0 ||
                      strncmp(line, "end", 3) == 0;
        snprintf(copy, sizeof copy, "%.*s", (int)length, line);
        ck_assert_msg((read_text(spliced(line, length, "")) == NULL) == needed, "without %s", copy);
        /* The same pidfile again is the same pidfile, and nothing behind the end is read. */
        if (strncmp(line, "pidfile", 7) != 0 && strncmp(line, "end", 3) != 0)
            ck_assert_msg(read_text(spliced(line, 0, copy)) == NULL, "twice %s", copy);
    }
    tear_down();
}
END_TEST

/* Catches a program of another version, or another server of the family, that guesses. */
START_TEST(another_format_or_program_is_refused)
{
    set_up();
    write_state();
    expect_refusal(replaced("takeover 7 ", "takeover 6 "), "another format");
    expect_refusal(replaced("takeover 7 ", "takeover 77 "), "format 77");
    expect_refusal(replaced(" forkecho\n", " threadecho\n"), "another program");
    expect_refusal(replaced(" forkecho\n", " forkecho \n"), "more in the first line");
    expect_refusal("", "nothing at all");
    expect_refusal("\n", "an empty line");
    expect_refusal("forkecho: option -x\n", "something else");
    tear_down();
}
END_TEST

/* Catches kill(-1) and kill(0): a pid beyond an int is cut to such a one when the server stops. */
START_TEST(a_pid_is_a_pid)
{
    static const char *const others[] = {"0", "-1", "2147483648", "4294967295", "4294967296",
                                         "9223372036854775807", "9223372036854775808"};

    set_up();
    write_state();
    for (size_t i = 0; i < SUITE_LENGTH(others); i++)
        expect_refusal(with_word("child", 1, others[i]), others[i]);
    tear_down();
}
END_TEST

/* Catches a table that is written beyond its end. */
START_TEST(no_more_children_than_there_is_room_for)
{
    set_up();
    write_state();
    options.max_connections = 5;
    ck_assert_ptr_nonnull(read_text(with_number("limit", 1, 6)));
    expect_refusal(with_number("limit", 1, 5), "one more than the limit");
    tear_down();
}
END_TEST

/* Catches a state that only a program of the same -c can read, whose default may have become less:
 * the children that had come since its test ended the server. And a second upgrade, which leaves
 * less room than the first. */
START_TEST(children_above_the_limit_have_room)
{
    struct server *next;

    set_up();
    for (int upgrades = 0; upgrades < 3; upgrades++) {
        write_state();
        options.max_connections = 2;
        next = read_text(state);
        ck_assert_ptr_nonnull(next);
        ck_assert_pstr_eq(difference(next), NULL);
        server->children = next->children;
    }
    ck_assert_ptr_nonnull(strstr(state, "\nlimit 6\n"));
    while (server->children->live > 1)
        children_remove(server->children, server->children->oldest);
    write_state();
    ck_assert_ptr_nonnull(strstr(state, "\nlimit 2\n"));
    tear_down();
}
END_TEST

/* Appends a line for a listener on `descriptor`, like the first one. */
static void add_listener_line(int descriptor)
{
    const char *line = strstr(state, "\nlistener ") + 1;
    const char *rest = strchr(strchr(line, ' ') + 1, ' ');
    char added[1024];

    snprintf(added, sizeof added, "listener %d%.*s\n", descriptor, (int)strcspn(rest, "\n"), rest);
    strcpy(state, spliced(line, 0, added));
}

/* Catches an array of listeners that is written beyond its end. */
START_TEST(no_more_listeners_than_there_is_room_for)
{
    set_up();
    write_state();
    for (size_t count = server->listeners.count; count < LISTENERS_MAX; count++)
        add_listener_line(dup(server->listeners.all[0].descriptor));
    ck_assert_ptr_nonnull(read_text(state));
    add_listener_line(dup(server->listeners.all[0].descriptor));
    expect_refusal(state, "one listener too many");
    tear_down();
}
END_TEST

/* Catches an fd_set that is written beyond its end. */
START_TEST(a_listener_is_one_that_can_be_waited_for)
{
    struct rlimit limit;
    int high;

    set_up();
    write_state();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    high = fcntl(server->listeners.all[0].descriptor, F_DUPFD, FD_SETSIZE);
    if (high != -1) /* where so many are allowed */
        expect_refusal(with_number("listener", 1, high), "a listener beyond FD_SETSIZE");
    tear_down();
}
END_TEST

/* Catches a descriptor that is taken for what it is not: accept would fail for ever, a child's
 * record be lost, a client be served from a file. */
START_TEST(each_descriptor_is_what_the_line_says)
{
    int file, closed, idle_socket = socket(AF_INET, SOCK_STREAM, 0);

    set_up();
    write_state();
    file = open("/dev/null", O_RDWR);
    closed = dup(file);
    close(closed);
    expect_refusal(with_number("listener", 1, closed), "a listener that is closed");
    expect_refusal(with_number("listener", 1, file), "a listener that is a file");
    expect_refusal(with_number("listener", 1, idle_socket), "one that does not listen");
    expect_refusal(with_number("listener", 1, STDERR_FILENO), "standard error");
    expect_refusal(with_number("listener", 1, -1), "-1");
    expect_refusal(with_number("listener", 1, server->listeners.all[1].descriptor),
                   "two listeners on one descriptor");
    tear_down();
}
END_TEST

/* Catches the same for the ledger, the client that is held, and the sockets to others. */
START_TEST(all_other_descriptors_are_what_their_lines_say)
{
    int file;

    set_up();
    write_state();
    file = open("/dev/null", O_RDWR);
    expect_refusal(with_number("held", 1, file), "a file that is held");
    expect_refusal(with_number("held", 1, dup(server->listeners.all[0].descriptor)),
                   "a listener that is held");
    expect_refusal(with_number("ledger", 1, file), "a file that is the ledger");
    expect_refusal(with_number("ledger", 1, dup(ledger.write_end)), "a write end to read from");
    expect_refusal(with_number("ledger", 2, dup(ledger.read_end)), "a read end to write to");
    expect_refusal(with_number("ledger", 2, ledger.read_end), "the same end twice");
    expect_refusal(with_number("manager", 1, file), "a file that is the manager's");
    expect_refusal(with_number("syslog", 1, dup(server->listeners.all[0].descriptor)),
                   "a listener that is syslogd's");
    expect_refusal(with_number("syslog", 1, manager_descriptor()), "one socket for two");
    tear_down();
}
END_TEST

/* Catches a path that is read beyond its end, and an address of no family that could be shown. */
START_TEST(an_address_is_an_address)
{
    char bytes[2 * sizeof(struct sockaddr_un) + 64] = "";
    struct address address;
    struct peer peer;

    set_up();
    write_state();
    memset(&address, 'x', sizeof address);
    address.name.any.sa_family = AF_UNIX;
    for (size_t i = 0; i < sizeof address.name; i++)
        snprintf(bytes + 2 * i, 3, "%02x", ((const unsigned char *)&address.name)[i]);
    expect_refusal(with_word("listener", 6, bytes), "a path without an end");
    memset(bytes, 'f', 2 * sizeof address.name);
    expect_refusal(with_word("listener", 6, bytes), "a listener of no family");
    memset(bytes, 'f', sizeof bytes);
    bytes[2 * sizeof peer] = '\0';
    expect_refusal(with_word("child", 9, bytes), "a peer of no family");
    expect_refusal(with_word("child", 10, bytes), "a client of no family");
    bytes[2 * sizeof peer - 1] = '\0';
    expect_refusal(with_word("child", 9, bytes), "half a byte less");
    tear_down();
}
END_TEST

/* Catches a test of the new program that changes the pidfile, which the running one still has, or
 * that asks for descriptors, which would hold the port open, however the program ends. */
START_TEST(a_test_touches_nothing)
{
    char path[64], text[16] = "";
    struct server *next = server_open(&no_model, &options, NULL);
    int file, state_file = platform_anonymous_file(), numbers[TAKEOVER_DESCRIPTORS_MAX];
    size_t count;

    set_up();
    write_state();
    ck_assert_int_eq(write_to(state_file), 0);
    file = open(path_of(PIDFILE_NAME, path, sizeof path), O_WRONLY | O_TRUNC);
    count = named_descriptors(numbers);
    for (size_t i = 0; i < count; i++)
        (void)fcntl(numbers[i], F_SETFD, 0);
    ck_assert_int_eq(takeover_read(state_file, next, false), 0);
    ck_assert_pstr_eq(difference(next), NULL);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(fcntl(numbers[i], F_GETFD), 0);
    ck_assert_int_eq(pread(pidfile.descriptor, text, sizeof text, 0), 0);
    ck_assert_ptr_nonnull(read_text(state));
    ck_assert_int_eq(pread(pidfile.descriptor, text, sizeof text, 0), 0);
    ck_assert_ptr_nonnull(read_bytes(state, strlen(state), &pidfile));
    ck_assert_int_gt(pread(pidfile.descriptor, text, sizeof text - 1, 0), 0);
    ck_assert_int_eq(strtol(text, NULL, 10), getpid());
    close(file);
    close(state_file);
    tear_down();
}
END_TEST

/* Catches a server that ends over its pidfile once there is no way back: the clients matter more. */
START_TEST(a_pidfile_that_cannot_be_taken_over_ends_no_server)
{
    struct pidfile adopted = {.descriptor = -1};
    struct capture *capture = malloc(sizeof *capture);
    const char *said;
    struct server *next;

    set_up();
    write_state();
    with_number("pidfile", 1, server->gate.held.descriptor + 1); /* the other end: no file */
    capture_begin(capture, STDERR_FILENO);
    next = read_bytes(changed, strlen(changed), &adopted);
    said = capture_end(capture);
    ck_assert_ptr_nonnull(next);
    ck_assert_pstr_eq(difference(next), NULL);
    ck_assert_msg(lines_of(said) == 1 && strstr(said, "(-P)") != NULL, "'%s'", said);
    ck_assert_int_eq(adopted.descriptor, -1);
    free(capture);
    tear_down();
}
END_TEST

/* Catches a file that is no file any more, or never was, which would be read as an empty state;
 * and a descriptor that is left open then. */
START_TEST(a_state_that_cannot_be_read_is_said)
{
    struct capture *capture = malloc(sizeof *capture);
    const char *said;
    int ends[2], files[] = {-1, -1}, open;

    set_up();
    ck_assert_int_eq(pipe(ends), 0);
    files[1] = ends[0];
    for (size_t i = 0; i < SUITE_LENGTH(files); i++) {
        capture_begin(capture, STDERR_FILENO);
        open = open_descriptors();
        ck_assert_int_eq(takeover_read(files[i], server_open(&no_model, &options, NULL), true), -1);
        ck_assert_int_eq(open_descriptors(), open);
        said = capture_end(capture);
        ck_assert_msg(lines_of(said) == 1 && strstr(said, "cannot read the state") != NULL, "'%s'",
                      said);
    }
    close(ends[0]);
    close(ends[1]);
    free(capture);
    tear_down();
}
END_TEST

SUITE("takeover", what_was_written_is_read_back, a_server_with_nothing_leaves_nothing,
      a_state_replaces_the_one_before,
      each_descriptor_is_named_once_and_is_close_on_exec_afterwards,
      writing_and_reading_leave_no_descriptor_behind, a_state_that_finds_no_room_is_an_error,
      a_state_that_was_cut_is_refused_wherever_that_was, any_byte_may_be_another,
      any_word_may_be_another, each_space_counts, each_line_comes_once,
      another_format_or_program_is_refused, a_pid_is_a_pid,
      no_more_children_than_there_is_room_for, children_above_the_limit_have_room,
      no_more_listeners_than_there_is_room_for,
      a_listener_is_one_that_can_be_waited_for, each_descriptor_is_what_the_line_says,
      all_other_descriptors_are_what_their_lines_say, an_address_is_an_address,
      a_test_touches_nothing, a_pidfile_that_cannot_be_taken_over_ends_no_server,
      a_state_that_cannot_be_read_is_said)
