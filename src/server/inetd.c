/* inetd.c: see inetd.h. */
#include "server/inetd.h"

#include "base/descriptors.h"
#include "platform/platform.h"
#include "process/confine.h"
#include "process/identity.h"
#include "process/log.h"
#include "process/signals.h"
#include "process/title.h"
#include "server/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is wrong with standard input; NULL: nothing. */
static const char *defect(void)
{
    int type = descriptors_option(STDIN_FILENO, SOL_SOCKET, SO_TYPE);

    if (type == -1)
        return "it is not a socket; -i is for inetd, xinetd and services of systemd sockets with "
               "Accept=yes, which need StandardInput=socket";
    if (type != SOCK_STREAM)
        return "it is not a stream socket; the service has to be one of tcp";
    if (descriptors_option(STDIN_FILENO, SOL_SOCKET, SO_ACCEPTCONN) > 0)
        return "it listens, and is no connection; say nowait, or Accept=yes";
    return NULL;
}

/* Leaves the connection as descriptor 0 and nowhere else. Returns 0, or -1 with errno. */
static int keep_to_one(void)
{
    int null = open("/dev/null", O_RDWR);
    struct stat client, error;
    bool shared = fstat(STDIN_FILENO, &client) == 0 && fstat(STDERR_FILENO, &error) == 0 &&
                  client.st_dev == error.st_dev && client.st_ino == error.st_ino;

    if (null == -1 || dup2(null, STDOUT_FILENO) == -1 ||
        (shared && dup2(null, STDERR_FILENO) == -1))
        return -1;
    platform_close_from(STDERR_FILENO + 1);
    return fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) & ~O_NONBLOCK);
}

static void serve_client(struct server *server, const struct client *client, char *buffer)
{
    struct session session;
    struct child *child = server_began(server, getpid(), client);
    char from[ADDRESS_TEXT_MAX];

    title_set(peer_text(&client->peer, from));
    listener_set_options(client->descriptor, client->peer.name.any.sa_family == AF_UNIX,
                         server->options);
    confine_child(true, 0);
    session_open(&session, &server->options->service, client->descriptor, &client->peer, buffer);
    session_run(&session);
    close(client->descriptor);
    server_session_ended(server, child, &session, 0);
}

int inetd_serve(const struct options *options)
{
    static const struct serve_model no_model = {0}; /* there is one client, and no loop */
    static char own_buffer[MESSAGE_SIZE_MAX];
    /* Unix clients have no name: they stay so. */
    struct client client = {.descriptor = STDIN_FILENO, .peer.name.any.sa_family = AF_UNIX};
    socklen_t length = sizeof client.peer.name;
    char *buffer = session_only_buffer(&options->service, own_buffer);
    const char *wrong = defect();
    struct identity identity;
    struct server *server;

    /* Before anything else can fail: a message until then may be sent to the client. */
    if (wrong == NULL && (buffer == NULL || keep_to_one() == -1))
        wrong = strerror(errno);
    if (wrong != NULL) {
        log_error("cannot serve standard input (-i): %s", wrong);
        return -1;
    }
    log_open((enum log_level)options->verbosity, options->facility);
    log_started(); /* nobody waits to see how it starts */
    if (identity_find(&identity, options->user, options->root) == -1)
        return -1;
    signals_alone();
    if (getpeername(client.descriptor, &client.peer.name.any, &length) == -1) {
        log_event(LOG_CLIENTS, "refuse from=unknown why=gone");
        return 0;
    }
    server = server_open(&no_model, options, NULL);
    if (server == NULL || identity_become(&identity) == -1)
        return -1;
    platform_forbid_privileges();
    if (server_admit(server, &client))
        serve_client(server, &client, buffer);
    return 0;
}
