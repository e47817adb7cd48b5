/* proxy.c: see proxy.h. */
#include "echo/proxy.h"

#include "base/parse.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

const char *proxy_problem_text(int64_t problem)
{
    static const char *const texts[PROXY_PROBLEMS] = {
        [PROXY_NO_HEADER] = "not a PROXY header",
        [PROXY_LINE_TOO_LONG] = "PROXY line is too long",
        [PROXY_LINE_CHARACTER] = "bad character in PROXY line",
        [PROXY_LINE_WORDS] = "PROXY line is not two addresses and two ports",
        [PROXY_LINE_ADDRESS] = "bad address in PROXY line",
        [PROXY_LINE_PORT] = "bad port in PROXY line",
        [PROXY_COMMAND] = "unknown version or command in PROXY header",
        [PROXY_FAMILY] = "unknown family or transport in PROXY header",
        [PROXY_TOO_LONG] = "PROXY header is too long",
        [PROXY_TOO_SHORT] = "PROXY header is too short for its addresses",
        [PROXY_CUT] = "end of file within PROXY header",
        [PROXY_LATE] = "PROXY header was not complete in time",
    };

    return problem > PROXY_RIGHT && problem < PROXY_PROBLEMS ? texts[problem] : "unknown";
}

static int malformed(enum proxy_problem *problem, enum proxy_problem why)
{
    *problem = why;
    return -1;
}

static size_t smaller(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* Makes a peer of an address in network byte order and a port in host order. */
static struct peer make_peer(sa_family_t family, const uint8_t *address, unsigned port)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct peer peer;

    memset(&peer, 0, sizeof peer);
    if (family == AF_INET6 && memcmp(address, mapped, sizeof mapped) == 0) {
        family = AF_INET;
        address += sizeof mapped;
    }
    peer.name.any.sa_family = family;
    if (family == AF_INET) {
        memcpy(&peer.name.v4.sin_addr, address, 4);
        peer.name.v4.sin_port = htons((uint16_t)port);
    } else if (family == AF_INET6) {
        memcpy(&peer.name.v6.sin6_addr, address, 16);
        peer.name.v6.sin6_port = htons((uint16_t)port);
    }
    return peer;
}

/* `peer` is NULL where the proxy names no client. */
static int complete(struct proxy_header *header, size_t size, const struct peer *peer)
{
    memset(header, 0, sizeof *header);
    header->size = size;
    header->known = peer != NULL;
    if (peer != NULL)
        header->peer = *peer;
    return 1;
}

/* ---- version 1: a line of text ---- */

#define LINE_SIZE_MAX 107 /* with its CRLF: section 2.1 */

/* The three kinds of line. TCP6 may have as many bytes as any line: the 104 that section 2.1
 * counts for it have no room for dotted tails. */
static const struct line {
    const char *start;
    const char *letters; /* what may follow, up to the CRLF; NULL: anything behind a space */
    size_t longest;
    sa_family_t family;
} lines[] = {
    {"PROXY TCP4 ", "0123456789. ", 56, AF_INET},
    {"PROXY TCP6 ", "0123456789abcdefABCDEF:. ", LINE_SIZE_MAX, AF_INET6},
    {"PROXY UNKNOWN", NULL, LINE_SIZE_MAX, AF_UNSPEC},
};

/* The first line that the bytes could become; NULL when there is none. */
static const struct line *line_of(const char *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (memcmp(bytes, lines[i].start, smaller(size, strlen(lines[i].start))) == 0)
            return &lines[i];
    return NULL;
}

/* Whether a CRLF stands at `at`, or its CR as the last byte that has come. */
static bool is_crlf(const char *bytes, size_t size, size_t at)
{
    return bytes[at] == '\r' && (at + 1 == size || bytes[at + 1] == '\n');
}

/* Where the characters that the line may have end: at its CRLF, at another character, or behind
 * the last byte. */
static size_t text_end(const struct line *line, const char *bytes, size_t size)
{
    size_t at = strlen(line->start);

    if (line->letters != NULL)
        while (at < size && memchr(line->letters, bytes[at], strlen(line->letters)) != NULL)
            at++;
    else if (at < size && bytes[at] == ' ')
        while (at < size && !is_crlf(bytes, size, at))
            at++;
    return at;
}

/* Cuts `text` into exactly four words with exactly one space between them. */
static bool split_words(char *text, char *words[4])
{
    for (size_t i = 0; i < 4; i++) {
        char *end = text + strcspn(text, " ");
        if ((*end == ' ') != (i < 3))
            return false;
        *end = '\0';
        words[i] = text;
        text = end + 1;
    }
    return true;
}

static bool read_port(const char *text, long *port)
{
    return (text[0] != '0' || text[1] == '\0') && parse_number(text, 0, 65535, port) == 0;
}

/* Decodes "source destination port port". Both ends must be valid, though only the source is
 * used. */
static int decode_line(const char *bytes, size_t size, sa_family_t family, struct peer *peer,
                       enum proxy_problem *problem)
{
    char text[LINE_SIZE_MAX + 1], *words[4];
    struct in6_addr source, destination; /* room for both families */
    long source_port, destination_port;

    memcpy(text, bytes, size);
    text[size] = '\0';
    if (!split_words(text, words))
        return malformed(problem, PROXY_LINE_WORDS);
    if (inet_pton(family, words[0], &source) != 1 || inet_pton(family, words[1], &destination) != 1)
        return malformed(problem, PROXY_LINE_ADDRESS);
    if (!read_port(words[2], &source_port) || !read_port(words[3], &destination_port))
        return malformed(problem, PROXY_LINE_PORT);
    *peer = make_peer(family, (const uint8_t *)&source, (unsigned)source_port);
    return 0;
}

static int parse_line(const char *bytes, size_t size, struct proxy_header *header,
                      enum proxy_problem *problem)
{
    const struct line *line = line_of(bytes, size);
    struct peer peer;
    size_t start, end, seen;

    if (line == NULL)
        return malformed(problem, PROXY_NO_HEADER);
    start = strlen(line->start);
    if (size < start)
        return 0;
    seen = smaller(size, line->longest);
    end = text_end(line, bytes, seen);
    if (end + 2 > line->longest)
        return malformed(problem, PROXY_LINE_TOO_LONG);
    if (end < seen && !is_crlf(bytes, seen, end))
        return malformed(problem, PROXY_LINE_CHARACTER);
    if (end + 2 > seen)
        return 0;
    if (line->family == AF_UNSPEC)
        return complete(header, end + 2, NULL);
    if (decode_line(bytes + start, end - start, line->family, &peer, problem) == -1)
        return -1;
    return complete(header, end + 2, &peer);
}

/* ---- version 2: binary ---- */

static const char signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r',
                                   '\n', 'Q',  'U',  'I',  'T',  '\n'};

/* Where its parts begin. */
enum { AT_COMMAND = 12, AT_KIND = 13, AT_LENGTH = 14, AT_ADDRESSES = 16 };

/* The 13th byte: version and command. */
enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };

/* The 14th byte: family and transport. */
enum { FAMILY_HIGHEST = 0x3, TRANSPORT_HIGHEST = 0x2 };

/* The kinds of client that a stream server can have: sizes and places within the addresses. */
static const struct kind {
    unsigned byte; /* the 14th */
    sa_family_t family;
    size_t size;    /* of both addresses and ports */
    size_t at_port; /* of the source; 0: none */
} kinds[] = {
    {0x11, AF_INET, 12, 8},
    {0x21, AF_INET6, 36, 32},
    {0x31, AF_UNIX, 216, 0},
};

/* NULL: no client that we could name. A LOCAL command's 14th byte means nothing. */
static const struct kind *kind_of(const uint8_t *bytes)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (bytes[AT_COMMAND] == COMMAND_PROXY && bytes[AT_KIND] == kinds[i].byte)
            return &kinds[i];
    return NULL;
}

/* The length, or the least that it can be while not both of its bytes have come. */
static size_t length_so_far(const uint8_t *bytes, size_t size)
{
    size_t high = size > AT_LENGTH ? bytes[AT_LENGTH] : 0;
    size_t low = size > AT_LENGTH + 1 ? bytes[AT_LENGTH + 1] : 0;

    return high << 8 | low;
}

/* What is wrong with as much of the fixed part as has come. */
static enum proxy_problem fixed_fault(const uint8_t *bytes, size_t size)
{
    if (memcmp(bytes, signature, smaller(size, sizeof signature)) != 0)
        return PROXY_NO_HEADER;
    if (size > AT_COMMAND && bytes[AT_COMMAND] != COMMAND_LOCAL &&
        bytes[AT_COMMAND] != COMMAND_PROXY)
        return PROXY_COMMAND;
    if (size > AT_KIND && bytes[AT_COMMAND] == COMMAND_PROXY &&
        (bytes[AT_KIND] >> 4 > FAMILY_HIGHEST || (bytes[AT_KIND] & 0xf) > TRANSPORT_HIGHEST))
        return PROXY_FAMILY;
    if (AT_ADDRESSES + length_so_far(bytes, size) > PROXY_HEADER_MAX)
        return PROXY_TOO_LONG;
    return PROXY_RIGHT;
}

static struct peer decode_addresses(const struct kind *kind, const uint8_t *addresses)
{
    const uint8_t *port = addresses + kind->at_port;

    return make_peer(kind->family, addresses,
                     kind->at_port > 0 ? (unsigned)port[0] << 8 | port[1] : 0);
}

static int parse_binary(const uint8_t *bytes, size_t size, struct proxy_header *header,
                        enum proxy_problem *problem)
{
    enum proxy_problem fault = fixed_fault(bytes, size);
    const struct kind *kind;
    struct peer peer;
    size_t length;

    if (fault != PROXY_RIGHT)
        return malformed(problem, fault);
    if (size < AT_ADDRESSES)
        return 0;
    length = length_so_far(bytes, size);
    kind = kind_of(bytes);
    if (kind != NULL && length < kind->size)
        return malformed(problem, PROXY_TOO_SHORT);
    if (size < AT_ADDRESSES + length)
        return 0;
    if (kind == NULL)
        return complete(header, AT_ADDRESSES + length, NULL);
    peer = decode_addresses(kind, bytes + AT_ADDRESSES);
    return complete(header, AT_ADDRESSES + length, &peer);
}

int proxy_parse(const char *bytes, size_t size, struct proxy_header *header,
                enum proxy_problem *problem)
{
    if (size == 0)
        return 0;
    if (bytes[0] == signature[0])
        return parse_binary((const uint8_t *)bytes, size, header, problem);
    return parse_line(bytes, size, header, problem);
}
