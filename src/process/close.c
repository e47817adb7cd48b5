/* close.c: see close.h. */
#include "process/close.h"

#include "platform/platform.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

void close_by_exit(int descriptor)
{
    pid_t self = getpid(), holder = platform_fork();

    if (holder == 0) { /* it has open what its parent had, until that ends it, or has ended */
        while (getppid() == self)
            sleep(1);
        _exit(0);
    }
    close(descriptor);
    if (holder == -1)
        return;
    (void)kill(holder, SIGKILL);
    while (waitpid(holder, NULL, 0) == -1 && errno == EINTR)
        continue;
}
