/* proxy.c: see proxy.h. */
#include "echo/proxy.h"

#include "base/parse.h"

#include <arpa/inet.h>
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

static size_t smaller(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* The proxy names its client: an address and a port in network byte order. */
static void name_client(struct proxy_header *header, sa_family_t family, const void *address,
                        in_port_t port)
{
    struct peer *peer = &header->peer;

    header->known = true;
    peer->name.any.sa_family = family;
    if (family == AF_INET) {
        memcpy(&peer->name.v4.sin_addr, address, 4);
        peer->name.v4.sin_port = port;
    } else if (family == AF_INET6) {
        memcpy(&peer->name.v6.sin6_addr, address, 16);
        peer->name.v6.sin6_port = port;
    }
    *peer = peer_unmapped(peer);
}

#define LINE_SIZE_MAX 107 /* with its CRLF: section 2.1 */

/* TCP6 may fill any line: the 104 bytes of section 2.1 have no room for dotted tails. */
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

/* Whether a CRLF stands there, or its CR as the last byte that has come. */
static bool is_crlf(const char *bytes, size_t size, size_t at)
{
    return bytes[at] == '\r' && (at + 1 == size || bytes[at + 1] == '\n');
}

/* Where the characters that the line may have end. */
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

/* Decodes "source destination port port": both must be valid, though only the source is used. */
static enum proxy_problem decode_line(const char *bytes, size_t size, sa_family_t family,
                                      struct proxy_header *header)
{
    char text[LINE_SIZE_MAX + 1], *words[4];
    struct in6_addr source, destination; /* room for both families */
    long source_port, destination_port;

    memcpy(text, bytes, size);
    text[size] = '\0';
    if (!split_words(text, words))
        return PROXY_LINE_WORDS;
    if (inet_pton(family, words[0], &source) != 1 || inet_pton(family, words[1], &destination) != 1)
        return PROXY_LINE_ADDRESS;
    if (!read_port(words[2], &source_port) || !read_port(words[3], &destination_port))
        return PROXY_LINE_PORT;
    name_client(header, family, &source, htons((uint16_t)source_port));
    return PROXY_RIGHT;
}

static enum proxy_problem parse_line(const char *bytes, size_t size, struct proxy_header *header)
{
    const struct line *line = NULL; /* one that the bytes could become */
    size_t start, end, seen;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (memcmp(bytes, lines[i].start, smaller(size, strlen(lines[i].start))) == 0)
            line = &lines[i];
    if (line == NULL)
        return PROXY_NO_HEADER;
    start = strlen(line->start);
    if (size < start)
        return PROXY_RIGHT;
    seen = smaller(size, line->longest);
    end = text_end(line, bytes, seen);
    if (end + 2 > line->longest)
        return PROXY_LINE_TOO_LONG;
    if (end < seen && !is_crlf(bytes, seen, end))
        return PROXY_LINE_CHARACTER;
    if (end + 2 > seen)
        return PROXY_RIGHT;
    header->size = end + 2;
    if (line->family == AF_UNSPEC)
        return PROXY_RIGHT;
    return decode_line(bytes + start, end - start, line->family, header);
}

/* The fixed beginning: signature, version and command, family and transport, length of the rest. */
enum { AT_COMMAND = 12, AT_KIND = 13, AT_LENGTH = 14, FIXED_SIZE = 16 };
enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21, FAMILY_HIGHEST = 3, TRANSPORT_HIGHEST = 2 };

/* A beginning with nothing wrong, which stands for the bytes that have not come. */
static const uint8_t right[FIXED_SIZE] = "\r\n\r\n\0\r\nQUIT\n\x20";

/* The kinds of client that a stream server can have: sizes and places within the addresses. */
static const struct kind {
    unsigned byte; /* family and transport */
    sa_family_t family;
    size_t size;    /* of both addresses and ports */
    size_t at_port; /* of the source; a Unix client has none */
} kinds[] = {
    {0x11, AF_INET, 12, 8},
    {0x21, AF_INET6, 36, 32},
    {0x31, AF_UNIX, 216, 0},
};

static enum proxy_problem parse_binary(const char *bytes, size_t size, struct proxy_header *header)
{
    const char *addresses = bytes + FIXED_SIZE;
    const struct kind *kind = NULL; /* where it stays so, there is no client that we could name */
    uint8_t fixed[FIXED_SIZE];
    size_t whole;
    in_port_t port;

    memcpy(fixed, right, FIXED_SIZE);
    memcpy(fixed, bytes, smaller(size, FIXED_SIZE));
    whole = FIXED_SIZE + ((size_t)fixed[AT_LENGTH] << 8 | fixed[AT_LENGTH + 1]);
    if (memcmp(fixed, right, AT_COMMAND) != 0)
        return PROXY_NO_HEADER;
    if (fixed[AT_COMMAND] == COMMAND_PROXY) {
        if (fixed[AT_KIND] >> 4 > FAMILY_HIGHEST || (fixed[AT_KIND] & 0xf) > TRANSPORT_HIGHEST)
            return PROXY_FAMILY;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            if (fixed[AT_KIND] == kinds[i].byte)
                kind = &kinds[i];
    } else if (fixed[AT_COMMAND] != COMMAND_LOCAL) {
        return PROXY_COMMAND;
    }
    if (whole > PROXY_HEADER_MAX)
        return PROXY_TOO_LONG;
    if (size >= FIXED_SIZE && kind != NULL && whole < FIXED_SIZE + kind->size)
        return PROXY_TOO_SHORT;
    if (size < whole)
        return PROXY_RIGHT;
    header->size = whole;
    if (kind != NULL) {
        memcpy(&port, addresses + kind->at_port, sizeof port);
        name_client(header, kind->family, addresses, port);
    }
    return PROXY_RIGHT;
}

int proxy_parse(const char *bytes, size_t size, struct proxy_header *header,
                enum proxy_problem *problem)
{
    struct proxy_header found = {0}; /* it gets a size once it is complete */
    enum proxy_problem wrong;

    if (size == 0)
        return 0;
    wrong = bytes[0] == '\r' ? parse_binary(bytes, size, &found) : parse_line(bytes, size, &found);
    if (wrong != PROXY_RIGHT) {
        *problem = wrong;
        return -1;
    }
    if (found.size > 0)
        *header = found;
    return found.size > 0;
}
