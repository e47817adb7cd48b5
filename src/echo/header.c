/* header.c: see header.h. */
#include "echo/header.h"

#include <sys/socket.h>

double header_time(double idle)
{
    return idle > 0 && idle < HEADER_TIME ? idle : HEADER_TIME;
}

enum header_result header_step(struct header *header, int descriptor, char *bytes,
                               struct peer *peer)
{
    char *next = bytes + header->size;
    struct proxy_header found;
    ssize_t seen = recv(descriptor, next, PROXY_HEADER_MAX - header->size, MSG_PEEK), taken;
    int complete;

    if (seen == -1)
        return HEADER_FAILED;
    if (seen == 0 && header->size == 0)
        return HEADER_NONE;
    if (seen == 0) {
        header->problem = PROXY_CUT;
        return HEADER_WRONG;
    }
    complete = proxy_parse(bytes, header->size + (size_t)seen, &found, &header->problem);
    if (complete == -1)
        return HEADER_WRONG;
    taken = recv(descriptor, next, complete ? found.size - header->size : (size_t)seen, 0);
    if (taken == -1)
        return HEADER_FAILED;
    header->size += (size_t)taken;
    if (!complete || header->size < found.size)
        return HEADER_PART;
    header->due = false;
    header->named = found.known;
    if (found.known)
        *peer = found.peer;
    return HEADER_WHOLE;
}
