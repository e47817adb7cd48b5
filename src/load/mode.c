/* load/mode.c: see load/mode.h. */
#include "load/mode.h"

#include <stddef.h>
#include <string.h>

#define CONNECTIONS "connections", "connections/s", 1
#define MESSAGES "messages", "messages/s", 1
#define BYTES "bytes", "MB/s", 1e6

static const struct load_mode modes[] = {
    {"connect", LOAD_REQUESTS, GOAL_ECHO, false, CONNECTIONS, 64},
    {"ping", LOAD_REQUESTS, GOAL_ECHO, true, MESSAGES, 64},
    {"stream", LOAD_STREAM, GOAL_ECHO, true, BYTES, 65536},
    {"hold", LOAD_HOLD, GOAL_ECHO, true, CONNECTIONS, 64},
    {"reset", LOAD_REQUESTS, GOAL_SEND, false, CONNECTIONS, 64},
    {"halfclose", LOAD_REQUESTS, GOAL_END, false, CONNECTIONS, 64},
    {"dribble", LOAD_REQUESTS, GOAL_DRIBBLE, true, MESSAGES, 64},
    {"nonreading", LOAD_HOLD, GOAL_NONE, true, CONNECTIONS, 65536},
    {"storm", LOAD_REQUESTS, GOAL_CONNECT, false, CONNECTIONS, 64},
};

const struct load_mode *load_mode(const char *name)
{
    if (strcmp(name, "deaf") == 0) /* what nonreading was called in 0.1: for one release more */
        name = "nonreading";
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}

bool load_is_endless(const struct load_mode *mode)
{
    return mode->kind == LOAD_STREAM || mode->goal == GOAL_NONE;
}

enum connection_goal load_opening(const struct load_mode *mode)
{
    return mode->goal == GOAL_NONE ? GOAL_CONNECT : mode->goal;
}
