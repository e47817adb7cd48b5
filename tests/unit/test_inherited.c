/* test_inherited.c: what a server has open when it starts (inherited.h). Each case runs in
 * a child, since check's own descriptors are closed, too. */
#include "suite.h"

#include "process/inherited.h"

#include <sys/resource.h>
#include <sys/stat.h>

static bool is_same_file(int descriptor, const struct stat *file)
{
    struct stat status;

    return fstat(descriptor, &status) == 0 && status.st_dev == file->st_dev &&
           status.st_ino == file->st_ino;
}

static bool is_null(int descriptor)
{
    struct stat null;

    return stat("/dev/null", &null) == 0 && is_same_file(descriptor, &null);
}

/* Closes those of 0, 1 and 2 that the bits in `data` name, tidies, and looks. */
static int tidy_without(void *data)
{
    const unsigned closed = *(unsigned *)data;
    struct stat before[3];
    int highest;

    for (int i = 0; i <= 2; i++)
        if (fstat(i, &before[i]) == -1)
            return 1;
    highest = fcntl(0, F_DUPFD, 200);
    if (highest == -1 || dup2(highest, 64) == -1)
        return 2;
    for (int i = 0; i <= 2; i++)
        if (closed >> i & 1)
            close(i);
    inherited_tidy(STDERR_FILENO + 1);
    for (int i = 0; i <= 2; i++)
        if (closed >> i & 1 ? !is_null(i) : !is_same_file(i, &before[i]))
            return 10 + i;
    for (int i = 3; i <= highest; i++)
        if (fcntl(i, F_GETFD) != -1)
            return 100;
    return 0;
}

/* Catches a client's socket that becomes 0, 1 or 2, on which a stray message would appear,
 * and a standard descriptor that was open and is replaced. */
START_TEST(standard_descriptors_are_open_and_all_others_closed)
{
    for (unsigned closed = 0; closed < 8; closed++)
        ck_assert_msg(suite_in_child(tidy_without, &closed) == 0, "closed: %u", closed);
}
END_TEST

/* Both ends of a standard descriptor on /dev/null have to work. */
static int use_null(void *data)
{
    char byte;

    (void)data;
    close(0);
    close(2);
    inherited_tidy(STDERR_FILENO + 1);
    return read(0, &byte, 1) == 0 && write(2, "x", 1) == 1 ? 0 : 1;
}

/* Catches a replacement that can only be read, or only be written. */
START_TEST(a_replaced_descriptor_can_be_read_and_written)
{
    ck_assert_int_eq(suite_in_child(use_null, NULL), 0);
}
END_TEST

enum { KEPT = 3, HIGH = 40 };

/* Each number that is open is a pipe's end of its own; moves three of them, in an order that `data`
 * has, while the table of descriptors is full. */
static int keep_in_order(void *data)
{
    const int *order = data;
    const struct rlimit full = {HIGH + 1, HIGH + 1};
    struct stat before[KEPT], after;
    int kept[KEPT], ends[2];

    for (int number = 3; number <= HIGH; number += 2) {
        close(number);
        close(number + 1);
        if (pipe(ends) == -1)
            return 1;
    }
    if (setrlimit(RLIMIT_NOFILE, &full) == -1)
        return 2;
    for (int i = 0; i < KEPT; i++) {
        kept[i] = order[i];
        if (fstat(kept[i], &before[i]) == -1 || fcntl(kept[i], F_SETFD, FD_CLOEXEC) == -1)
            return 3;
    }
    inherited_keep_only(kept, KEPT);
    for (int i = 0; i < KEPT; i++)
        if (kept[i] != 3 + i || fstat(kept[i], &after) == -1 || after.st_ino != before[i].st_ino)
            return 10 + i;
    for (int number = 3 + KEPT; number <= HIGH; number++)
        if (fcntl(number, F_GETFD) != -1)
            return 100 + number;
    return 0;
}

/* Catches a client that lands on the ledger, or a pipe's other end that a child keeps, as two kept
 * ones lay in each other's place, or as no number was left for a copy. */
START_TEST(what_is_kept_does_not_depend_on_where_it_was)
{
    static const int numbers[] = {3, 5, 4, 7, 39};
    enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

    for (int i = 0; i < NUMBERS * NUMBERS * NUMBERS; i++) {
        int order[KEPT] = {numbers[i % NUMBERS], numbers[i / NUMBERS % NUMBERS],
                           numbers[i / NUMBERS / NUMBERS]};
        int result = order[0] == order[1] || order[1] == order[2] || order[0] == order[2]
                         ? 0 : suite_in_child(keep_in_order, order);
        ck_assert_msg(result == 0, "%d %d %d: %d", order[0], order[1], order[2], result);
    }
}
END_TEST

SUITE("inherited", standard_descriptors_are_open_and_all_others_closed,
      a_replaced_descriptor_can_be_read_and_written,
      what_is_kept_does_not_depend_on_where_it_was)
