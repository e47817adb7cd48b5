/*
 * fuzz_manager.c: the variables of a service manager (manager.h, activation.h).
 *
 * Input: lines NAME=value for the variables that manager_open and activation_open take; a value
 * that begins with "self" stands for the pid of this process, and what follows it. Before, both
 * have taken known values, which malformed ones must leave as they are. Catches: sockets that are
 * taken for ours though the pid is another's, a number that wraps, an address that is longer than
 * a Unix socket's or not the one that was given, and a variable that is left for children to find.
 *
 * Nothing is connected: an address of the input could be somebody's.
 */
#include "fuzz.h"
#include "process/activation.h"
#include "process/manager.h"
#include "server/listeners.h"

#include <limits.h>
#include <sys/un.h>
#include <unistd.h>

enum variable { NOTIFY, WATCHDOG, WATCHDOG_PID, FDS, PID, FDNAMES, PIDFDID, VARIABLES };

static const char *const names[VARIABLES] = {
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
    "LISTEN_PID",    "LISTEN_FDNAMES", "LISTEN_PIDFDID"};

/* What they were set to. */
static char *values[VARIABLES];

static void set_variable(enum variable which, const char *text)
{
    bool self = strncmp(text, "self", 4) == 0;
    size_t size = strlen(text) + 32;

    free(values[which]);
    values[which] = fuzz_memory(size);
    if (self)
        snprintf(values[which], size, "%ld%s", (long)getpid(), text + 4);
    else
        snprintf(values[which], size, "%s", text);
    setenv(names[which], values[which], 1);
}

/* What a variable was set to; NULL: it was not, or to nothing. */
static const char *value_of(enum variable which)
{
    return values[which] != NULL && *values[which] != '\0' ? values[which] : NULL;
}

static void forget_variables(void)
{
    for (size_t i = 0; i < VARIABLES; i++) {
        unsetenv(names[i]);
        free(values[i]);
        values[i] = NULL;
    }
}

static void check_nothing_is_left(void)
{
    for (size_t i = 0; i < VARIABLES; i++)
        FUZZ_HOLDS(getenv(names[i]) == NULL);
}

/* The state that each input finds. */
static void set_known_state(void)
{
    set_variable(NOTIFY, "@known");
    set_variable(WATCHDOG, "4711");
    set_variable(FDS, "1");
    set_variable(PID, "self");
    manager_open();
    (void)activation_open(LISTENERS_MAX); /* 3 is no socket here */
    FUZZ_HOLDS(activation_count() == 1);
    forget_variables();
}

/* A number of digits alone, from `lowest` to `highest`; 0 where it is none. */
static unsigned long long number_of(const char *text, unsigned long long lowest,
                                    unsigned long long highest)
{
    unsigned long long sum = 0;

    if (text == NULL || *text == '\0' || text[strspn(text, "0123456789")] != '\0')
        return 0;
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (sum > (ULLONG_MAX - digit) / 10)
            return 0;
        sum = sum * 10 + digit;
    }
    return sum >= lowest && sum <= highest ? sum : 0;
}

static bool is_ours(const char *pid)
{
    return number_of(pid, 1, LONG_MAX) == (unsigned long long)getpid();
}

static bool is_malformed(const char *pid)
{
    return number_of(pid, 1, LONG_MAX) == 0;
}

static void check_listeners(int result)
{
    const char *count = value_of(FDS), *pid = value_of(PID);
    unsigned long long listeners = number_of(count, 1, INT_MAX - 3);
    bool looks = count != NULL && pid != NULL && (is_ours(pid) || is_malformed(pid));

    if (!looks)
        FUZZ_HOLDS(result == 0 && activation_count() == 1);
    else if (is_malformed(pid) || listeners == 0)
        FUZZ_HOLDS(result == -1 && activation_count() == 1);
    else
        FUZZ_HOLDS(activation_count() == (int)listeners);
    FUZZ_HOLDS(!looks || result == -1 || listeners <= LISTENERS_MAX);
}

static const char *expected_address(void)
{
    const char *address = value_of(NOTIFY);
    size_t room = sizeof ((struct sockaddr_un *)NULL)->sun_path;

    if (address == NULL || address[1] == '\0' || (address[0] != '/' && address[0] != '@') ||
        strlen(address) > room - (address[0] == '/'))
        return "@known";
    return address;
}

static unsigned long long expected_watchdog(void)
{
    const char *pid = value_of(WATCHDOG_PID);
    unsigned long long period = number_of(value_of(WATCHDOG), 1, ULLONG_MAX);

    return period == 0 || (pid != NULL && !is_ours(pid)) ? 4711 : period;
}

/* A variable as the next program finds it; empty where it is not there. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL ? value : "";
}

/* What was taken is what the next program of this process is told. */
static void check_exported(const char *address, unsigned long long watchdog)
{
    FUZZ_HOLDS(manager_present());
    FUZZ_HOLDS(manager_export() == 0);
    FUZZ_HOLDS(strcmp(variable("NOTIFY_SOCKET"), address) == 0);
    FUZZ_HOLDS(strtoull(variable("WATCHDOG_USEC"), NULL, 10) == watchdog);
    FUZZ_HOLDS(strtol(variable("WATCHDOG_PID"), NULL, 10) == (long)getpid());
    FUZZ_HOLDS(getenv("LISTEN_FDS") == NULL && getenv("LISTEN_PID") == NULL);
    manager_unexport();
    check_nothing_is_left();
}

static void read_line(char *line)
{
    char *value = strchr(line, '=');

    if (value == NULL)
        return;
    *value++ = '\0';
    for (size_t i = 0; i < VARIABLES; i++)
        if (strcmp(line, names[i]) == 0)
            set_variable((enum variable)i, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_of(data, size);
    char *line;
    int result;

    set_known_state();
    while ((line = take_line(&input)) != NULL) {
        read_line(line);
        free(line);
    }
    manager_open();
    result = activation_open(LISTENERS_MAX);
    check_nothing_is_left();
    check_listeners(result);
    check_exported(expected_address(), expected_watchdog());
    forget_variables();
    return 0;
}
