/*
 * fuzz_http.c: the requests of monitors (http.h), as the bytes come.
 *
 * Input: the bytes. The parser sees them byte after byte, and whole. Catches: a read behind what
 * has come, a request that is another one when it comes in pieces, an answer that changes with more
 * bytes or never comes, and an answer of which no head or text can be made.
 */
#include "fuzz.h"
#include "server/http.h"

/* The bytes end where their memory does. */
static int look_at(const uint8_t *bytes, size_t size, struct http_request *request)
{
    char *copy = fuzz_memory(size);
    int answer;

    memset(request, 0, sizeof *request);
    memcpy(copy, bytes, size);
    answer = http_parse(copy, size, request);
    free(copy);
    return answer;
}

static void check_answer(int answer, const struct http_request *request)
{
    char head[HTTP_HEAD_MAX], text[HTTP_ERROR_MAX];
    size_t size;

    FUZZ_HOLDS(answer == 200 || answer == 400 || answer == 404 || answer == 405 || answer == 431);
    size = answer == 200 ? http_head(request->page, 1, head) : http_error(answer, text);
    FUZZ_HOLDS(size > 0 && strstr(answer == 200 ? head : text, "\r\n\r\n") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t padded[HTTP_REQUEST_MAX];
    struct http_request request, first;
    size_t most = size < sizeof padded ? size : sizeof padded, come = 0;
    int whole = look_at(data, most, &request), answer = 0;

    while (answer == 0 && come < most)
        answer = look_at(data, ++come, &first);
    FUZZ_HOLDS(answer == whole);
    if (whole == 200)
        FUZZ_HOLDS(first.page == request.page && first.head == request.head);
    if (whole != 0)
        check_answer(whole, &request);
    memset(padded, 'x', sizeof padded);
    memcpy(padded, data, most);
    FUZZ_HOLDS(look_at(padded, sizeof padded, &request) != 0);
    return 0;
}
