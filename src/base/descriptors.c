/* descriptors.c: see descriptors.h. */
#include "base/descriptors.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCANNED_MAX 4096

int descriptors_option(int descriptor, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof value;

    return getsockopt(descriptor, level, option, &value, &size) == 0 ? value : -1;
}

void descriptors_close_from(int lowest)
{
    for (int descriptor = lowest; descriptor <= SCANNED_MAX; descriptor++)
        close(descriptor);
}

bool descriptors_lost_peer(int error)
{
    static const int lost[] = {
        ECONNRESET, ECONNABORTED, EPIPE, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENETDOWN,
        ENETRESET, ECONNREFUSED, ENOPROTOOPT, EOPNOTSUPP, EPROTO,
#ifdef EHOSTDOWN
        EHOSTDOWN,
#endif
#ifdef ENONET
        ENONET,
#endif
    };

    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++)
        if (lost[i] == error)
            return true;
    return false;
}
