/* test_path.c: paths made absolute, and programs that PATH leads to (path.h). */
#include "suite.h"

#include "base/path.h"

#include <limits.h>

static char text[PATH_MAX];

static void expect_absolute(const char *folder, const char *path, const char *expected)
{
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(path_absolute(path, text, sizeof text), 0);
    ck_assert_str_eq(text, expected);
}

/* Catches a path that means another file in another folder, and two slashes at the front, which may
 * mean something else. */
START_TEST(a_path_is_made_absolute)
{
    expect_absolute("/usr", "./a", "/usr/./a");
    expect_absolute("/", "a/b", "/a/b");
    expect_absolute("/usr", "/a", "/a");
}
END_TEST

/* Catches a path that is cut, and so another. */
START_TEST(a_path_that_does_not_fit_is_an_error)
{
    char small[8];

    ck_assert_int_eq(chdir("/usr"), 0);
    ck_assert_int_eq(path_absolute("123", small, sizeof small), -1);
    ck_assert_int_eq(errno, ENAMETOOLONG);
    ck_assert_int_eq(path_absolute("12", small, sizeof small), 0);
    ck_assert_str_eq(small, "/usr/12");
    ck_assert_int_eq(path_absolute("a", small, 3), -1);
    ck_assert_int_eq(errno, ERANGE); /* of getcwd */
}
END_TEST

static bool is_runnable(const char *path)
{
    return access(path, X_OK) == 0;
}

static bool never(const char *path)
{
    (void)path;
    return false;
}

/* Catches a folder that is passed over or looked at too early, and one where none is named, which
 * is the working folder. */
START_TEST(a_name_is_looked_for_in_all_folders_of_the_path)
{
    setenv("PATH", "/nowhere::/bin:/usr/bin", 1);
    ck_assert(path_find("sh", is_runnable, text, sizeof text));
    ck_assert_str_eq(text, "/bin/sh");
    ck_assert_int_eq(chdir("/bin"), 0);
    ck_assert(path_find("sh", is_runnable, text, sizeof text));
    ck_assert_str_eq(text, "sh");
    setenv("PATH", "/nowhere:", 1);
    ck_assert(path_find("sh", is_runnable, text, sizeof text));
    unsetenv("PATH");
    ck_assert(path_find("sh", is_runnable, text, sizeof text));
    ck_assert_str_eq(text, "/bin/sh");
}
END_TEST

/* Catches a path that is looked for in PATH, or stays relative. */
START_TEST(a_name_with_a_slash_is_a_path)
{
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert(path_find("bin/sh", is_runnable, text, sizeof text));
    ck_assert_str_eq(text, "/bin/sh");
    setenv("PATH", "/bin", 1);
    ck_assert(!path_find("./sh", is_runnable, text, sizeof text));
}
END_TEST

/* Catches another reason than execvp's: "no such file" of one that must not be executed. */
START_TEST(of_none_that_fits_it_is_said_why)
{
    setenv("PATH", "/nowhere:/bin:/nowhere", 1);
    ck_assert(!path_find("no-such-program", is_runnable, text, sizeof text));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert(!path_find("sh", never, text, sizeof text));
    ck_assert_int_eq(errno, EACCES);
    ck_assert(!path_find("", is_runnable, text, sizeof text));
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

SUITE("path", a_path_is_made_absolute, a_path_that_does_not_fit_is_an_error,
      a_name_is_looked_for_in_all_folders_of_the_path, a_name_with_a_slash_is_a_path,
      of_none_that_fits_it_is_said_why)
