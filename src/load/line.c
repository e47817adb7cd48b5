/* load/line.c: see load/line.h. */
#include "load/line.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

struct message {
    enum line_news news;
    int error;
    struct load_standing standing;
};

struct answer {
    double moment;
    uint64_t goes_on; /* so wide that there is no byte between them that has no value */
};

/* ---- bytes ---- */

static int send_all(int line, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t count = write(line, at, size);
        if (count == -1 && errno != EINTR)
            return -1;
        if (count > 0) {
            at += count;
            size -= (size_t)count;
        }
    }
    return 0;
}

static int receive_all(int line, void *data, size_t size)
{
    char *at = data;

    while (size > 0) {
        ssize_t count = read(line, at, size);
        if (count == 0)
            errno = EPIPE;
        if (count == 0 || (count == -1 && errno != EINTR))
            return -1;
        if (count > 0) {
            at += count;
            size -= (size_t)count;
        }
    }
    return 0;
}

/* ---- a process of the team ---- */

int line_tell(int line, const struct load_standing *standing)
{
    struct message message = {.news = LINE_STANDS, .standing = *standing};

    return send_all(line, &message, sizeof message);
}

int line_wait(int line, double *moment)
{
    struct message message = {.news = LINE_WAITS};
    struct answer answer;

    if (send_all(line, &message, sizeof message) == -1 ||
        receive_all(line, &answer, sizeof answer) == -1)
        return -1;
    *moment = answer.moment;
    return answer.goes_on != 0 ? 1 : 0;
}

int line_end(int line, int error, const struct load_result *result)
{
    struct message message = {.news = error == 0 ? LINE_ENDED : LINE_FAILED, .error = error};

    if (send_all(line, &message, sizeof message) == -1)
        return -1;
    if (error != 0)
        return 0;
    if (send_all(line, result, sizeof *result) == -1)
        return -1;
    return send_all(line, result->rounds, result->round_count * sizeof *result->rounds);
}

/* ---- the one that leads ---- */

/* Takes a result, one tally in memory at a time. Returns 0, or -1 with errno. */
static int take_result(int line, struct load_result *whole)
{
    struct load_result *part = malloc(sizeof *part);
    int result = part != NULL ? receive_all(line, part, sizeof *part) : -1;

    if (result == 0)
        result_join(whole, part);
    for (size_t i = 0; result == 0 && i < part->round_count; i++) {
        result = receive_all(line, &part->sum, sizeof part->sum);
        if (result == 0)
            result_join_round(whole, i, &part->sum);
    }
    free(part);
    return result;
}

enum line_news line_take(int line, struct load_standing *standing, struct load_result *whole)
{
    struct message message;

    if (receive_all(line, &message, sizeof message) == -1)
        return LINE_BROKEN;
    if (message.news == LINE_STANDS)
        *standing = message.standing;
    if (message.news == LINE_FAILED)
        errno = message.error;
    if (message.news == LINE_ENDED && take_result(line, whole) == -1)
        return LINE_BROKEN;
    return message.news;
}

int line_answer(int line, bool goes_on, double moment)
{
    struct answer answer = {.moment = moment, .goes_on = goes_on};

    return send_all(line, &answer, sizeof answer);
}
