/*
 * http.h: as much of HTTP/1.1 (RFC 9112) as a monitor needs: one GET or HEAD, and its answer.
 *
 * The request is parsed from the bytes that have come so far; what stands in it but the method, the
 * path and whether OpenMetrics is asked for has no effect. Nothing here allocates, reads a clock or
 * makes a system call. Cost: a look at each byte, each time.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_REQUEST_MAX 4096 /* bytes, to the end of the headers; more than any monitor sends */
#define HTTP_HEAD_MAX 256     /* characters of the head of an answer, with its NUL */
#define HTTP_ERROR_MAX 512    /* and of a whole error */

enum http_page {
    HTTP_PLAIN,      /* GET /, for people */
    HTTP_PROMETHEUS, /* GET /metrics; and where its header Accept names that type: */
    HTTP_OPENMETRICS
};

struct http_request {
    enum http_page page;
    bool head; /* HEAD: the body is left out */
};

/* What is to be answered to the first `size` bytes of a client: 0, nothing yet, for more is to
 * come; 200, and `request` says what is asked for; or an error, 400, 404, 405 or 431. */
int http_parse(const char *bytes, size_t size, struct http_request *request);

/* Writes the head of a page of `length` bytes. Returns its length. */
size_t http_head(enum http_page page, size_t length, char head[HTTP_HEAD_MAX]);

/* Writes the whole answer that is an error: those above, 408 or 503. Its body is one line. Returns
 * its length. */
size_t http_error(int status, char answer[HTTP_ERROR_MAX]);

#endif
