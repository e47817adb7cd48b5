/* test_proxy.c: headers of the PROXY protocol, whole, cut, and hostile (proxy.h). */
#include "suite.h"

#include "echo/proxy.h"

#include <sys/mman.h>

/* ---- calling the parser so that a byte too many is noticed ---- */

#define BYTES_MAX 8192

/* Where readable memory ends. */
static char *edge(void)
{
    static char *end;

    if (end == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        size_t size = (BYTES_MAX / page + 1) * page;
        int zeros = open("/dev/zero", O_RDWR);
        char *memory = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE, zeros, 0);
        ck_assert_ptr_ne(memory, MAP_FAILED);
        ck_assert_int_eq(mprotect(memory + size, page, PROT_NONE), 0);
        close(zeros);
        end = memory + size;
    }
    return end;
}

static bool same_header(const struct proxy_header *one, const struct proxy_header *other)
{
    const void *peer = &one->peer, *other_peer = &other->peer;

    return one->size == other->size && one->known == other->known &&
           memcmp(peer, other_peer, sizeof one->peer) == 0;
}

/* Whether an answer keeps the promises of proxy.h. `before` is what the header was. */
static bool is_sound(int result, size_t size, const struct proxy_header *header,
                     const struct proxy_header *before, enum proxy_problem problem)
{
    if (result == 1)
        return problem == PROXY_RIGHT && header->size > 0 && header->size <= size &&
               header->size <= PROXY_HEADER_MAX;
    if (result == 0)
        return problem == PROXY_RIGHT && size < PROXY_HEADER_MAX && same_header(header, before);
    return result == -1 && problem != PROXY_RIGHT && same_header(header, before);
}

/* Parses bytes behind which no memory can be read. It is called very often, and an assertion that
 * holds costs more than the parser; so it makes only assertions that fail. */
static int parse(const void *bytes, size_t size, struct proxy_header *header,
                 enum proxy_problem *problem)
{
    struct proxy_header before = {.size = 77, .known = true};
    int result;

    if (size > BYTES_MAX)
        ck_abort_msg("%zu bytes are too many", size);
    memset(&before.peer, 0x5a, sizeof before.peer);
    *header = before;
    *problem = PROXY_RIGHT;
    result = proxy_parse(memcpy(edge() - size, bytes, size), size, header, problem);
    if (!is_sound(result, size, header, &before, *problem))
        ck_abort_msg("%d for %zu bytes: %s", result, size, proxy_problem_text(*problem));
    return result;
}

/* How many bytes it takes until the parser has its answer, 1 or -1, into `*result`. */
static size_t bytes_to_answer(const char *bytes, size_t size, int *result)
{
    struct proxy_header header;
    enum proxy_problem problem;

    for (size_t seen = 0; seen <= size; seen++)
        if ((*result = parse(bytes, seen, &header, &problem)) != 0)
            return seen;
    return size;
}

/* ---- making headers ---- */

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n" /* and its end */

struct bytes {
    size_t size;
    char at[BYTES_MAX];
};

static void append(struct bytes *bytes, const void *more, size_t size)
{
    if (bytes->size + size > sizeof bytes->at)
        ck_abort_msg("%zu bytes are too many", bytes->size + size);
    memcpy(bytes->at + bytes->size, more, size);
    bytes->size += size;
}

/* The 16 bytes that version 2 begins with. */
static struct bytes fixed_part(unsigned command, unsigned kind, size_t length)
{
    struct bytes bytes = {.size = 0};
    const char tail[] = {(char)command, (char)kind, (char)(length >> 8), (char)length};

    append(&bytes, SIGNATURE, 12);
    append(&bytes, tail, sizeof tail);
    return bytes;
}

/* A whole header with `length` bytes behind the fixed part, that begin with `addresses`. */
static struct bytes binary(unsigned command, unsigned kind, const void *addresses, size_t size,
                           size_t length)
{
    struct bytes bytes = fixed_part(command, kind, length);

    append(&bytes, addresses, size);
    for (size_t i = size; i < length; i++)
        append(&bytes, i % 3 == 0 ? "\x04" : "", 1); /* TLVs that say nothing: 04 00 00 */
    return bytes;
}

/* 192.0.2.1:4242 to 198.51.100.7:7, and so on. */
static const char inet_addresses[] = "\xc0\x00\x02\x01\xc6\x33\x64\x07\x10\x92\x00\x07";
static const char inet6_addresses[] = "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xff\xff\x00\x07";
static const char mapped_addresses[] =
    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01"
    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x07\x10\x92\x00\x07";
static const char unix_addresses[216] = "/run/client";

/* ---- valid headers ---- */

#define VALID_MAX 32

struct valid {
    struct bytes bytes;
    const char *client; /* NULL: not known */
};

static size_t add_line(struct valid *valid, size_t count, const char *line, const char *client)
{
    ck_assert_uint_lt(count, VALID_MAX);
    valid[count].bytes.size = 0;
    append(&valid[count].bytes, line, strlen(line));
    valid[count].client = client;
    return count + 1;
}

static size_t add_binary(struct valid *valid, size_t count, struct bytes bytes, const char *client)
{
    ck_assert_uint_lt(count, VALID_MAX);
    valid[count].bytes = bytes;
    valid[count].client = client;
    return count + 1;
}

#define LONGEST6 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

static size_t add_lines(struct valid *valid, size_t count)
{
    static const char *const lines[][2] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.7 4242 7\r\n", "192.0.2.1:4242"},
        {"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0"},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"},
        {"PROXY TCP6 2001:db8::1 2001:DB8::2 65535 7\r\n", "[2001:db8::1]:65535"},
        {"PROXY TCP6 " LONGEST6 " " LONGEST6 " 65535 65535\r\n", "[" LONGEST6 "]:65535"},
        {"PROXY TCP6 :: ::1 1 2\r\n", "[::]:1"},
        {"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 4242 7\r\n", "192.0.2.1:4242"},
        {"PROXY UNKNOWN\r\n", NULL},
        {"PROXY UNKNOWN \r\n", NULL},
        {"PROXY UNKNOWN " LONGEST6 " " LONGEST6 " 65535 65535\r\n", NULL},
        {"PROXY UNKNOWN what\rever \n \x01\xff\r\r\n", NULL},
    };

    for (size_t i = 0; i < SUITE_LENGTH(lines); i++)
        count = add_line(valid, count, lines[i][0], lines[i][1]);
    return count;
}

static size_t add_binaries(struct valid *valid, size_t count)
{
    static const struct {
        unsigned command, kind;
        const char *addresses;
        size_t size, length;
        const char *client;
    } cases[] = {
        {0x21, 0x11, inet_addresses, 12, 12, "192.0.2.1:4242"},
        {0x21, 0x11, inet_addresses, 12, 300, "192.0.2.1:4242"},
        {0x21, 0x21, inet6_addresses, 36, 36, "[2001:db8::1]:65535"},
        {0x21, 0x21, inet6_addresses, 36, 37, "[2001:db8::1]:65535"},
        {0x21, 0x21, mapped_addresses, 36, 36, "192.0.2.1:4242"},
        {0x21, 0x31, unix_addresses, 216, 216, "local"},
        {0x21, 0x11, inet_addresses, 12, PROXY_HEADER_MAX - 16, "192.0.2.1:4242"},
        {0x20, 0x00, "", 0, 0, NULL},              /* LOCAL, as HAProxy's health checks */
        {0x20, 0x11, inet_addresses, 12, 12, NULL},
        {0x20, 0xff, "", 0, 5, NULL},              /* its family is ignored, its length is not */
        {0x21, 0x00, "", 0, 0, NULL},              /* UNSPEC */
        {0x21, 0x01, "", 0, 9, NULL},
        {0x21, 0x10, inet_addresses, 12, 12, NULL},
        {0x21, 0x12, inet_addresses, 12, 12, NULL}, /* DGRAM */
        {0x21, 0x22, inet6_addresses, 36, 36, NULL},
        {0x21, 0x32, unix_addresses, 216, 216, NULL},
        {0x21, 0x12, "", 0, 0, NULL},
    };

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++)
        count = add_binary(valid, count,
                           binary(cases[i].command, cases[i].kind, cases[i].addresses,
                                  cases[i].size, cases[i].length),
                           cases[i].client);
    return count;
}

/* All of them. Returns how many. */
static size_t make_valid(struct valid *valid)
{
    return add_binaries(valid, add_lines(valid, 0));
}

static struct valid valid[VALID_MAX];

static void expect_client(const struct proxy_header *header, const char *client, size_t number)
{
    static const struct peer none;
    char text[ADDRESS_TEXT_MAX];

    ck_assert_msg(header->known == (client != NULL), "header %zu", number);
    if (client != NULL)
        ck_assert_str_eq(peer_text(&header->peer, text), client);
    else
        ck_assert_mem_eq(&header->peer, &none, sizeof none);
}

/* Catches a client that is misread, taken from the wrong end, or made up; and bytes of the
 * client that are lost with the header, or left of the header for the client. */
START_TEST(a_header_names_its_client_and_ends_where_it_ends)
{
    size_t count = make_valid(valid);
    struct proxy_header header;
    enum proxy_problem problem;

    for (size_t i = 0; i < count; i++) {
        struct bytes *bytes = &valid[i].bytes;
        size_t size = bytes->size;
        ck_assert_msg(parse(bytes->at, size, &header, &problem) == 1, "header %zu: %s", i,
                      proxy_problem_text(problem));
        ck_assert_uint_eq(header.size, size);
        expect_client(&header, valid[i].client, i);
        append(bytes, "\nPROXY UNKNOWN\r\n", 16);
        ck_assert_int_eq(parse(bytes->at, bytes->size, &header, &problem), 1);
        ck_assert_uint_eq(header.size, size);
        expect_client(&header, valid[i].client, i);
    }
}
END_TEST

/* Catches a header that is rejected or believed because it came in pieces. */
START_TEST(a_header_that_is_cut_anywhere_is_waited_for)
{
    size_t count = make_valid(valid);
    int result;

    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(bytes_to_answer(valid[i].bytes.at, valid[i].bytes.size, &result),
                          valid[i].bytes.size);
        ck_assert_int_eq(result, 1);
    }
}
END_TEST

/* Catches an address or port that is converted wrongly. */
START_TEST(random_clients_are_read_as_they_were_written)
{
    uint64_t state = 1;

    for (unsigned round = 0; round < 2000; round++) {
        uint8_t address[16];
        char host[INET6_ADDRSTRLEN], line[128], client[ADDRESS_TEXT_MAX], said[ADDRESS_TEXT_MAX];
        bool v4 = random_below(&state, 2) == 0;
        unsigned port = random_below(&state, 65536);
        struct proxy_header header;
        enum proxy_problem problem;
        int size;
        for (size_t i = 0; i < sizeof address; i++)
            address[i] = (uint8_t)(random_below(&state, 2) * random_below(&state, 256));
        address[0] |= 0x20; /* never a mapped one */
        inet_ntop(v4 ? AF_INET : AF_INET6, address, host, sizeof host);
        snprintf(client, sizeof client, v4 ? "%s:%u" : "[%s]:%u", host, port);
        size = snprintf(line, sizeof line, "PROXY TCP%d %s %s %u 7\r\n", v4 ? 4 : 6, host,
                        v4 ? "0.0.0.0" : "::", port);
        ck_assert_msg(parse(line, (size_t)size, &header, &problem) == 1, "%s", line);
        ck_assert_str_eq(peer_text(&header.peer, said), client);
    }
}
END_TEST

/* ---- malformed headers ---- */

/* A line that is rejected, and how many bytes the parser may need for that. */
struct rejection {
    size_t seen;
    const char *line;
};

static void expect_rejected(struct rejection rejection)
{
    int result;
    size_t seen = bytes_to_answer(rejection.line, strlen(rejection.line), &result);

    ck_assert_msg(result == -1, "'%s': %d", rejection.line, result);
    ck_assert_msg(seen == rejection.seen, "'%s': %zu", rejection.line, seen);
}

/* Catches a wait for bytes that cannot help any more, and a beginning that is read sloppily. */
START_TEST(what_does_not_begin_as_a_line_is_rejected_at_the_first_byte_that_shows_it)
{
    static const struct rejection cases[] = {
        {1, "GET / HTTP/1.1\r\n"},
        {1, "hello\n"},
        {1, "\n"},
        {1, "\xff"},
        {1, " PROXY UNKNOWN\r\n"},
        {1, "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"},
        {2, "POST / HTTP/1.1\r\n"},
        {6, "PROXY\tTCP4 1.2.3.4 1.2.3.4 1 2\r\n"},
        {6, "PROXY\r\n"},
        {7, "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"},
        {7, "PROXY \r\n"},
        {8, "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"},
        {10, "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n"},
        {11, "PROXY TCP4\r\n"},
        {11, "PROXY TCP46 1.2.3.4 1.2.3.4 1 2\r\n"},
    };

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++)
        expect_rejected(cases[i]);
}
END_TEST

/* Catches a byte that a line of its kind cannot have, and after which more is waited for. */
START_TEST(a_byte_that_the_line_cannot_have_is_rejected_at_once)
{
    static const struct rejection cases[] = {
        {14, "PROXY UNKNOWNS\r\n"},
        {14, "PROXY UNKNOWN\n"},
        {15, "PROXY UNKNOWN\rx\n"},
        {12, "PROXY TCP4 :: :: 1 2\r\n"},
        {12, "PROXY TCP4 localhost"},
        {12, "PROXY TCP6 [::1]"},
        {12, "PROXY TCP6 g::"},
        {19, "PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n"},
        {31, "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"},
        {32, "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx\n"},
    };

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++)
        expect_rejected(cases[i]);
}
END_TEST

/* Catches a sloppy reading of the line, which two parties could understand differently. */
START_TEST(a_line_with_too_few_words_or_too_many_is_rejected)
{
    static const char *const lines[] = {
        "PROXY TCP4 \r\n",
        "PROXY TCP4 1.2.3.4\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n",
    };

    for (size_t i = 0; i < SUITE_LENGTH(lines); i++)
        expect_rejected((struct rejection){strlen(lines[i]), lines[i]});
}
END_TEST

/* Catches the same of an address or a port. */
START_TEST(a_line_with_a_malformed_address_or_port_is_rejected)
{
    static const char *const lines[] = {
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 02\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 00 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 99999999999999999999\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1. 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n",
        "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.00 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP6 ::1 1.2.3.4 1 2\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n",
        "PROXY TCP6 1::2::3 ::1 1 2\r\n",
        "PROXY TCP6 12345:: ::1 1 2\r\n",
        "PROXY TCP6 ::1 ::1 a b\r\n",
        "PROXY TCP6 ::ffff:1.2.3.04 ::1 1 2\r\n",
    };

    for (size_t i = 0; i < SUITE_LENGTH(lines); i++)
        expect_rejected((struct rejection){strlen(lines[i]), lines[i]});
}
END_TEST

static void put_end(char *at)
{
    at[0] = '\r';
    at[1] = '\n';
}

/* Catches a client that is waited for although its line cannot end in time any more. */
START_TEST(a_line_that_cannot_end_within_its_limit_is_rejected)
{
    static const struct {
        const char *start;
        char letter;
        size_t longest;
    } cases[] = {
        {"PROXY TCP4 ", '1', 56}, {"PROXY TCP6 ", 'f', 107}, {"PROXY UNKNOWN ", 'x', 107}};
    struct proxy_header header;
    enum proxy_problem problem;
    char line[BYTES_MAX];
    int result;

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        memset(line, cases[i].letter, sizeof line);
        memcpy(line, cases[i].start, strlen(cases[i].start));
        ck_assert_uint_eq(bytes_to_answer(line, 200, &result), cases[i].longest - 1);
        ck_assert_int_eq(result, -1);
        ck_assert_int_eq(parse(line, sizeof line, &header, &problem), -1);
        ck_assert_int_eq(problem, PROXY_LINE_TOO_LONG);
        put_end(line + cases[i].longest - 1); /* one too late, and all at once */
        ck_assert_int_eq(parse(line, sizeof line, &header, &problem), -1);
        put_end(line + cases[i].longest - 2); /* just in time */
        ck_assert_int_eq(parse(line, sizeof line, &header, &problem), i == 2 ? 1 : -1);
        ck_assert(i == 2 || problem != PROXY_LINE_TOO_LONG);
    }
}
END_TEST

/* Catches a version, command, family or transport that is guessed at, and a wait beyond the
 * byte that is wrong. */
START_TEST(a_malformed_binary_header_is_rejected_at_the_first_byte_that_shows_it)
{
    int result;

    for (size_t at = 0; at < 12; at++) {
        struct bytes bytes = binary(0x21, 0x11, inet_addresses, 12, 12);
        bytes.at[at] ^= 0x40;
        ck_assert_uint_eq(bytes_to_answer(bytes.at, bytes.size, &result), at + 1);
        ck_assert_int_eq(result, -1);
    }
    for (unsigned command = 0; command < 256; command++) {
        struct bytes bytes = binary(command, 0x11, inet_addresses, 12, 12);
        bool good = command == 0x20 || command == 0x21;
        ck_assert_uint_eq(bytes_to_answer(bytes.at, bytes.size, &result), good ? 28 : 13);
        ck_assert_int_eq(result, good ? 1 : -1);
    }
    for (unsigned kind = 0; kind < 256; kind++) {
        struct bytes bytes = binary(0x21, kind, unix_addresses, 216, 216);
        bool good = kind >> 4 <= 3 && (kind & 0xf) <= 2;
        ck_assert_uint_eq(bytes_to_answer(bytes.at, bytes.size, &result), good ? 232 : 14);
        ck_assert_int_eq(result, good ? 1 : -1);
    }
}
END_TEST

/* Catches addresses that are read beyond the header's own length. */
START_TEST(a_length_without_room_for_the_addresses_is_rejected_at_once)
{
    static const struct {
        unsigned kind;
        size_t least;
    } cases[] = {{0x11, 12}, {0x21, 36}, {0x31, 216}};
    struct proxy_header header;
    enum proxy_problem problem;

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++)
        for (size_t length = 0; length <= cases[i].least; length++) {
            struct bytes bytes = fixed_part(0x21, cases[i].kind, length);
            ck_assert_int_eq(parse(bytes.at, 15, &header, &problem), 0);
            ck_assert_int_eq(parse(bytes.at, 16, &header, &problem),
                             length < cases[i].least ? -1 : 0);
        }
}
END_TEST

/* Catches a header that does not fit any buffer and is waited for in vain. */
START_TEST(a_length_beyond_the_limit_is_rejected_at_once)
{
    struct proxy_header header;
    enum proxy_problem problem;

    for (unsigned command = 0x20; command <= 0x21; command++)
        for (size_t length = 0; length < 65536; length += length < 300 ? 1 : 251) {
            struct bytes bytes = fixed_part(command, 0, length);
            bool good = length <= PROXY_HEADER_MAX - 16;
            ck_assert_int_eq(parse(bytes.at, 16, &header, &problem),
                             good && length == 0 ? 1 : good ? 0 : -1);
            ck_assert_int_eq(parse(bytes.at, 15, &header, &problem),
                             length >> 8 > (PROXY_HEADER_MAX - 16) >> 8 ? -1 : 0);
        }
}
END_TEST

static enum proxy_problem problem_of(const char *bytes, size_t size)
{
    enum proxy_problem problem = PROXY_RIGHT;
    struct proxy_header header;

    ck_assert_int_eq(parse(bytes, size, &header, &problem), -1);
    return problem;
}

/* Catches a reason in the log that misleads its reader. */
START_TEST(each_fault_has_its_own_reason)
{
    static const struct {
        const char *line;
        enum proxy_problem problem;
    } lines[] = {
        {"GET / HTTP/1.1\r\n", PROXY_NO_HEADER},
        {"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", PROXY_NO_HEADER},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", PROXY_LINE_CHARACTER},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", PROXY_LINE_WORDS},
        {"PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n", PROXY_LINE_ADDRESS},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", PROXY_LINE_PORT},
    };
    struct bytes bytes;

    for (size_t i = 0; i < SUITE_LENGTH(lines); i++)
        ck_assert_int_eq(problem_of(lines[i].line, strlen(lines[i].line)), lines[i].problem);
    bytes = fixed_part(0x11, 0x11, 12);
    ck_assert_int_eq(problem_of(bytes.at, bytes.size), PROXY_COMMAND);
    bytes = fixed_part(0x21, 0x41, 12);
    ck_assert_int_eq(problem_of(bytes.at, bytes.size), PROXY_FAMILY);
    bytes = fixed_part(0x21, 0x11, 11);
    ck_assert_int_eq(problem_of(bytes.at, bytes.size), PROXY_TOO_SHORT);
    bytes = fixed_part(0x21, 0x11, 65535);
    ck_assert_int_eq(problem_of(bytes.at, bytes.size), PROXY_TOO_LONG);
}
END_TEST

/* Catches a reason without words, and a read beyond them for what a compromised child writes. */
START_TEST(every_reason_has_a_phrase)
{
    for (int problem = PROXY_RIGHT + 1; problem < PROXY_PROBLEMS; problem++) {
        ck_assert_ptr_nonnull(proxy_problem_text(problem));
        ck_assert_ptr_null(strchr(proxy_problem_text(problem), '"')); /* the log quotes it */
    }
    ck_assert_str_eq(proxy_problem_text(PROXY_RIGHT), "unknown");
    ck_assert_str_eq(proxy_problem_text(-1), "unknown");
    ck_assert_str_eq(proxy_problem_text(PROXY_PROBLEMS), "unknown");
    ck_assert_str_eq(proxy_problem_text(INT64_MAX), "unknown");
    ck_assert_str_eq(proxy_problem_text(INT64_MIN), "unknown");
}
END_TEST

/* ---- hostile bytes ---- */

/* Catches an answer that depends on how the bytes were cut: there is one from a certain byte on,
 * and it stays the same. */
static void expect_consistent(const char *bytes, size_t size)
{
    struct proxy_header first, header;
    enum proxy_problem problem;
    int result;
    size_t seen = bytes_to_answer(bytes, size, &result);

    parse(bytes, seen, &first, &problem);
    for (; seen <= size; seen++)
        if (parse(bytes, seen, &header, &problem) != result ||
            !same_header(&header, &first))
            ck_abort_msg("%zu bytes of %zu", seen, size);
}

/* Catches a crash, a read too far, or a contradiction on headers that are almost right. */
START_TEST(a_single_wrong_byte_is_survived)
{
    static const char others[] = "\0 \r\n09af:.PQ\x20\x21\xff";
    size_t count = make_valid(valid);
    struct proxy_header header;
    enum proxy_problem problem;

    for (size_t i = 0; i < count; i++)
        for (size_t at = 0; at < valid[i].bytes.size; at++) {
            char *byte = &valid[i].bytes.at[at], right = *byte;
            for (unsigned value = 0; value < 256 && at < 400; value++) {
                *byte = (char)value;
                parse(valid[i].bytes.at, valid[i].bytes.size, &header, &problem);
            }
            for (size_t other = 0; other < sizeof others && valid[i].bytes.size < 110; other++) {
                *byte = others[other];
                expect_consistent(valid[i].bytes.at, valid[i].bytes.size);
            }
            *byte = right;
        }
}
END_TEST

/* Catches the same on bytes that nobody has thought of: noise, and noise of the parts of headers
 * that begins like one. */
START_TEST(random_bytes_are_survived)
{
    static const char *const starts[] = {"", "P", "PROXY ", "PROXY TCP4 ", "PROXY TCP6 ",
                                         "PROXY UNKNOWN", "PROXY UNKNOWN "};
    static const char letters[] = "0123456789 0123456789 ..::abcdef\r\n";
    uint64_t state = 1;

    for (unsigned round = 0; round < 4000; round++) {
        const char *start = starts[random_below(&state, SUITE_LENGTH(starts))];
        struct bytes bytes = {.size = 0};
        bool noise = round % 4 == 0;
        append(&bytes, start, strlen(start));
        if (round % 3 == 0)
            bytes = fixed_part(0x20 + random_below(&state, 2), random_below(&state, 0x34),
                               random_below(&state, 64));
        for (unsigned more = random_below(&state, 130); more > 0; more--) {
            char byte = (char)random_below(&state, 256);
            append(&bytes, noise ? &byte : &letters[random_below(&state, sizeof letters - 1)], 1);
        }
        expect_consistent(bytes.at, bytes.size);
    }
}
END_TEST

/* Catches an access to bytes that are not there at all. */
START_TEST(no_bytes_are_no_answer)
{
    struct proxy_header header;
    enum proxy_problem problem = PROXY_RIGHT;

    ck_assert_int_eq(proxy_parse(NULL, 0, &header, &problem), 0);
    ck_assert_int_eq(problem, PROXY_RIGHT);
}
END_TEST

SUITE("proxy", a_header_names_its_client_and_ends_where_it_ends,
      a_header_that_is_cut_anywhere_is_waited_for, random_clients_are_read_as_they_were_written,
      what_does_not_begin_as_a_line_is_rejected_at_the_first_byte_that_shows_it,
      a_byte_that_the_line_cannot_have_is_rejected_at_once,
      a_line_with_too_few_words_or_too_many_is_rejected,
      a_line_with_a_malformed_address_or_port_is_rejected,
      a_line_that_cannot_end_within_its_limit_is_rejected,
      a_malformed_binary_header_is_rejected_at_the_first_byte_that_shows_it,
      a_length_without_room_for_the_addresses_is_rejected_at_once,
      a_length_beyond_the_limit_is_rejected_at_once, each_fault_has_its_own_reason,
      every_reason_has_a_phrase, a_single_wrong_byte_is_survived, random_bytes_are_survived,
      no_bytes_are_no_answer)
