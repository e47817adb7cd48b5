/* test_address.c: text to socket addresses and back, and sources (address.h). */
#include "suite.h"

#include <net/if.h>

/* Catches a form of -l that is split in the wrong place. */
START_TEST(every_form_is_split_into_host_and_port)
{
    static const struct {
        const char *text, *host, *port;
    } cases[] = {
        {"7", "", "7"},
        {"echo", "", "echo"},
        {"0", "", "0"},
        {"65535", "", "65535"},
        {"localhost:echo", "localhost", "echo"},
        {"192.0.2.1:7007", "192.0.2.1", "7007"},
        {"*:7", "*", "7"},
        {"[::1]:7", "::1", "7"},
        {"[fe80::1%eth0]:7", "fe80::1%eth0", "7"},
        {"[::]:0", "::", "0"},
        {"/run/echo", "/run/echo", ""},
        {"/run/a:b[c]:7", "/run/a:b[c]:7", ""},
    };
    struct endpoint endpoint;

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        memset(&endpoint, 'x', sizeof endpoint);
        ck_assert_msg(address_split(cases[i].text, &endpoint) == NULL, "%s", cases[i].text);
        ck_assert_str_eq(endpoint.host, cases[i].host);
        ck_assert_str_eq(endpoint.port, cases[i].port);
    }
}
END_TEST

/* Catches a mistyped address that is taken for another one, and an error without its reason. */
START_TEST(what_is_no_address_is_refused_with_the_reason)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "port is missing"},       {":7", "host is missing"},
        {"host:", "port is missing"},  {"[::1]:", "port is missing"},
        {"[]:7", "host is missing"},   {"::1", "[address]:port"},
        {"[*]:7", "in brackets"},      {"[localhost]:7", "in brackets"},
        {"[/a:b]:7", "in brackets"},   {"[/run/echo]:7", "in brackets"},
        {"::1:7", "[address]:port"},   {"[::1]", "[address]:port"},
        {"[::1]7", "[address]:port"},  {"[::1", "[address]:port"},
        {"65536", "0 to 65535"},       {"99999999999999999999", "0 to 65535"},
        {"host:65536", "0 to 65535"},  {"host:7 ", "neither a number"},
        {" 7", "neither a number"},    {"host:7/tcp", "neither a number"},
        {"*:+\n", "neither a number"}, {"host:7:8", "[address]:port"},
    };
    struct endpoint endpoint;

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        const char *problem = address_split(cases[i].text, &endpoint);
        ck_assert_msg(problem != NULL, "'%s'", cases[i].text);
        ck_assert_msg(strstr(problem, cases[i].reason) != NULL, "'%s': %s", cases[i].text, problem);
    }
}
END_TEST

/* Catches an overflow, or a silent cut, of a part that has no room. */
START_TEST(parts_that_are_too_long_are_refused)
{
    struct endpoint endpoint;
    const size_t path_room = sizeof ((struct sockaddr_un *)NULL)->sun_path;
    char text[1024];

    memset(text, 'a', sizeof text);
    text[64] = '\0'; /* one more than a service name may have */
    ck_assert_ptr_nonnull(address_split(text, &endpoint));
    text[63] = '\0';
    ck_assert_ptr_null(address_split(text, &endpoint));
    memset(text, 'a', sizeof text);
    strcpy(text + 256, ":7");
    ck_assert_ptr_nonnull(address_split(text, &endpoint));
    strcpy(text + 255, ":7");
    ck_assert_ptr_null(address_split(text, &endpoint));
    memset(text, 'a', sizeof text);
    text[0] = '/';
    text[path_room] = '\0'; /* no room for its end */
    ck_assert_ptr_nonnull(strstr(address_split(text, &endpoint), "too long"));
    text[path_room - 1] = '\0';
    ck_assert_ptr_null(address_split(text, &endpoint));
}
END_TEST

/* Resolves a text that must be an address. Returns what address_resolve does. */
static int resolve(const char *text, bool passive, struct address *found, size_t limit,
                   const char **problem)
{
    struct endpoint endpoint;

    ck_assert_msg(address_split(text, &endpoint) == NULL, "%s", text);
    return address_resolve(&endpoint, passive, found, limit, problem);
}

/* Catches an address that comes out of the log in a form that -l does not take. */
START_TEST(what_is_printed_can_be_given_again)
{
    static const char *const texts[] = {"192.0.2.1:7", "[2001:db8::1]:65535", "[::1]:7",
                                        "0.0.0.0:1", "[::]:1", "/run/echo.socket"};
    struct address found[4];
    char text[ADDRESS_TEXT_MAX];
    const char *problem;

    for (size_t i = 0; i < SUITE_LENGTH(texts); i++) {
        ck_assert_int_eq(resolve(texts[i], true, found, 4, &problem), 1);
        ck_assert_str_eq(address_text(&found[0].name.any, text), texts[i]);
    }
}
END_TEST

/* Catches a link-local address without its interface, and an interface's name behind one of
 * another kind, with which getaddrinfo takes none. */
START_TEST(only_a_link_local_address_is_printed_with_its_interface)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(7), .sin6_scope_id = 1};
    char text[ADDRESS_TEXT_MAX], name[IF_NAMESIZE], expected[64];

    ck_assert_ptr_nonnull(if_indextoname(1, name));
    ck_assert_int_eq(inet_pton(AF_INET6, "fe80::1", &v6.sin6_addr), 1);
    snprintf(expected, sizeof expected, "[fe80::1%%%s]:7", name);
    ck_assert_str_eq(address_text((const struct sockaddr *)(const void *)&v6, text), expected);
    ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr), 1);
    ck_assert_str_eq(address_text((const struct sockaddr *)(const void *)&v6, text),
                     "[2001:db8::1]:7");
}
END_TEST

/* Catches a line of text overrun by the longest path. */
START_TEST(the_longest_path_fits_an_address_text)
{
    char path[sizeof ((struct sockaddr_un *)NULL)->sun_path], text[ADDRESS_TEXT_MAX];
    struct address found[1];
    const char *problem;

    memset(path, 'p', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    ck_assert_int_eq(resolve(path, true, found, 1, &problem), 1);
    ck_assert_str_eq(address_text(&found[0].name.any, text), path);
}
END_TEST

/* Catches a server that has no `echo` where there is no /etc/services, or another port there. */
START_TEST(echo_is_port_seven)
{
    struct address found[4];
    const char *problem;

    ck_assert_int_eq(resolve("127.0.0.1:echo", true, found, 4, &problem), 1);
    ck_assert_uint_eq(address_port(&found[0].name.any), 7);
    ck_assert_int_eq(resolve("[::1]:echo", false, found, 4, &problem), 1);
    ck_assert_uint_eq(address_port(&found[0].name.any), 7);
}
END_TEST

/* Catches `*` that listens on one family only, or that a client connects to. */
START_TEST(a_star_is_every_address_to_listen_on_and_localhost_to_connect_to)
{
    struct address found[8];
    char text[ADDRESS_TEXT_MAX];
    const char *problem;
    int count = resolve("*:7", true, found, 8, &problem);

    ck_assert_int_ge(count, 1);
    ck_assert_int_le(count, 2);
    for (int i = 0; i < count; i++) {
        address_text(&found[i].name.any, text);
        ck_assert_msg(strcmp(text, "0.0.0.0:7") == 0 || strcmp(text, "[::]:7") == 0, "%s", text);
    }
    ck_assert(count == 1 || found[0].name.any.sa_family != found[1].name.any.sa_family);
    count = resolve("*:7", false, found, 8, &problem);
    ck_assert_int_ge(count, 1);
    for (int i = 0; i < count; i++) {
        address_text(&found[i].name.any, text);
        ck_assert_msg(strncmp(text, "127.", 4) == 0 || strcmp(text, "[::1]:7") == 0, "%s", text);
    }
}
END_TEST

/* Catches a name that /etc/hosts has twice and that would be bound twice; more than fits. */
START_TEST(a_name_resolves_to_different_addresses_within_the_limit)
{
    struct address found[8], one[2];
    const char *problem;
    int count = resolve("7", true, found, 8, &problem);

    ck_assert_int_ge(count, 1);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++)
            ck_assert(found[i].length != found[j].length ||
                      memcmp(&found[i].name, &found[j].name, found[i].length) != 0);
    memset(one, 'x', sizeof one);
    ck_assert_int_eq(resolve("*:7", true, one, 0, &problem), -1);
    ck_assert_int_eq(resolve("/run/echo", true, one, 0, &problem), -1);
    ck_assert_int_eq(((char *)one)[0], 'x');
    ck_assert_int_eq(resolve("*:7", true, one, 1, &problem), 1);
    ck_assert_int_eq(((char *)&one[1])[0], 'x');
}
END_TEST

/* Catches an unresolvable name that is taken for an empty one, and a missing reason. The
 * names are wrong by their form, so that no name server is asked. */
START_TEST(a_name_that_does_not_resolve_is_refused_with_the_reason)
{
    struct address found[4];
    const char *problem = NULL;

    ck_assert_int_eq(resolve("no..name:7", true, found, 4, &problem), -1);
    ck_assert_ptr_nonnull(problem);
    problem = NULL;
    ck_assert_int_eq(resolve("127.0.0.1:no-such-service", false, found, 4, &problem), -1);
    ck_assert_ptr_nonnull(problem);
}
END_TEST

/* Catches a port in the wrong byte order or family; a path that gains a port. */
START_TEST(ports_are_set_and_read_in_host_order)
{
    struct address found[4];
    const char *problem;
    char text[ADDRESS_TEXT_MAX];

    ck_assert_int_eq(resolve("192.0.2.1:0", true, found, 4, &problem), 1);
    address_set_port(&found[0], 0x1234);
    ck_assert_uint_eq(address_port(&found[0].name.any), 0x1234);
    ck_assert_str_eq(address_text(&found[0].name.any, text), "192.0.2.1:4660");
    ck_assert_int_eq(resolve("[::1]:0", true, found, 4, &problem), 1);
    address_set_port(&found[0], 65535);
    ck_assert_str_eq(address_text(&found[0].name.any, text), "[::1]:65535");
    ck_assert_int_eq(resolve("/run/echo", true, found, 4, &problem), 1);
    address_set_port(&found[0], 7);
    ck_assert_uint_eq(address_port(&found[0].name.any), 0);
    ck_assert_str_eq(address_text(&found[0].name.any, text), "/run/echo");
}
END_TEST

/* Catches garbage in the log for a Unix client, which has no name, and an IPv4 client of an
 * inherited socket of both families who is shown as ::ffff:something. */
START_TEST(clients_are_written_like_addresses_and_unix_ones_as_local)
{
    struct peer v4 = peer_at("192.0.2.9", 40000), v6 = peer_at("2001:db8::9", 40001),
                local = peer_at("local", 0), mapped = peer_at("::ffff:192.0.2.9", 40002);
    char text[ADDRESS_TEXT_MAX];

    ck_assert_str_eq(peer_text(&v4, text), "192.0.2.9:40000");
    ck_assert_str_eq(peer_text(&v6, text), "[2001:db8::9]:40001");
    ck_assert_str_eq(peer_text(&local, text), "local");
    ck_assert_str_eq(peer_text(&mapped, text), "192.0.2.9:40002");
}
END_TEST

static bool same_source(const char *one, const char *other)
{
    struct peer first = peer_at(one, 1), second = peer_at(other, 2);

    return source_equal(address_source(&first), address_source(&second));
}

/* Catches hosts of two links that are one source, as each has an address of the same prefix, and
 * users who share a Unix socket and a limit. */
START_TEST(a_link_and_a_user_are_sources)
{
    struct peer one = {.name.v6 = {.sin6_family = AF_INET6, .sin6_scope_id = 1}}, other;

    ck_assert_int_eq(inet_pton(AF_INET6, "fe80::1", &one.name.v6.sin6_addr), 1);
    other = one;
    other.name.v6.sin6_addr.s6_addr[15] = 2;
    ck_assert(source_equal(address_source(&one), address_source(&other)));
    other.name.v6.sin6_scope_id = 2;
    ck_assert(!source_equal(address_source(&one), address_source(&other)));
    one = (struct peer){.name.any.sa_family = AF_UNIX, .user = 1};
    other = one;
    ck_assert(source_equal(address_source(&one), address_source(&other)));
    other.user = 2;
    ck_assert(!source_equal(address_source(&one), address_source(&other)));
}
END_TEST

/* Catches a limit a source that a client escapes by another port or another address of its
 * /64, and one that hits a neighbour. */
START_TEST(sources_are_counted_as_specified)
{
    ck_assert(same_source("192.0.2.1", "192.0.2.1")); /* whatever the port */
    ck_assert(!same_source("192.0.2.1", "192.0.2.2"));
    ck_assert(!same_source("192.0.2.1", "193.0.2.1"));
    ck_assert(same_source("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
    ck_assert(!same_source("2001:db8:1:2::1", "2001:db8:1:3::1"));
    ck_assert(!same_source("2001:db8:1:2::1", "2001:db9:1:2::1"));
    ck_assert(same_source("::ffff:192.0.2.1", "192.0.2.1"));
    ck_assert(!same_source("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    ck_assert(!same_source("::ffff:192.0.2.1", "::1"));
    ck_assert(same_source("local", "local"));
    ck_assert(!same_source("local", "0.0.0.0"));
    ck_assert(!same_source("0.0.0.0", "::"));
}
END_TEST

/* Catches a path that fills its room, as a socket that was handed over may have it, and is read on
 * behind its end; and one of the abstract name space, where the NUL is at the front. */
START_TEST(a_path_may_fill_its_room)
{
    struct {
        struct address address;
        char beyond[8];
    } given;
    char text[ADDRESS_TEXT_MAX];

    memset(&given, 'x', sizeof given);
    given.beyond[sizeof given.beyond - 1] = '\0';
    given.address.name.any.sa_family = AF_UNIX;
    address_text(&given.address.name.any, text);
    ck_assert_uint_eq(strlen(text), sizeof given.address.name.local.sun_path);
    given.address.name.local.sun_path[0] = '\0';
    address_text(&given.address.name.any, text);
    ck_assert_uint_eq(strlen(text), sizeof given.address.name.local.sun_path);
    ck_assert_int_eq(text[0], '@');
}
END_TEST

SUITE("address", a_path_may_fill_its_room, every_form_is_split_into_host_and_port,
      what_is_no_address_is_refused_with_the_reason, parts_that_are_too_long_are_refused,
      what_is_printed_can_be_given_again,
      only_a_link_local_address_is_printed_with_its_interface,
      the_longest_path_fits_an_address_text,
      echo_is_port_seven, a_star_is_every_address_to_listen_on_and_localhost_to_connect_to,
      a_name_resolves_to_different_addresses_within_the_limit,
      a_name_that_does_not_resolve_is_refused_with_the_reason,
      ports_are_set_and_read_in_host_order,
      clients_are_written_like_addresses_and_unix_ones_as_local, sources_are_counted_as_specified,
      a_link_and_a_user_are_sources)
