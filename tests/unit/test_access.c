/* test_access.c: CIDR blocks, and access lists against a naive model (access.h). */
#include "suite.h"

#include "echo/access.h"

static struct block block_of(const char *text)
{
    struct block block;
    char problem[BLOCK_PROBLEM_MAX] = "";

    ck_assert_msg(block_parse(text, &block, problem) == 0, "'%s': %s", text, problem);
    return block;
}

/* Whether a list with this block alone names the client. */
static bool block_holds(const char *text, const struct peer *peer)
{
    struct block block = block_of(text);
    struct access access = {.entries = NULL};
    bool named;

    ck_assert_int_eq(access_add(&access, ACCESS_DENY, &block), 0);
    named = access_names(&access, peer);
    free(access.entries);
    return named;
}

static bool holds(const char *block, const char *address)
{
    struct peer peer = peer_at(address, 4242);

    return block_holds(block, &peer);
}

/* ---- blocks ---- */

/* Catches a form that is read as another block, and a v4-mapped one that stays IPv6. */
START_TEST(every_form_of_a_block_is_read)
{
    static const struct {
        const char *text, *meaning;
    } cases[] = {
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"192.0.2.1", "192.0.2.1/32"},
        {"192.0.2.1/32", "192.0.2.1/32"},
        {"192.0.2.0/31", "192.0.2.0/31"},
        {"128.0.0.0/1", "128.0.0.0/1"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"0.0.0.0", "0.0.0.0/32"},
        {"2001:db8::/32", "2001:db8::/32"},
        {"2001:DB8:0:0::/33", "2001:db8::/33"},
        {"::1", "::1/128"},
        {"::/0", "::/0"},
        {"8000::/1", "8000::/1"},
        {"ffff:ffff::fffe/127", "ffff:ffff::fffe/127"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"::ffff:a00:0/104", "10.0.0.0/8"},
        {"::ffff:192.0.2.1", "192.0.2.1/32"},
        {"0000:0000:0000:0000:0000:ffff:255.255.255.255", "255.255.255.255/32"}, /* the longest */
        {"::ffff:0:0/96", "0.0.0.0/0"},
        {"::fffe:0:0/95", "::fffe:0:0/95"},
        {"::/96", "::/96"},
        {"::fffe:10.0.0.0/104", "::fffe:a00:0/104"},
    };
    char text[BLOCK_TEXT_MAX];

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        struct block block = block_of(cases[i].text), again;
        ck_assert_str_eq(block_text(&block, text), cases[i].meaning);
        again = block_of(text);
        ck_assert_mem_eq(&again, &block, sizeof block);
    }
}
END_TEST

/* Catches a mistyped block that permits or denies others than were meant. */
START_TEST(what_is_no_block_is_rejected_with_the_reason)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "neither an IPv4"},
        {"/8", "neither an IPv4"},
        {"10/8", "neither an IPv4"},
        {"10.0.0/24", "neither an IPv4"},
        {"10.0.0.0.0", "neither an IPv4"},
        {"10.0.0.256", "neither an IPv4"},
        {"10.0.0.010", "neither an IPv4"},
        {"0x0a.0.0.0", "neither an IPv4"},
        {" 10.0.0.0/8", "neither an IPv4"},
        {"10.0.0.0 /8", "neither an IPv4"},
        {"localhost", "neither an IPv4"},
        {"*", "neither an IPv4"},
        {"[::1]", "neither an IPv4"},
        {":::", "neither an IPv4"},
        {"1:2:3:4:5:6:7", "neither an IPv4"},
        {"1:2:3:4:5:6:7:8:9", "neither an IPv4"},
        {"fe80::1%lo", "neither an IPv4"},
        {"::ffff:1.2.3.4.5", "neither an IPv4"},
        {"0000:0000:0000:0000:0000:ffff:255.255.255.2555", "neither an IPv4"},
        {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/0", "neither an IPv4"},
        {"10.0.0.0/", "0 to 32"},
        {"10.0.0.0/33", "0 to 32"},
        {"10.0.0.0/-1", "0 to 32"},
        {"10.0.0.0/+8", "0 to 32"},
        {"10.0.0.0/08", "0 to 32"},
        {"10.0.0.0/00", "0 to 32"},
        {"10.0.0.0/8 ", "0 to 32"},
        {"10.0.0.0/8/8", "0 to 32"},
        {"10.0.0.0/255.0.0.0", "0 to 32"},
        {"10.0.0.0/99999999999999999999", "0 to 32"},
        {"10.0.0.0/264", "0 to 32"}, /* 8 in a byte */
        {"::/129", "0 to 128"},
        {"::/", "0 to 128"},
        {"::ffff:10.0.0.0/129", "0 to 128"},
    };
    char problem[BLOCK_PROBLEM_MAX];

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        struct block block, before;
        memset(&block, 'x', sizeof block);
        before = block;
        strcpy(problem, "");
        ck_assert_msg(block_parse(cases[i].text, &block, problem) == -1, "'%s'", cases[i].text);
        ck_assert_msg(strstr(problem, cases[i].reason) != NULL, "'%s': %s", cases[i].text, problem);
        ck_assert_mem_eq(&block, &before, sizeof block);
    }
}
END_TEST

/* Catches `-A 192.0.2.1/24` that is accepted: was the machine meant, or the network? Catches also
 * a message that leaves it to the reader to compute the network. */
START_TEST(bits_beyond_the_length_are_rejected_and_the_network_is_named)
{
    static const struct {
        const char *text, *network;
    } cases[] = {
        {"192.0.2.1/24", "192.0.2.0/24"},
        {"10.128.0.0/8", "10.0.0.0/8"},
        {"0.0.0.1/0", "0.0.0.0/0"},
        {"192.0.2.1/31", "192.0.2.0/31"},
        {"2001:db8::1/32", "2001:db8::/32"},
        {"8000::/0", "::/0"},
        {"2001:db8:8000::/32", "2001:db8::/32"},
        {"::ffff:10.0.0.1/104", "10.0.0.0/8"},
        {"::ffff:10.0.0.0/8", "::/8"},
        {"::ffff:10.0.0.0/95", "::fffe:0:0/95"},
        {"ffff:ffff::ffff/127", "ffff:ffff::fffe/127"},
    };
    char problem[BLOCK_PROBLEM_MAX], expected[BLOCK_PROBLEM_MAX];
    struct block block;

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        ck_assert_msg(block_parse(cases[i].text, &block, problem) == -1, "'%s'", cases[i].text);
        snprintf(expected, sizeof expected, "it has bits beyond its length; the network is %s",
                 cases[i].network);
        ck_assert_str_eq(problem, expected);
        (void)block_of(cases[i].network);
    }
}
END_TEST

/* Catches a block whose edge is one address off, or that compares whole bytes only. */
START_TEST(a_block_holds_what_is_between_its_edges)
{
    static const struct {
        const char *block, *before, *first, *last, *after;
    } cases[] = {
        {"10.0.0.0/8", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
        {"192.0.2.64/26", "192.0.2.63", "192.0.2.64", "192.0.2.127", "192.0.2.128"},
        {"192.0.2.2/31", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"},
        {"192.0.2.2", "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3"},
        {"128.0.0.0/1", "127.255.255.255", "128.0.0.0", "255.255.255.255", "0.0.0.0"},
        {"2001:db8::/33", "2001:db7:ffff::", "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff",
         "2001:db8:8000::"},
        {"2001:db8::4/127", "2001:db8::3", "2001:db8::4", "2001:db8::5", "2001:db8::6"},
        {"::1", "::", "::1", "::1", "::2"},
        {"8000::/1", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::"},
    };

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        ck_assert_msg(!holds(cases[i].block, cases[i].before), "%s", cases[i].block);
        ck_assert_msg(holds(cases[i].block, cases[i].first), "%s", cases[i].block);
        ck_assert_msg(holds(cases[i].block, cases[i].last), "%s", cases[i].block);
        ck_assert_msg(!holds(cases[i].block, cases[i].after), "%s", cases[i].block);
    }
}
END_TEST

/* Catches a rule for IPv4 that a client escapes by an IPv6 socket, an IPv6 rule that catches
 * IPv4 clients, and one that reads a name where a Unix client has none. */
START_TEST(a_mapped_client_is_an_ipv4_client_and_a_unix_client_is_in_no_block)
{
    ck_assert(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
    ck_assert(!holds("10.0.0.0/8", "::ffff:11.1.2.3"));
    ck_assert(holds("::ffff:10.0.0.0/104", "10.1.2.3"));
    ck_assert(holds("::ffff:10.0.0.0/104", "::ffff:10.1.2.3"));
    ck_assert(holds("0.0.0.0/0", "::ffff:255.255.255.255"));
    ck_assert(!holds("0.0.0.0/0", "::"));
    ck_assert(!holds("0.0.0.0/0", "::10.1.2.3"));
    ck_assert(!holds("0.0.0.0/0", "a00::"));
    ck_assert(!holds("::/0", "10.1.2.3"));
    ck_assert(!holds("::/0", "::ffff:10.1.2.3"));
    ck_assert(!holds("::fffe:0:0/95", "::ffff:10.1.2.3"));
    ck_assert(holds("::fffe:0:0/95", "::fffe:10.1.2.3"));
    ck_assert(holds("::/0", "2001:db8::1"));
    ck_assert(!holds("::/0", "local"));
    ck_assert(!holds("0.0.0.0/0", "local"));
}
END_TEST

/* Catches a link-local client that is missed because of its zone. */
START_TEST(the_zone_of_a_client_does_not_matter)
{
    struct peer peer = peer_at("fe80::1", 1);

    peer.name.v6.sin6_scope_id = 3;
    ck_assert(block_holds("fe80::/10", &peer));
}
END_TEST

/* ---- lists ---- */

/* Makes a list of "+block" and "-block", with a space between them. */
static struct access list_of(const char *rules)
{
    struct access access = {.entries = NULL};
    char copy[1024];

    ck_assert_uint_lt(strlen(rules), sizeof copy);
    strcpy(copy, rules);
    for (char *rule = strtok(copy, " "); rule != NULL; rule = strtok(NULL, " ")) {
        struct block block = block_of(rule + 1);
        ck_assert_int_eq(access_add(&access, *rule == '+' ? ACCESS_ALLOW : ACCESS_DENY, &block), 0);
    }
    return access;
}

static bool permits(const char *rules, const char *address)
{
    struct access access = list_of(rules);
    struct peer peer = peer_at(address, 4242);
    bool permitted = access_permits(&access, &peer);

    free(access.entries);
    return permitted;
}

/* Catches a list of denials that refuses everybody else, and one of permissions that does not. */
START_TEST(whom_no_rule_names_is_refused_only_where_some_are_allowed)
{
    ck_assert(permits("", "192.0.2.1"));
    ck_assert(permits("", "2001:db8::1"));
    ck_assert(permits("-10.0.0.0/8", "192.0.2.1"));
    ck_assert(permits("-10.0.0.0/8", "2001:db8::1"));
    ck_assert(!permits("-10.0.0.0/8", "10.0.0.1"));
    ck_assert(!permits("+10.0.0.0/8", "192.0.2.1"));
    ck_assert(!permits("+10.0.0.0/8", "2001:db8::1"));
    ck_assert(!permits("+10.0.0.0/8 -10.1.0.0/16", "192.0.2.1"));
    ck_assert(!permits("-10.1.0.0/16 +10.0.0.0/8", "192.0.2.1"));
    ck_assert(permits("+10.0.0.0/8", "10.0.0.1"));
}
END_TEST

/* Catches a list in which the order of the options, or the wider block, decides. */
START_TEST(the_longest_match_wins_in_any_order)
{
    ck_assert(permits("-10.0.0.0/8 +10.1.0.0/16 -10.1.2.0/24 +10.1.2.3", "10.1.2.3"));
    ck_assert(!permits("-10.0.0.0/8 +10.1.0.0/16 -10.1.2.0/24 +10.1.2.3", "10.1.2.4"));
    ck_assert(permits("-10.0.0.0/8 +10.1.0.0/16 -10.1.2.0/24 +10.1.2.3", "10.1.3.1"));
    ck_assert(!permits("-10.0.0.0/8 +10.1.0.0/16 -10.1.2.0/24 +10.1.2.3", "10.2.0.1"));
    ck_assert(permits("+10.1.2.3 -10.1.2.0/24 +10.1.0.0/16 -10.0.0.0/8", "10.1.2.3"));
    ck_assert(!permits("+10.1.2.3 -10.1.2.0/24 +10.1.0.0/16 -10.0.0.0/8", "10.1.2.4"));
    ck_assert(!permits("+::/0 -2001:db8::/32", "2001:db8::1"));
    ck_assert(permits("-2001:db8::/32 +::/0", "2001:db9::1"));
    ck_assert(permits("-0.0.0.0/0 +::/0", "2001:db9::1"));
    ck_assert(!permits("-0.0.0.0/0 +::/0", "192.0.2.1"));
}
END_TEST

/* Catches a deny that a second option takes back. */
START_TEST(a_deny_wins_a_tie)
{
    ck_assert(!permits("+10.0.0.0/8 -10.0.0.0/8", "10.0.0.1"));
    ck_assert(!permits("-10.0.0.0/8 +10.0.0.0/8", "10.0.0.1"));
    ck_assert(!permits("-10.0.0.0/8 +10.0.0.0/8 +10.0.0.0/8", "10.0.0.1"));
    ck_assert(!permits("+10.0.0.0/8 -::ffff:10.0.0.0/104", "10.0.0.1"));
    ck_assert(!permits("+::1 -::1", "::1"));
}
END_TEST

/* Catches a client that escapes a deny through a dual-stack socket, or is refused there. */
START_TEST(a_mapped_client_is_judged_by_the_rules_for_ipv4)
{
    ck_assert(!permits("-10.0.0.0/8", "::ffff:10.0.0.1"));
    ck_assert(permits("+10.0.0.0/8", "::ffff:10.0.0.1"));
    ck_assert(!permits("+::/0", "::ffff:10.0.0.1"));
    ck_assert(permits("-::/0", "::ffff:10.0.0.1"));
}
END_TEST

/* Catches an allow rule for the network that shuts out the Unix socket beside it. */
START_TEST(unix_clients_are_not_subject_to_the_list)
{
    ck_assert(permits("", "local"));
    ck_assert(permits("+10.0.0.0/8", "local"));
    ck_assert(permits("-0.0.0.0/0 -::/0", "local"));
}
END_TEST

/* ---- the naive list: in the order given, all families as 128 bits, bit by bit ---- */

#define RULES_MAX 60

struct wide {
    bool v4;
    uint8_t bytes[16]; /* IPv4 addresses in their mapped form */
};

struct model {
    size_t count;
    struct {
        struct wide first;
        unsigned length; /* of 128 */
        bool allow;
    } rules[RULES_MAX];
};

static unsigned bit_of(const struct wide *wide, unsigned at)
{
    return (unsigned)wide->bytes[at / 8] >> (7 - at % 8) & 1U;
}

/* A random address of a small world, so that blocks often meet. */
static struct wide random_wide(uint64_t *state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x0a, 0x80, 0xff};
    struct wide wide = {.v4 = random_below(state, 2) == 0};

    for (size_t i = wide.v4 ? 12 : 0; i < 16; i++)
        wide.bytes[i] = i % 4 < 2 ? values[random_below(state, SUITE_LENGTH(values))] : 0x0a;
    if (wide.v4)
        wide.bytes[10] = wide.bytes[11] = 0xff;
    else
        wide.bytes[0] = 0x20; /* never a mapped one */
    return wide;
}

static bool model_permits(const struct model *model, const struct wide *client)
{
    int longest = -1;
    bool permitted = true, found = false;

    for (size_t i = 0; i < model->count; i++)
        if (model->rules[i].allow)
            permitted = false;
    for (size_t i = 0; i < model->count; i++) {
        const struct wide *first = &model->rules[i].first;
        int length = (int)model->rules[i].length;
        unsigned same = 0;
        while (same < 128 && bit_of(first, same) == bit_of(client, same))
            same++;
        if (first->v4 != client->v4 || (int)same < length || length < longest)
            continue;
        permitted = found && length == longest ? permitted && model->rules[i].allow
                                               : model->rules[i].allow;
        longest = length;
        found = true;
    }
    return permitted;
}

/* Writes a wide address, an IPv4 one in either of its forms. Says which in `*mapped`. */
static void wide_text(const struct wide *wide, uint64_t *state, char *text, bool *mapped)
{
    *mapped = wide->v4 && random_below(state, 2) == 0;
    if (wide->v4 && !*mapped)
        inet_ntop(AF_INET, wide->bytes + 12, text, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, wide->bytes, text, INET6_ADDRSTRLEN);
}

/* Adds the same random rule to both, to the list by its text. */
static void add_random_rule(struct model *model, struct access *access, uint64_t *state)
{
    struct wide first = random_wide(state);
    unsigned shortest = first.v4 ? 96 : 0, length = shortest + random_below(state, 129 - shortest);
    char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];
    bool allow = random_below(state, 2) == 0, mapped;
    struct block block;

    for (unsigned at = length; at < 128; at++)
        first.bytes[at / 8] &= (uint8_t)~(0x80U >> at % 8);
    wide_text(&first, state, host, &mapped);
    snprintf(text, sizeof text, "%s/%u", host, first.v4 && !mapped ? length - 96 : length);
    block = block_of(text);
    ck_assert_int_eq(access_add(access, allow ? ACCESS_ALLOW : ACCESS_DENY, &block), 0);
    model->rules[model->count].first = first;
    model->rules[model->count].length = length;
    model->rules[model->count++].allow = allow;
}

/* Catches whatever the cases above have not thought of. */
START_TEST(a_list_decides_as_the_naive_one_does)
{
    uint64_t state = 1;
    size_t permitted = 0, asked = 0;

    for (unsigned round = 0; round < 300; round++) {
        struct access access = {.entries = NULL};
        struct model model = {.count = 0};
        for (unsigned rules = random_below(&state, RULES_MAX); rules > 0; rules--)
            add_random_rule(&model, &access, &state);
        for (unsigned i = 0; i < 200; i++, asked++) {
            struct wide client = random_wide(&state);
            char text[INET6_ADDRSTRLEN];
            bool mapped, expected = model_permits(&model, &client);
            struct peer peer;
            wide_text(&client, &state, text, &mapped);
            peer = peer_at(text, 1);
            ck_assert_msg(access_permits(&access, &peer) == expected, "round %u: %s", round, text);
            permitted += expected;
        }
        free(access.entries);
    }
    ck_assert_uint_gt(permitted, asked / 10); /* both answers are tried */
    ck_assert_uint_lt(permitted, asked * 9 / 10);
}
END_TEST

/* Catches a list that loses rules as it grows. */
START_TEST(a_list_of_thousands_keeps_them_all)
{
    struct access access = {.entries = NULL};
    char text[32];

    for (unsigned i = 0; i < 3000; i++) {
        struct block block;
        snprintf(text, sizeof text, "10.%u.%u.0/%u", i >> 8, i & 0xff, 24 + i % 8);
        block = block_of(text);
        ck_assert_int_eq(access_add(&access, ACCESS_ALLOW, &block), 0);
    }
    ck_assert_uint_eq(access.count, 3000);
    for (unsigned i = 0; i < 4000; i++) {
        struct peer peer;
        snprintf(text, sizeof text, "10.%u.%u.0", i >> 8, i & 0xff);
        peer = peer_at(text, 1);
        ck_assert_msg(access_permits(&access, &peer) == (i < 3000), "%s", text);
    }
    free(access.entries);
}
END_TEST

/* Catches a list of proxies that is read as one of who is served: then all would be named by an
 * empty list, and Unix clients by any. */
START_TEST(a_list_names_whom_a_block_holds_and_nobody_else)
{
    struct access access = {.entries = NULL};
    struct block block = block_of("10.0.0.0/8"), inner = block_of("10.1.0.0/16");
    struct peer in = peer_at("10.1.2.3", 1), out = peer_at("11.1.2.3", 1);
    struct peer mapped = peer_at("::ffff:10.1.2.3", 1), local = peer_at("local", 0);

    ck_assert(!access_names(&access, &in) && !access_names(&access, &local));
    ck_assert_int_eq(access_add(&access, ACCESS_ALLOW, &block), 0);
    ck_assert_int_eq(access_add(&access, ACCESS_DENY, &inner), 0);
    ck_assert(access_names(&access, &in) && access_names(&access, &mapped));
    ck_assert(!access_names(&access, &out) && !access_names(&access, &local));
    free(access.entries);
}
END_TEST

SUITE("access", every_form_of_a_block_is_read, what_is_no_block_is_rejected_with_the_reason,
      bits_beyond_the_length_are_rejected_and_the_network_is_named,
      a_block_holds_what_is_between_its_edges,
      a_mapped_client_is_an_ipv4_client_and_a_unix_client_is_in_no_block,
      the_zone_of_a_client_does_not_matter,
      whom_no_rule_names_is_refused_only_where_some_are_allowed,
      the_longest_match_wins_in_any_order, a_deny_wins_a_tie,
      a_mapped_client_is_judged_by_the_rules_for_ipv4, unix_clients_are_not_subject_to_the_list,
      a_list_decides_as_the_naive_one_does, a_list_of_thousands_keeps_them_all,
      a_list_names_whom_a_block_holds_and_nobody_else)
