/* test_ledger.c: the pipe on which children report to their parent (ledger.h). */
#include "suite.h"

#include "base/clock.h"
#include "server/ledger.h"

#include <signal.h>
#include <sys/resource.h>

static struct ledger ledger;

static struct session session_of(uint64_t in, uint64_t out, enum session_ending ending)
{
    return (struct session){.in = in, .out = out, .ending = ending};
}

static int write_exit_of(int64_t number, const struct session *session)
{
    struct record record = ledger_exit_record(number, session);

    return ledger_write(ledger.write_end, &record);
}

/* Record number `number`: all of its fields differ from those of its neighbours. */
static void write_exit(int64_t number)
{
    struct session session = session_of((uint64_t)number * 1000, UINT64_MAX - (uint64_t)number,
                                        (enum session_ending)(number % SESSION_ENDINGS));

    session.header.problem = (enum proxy_problem)(number % PROXY_PROBLEMS);
    session.header.named = true;
    session.peer = peer_at("2001:db8::1", (unsigned)number % 65536);
    write_exit_of(number, &session);
}

static bool is_number(const struct record *record, int64_t number)
{
    struct peer expected = peer_at("2001:db8::1", (unsigned)number % 65536), client;
    char text[ADDRESS_TEXT_MAX], expected_text[ADDRESS_TEXT_MAX];

    return record->id == number && record->in == (uint64_t)number * 1000 &&
           record->out == UINT64_MAX - (uint64_t)number &&
           record->ending == number % SESSION_ENDINGS &&
           record->problem == number % PROXY_PROBLEMS && ledger_client(record, &client) &&
           strcmp(peer_text(&client, text), peer_text(&expected, expected_text)) == 0;
}

static void expect_number(int64_t number)
{
    struct record record;

    ck_assert(ledger_read(&ledger, &record));
    ck_assert_msg(is_number(&record, number), "%lld instead of %lld", (long long)record.id,
                  (long long)number);
}

static void expect_nothing(void)
{
    struct record record;

    ck_assert(!ledger_read(&ledger, &record));
}

/* The bytes of a genuine record, as a child writes them. */
static struct record genuine(int64_t number)
{
    struct record record;

    write_exit(number);
    ck_assert_int_eq(read(ledger.read_end, &record, sizeof record), sizeof record);
    return record;
}

static void write_bytes(const void *bytes, size_t size)
{
    ck_assert_int_eq(write(ledger.write_end, bytes, size), (ssize_t)size);
}

static void open_ledger(void)
{
    ck_assert_int_eq(ledger_open(&ledger, LEDGER_GIVES_UP), 0);
}

/* Catches a parent or a child that can be made to wait, and a descriptor left to others. */
START_TEST(nobody_waits_and_both_ends_are_close_on_exec)
{
    int before = open_descriptors();

    open_ledger();
    ck_assert_int_ne(fcntl(ledger.read_end, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(ledger.write_end, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(ledger.read_end, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_ne(fcntl(ledger.write_end, F_GETFD) & FD_CLOEXEC, 0);
    expect_nothing();
    close(ledger.read_end);
    close(ledger.write_end);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* Catches a field that is lost or cut: counts beyond 32 bits, and a negative id. */
START_TEST(a_record_says_what_the_session_was)
{
    struct session session = session_of(UINT64_C(0x123456789abcdef0), UINT64_MAX, SESSION_RESET);
    struct record record;

    open_ledger();
    write_exit_of(INT64_C(-5000000000), &session);
    ck_assert(ledger_read(&ledger, &record));
    ck_assert(record.id == INT64_C(-5000000000) && record.in == session.in);
    ck_assert(record.out == session.out && record.ending == SESSION_RESET);
    expect_nothing();
    ck_assert_uint_eq(ledger.junk, 0);
}
END_TEST

/* Catches a client whose address, port or zone is cut, or turned round, on its way to the parent. */
START_TEST(a_record_names_the_client_that_a_header_has_named)
{
    static const char *const clients[] = {"192.0.2.1", "2001:db8:1:2:3:4:5:6", "local", "fe80::1"};

    for (size_t i = 0; i < SUITE_LENGTH(clients); i++) {
        struct session session = session_of(1, 1, SESSION_EOF);
        struct peer client;
        struct record record;
        session.peer = peer_at(clients[i], 0xfedc);
        if (strncmp(clients[i], "fe80", 4) == 0)
            session.peer.name.v6.sin6_scope_id = UINT32_MAX;
        record = ledger_exit_record(1, &session);
        ck_assert(!ledger_client(&record, &client)); /* its own peer is nobody's news */
        session.header.named = true;
        record = ledger_exit_record(1, &session);
        ck_assert(ledger_client(&record, &client));
        ck_assert_mem_eq(&client, &session.peer, sizeof client);
    }
}
END_TEST

/* Catches a parent that formats what a compromised child says is an address. */
START_TEST(a_client_that_is_no_address_is_not_believed)
{
    struct session session = session_of(1, 1, SESSION_EOF);
    struct record record = ledger_exit_record(1, &session);
    struct peer lie, client;
    char text[ADDRESS_TEXT_MAX];

    memset(&lie, 0xff, sizeof lie);
    for (unsigned family = 0; family <= (sa_family_t)-1; family++) {
        bool known = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
        lie.name.any.sa_family = (sa_family_t)family;
        memcpy(record.client, &lie, sizeof record.client);
        ck_assert(ledger_client(&record, &client) == known);
        if (known)
            ck_assert_uint_lt(strlen(peer_text(&client, text)), sizeof text);
    }
}
END_TEST

/* Catches a batch whose last record is lost or read twice, at each size about its limit. */
START_TEST(records_come_in_order_also_beyond_a_batch)
{
    static const int counts[] = {1, 2, LEDGER_BATCH - 1, LEDGER_BATCH, LEDGER_BATCH + 1,
                                 2 * LEDGER_BATCH, 5 * LEDGER_BATCH + 7};

    open_ledger();
    for (size_t i = 0; i < SUITE_LENGTH(counts); i++) {
        for (int number = 0; number < counts[i]; number++)
            write_exit(number);
        for (int number = 0; number < counts[i]; number++)
            expect_number(number);
        expect_nothing();
    }
    ck_assert_uint_eq(ledger.junk, 0);
}
END_TEST

/* Catches a torn record that takes the whole ones behind it with it, wherever it was torn. */
START_TEST(a_torn_record_costs_only_itself)
{
    struct record torn;

    open_ledger();
    torn = genuine(99);
    for (size_t size = 1; size < sizeof torn; size++) {
        ledger.junk = 0;
        write_exit(1);
        write_bytes(&torn, size);
        write_exit(2);
        write_exit(3);
        for (int number = 1; number <= 3; number++)
            expect_number(number);
        expect_nothing();
        ck_assert_uint_eq(ledger.junk, size);
    }
}
END_TEST

/* Catches a reader that after less than a record overlooks the whole one behind it: the child
 * would wait for the next sweep. */
START_TEST(a_record_that_comes_after_a_torn_one_was_read_is_taken_at_once)
{
    struct record torn;

    open_ledger();
    torn = genuine(99);
    for (size_t size = 1; size < sizeof torn; size++) {
        write_bytes(&torn, size);
        expect_nothing();
        write_exit(1);
        expect_number(1);
        expect_nothing();
    }
}
END_TEST

/* Catches junk that is taken for a record, or that is skipped without being counted. */
START_TEST(junk_between_records_is_skipped_and_counted)
{
    char junk[LEDGER_BATCH * sizeof(struct record) + 100];

    open_ledger();
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = pattern_byte(i);
    write_bytes(junk, sizeof junk);
    write_exit(1);
    write_bytes(junk, 10);
    write_exit(2);
    expect_number(1);
    expect_number(2);
    expect_nothing();
    ck_assert_uint_eq(ledger.junk, sizeof junk + 10);
}
END_TEST

/* Catches a compromised child that is believed: one bit of any field was changed. */
START_TEST(a_forged_record_is_not_taken)
{
    struct record record;

    open_ledger();
    record = genuine(4711);
    for (size_t bit = 0; bit < 8 * sizeof record; bit++) {
        char forged[sizeof record];
        ledger.junk = 0;
        memcpy(forged, &record, sizeof forged);
        forged[bit / 8] = (char)(forged[bit / 8] ^ 1 << bit % 8);
        write_bytes(forged, sizeof forged);
        write_exit(1);
        expect_number(1);
        expect_nothing();
        ck_assert_uint_eq(ledger.junk, sizeof forged);
    }
}
END_TEST

/* Catches what the single cases miss: torn, forged, random and genuine in any order. */
START_TEST(every_genuine_record_is_found_in_a_random_stream)
{
    struct record sample;
    uint64_t state = 3;

    open_ledger();
    sample = genuine(77777);
    for (int round = 0; round < 200; round++) {
        int64_t written = 0;
        size_t junk = 0;
        ledger.junk = 0;
        for (int part = 0; part < 100; part++) {
            char bytes[sizeof sample];
            size_t size = 1 + random_below(&state, sizeof bytes - 1);
            if (random_below(&state, 2) == 0) {
                write_exit(written++);
                continue;
            }
            for (size_t i = 0; i < size; i++)
                bytes[i] = (char)random_below(&state, 256);
            if (random_below(&state, 2) == 0)
                memcpy(bytes, &sample, size);
            write_bytes(bytes, size);
            junk += size;
        }
        write_exit(written++);
        for (int64_t number = 0; number < written; number++)
            expect_number(number);
        expect_nothing();
        ck_assert_uint_eq(ledger.junk, junk);
    }
}
END_TEST

/* A child that drains the ledger once it is told to, and checks what it gets. */
static int drain(int start, int count)
{
    struct record record;
    char go;

    if (read(start, &go, 1) != 1)
        return 1;
    for (int64_t number = 0; number < count;) {
        bool found = ledger_read(&ledger, &record);
        if (found && !is_number(&record, number++))
            return 2;
        if (!found) {
            /* Empty for now: the writer looks again within a hundredth of a second. */
            struct timespec breath = clock_timespec(0.001);
            nanosleep(&breath, NULL);
        }
    }
    return ledger.junk == 0 ? 0 : 3;
}

static int64_t fill_ledger(void)
{
    int64_t number = 0;
    struct record record = genuine(0);

    /* Copies: what write_exit would write, but without its waiting. */
    while (write(ledger.write_end, &record, sizeof record) == (ssize_t)sizeof record)
        number++;
    ck_assert_int_eq(errno, EAGAIN);
    return number;
}

/* Catches a ledger that is full while its reader is only busy: with 64 KiB, after 630 records. */
START_TEST(a_ledger_holds_the_records_of_thousands)
{
#ifdef __linux__
    const int64_t least = 9000;
#else
    const int64_t least = 100; /* as much as any pipe */
#endif

    open_ledger();
    ck_assert_int_gt(fill_ledger(), least);
}
END_TEST

/* Catches a record that is lost, or written in part, because the parent is slow to read. */
START_TEST(a_full_ledger_takes_the_record_once_there_is_room)
{
    int start[2], status;
    int64_t full;
    pid_t pid;

    open_ledger();
    full = fill_ledger();
    while (read(ledger.read_end, ledger.batch, sizeof ledger.batch) > 0)
        ;
    for (int64_t number = 0; number < full; number++)
        write_exit(number);
    ck_assert_int_eq(pipe(start), 0);
    pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0)
        _exit(drain(start[0], (int)full + 2 * LEDGER_BATCH));
    ck_assert_int_eq(write(start[1], "", 1), 1);
    for (int64_t number = full; number < full + 2 * LEDGER_BATCH; number++)
        write_exit(number);
    while (waitpid(pid, &status, 0) == -1)
        ck_assert_int_eq(errno, EINTR);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
}
END_TEST

/* How often this process has begun to wait for something. */
static long waits(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
}

/* Catches a child that stays for ever because its parent is stopped, or looks for room a hundred
 * times: where 10,000 clients left at once, their children took the processor that their parent
 * needed, and a new client waited for up to 10 s. The one test here that has to wait for its
 * second. */
START_TEST(a_ledger_that_stays_full_is_given_up_and_holds_no_part_of_the_record)
{
    char byte[1];
    size_t left = 0;
    int64_t full;
    long before;

    open_ledger();
    full = fill_ledger();
    before = waits();
    write_exit(1);
    ck_assert_int_lt(waits() - before, 20);
    while (read(ledger.read_end, byte, 1) == 1)
        left++;
    ck_assert_uint_eq(left, (size_t)full * sizeof(struct record));
}
END_TEST

/* Catches a writer that looks for room again and again: thousands of them, as when all clients
 * leave at once, take the processor that their reader needs. And one that gives up. */
START_TEST(a_writer_that_waits_does_nothing_meanwhile)
{
    struct session session = session_of(1, 1, SESSION_EOF);
    struct record record;
    int flags, status;
    pid_t pid;

    ck_assert_int_eq(ledger_open(&ledger, LEDGER_WAITS), 0);
    flags = fcntl(ledger.write_end, F_GETFL);
    fcntl(ledger.write_end, F_SETFL, flags | O_NONBLOCK);
    fill_ledger();
    fcntl(ledger.write_end, F_SETFL, flags);
    pid = fork();
    if (pid == 0) {
        long before = waits();
        int written = write_exit_of(4711, &session);
        _exit(written == 0 && waits() - before < 20 ? 0 : 1);
    }
    clock_sleep(1.5); /* it is longer than others try, and how little is done is what counts */
    while (!ledger_read(&ledger, &record) || record.id != 4711)
        continue; /* the suite's timeout ends it */
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* Catches an orphan that tries for a second to write its record although nobody is there to read. A
 * busy machine may take one trial's time away, but hardly that of each. */
START_TEST(writing_without_a_reader_returns_at_once)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    double quickest = SUITE_TIMEOUT;

    sigaction(SIGPIPE, &ignore, NULL);
    open_ledger();
    close(ledger.read_end);
    for (int trial = 0; trial < 10; trial++) {
        double start = clock_seconds();
        write_exit(1);
        if (clock_seconds() - start < quickest)
            quickest = clock_seconds() - start;
    }
    ck_assert_msg(quickest < 0.5, "%g seconds", quickest);
}
END_TEST

/* Catches a reader that takes the end of all writers for an event, for ever. */
START_TEST(a_ledger_without_writers_is_empty)
{
    open_ledger();
    write_exit(1);
    close(ledger.write_end);
    expect_number(1);
    for (int i = 0; i < 4; i++)
        expect_nothing();
}
END_TEST

SUITE("ledger", nobody_waits_and_both_ends_are_close_on_exec,
      a_ledger_holds_the_records_of_thousands, a_record_says_what_the_session_was,
      a_record_names_the_client_that_a_header_has_named,
      a_client_that_is_no_address_is_not_believed, records_come_in_order_also_beyond_a_batch,
      a_torn_record_costs_only_itself,
      a_record_that_comes_after_a_torn_one_was_read_is_taken_at_once,
      junk_between_records_is_skipped_and_counted, a_forged_record_is_not_taken,
      every_genuine_record_is_found_in_a_random_stream,
      a_full_ledger_takes_the_record_once_there_is_room,
      a_ledger_that_stays_full_is_given_up_and_holds_no_part_of_the_record,
      a_writer_that_waits_does_nothing_meanwhile,
      writing_without_a_reader_returns_at_once, a_ledger_without_writers_is_empty)
