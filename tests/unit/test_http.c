/* test_http.c: the requests of monitors, and the heads of answers (http.h). */
#include "suite.h"

#include "server/http.h"

#define ENOUGH "HTTP/1.1\r\nHost: a\r\n\r\n"

static struct http_request request;

static int parse(const char *text)
{
    memset(&request, 0x5a, sizeof request);
    return http_parse(text, strlen(text), &request);
}

struct asked {
    const char *text;
    int answer;
    enum http_page page;
    bool head;
};

static void expect(const struct asked *asked, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(parse(asked[i].text) == asked[i].answer, "%s: %d", asked[i].text,
                      parse(asked[i].text));
        if (asked[i].answer == 200)
            ck_assert_msg(request.page == asked[i].page && request.head == asked[i].head, "%s",
                          asked[i].text);
    }
}

/* Catches a page or a method that is mistaken for another. */
START_TEST(a_request_is_what_it_says)
{
    static const struct asked asked[] = {
        {"GET / HTTP/1.1\r\n\r\n", 200, HTTP_PLAIN, false},
        {"HEAD / HTTP/1.0\r\n\r\n", 200, HTTP_PLAIN, true},
        {"GET /metrics " ENOUGH, 200, HTTP_PROMETHEUS, false},
        {"HEAD /metrics " ENOUGH, 200, HTTP_PROMETHEUS, true},
        {"GET /metrics?a=b " ENOUGH, 200, HTTP_PROMETHEUS, false},
        {"GET /?a HTTP/1.1\n\n", 200, HTTP_PLAIN, false},
        {"GET http://a:9107/metrics?b " ENOUGH, 200, HTTP_PROMETHEUS, false},
        {"HEAD HTTP://a/metrics " ENOUGH, 200, HTTP_PROMETHEUS, true},
        {"GET http://a/ " ENOUGH, 200, HTTP_PLAIN, false},
        {"GET http://[::1]?b=/metrics " ENOUGH, 200, HTTP_PLAIN, false}, /* RFC 9110, 4.2.3 */
        {"GET /metrics HTTP/1.1\nHost: a\n\nmore\n", 200, HTTP_PROMETHEUS, false},
        {"GET /metricsx " ENOUGH, 404, HTTP_PLAIN, false},
        {"GET /metric " ENOUGH, 404, HTTP_PLAIN, false},
        {"GET /x?/metrics " ENOUGH, 404, HTTP_PLAIN, false},
        {"GET * " ENOUGH, 404, HTTP_PLAIN, false},
        {"GET http:/metrics " ENOUGH, 404, HTTP_PLAIN, false},
        {"GET http://a//metrics " ENOUGH, 404, HTTP_PLAIN, false},
        {"POST /metrics " ENOUGH, 405, HTTP_PLAIN, false},
        {"GETS / " ENOUGH, 405, HTTP_PLAIN, false},
        {"G / " ENOUGH, 405, HTTP_PLAIN, false},
    };

    expect(asked, SUITE_LENGTH(asked));
}
END_TEST

/* Catches junk that is waited for, or answered with a page. */
START_TEST(what_is_no_request_is_said_at_once)
{
    static const struct asked asked[] = {
        {"\x16\x03\x01", 400, HTTP_PLAIN, false}, /* TLS */
        {"\r\n\r\n", 400, HTTP_PLAIN, false},
        {"\n\n", 400, HTTP_PLAIN, false},
        {"get / " ENOUGH, 400, HTTP_PLAIN, false},
        {"GET /\x01", 400, HTTP_PLAIN, false},
        {"GET /\xc3\xa4 ", 400, HTTP_PLAIN, false},
        {"GET /\tHTTP/1.1", 400, HTTP_PLAIN, false},
        {"GET /metrics\r\n\r\n", 400, HTTP_PLAIN, false}, /* HTTP/0.9 */
        {"GET / HTTP/2.0\r\n\r\n", 400, HTTP_PLAIN, false},
        {"GET / HTTP/1.10\r\n\r\n", 400, HTTP_PLAIN, false},
        {"GET / x HTTP/1.1\r\n\r\n", 400, HTTP_PLAIN, false},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, HTTP_PLAIN, false},
    };

    expect(asked, SUITE_LENGTH(asked));
    ck_assert_int_eq(http_parse("GET /\0 HTTP/1.1\r\n\r\n", 19, &request), 400);
}
END_TEST

/* Catches an answer before all has come, and a read behind what has; and a client that is rejected
 * for the empty line with which it ended a request before. */
START_TEST(a_request_that_comes_in_pieces_is_the_same)
{
    static const char text[] = "\r\nGET /metrics HTTP/1.1\r\nAccept: text/plain\r\nX: y\r\n\r\n";
    char *copy;

    for (size_t size = 0; size < sizeof text - 1; size++) {
        copy = malloc(size + 1);
        memcpy(copy, text, size);
        ck_assert_int_eq(http_parse(copy, size, &request), 0);
        free(copy);
    }
    ck_assert_int_eq(parse(text), 200);
    ck_assert_int_eq(parse(text + 1), 200); /* a line may end in LF alone */
}
END_TEST

/* Catches OpenMetrics for who has not asked for it, and in a body, which a parser then rejects. */
START_TEST(openmetrics_is_for_who_accepts_it)
{
    static const struct asked asked[] = {
        {"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0.0,*/*\r\n\r\n",
         200, HTTP_OPENMETRICS, false},
        {"HEAD /metrics HTTP/1.1\nHost: a\naccept:text/plain,Application/OpenMetrics-Text\n\n", 200,
         HTTP_OPENMETRICS, true},
        {"GET / HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n", 200, HTTP_PLAIN, false},
        {"GET /metrics HTTP/1.1\r\nX-Accept: application/openmetrics-text\r\n\r\n", 200,
         HTTP_PROMETHEUS, false},
        {"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-tex\r\n\r\n", 200,
         HTTP_PROMETHEUS, false},
        {"GET /metrics HTTP/1.1\r\n\r\nAccept: application/openmetrics-text\r\n", 200,
         HTTP_PROMETHEUS, false},
    };

    expect(asked, SUITE_LENGTH(asked));
}
END_TEST

/* Without its NUL: what stands behind it stays. */
static void put(char *at, const char *bytes)
{
    while (*bytes != '\0')
        *at++ = *bytes++;
}

/* Catches a request without an end that is read for ever. */
START_TEST(a_request_has_an_end)
{
    static char text[HTTP_REQUEST_MAX];

    memset(text, 'x', sizeof text);
    put(text, "GET /");
    ck_assert_int_eq(http_parse(text, sizeof text - 1, &request), 0);
    ck_assert_int_eq(http_parse(text, sizeof text, &request), 431);
    put(text, "GET / HTTP/1.1\r\n");
    ck_assert_int_eq(http_parse(text, sizeof text, &request), 431);
    put(text + sizeof text - 4, "\r\n\r\n");
    ck_assert_int_eq(http_parse(text, sizeof text, &request), 200);
}
END_TEST

/* Catches an answer that a monitor cannot read: cut, without its length, or with a wrong one. */
START_TEST(an_answer_is_whole)
{
    static const int errors[] = {400, 404, 405, 408, 431, 503};
    char text[HTTP_ERROR_MAX], start[32], head[HTTP_HEAD_MAX];

    for (size_t i = 0; i < SUITE_LENGTH(errors); i++) {
        size_t size = http_error(errors[i], text);
        const char *body = strstr(text, "\r\n\r\n") + 4;
        unsigned long length = strtoul(strstr(text, "Content-Length: ") + 16, NULL, 10);
        ck_assert_uint_lt(size, sizeof text - 1); /* nothing was left out */
        ck_assert_uint_eq(size, strlen(text));
        ck_assert_uint_eq(length, strlen(body));
        ck_assert_uint_eq((unsigned long)lines_of(body), 1);
        ck_assert_ptr_nonnull(strstr(text, "\r\nConnection: close\r\n"));
        snprintf(start, sizeof start, "HTTP/1.1 %d ", errors[i]);
        ck_assert_ptr_eq(strstr(text, start), text);
        ck_assert((strstr(text, "\r\nAllow: GET, HEAD\r\n") != NULL) == (errors[i] == 405));
    }
    for (int page = HTTP_PLAIN; page <= HTTP_OPENMETRICS; page++) {
        size_t size = http_head((enum http_page)page, 12345, head);
        ck_assert(size < sizeof head - 1 && strcmp(head + size - 4, "\r\n\r\n") == 0);
        ck_assert_ptr_nonnull(strstr(head, "\r\nContent-Length: 12345\r\n"));
    }
}
END_TEST

SUITE("http", a_request_is_what_it_says, what_is_no_request_is_said_at_once,
      a_request_that_comes_in_pieces_is_the_same, openmetrics_is_for_who_accepts_it,
      a_request_has_an_end, an_answer_is_whole)
