/* test_pidfile.c: one server a pidfile, and a file that holds its pid (pidfile.h). Servers are
 * children here: a lock belongs to a process. */
#include "suite.h"

#include "base/parse.h"
#include "platform/platform.h"
#include "process/pidfile.h"

#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

/* Where pidfiles are made; it is emptied and removed when the suite is over. */
static char directory[80];
static char file[100]; /* in it */

static const char *program; /* this suite, to be executed */
static struct capture errors;

/* ---- files ---- */

static void put_text(const char *path, const char *text)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    ck_assert_int_ne(descriptor, -1);
    ck_assert_int_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    close(descriptor);
}

/* The whole text. In the process that holds the lock this would drop it. */
static const char *text_of(const char *path)
{
    static char text[512];
    int descriptor = open(path, O_RDONLY);
    ssize_t length;

    ck_assert_int_ne(descriptor, -1);
    length = read(descriptor, text, sizeof text - 1);
    ck_assert_int_ge(length, 0);
    text[length] = '\0';
    close(descriptor);
    return text;
}

static bool exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

static const char *pid_line(pid_t pid)
{
    static char line[32];

    snprintf(line, sizeof line, "%ld\n", (long)pid);
    return line;
}

/* Opens the pidfile in this process, which must not work. What is logged is in `errors`. */
static void expect_failure(const char *path, const char *logged)
{
    struct pidfile pidfile;
    int result, before = open_descriptors();

    capture_begin(&errors, STDERR_FILENO);
    result = pidfile_open(&pidfile, path);
    capture_end(&errors);
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(lines_of(errors.text), 1);
    ck_assert_msg(strstr(errors.text, logged) != NULL, "'%s' is not in: %s", logged, errors.text);
    ck_assert_int_eq(pidfile.descriptor, -1);
    pidfile_close(&pidfile);
    ck_assert_int_eq(open_descriptors(), before);
}

/* ---- servers ---- */

/* A child that opened the pidfile, until its end of `go` is closed. */
struct holder {
    pid_t pid;
    int go, report;
};

/* Waits for a byte or the end. */
static void wait_for_go(int go)
{
    char byte;

    while (read(go, &byte, 1) == -1 && errno == EINTR)
        ;
}

/* Starts a child that runs `act` with its ends of the two pipes, and exits with its result. */
static struct holder start_child(int (*act)(int go, int report))
{
    struct holder holder;
    int go[2], report[2];

    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(pipe(report), 0);
    holder.pid = fork();
    ck_assert_int_ne(holder.pid, -1);
    if (holder.pid == 0) {
        close(go[1]);
        close(report[0]);
        _exit(act(go[0], report[1]));
    }
    close(go[0]);
    close(report[1]);
    holder.go = go[1];
    holder.report = report[0];
    return holder;
}

/* The next byte that a child reports; 0 when it has ended. */
static char report_of(const struct holder *holder)
{
    char byte = 0;

    ck_assert_int_ge(read(holder->report, &byte, 1), 0);
    return byte;
}

static int hold(int go, int report)
{
    struct pidfile pidfile;

    if (pidfile_open(&pidfile, file) == -1)
        return 1;
    if (write(report, "h", 1) != 1)
        return 2;
    wait_for_go(go);
    pidfile_close(&pidfile);
    return 0;
}

static struct holder start_holder(void)
{
    struct holder holder = start_child(hold);

    ck_assert_int_eq(report_of(&holder), 'h');
    return holder;
}

/* Lets it end. Returns its exit status, or 256 and the signal that ended it. */
static int end_holder(const struct holder *holder)
{
    int status;

    close(holder->go);
    ck_assert_int_eq(waitpid(holder->pid, &status, 0), holder->pid);
    close(holder->report);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* Starts a server, which must get the file, and lets it end, which must remove it. */
static void expect_free(void)
{
    struct holder holder = start_holder();

    ck_assert_str_eq(text_of(file), pid_line(holder.pid));
    ck_assert_int_eq(end_holder(&holder), 0);
    ck_assert(!exists(file));
}

/* ---- one server ---- */

/* Catches a file that is not there when the start returns, or stays behind. */
START_TEST(the_pid_is_there_until_the_end)
{
    struct pidfile pidfile;
    struct stat status;
    int before = open_descriptors();

    expect_free();
    ck_assert_int_eq(pidfile_open(&pidfile, file), 0);
    ck_assert_int_eq(fcntl(pidfile.descriptor, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(stat(file, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777 & ~0644U, 0);
    pidfile_close(&pidfile);
    ck_assert(!exists(file));
    ck_assert_int_eq(open_descriptors(), before);
    pidfile_close(&pidfile); /* a second time nothing happens */
}
END_TEST

/* Catches two servers at once, a refusal that does not say which one runs, and one that
 * destroys the first one's file. */
START_TEST(a_second_start_is_refused_and_names_the_first)
{
    struct holder first = start_holder();
    char logged[64];

    snprintf(logged, sizeof logged, "pid %ld is running already", (long)first.pid);
    expect_failure(file, logged);
    ck_assert_ptr_nonnull(strstr(errors.text, "(-P)"));
    put_text(file, "1\n"); /* the lock is believed, not the text */
    expect_failure(file, logged);
    put_text(file, pid_line(first.pid));
    expect_failure(file, logged);
    ck_assert_str_eq(text_of(file), pid_line(first.pid));
    ck_assert_int_eq(end_holder(&first), 0);
    expect_free();
}
END_TEST

/* Catches a crashed server that keeps the next from starting, also when its number was longer
 * or now belongs to a process that runs. */
START_TEST(a_stale_file_is_taken_over)
{
    static const char *const stale[] = {"", "1\n", "  7\n", "4194303\n", "99999999999999999999\n",
                                        "123\n34567\n"};
    struct holder crashed;

    for (size_t i = 0; i < SUITE_LENGTH(stale); i++) {
        put_text(file, stale[i]);
        expect_free();
    }
    crashed = start_holder();
    kill(crashed.pid, SIGKILL);
    ck_assert_int_eq(end_holder(&crashed), 256 + SIGKILL);
    ck_assert_str_eq(text_of(file), pid_line(crashed.pid));
    expect_free();
}
END_TEST

/* Catches -P /etc/passwd, which would cost that file its content. */
START_TEST(what_is_no_pidfile_is_left_alone)
{
    static const char *const texts[] = {
        "root:x:0:0:root:/root:/bin/sh\n", "-1\n", "12 # server\n",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111\n"};
    char link[120];

    for (size_t i = 0; i < SUITE_LENGTH(texts); i++) {
        put_text(file, texts[i]);
        expect_failure(file, "is not a pidfile (-P)");
        ck_assert_str_eq(text_of(file), texts[i]);
    }
    snprintf(link, sizeof link, "%s.link", file);
    put_text(file, "12\n");
    ck_assert_int_eq(symlink(file, link), 0);
    expect_failure(link, "it is a symbolic link");
    ck_assert_str_eq(text_of(file), "12\n");
    unlink(link);
    unlink(file);
    ck_assert_int_eq(mkfifo(file, 0600), 0);
    expect_failure(file, "is not a pidfile (-P)");
    unlink(file);
    expect_failure("/dev/null", "is not a pidfile (-P)");
    expect_failure(directory, "cannot open the pidfile");
}
END_TEST

/* Catches an error that leaves the administrator to guess what is missing. */
START_TEST(a_missing_folder_is_named)
{
    char path[140], logged[300], far[2 * PIDFILE_PATH_MAX];

    snprintf(path, sizeof path, "%s/missing/server.pid", directory);
    snprintf(logged, sizeof logged, "forkecho: cannot open the pidfile '%s' (-P): there is no "
             "folder '%s/missing'; ", path, directory);
    expect_failure(path, logged);
    memset(far, 'a', sizeof far - 1);
    far[0] = '/';
    far[sizeof far - 1] = '\0';
    expect_failure(far, "(-P)");
    expect_failure("", "(-P)");
}
END_TEST

/* Catches a relative name that means another file when the directory has changed (-d). */
START_TEST(a_relative_name_stays_what_it_was)
{
    struct pidfile pidfile;

    ck_assert_int_eq(chdir(directory), 0);
    ck_assert_int_eq(pidfile_open(&pidfile, "server.pid"), 0);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert(exists(file));
    pidfile_close(&pidfile);
    ck_assert(!exists(file));
}
END_TEST

/* ---- the end ---- */

/* Catches a server that removes the file of the one that came after it. */
START_TEST(a_successors_file_is_not_removed)
{
    struct pidfile pidfile;

    ck_assert_int_eq(pidfile_open(&pidfile, file), 0);
    unlink(file);
    put_text(file, "1234\n");
    pidfile_close(&pidfile);
    ck_assert_str_eq(text_of(file), "1234\n");
    unlink(file);
}
END_TEST

/* Like a server that has given up root: the folder is out of its reach. */
static int close_without_rights(void *data)
{
    struct pidfile pidfile;

    (void)data;
    if (pidfile_open(&pidfile, file) == -1)
        return 1;
    if (geteuid() == 0 ? setgid(65534) == -1 || setuid(65534) == -1 : chmod(directory, 0555) == -1)
        return 2;
    pidfile_close(&pidfile);
    return 0;
}

/* Catches a pid that stays in the file, and with it in init scripts, when nobody has it any
 * more, or by then somebody else. */
START_TEST(a_file_that_cannot_be_removed_is_emptied)
{
    ck_assert_int_eq(suite_in_child(close_without_rights, NULL), 0);
    ck_assert_int_eq(chmod(directory, 0755), 0);
    ck_assert_str_eq(text_of(file), "");
    expect_free();
}
END_TEST

/* A file of the same name in the new root is not the one. */
static int close_in_another_root(void *data)
{
    struct pidfile pidfile;

    (void)data;
    if (pidfile_open(&pidfile, file) == -1)
        return 1;
    if (platform_change_root(directory) == -1 || chdir("/") == -1)
        return 2;
    pidfile_close(&pidfile);
    return 0;
}

/* Catches the same after a chroot. */
START_TEST(a_file_outside_the_root_is_emptied)
{
    ck_assert_int_eq(suite_in_child(close_in_another_root, NULL), 0);
    ck_assert_str_eq(text_of(file), "");
    expect_free();
}
END_TEST

/* ---- children and programs ---- */

/* A server with a child that closes what it inherited, and one that does not and lives on. */
static int hold_with_children(int go, int report)
{
    struct pidfile pidfile;
    pid_t closing, staying;

    if (pidfile_open(&pidfile, file) == -1)
        return 1;
    if ((closing = fork()) == 0) {
        close(pidfile.descriptor);
        _exit(0);
    }
    waitpid(closing, NULL, 0);
    staying = fork();
    if (staying == 0) {
        close(report);
        wait_for_go(go);
        _exit(0);
    }
    if (write(report, "h", 1) != 1)
        return 2;
    wait_for_go(go);
    return 0;
}

/* Catches a child that drops its parent's lock, and one that keeps it when the parent is gone:
 * a restart while old clients are still served. */
START_TEST(children_neither_drop_nor_keep_the_lock)
{
    struct holder server = start_child(hold_with_children);
    char logged[64];
    int status;

    ck_assert_int_eq(report_of(&server), 'h');
    snprintf(logged, sizeof logged, "pid %ld is running already", (long)server.pid);
    expect_failure(file, logged);
    kill(server.pid, SIGKILL);
    ck_assert_int_eq(waitpid(server.pid, &status, 0), server.pid);
    expect_free();
    close(server.go);
    close(server.report);
}
END_TEST

static int hold_and_execute(int go, int report)
{
    struct pidfile pidfile;
    char numbers[3][16];

    if (pidfile_open(&pidfile, file) == -1 || fcntl(pidfile.descriptor, F_SETFD, 0) == -1)
        return 1;
    snprintf(numbers[0], sizeof numbers[0], "%d", pidfile.descriptor);
    snprintf(numbers[1], sizeof numbers[1], "%d", go);
    snprintf(numbers[2], sizeof numbers[2], "%d", report);
    execl(program, program, numbers[0], pidfile.path, numbers[1], numbers[2], (char *)NULL);
    return 2;
}

/* The program that is executed: main() with arguments. */
static int adopt_and_hold(char **arguments)
{
    struct pidfile pidfile;
    long descriptor, go, report;

    if (parse_number(arguments[1], 0, 1023, &descriptor) == -1 ||
        parse_number(arguments[3], 0, 1023, &go) == -1 ||
        parse_number(arguments[4], 0, 1023, &report) == -1)
        return 6;
    if (pidfile_adopt(&pidfile, (int)descriptor, arguments[2]) == -1)
        return 3;
    if (fcntl((int)descriptor, F_GETFD) != FD_CLOEXEC)
        return 4;
    if (write((int)report, "a", 1) != 1)
        return 5;
    wait_for_go((int)go);
    pidfile_close(&pidfile);
    return 0;
}

/* Catches an upgrade that loses the lock on its way, or leaves the file behind. */
START_TEST(the_lock_goes_over_to_the_next_program)
{
    struct holder server = start_child(hold_and_execute);
    char logged[64];

    ck_assert_int_eq(report_of(&server), 'a');
    snprintf(logged, sizeof logged, "pid %ld is running already", (long)server.pid);
    expect_failure(file, logged);
    ck_assert_str_eq(text_of(file), pid_line(server.pid));
    ck_assert_int_eq(end_holder(&server), 0);
    ck_assert(!exists(file));
}
END_TEST

static void expect_no_adoption(int descriptor, const char *logged)
{
    struct pidfile pidfile;
    int result;

    capture_begin(&errors, STDERR_FILENO);
    result = pidfile_adopt(&pidfile, descriptor, file);
    capture_end(&errors);
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(lines_of(errors.text), 1);
    ck_assert_msg(strstr(errors.text, logged) != NULL, "%s", errors.text);
    pidfile_close(&pidfile);
}

/* Catches a server that trusts a number it was given, and empties what is not its own. */
START_TEST(what_cannot_be_adopted_is_left_alone)
{
    struct holder other = start_holder();
    int ends[2], descriptor;

    ck_assert_int_eq(pipe(ends), 0);
    expect_no_adoption(ends[0], "it is not a file");
    expect_no_adoption(999, strerror(EBADF));
    close(ends[0]);
    close(ends[1]);
    descriptor = open(file, O_RDWR);
    expect_no_adoption(descriptor, "another process has locked it");
    ck_assert_int_ne(fcntl(descriptor, F_GETFD), -1);
    close(descriptor);
    ck_assert_str_eq(text_of(file), pid_line(other.pid));
    ck_assert_int_eq(end_holder(&other), 0);
}
END_TEST

/* ---- races ---- */

enum { STARTERS = 8, ROUNDS = 20, CHURNS = 200 };

/* Waits for the start, and reports how it went: w for the one that has it, l for a loser. */
static int race(int go, int report)
{
    struct pidfile pidfile;
    int won;

    wait_for_go(go);
    won = pidfile_open(&pidfile, file) == 0;
    if (write(report, won ? "w" : "l", 1) != 1)
        return 2;
    wait_for_go(go); /* the winner holds it until all have tried */
    if (won)
        pidfile_close(&pidfile);
    return 0;
}

/* Catches two of several servers, started at the same time, that both believe they are the
 * first; and none that does. */
START_TEST(of_many_starts_one_wins)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct holder all[STARTERS];
        int winners = 0;
        if (round % 2 == 1)
            put_text(file, "4194303\n");
        capture_begin(&errors, STDERR_FILENO);
        for (int i = 0; i < STARTERS; i++)
            all[i] = start_child(race);
        for (int i = 0; i < STARTERS; i++)
            ck_assert_int_eq(write(all[i].go, "", 1), 1);
        for (int i = 0; i < STARTERS; i++)
            winners += report_of(&all[i]) == 'w';
        /* The last one first: a child has inherited the ends of those before it. */
        for (int i = STARTERS - 1; i >= 0; i--)
            ck_assert_int_eq(end_holder(&all[i]), 0);
        capture_end(&errors);
        ck_assert_int_eq(winners, 1);
        ck_assert_int_eq(lines_of(errors.text), STARTERS - 1);
        ck_assert(!exists(file));
    }
}
END_TEST

/* Opens and closes it over and over. While it is held, a marker that can exist only once does. */
static int churn(int go, int report)
{
    char marker[120];

    (void)report;
    snprintf(marker, sizeof marker, "%s.marker", file);
    wait_for_go(go);
    for (int held = 0; held < CHURNS;) {
        struct pidfile pidfile;
        int descriptor;
        if (pidfile_open(&pidfile, file) == -1)
            continue;
        descriptor = open(marker, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (descriptor == -1)
            return 3;
        close(descriptor);
        unlink(marker);
        pidfile_close(&pidfile);
        held++;
    }
    return 0;
}

/* Catches a lock on a file that its owner removed between open and lock: the next server makes
 * a new file and locks that, and there are two. */
START_TEST(starts_and_stops_never_overlap)
{
    enum { SERVERS = 4 };
    struct holder all[SERVERS];
    int statuses[SERVERS];

    capture_begin(&errors, STDERR_FILENO);
    for (int i = 0; i < SERVERS; i++)
        all[i] = start_child(churn);
    for (int i = 0; i < SERVERS; i++)
        ck_assert_int_eq(write(all[i].go, "", 1), 1);
    for (int i = SERVERS - 1; i >= 0; i--)
        statuses[i] = end_holder(&all[i]);
    capture_end(&errors);
    for (int i = 0; i < SERVERS; i++)
        ck_assert_int_eq(statuses[i], 0);
    ck_assert(!exists(file));
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const tests[] = {
        the_pid_is_there_until_the_end, a_second_start_is_refused_and_names_the_first,
        a_stale_file_is_taken_over, what_is_no_pidfile_is_left_alone, a_missing_folder_is_named,
        a_relative_name_stays_what_it_was, a_successors_file_is_not_removed,
        a_file_that_cannot_be_removed_is_emptied, children_neither_drop_nor_keep_the_lock,
        the_lock_goes_over_to_the_next_program, what_cannot_be_adopted_is_left_alone,
        of_many_starts_one_wins, starts_and_stops_never_overlap,
        a_file_outside_the_root_is_emptied /* needs root */};
    int status;

    if (argc > 1)
        return adopt_and_hold(argv);
    program = argv[0];
    if (suite_make_directory(directory, sizeof directory) == -1)
        return EXIT_FAILURE;
    snprintf(file, sizeof file, "%s/server.pid", directory);
    if (geteuid() != 0)
        printf("pidfile: 1 test skipped: it needs root\n");
    fflush(stdout);
    status = suite_run("pidfile", tests, SUITE_LENGTH(tests) - (geteuid() != 0));
    suite_remove_directory(directory);
    return status;
}
