/* program.c: see program.h. */
#include "fork/program.h"

#include "base/clock.h"
#include "base/path.h"
#include "base/text.h"
#include "platform/platform.h"
#include "process/confine.h"
#include "process/log.h"
#include "process/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

#define TERMINATION_TIME 1.0 /* seconds from TERM to KILL */
#define TURN_PERIOD 0.01     /* seconds between two walks over those whose time is over, at least */
#define VARIABLES_MAX 16     /* of one client: more than are set below */

static struct {
    char **environment; /* the server's variables, behind room for those of a client */
    double due;         /* when a program's time is over; 0: not known to be */
} program;

/* ---- at the start ---- */

/* Sets errno where it is none. */
static bool is_executable(const char *path)
{
    struct stat status;

    if (stat(path, &status) == -1)
        return false;
    errno = EACCES;
    return S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* Whether a variable of the server's is about the server alone, or about the client of a server
 * that this one runs under. */
static bool is_withheld(const char *variable)
{
    static const char *const beginnings[] = {
        "NOTIFY_SOCKET=", "LISTEN_",   "WATCHDOG_", "PROTO=",      "TCPLOCAL",  "TCPREMOTE",
        "TCPCONNNUM=",    "IPCLOCAL",  "IPCREMOTE", "IPCCONNNUM=", "UNIXLOCAL", "UNIXREMOTE",
        "REMOTE_ADDR=",   "REMOTE_PORT=",
    };

    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        if (strncmp(variable, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

static int copy_environment(void)
{
    size_t count = 0, at = VARIABLES_MAX;

    while (environ[count] != NULL)
        count++;
    program.environment = calloc(VARIABLES_MAX + count + 1, sizeof *program.environment);
    if (program.environment == NULL)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!is_withheld(environ[i]))
            program.environment[at++] = environ[i];
    return 0;
}

int program_open(const struct server *server)
{
    static char absolute[PATH_MAX];
    char **command = server->options->command, found[PATH_MAX];

    program.due = 0;
    if (command == NULL)
        return 0;
    signals_plan_reset();
    /* The command line of an upgrade (upgrade.h) is the same memory, and so has it as well. */
    if (strchr(command[0], '/') != NULL &&
        path_absolute(command[0], absolute, sizeof absolute) == 0)
        command[0] = absolute;
    if (copy_environment() == 0 &&
        (path_find(command[0], is_executable, found, sizeof found) || server->started > 0))
        return 0;
    log_error("cannot execute '%.200s': %s", command[0], strerror(errno));
    return -1;
}

/* ---- the child ---- */

/* What is known of a client, put before the server's variables. */
struct variables {
    char **first;
    struct text text; /* of all of them */
};

static void set(struct variables *variables, const char *name, const char *value)
{
    *--variables->first = variables->text.at;
    text_add(&variables->text, name);
    text_add(&variables->text, "=");
    text_add(&variables->text, value);
    if (variables->text.at < variables->text.end)
        *++variables->text.at = '\0';
}

static void set_number(struct variables *variables, const char *name, unsigned long long value)
{
    char digits[24];
    struct text text = text_in(digits, sizeof digits);

    text_add_number(&text, value);
    set(variables, name, digits);
}

/* An IPv4 or IPv6 address and its port. */
static void set_address(struct variables *variables, const struct peer *peer, const char *ip,
                        const char *port)
{
    char text[ADDRESS_TEXT_MAX], *host = peer_text(peer, text), *colon = strrchr(text, ':');

    *colon = '\0';
    if (*host == '[') {
        host++;
        colon[-1] = '\0';
    }
    set(variables, ip, host);
    set(variables, port, colon + 1);
}

/* The process at the other end of a Unix socket. */
static void set_credentials(struct variables *variables)
{
    gid_t group;
    pid_t process;
    uid_t user = platform_peer_user(STDIN_FILENO, &group, &process);

    set_number(variables, "UNIXREMOTEEUID", user);
    set_number(variables, "UNIXREMOTEEGID", group);
    set_number(variables, "UNIXREMOTEPID", (unsigned long long)process);
    set_number(variables, "IPCREMOTEEUID", user);
    set_number(variables, "IPCREMOTEEGID", group);
}

static void set_local(struct variables *variables)
{
    struct address own = {.length = sizeof own.name};
    struct peer end;

    if (getsockname(STDIN_FILENO, &own.name.any, &own.length) == -1)
        return;
    if (own.name.any.sa_family == AF_UNIX && own.length < sizeof own.name) {
        set(variables, "UNIXLOCALPATH", own.name.local.sun_path);
        set(variables, "IPCLOCALPATH", own.name.local.sun_path);
    } else if (own.name.any.sa_family != AF_UNIX) {
        memcpy(&end.name, &own.name, sizeof end.name);
        set_address(variables, &end, "TCPLOCALIP", "TCPLOCALPORT");
    }
}

/* `peer` is the client, by the PROXY header where that has `named` it. */
static char **client_environment(const struct peer *peer, bool named, size_t connections)
{
    static char room[2048];
    struct variables variables = {program.environment + VARIABLES_MAX, text_in(room, sizeof room)};
    bool local = peer->name.any.sa_family == AF_UNIX;

    set_local(&variables);
    set_number(&variables, local ? "IPCCONNNUM" : "TCPCONNNUM", connections);
    if (local && !named)
        set_credentials(&variables);
    if (!local) {
        set_address(&variables, peer, "REMOTE_ADDR", "REMOTE_PORT");
        set_address(&variables, peer, "TCPREMOTEIP", "TCPREMOTEPORT");
    }
    set(&variables, "PROTO", local ? "UNIX" : "TCP");
    return variables.first;
}

/* The connection becomes 0 and 1; all else is closed but 2 and, until exec, the ledger. Returns the
 * ledger's number. */
static int move_descriptors(int client, int ledger)
{
    (void)dup2(client, STDIN_FILENO);
    (void)dup2(client, STDOUT_FILENO);
    (void)confine_descriptors(&ledger, 1, false);
    (void)fcntl(ledger, F_SETFD, FD_CLOEXEC);
    return ledger;
}

static void write_record(int ledger, const struct session *session, enum record_kind kind,
                         int error)
{
    struct record record = ledger_exit_record(getpid(), session);

    record.kind = kind;
    record.error = error;
    (void)ledger_write(ledger, &record);
}

_Noreturn void program_run(const struct options *options, const struct client *client,
                           size_t connections, char *buffer, int ledger)
{
    struct session session;
    int error = 0;

    ledger = move_descriptors(client->descriptor, ledger);
    (void)setsid();
    signals_reset();
    session_open(&session, &options->service, STDIN_FILENO, &client->peer, buffer);
    if (session_run_header(&session, 0)) {
        if (session.header.size > 0)
            write_record(ledger, &session, RECORD_CLIENT, 0);
        environ = client_environment(&session.peer, session.header.named, connections);
        execvp(options->command[0], options->command);
        error = errno;
        session_end(&session, SESSION_LIFETIME); /* closes in order, whatever has come */
    }
    session_finish(&session);
    if (error != 0)
        session.ending = SESSION_ERROR;
    write_record(ledger, &session, RECORD_EXIT, error);
    _exit((int)session.ending);
}

/* ---- the time limit ---- */

void program_turn(struct server *server)
{
    double lifetime = server->options->service.lifetime, now = clock_seconds(), over;
    struct child *each = server->children->oldest;

    if (server->options->command == NULL || lifetime <= 0 || (program.due > 0 && now < program.due))
        return;
    program.due = 0;
    for (; each != NULL && now >= (over = each->since + lifetime); each = each->younger) {
        int signal = now < over + TERMINATION_TIME ? SIGTERM : SIGKILL;
        if (each->owes_header)
            each->ending = SESSION_LIFETIME;
        if (each->stop_signal != signal && each->stop_signal != SIGKILL)
            signals_send_group((pid_t)each->id, each->stop_signal = signal);
        if (signal == SIGTERM)
            program.due = clock_earlier(program.due, over + TERMINATION_TIME);
    }
    if (each != NULL)
        program.due = clock_earlier(program.due, over);
    if (program.due > 0 && program.due < now + TURN_PERIOD)
        program.due = now + TURN_PERIOD;
}

double program_due(void)
{
    return program.due;
}
