/* load/channel.c: see load/channel.h. */
#include "load/channel.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

struct message {
    enum channel_news news;
    int error;
    struct load_standing standing;
};

struct round_start {
    double moment;
    uint64_t goes_on; /* so wide that no byte between them is without a value */
};

static int send_all(int channel, const void *data, size_t size)
{
    ssize_t count;

    for (const char *at = data; size > 0; at += count, size -= (size_t)count) {
        count = write(channel, at, size);
        if (count == -1 && errno != EINTR)
            return -1;
        if (count == -1)
            count = 0;
    }
    return 0;
}

static int receive_all(int channel, void *data, size_t size)
{
    ssize_t count;

    for (char *at = data; size > 0; at += count, size -= (size_t)count) {
        count = read(channel, at, size);
        if (count == 0)
            errno = EPIPE;
        if (count == 0 || (count == -1 && errno != EINTR))
            return -1;
        if (count == -1)
            count = 0;
    }
    return 0;
}

/* ---- for a worker ---- */

int channel_report(int channel, const struct load_standing *standing)
{
    struct message message = {.news = CHANNEL_STANDING, .standing = *standing};

    return send_all(channel, &message, sizeof message);
}

int channel_wait(int channel, double *moment)
{
    struct message message = {.news = CHANNEL_WAITING};
    struct round_start start;

    if (send_all(channel, &message, sizeof message) == -1 ||
        receive_all(channel, &start, sizeof start) == -1)
        return -1;
    *moment = start.moment;
    return start.goes_on != 0 ? 1 : 0;
}

int channel_end(int channel, int error, const struct load_result *result)
{
    struct message message = {.news = error == 0 ? CHANNEL_ENDED : CHANNEL_FAILED, .error = error};

    if (send_all(channel, &message, sizeof message) == -1)
        return -1;
    if (error != 0)
        return 0;
    if (send_all(channel, result, sizeof *result) == -1)
        return -1;
    return send_all(channel, result->rounds, result->round_count * sizeof *result->rounds);
}

/* ---- for the parent ---- */

/* Receives a result, one tally in memory at a time. Returns 0, or -1 with errno. */
static int receive_result(int channel, struct load_result *whole)
{
    struct load_result *part = malloc(sizeof *part);
    int outcome = part != NULL ? receive_all(channel, part, sizeof *part) : -1;

    if (outcome == 0)
        result_join(whole, part);
    for (size_t i = 0; outcome == 0 && i < part->round_count; i++) {
        outcome = receive_all(channel, &part->sum, sizeof part->sum);
        if (outcome == 0)
            result_join_round(whole, i, &part->sum);
    }
    free(part);
    return outcome;
}

enum channel_news channel_receive(int channel, struct load_standing *standing,
                                  struct load_result *whole)
{
    struct message message;

    if (receive_all(channel, &message, sizeof message) == -1)
        return CHANNEL_BROKEN;
    if (message.news == CHANNEL_STANDING)
        *standing = message.standing;
    if (message.news == CHANNEL_FAILED)
        errno = message.error;
    if (message.news == CHANNEL_ENDED && receive_result(channel, whole) == -1)
        return CHANNEL_BROKEN;
    return message.news;
}

int channel_answer(int channel, bool goes_on, double moment)
{
    struct round_start start = {.moment = moment, .goes_on = goes_on};

    return send_all(channel, &start, sizeof start);
}
