/* http.c: see http.h. */
#include "server/http.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

#define OPENMETRICS "application/openmetrics-text"

/* A part of what has come; it may have any byte in it. */
struct span {
    const char *at;
    size_t size;
};

static bool span_is(struct span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.at, text, span.size) == 0;
}

/* What stands before the first `end`, or all, is taken from `rest`, with that byte. */
static struct span take_to(struct span *rest, char end)
{
    const char *found = memchr(rest->at, end, rest->size);
    struct span taken = {rest->at, found != NULL ? (size_t)(found - rest->at) : rest->size};
    size_t used = taken.size + (found != NULL);

    rest->at += used;
    rest->size -= used;
    return taken;
}

/* The next line, without its end, which is CR LF or LF alone (RFC 9112, 2.2). */
static struct span take_line(struct span *rest)
{
    struct span line = take_to(rest, '\n');

    if (line.size > 0 && line.at[line.size - 1] == '\r')
        line.size--;
    return line;
}

/* An empty line before the request is ignored (RFC 9112, 2.2): old clients end a body with one. */
static void skip_empty_line(struct span *rest)
{
    for (const char *each = "\r\n"; *each != '\0'; each++)
        if (rest->size > 0 && *rest->at == *each) {
            rest->at++;
            rest->size--;
        }
}

/* Whether the request line can be one, as far as it has come: TLS and whatever a port scan tries
 * are answered at once. */
static bool is_text(struct span line)
{
    bool text = line.size > 0 && line.at[0] >= 'A' && line.at[0] <= 'Z';

    for (size_t i = 0; i < line.size; i++)
        text = text && line.at[i] >= ' ' && line.at[i] <= '~';
    return text;
}

/* Whether the headers are complete: an empty line ends them. */
static bool is_complete(struct span rest)
{
    bool empty = false;

    while (rest.size > 0 && !empty && memchr(rest.at, '\n', rest.size) != NULL)
        empty = take_line(&rest).size == 0;
    return empty;
}

/* Whether one of the headers is an Accept that names OpenMetrics. */
static bool wants_openmetrics(struct span rest)
{
    static const char name[] = "Accept:";
    size_t length = strlen(OPENMETRICS);

    for (struct span line = take_line(&rest); line.size > 0; line = take_line(&rest)) {
        if (line.size < strlen(name) || strncasecmp(line.at, name, strlen(name)) != 0)
            continue;
        for (; line.size >= length; line.at++, line.size--)
            if (strncasecmp(line.at, OPENMETRICS, length) == 0)
                return true;
    }
    return false;
}

/* The path of a target; a proxy may be asked for it with scheme and host (RFC 9112, 3.2.2), and
 * then it may be empty. */
static struct span path_of(struct span target)
{
    static const char scheme[] = "http://";
    struct span path = take_to(&target, '?');

    if (path.size >= strlen(scheme) && strncasecmp(path.at, scheme, strlen(scheme)) == 0) {
        const char *end = path.at + path.size;
        const char *slash = memchr(path.at + strlen(scheme), '/', path.size - strlen(scheme));
        path = slash != NULL ? (struct span){slash, (size_t)(end - slash)} : (struct span){"/", 1};
    }
    return path;
}

static int parse_line(struct span line, struct http_request *request)
{
    struct span method = take_to(&line, ' '), path = path_of(take_to(&line, ' '));

    if (line.size != strlen("HTTP/1.1") || memcmp(line.at, "HTTP/1.", strlen("HTTP/1.")) != 0)
        return 400;
    request->head = span_is(method, "HEAD");
    if (!request->head && !span_is(method, "GET"))
        return 405;
    request->page = span_is(path, "/") ? HTTP_PLAIN : HTTP_PROMETHEUS;
    return request->page == HTTP_PLAIN || span_is(path, "/metrics") ? 200 : 404;
}

int http_parse(const char *bytes, size_t size, struct http_request *request)
{
    struct span rest = {bytes, size}, line;
    int status;

    skip_empty_line(&rest);
    if (rest.size == 0)
        return 0;
    line = take_line(&rest);
    if (!is_text(line))
        return 400;
    if (!is_complete(rest))
        return size >= HTTP_REQUEST_MAX ? 431 : 0;
    status = parse_line(line, request);
    if (status == 200 && request->page == HTTP_PROMETHEUS && wants_openmetrics(rest))
        request->page = HTTP_OPENMETRICS;
    return status;
}

static void add_head(struct text *text, const char *status, const char *type, size_t length)
{
    text_add(text, "HTTP/1.1 ");
    text_add(text, status);
    text_add(text, "\r\nContent-Type: ");
    text_add(text, type);
    text_add(text, "; charset=utf-8\r\nContent-Length: ");
    text_add_number(text, length);
    text_add(text, "\r\nConnection: close\r\n");
}

size_t http_head(enum http_page page, size_t length, char head[HTTP_HEAD_MAX])
{
    static const char *const types[] = {"text/plain", "text/plain; version=0.0.4",
                                        OPENMETRICS "; version=1.0.0"};
    struct text text = text_in(head, HTTP_HEAD_MAX);

    add_head(&text, "200 OK", types[page], length);
    text_add(&text, "\r\n");
    return (size_t)(text.at - head);
}

size_t http_error(int status, char answer[HTTP_ERROR_MAX])
{
    static const struct {
        int status;
        const char *text, *why;
    } all[] = {
        {404, "404 Not Found", "no such page: there are /metrics and / here\n"},
        {405, "405 Method Not Allowed", "only GET and HEAD are answered here\n"},
        {408, "408 Request Timeout", "no request has come in time\n"},
        {431, "431 Request Header Fields Too Large", "a request has at most 4096 bytes here\n"},
        {503, "503 Service Unavailable", "too many ask at once; try again\n"},
        {400, "400 Bad Request", "this is no HTTP request; ask with GET /metrics or GET /\n"},
    };
    struct text text = text_in(answer, HTTP_ERROR_MAX);
    size_t i = 0;

    while (all[i].status != status && all[i].status != 400)
        i++;
    add_head(&text, all[i].text, "text/plain", strlen(all[i].why));
    text_add(&text, status == 405 ? "Allow: GET, HEAD\r\n\r\n" : "\r\n");
    text_add(&text, all[i].why);
    return (size_t)(text.at - answer);
}
