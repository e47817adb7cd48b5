/* test_options.c: the command line of a server (options.h). */
#include "suite.h"

#include "server/options.h"

#define WORDS_MAX 140

/* A command line, to be read in a process of its own, for getopt has one state a process. */
struct reading {
    const char *words[8];
    bool (*holds)(const struct options *options); /* NULL: nothing is looked at */
};

/* Reads the words. Returns the outcome, or 10 when what was read does not hold. */
static int read_list(const char *const *words, int count, bool (*holds)(const struct options *))
{
    static struct options options;
    static char copies[WORDS_MAX][5000];
    char *list[WORDS_MAX + 2] = {(char[]){"forkecho"}};
    int outcome;

    for (int i = 0; i < count; i++) {
        strcpy(copies[i], words[i]);
        list[i + 1] = copies[i];
    }
    outcome = (int)options_read(&options, "forkecho", "[program]", "Tests.", count + 1, list);
    fflush(stdout);
    return outcome == OPTIONS_SERVE && holds != NULL && !holds(&options) ? 10 : outcome;
}

static int read_words(void *data)
{
    const struct reading *reading = data;
    int count = 0;

    while (count < 8 && reading->words[count] != NULL)
        count++;
    return read_list(reading->words, count, reading->holds);
}

static struct capture output, errors;

/* Reads a command line. Returns the outcome; what was printed is in `output` and `errors`. */
static int outcome_of(const struct reading *reading)
{
    struct reading copy = *reading;
    int outcome;

    capture_begin(&output, STDOUT_FILENO);
    capture_begin(&errors, STDERR_FILENO);
    outcome = suite_in_child(read_words, &copy);
    capture_end(&errors);
    capture_end(&output);
    return outcome;
}

static bool has_defaults(const struct options *o)
{
    return strcmp(o->program, "forkecho") == 0 && o->listen_count == 1 &&
           strcmp(o->listen[0].text, "localhost:echo") == 0 &&
           strcmp(o->listen[0].endpoint.host, "localhost") == 0 &&
           strcmp(o->listen[0].endpoint.port, "echo") == 0 && o->backlog > 0 &&
           o->max_connections == 1024 && !o->max_connections_given && o->max_per_source == 0 &&
           !o->listen_given && o->status_count == 0 && o->user == NULL && o->root == NULL && o->pidfile == NULL &&
           !o->daemon && !o->inetd && o->grace == 10 && !o->print_address && o->verbosity == LOG_NORMAL &&
           o->service.answers.reply == NULL && o->service.answers.greeting == NULL &&
           o->service.answers.message_size == 1024 && o->service.answers.delay == 0 &&
           o->service.idle == 600 && o->service.lifetime == 0 && o->service.proxies.count == 0;
}

/* Catches a default that differs from the one that the documents state. */
START_TEST(without_options_the_defaults_hold)
{
    static const struct reading nothing = {{NULL}, has_defaults};

    ck_assert_int_eq(outcome_of(&nothing), OPTIONS_SERVE);
    ck_assert_str_eq(output.text, "");
    ck_assert_str_eq(errors.text, "");
}
END_TEST

static bool has_address_asked(const struct options *o) { return o->print_address; }
static bool has_backlog_5(const struct options *o) { return o->backlog == 5; }
static bool has_max_7(const struct options *o)
{
    return o->max_connections == 7 && o->max_connections_given && o->max_per_source == 0;
}
static bool has_source_3(const struct options *o)
{
    return o->max_per_source == 3 && o->max_connections == 1024;
}
static bool has_grace_half(const struct options *o) { return o->grace == 0.5; }
static bool has_greeting(const struct options *o)
{
    return o->service.answers.greeting != NULL && o->service.answers.reply == NULL;
}
static bool has_listen(const struct options *o)
{
    return o->listen_count == 1 && strcmp(o->listen[0].text, "*:7007") == 0 &&
           strcmp(o->listen[0].endpoint.host, "*") == 0 &&
           strcmp(o->listen[0].endpoint.port, "7007") == 0 && o->status_count == 0;
}
static bool has_status(const struct options *o)
{
    return o->status_count == 1 && strcmp(o->status[0].text, "[::1]:9107") == 0 &&
           strcmp(o->status[0].endpoint.host, "::1") == 0 && o->listen_count == 1 &&
           !o->listen_given;
}
static bool has_reply(const struct options *o)
{
    return o->service.answers.reply != NULL && o->service.answers.greeting == NULL;
}
static bool has_idle_zero(const struct options *o)
{
    return o->service.idle == 0 && o->service.lifetime == 0 && o->service.answers.delay == 0;
}
static bool has_lifetime_2h(const struct options *o)
{
    return o->service.lifetime == 7200 && o->service.idle == 600;
}
static bool has_delay_5(const struct options *o)
{
    return o->service.answers.delay == 5 && o->service.idle == 600;
}
static bool has_size_65536(const struct options *o)
{
    return o->service.answers.message_size == 65536;
}
static bool has_user(const struct options *o) { return strcmp(o->user, "www:www") == 0; }
static bool has_root(const struct options *o) { return strcmp(o->root, "/srv") == 0; }
static bool has_pidfile(const struct options *o) { return strcmp(o->pidfile, "/run/pid") == 0; }
static bool is_daemon(const struct options *o) { return o->daemon && !o->inetd; }
static bool is_inetd(const struct options *o) { return o->inetd && !o->daemon; }
static bool has_local_proxy(const struct options *o)
{
    struct peer local = peer_at("local", 0), other = peer_at("192.0.2.1", 1);

    return access_names(&o->service.proxies, &local) && !access_names(&o->service.proxies, &other);
}

static bool has_proxy(const struct options *o)
{
    struct peer in = peer_at("10.1.2.3", 1), out = peer_at("11.1.2.3", 1);

    return access_names(&o->service.proxies, &in) && !access_names(&o->service.proxies, &out) &&
           o->access.count == 0;
}
static bool permits_only(const struct options *o, const char *permitted, const char *other)
{
    struct peer one = peer_at(permitted, 1), two = peer_at(other, 1);

    return access_permits(&o->access, &one) && !access_permits(&o->access, &two) &&
           o->service.proxies.count == 0;
}
static bool has_allow(const struct options *o) { return permits_only(o, "10.1.2.3", "11.1.2.3"); }
static bool has_deny(const struct options *o) { return permits_only(o, "11.1.2.3", "10.1.2.3"); }
static bool has_local7(const struct options *o) { return o->facility == 23; } /* RFC 5424, 6.2.1 */
static bool is_quiet(const struct options *o) { return o->verbosity == LOG_QUIET; }
static bool is_verbose(const struct options *o) { return o->verbosity == LOG_CLIENTS; }

/* Every option in each of its forms, but those that print something and end. */
static const struct reading every_option[] = {
    {{"-1"}, has_address_asked},      {{"--print-address"}, has_address_asked},
    {{"-b", "5"}, has_backlog_5},     {{"--backlog", "5"}, has_backlog_5},
    {{"-c", "7"}, has_max_7},         {{"--max-connections", "7"}, has_max_7},
    {{"-C", "3"}, has_source_3},      {{"--max-per-source", "3"}, has_source_3},
    {{"-g", "500ms"}, has_grace_half}, {{"--grace", "500ms"}, has_grace_half},
    {{"-G", "hi %t"}, has_greeting},  {{"--greeting", "hi %t"}, has_greeting},
    {{"-l", "*:7007"}, has_listen},   {{"--listen", "*:7007"}, has_listen},
    {{"-m", "<%m>"}, has_reply},      {{"--reply", "<%m>"}, has_reply},
    {{"-t", "0"}, has_idle_zero},     {{"--idle", "0"}, has_idle_zero},
    {{"-T", "2h"}, has_lifetime_2h},  {{"--lifetime", "2h"}, has_lifetime_2h},
    {{"-w", "5"}, has_delay_5},       {{"--delay", "5"}, has_delay_5},
    {{"-z", "65536"}, has_size_65536}, {{"--message-size", "65536"}, has_size_65536},
    {{"-u", "www:www"}, has_user},    {{"--user", "www:www"}, has_user},
    {{"-r", "/srv"}, has_root},       {{"--root", "/srv"}, has_root},
    {{"-P", "/run/pid"}, has_pidfile}, {{"--pidfile", "/run/pid"}, has_pidfile},
    {{"-d"}, is_daemon},              {{"--daemon"}, is_daemon},
    {{"-i"}, is_inetd},               {{"--inetd"}, is_inetd},
    {{"--proxy", "local"}, has_local_proxy}, {{"--proxy=local"}, has_local_proxy},
    {{"--proxy", "10.0.0.0/8"}, has_proxy}, {{"--proxy=10.0.0.0/8"}, has_proxy},
    {{"-A", "10.0.0.0/8"}, has_allow}, {{"--allow", "10.0.0.0/8"}, has_allow},
    {{"-X", "10.0.0.0/8"}, has_deny}, {{"--deny", "10.0.0.0/8"}, has_deny},
    {{"-S", "[::1]:9107"}, has_status}, {{"--status", "[::1]:9107"}, has_status},
    {{"-s", "local7"}, has_local7},   {{"--syslog", "local7"}, has_local7},
    {{"-q"}, is_quiet},               {{"--quiet"}, is_quiet},
    {{"-v"}, is_verbose},             {{"--verbose"}, is_verbose},
};

/* Catches an option that is dropped, or that sets another one's value. */
START_TEST(every_option_sets_its_value_in_both_forms)
{
    for (size_t i = 0; i < SUITE_LENGTH(every_option); i++) {
        int outcome = outcome_of(&every_option[i]);
        ck_assert_msg(outcome == OPTIONS_SERVE, "%s: outcome %d, '%s'", every_option[i].words[0],
                      outcome, errors.text);
    }
}
END_TEST

static bool has_three_listens(const struct options *o)
{
    return o->listen_count == 3 && strcmp(o->listen[0].text, "7") == 0 &&
           strcmp(o->listen[1].text, "[::1]:7") == 0 && strcmp(o->listen[2].text, "/run/e") == 0 &&
           strcmp(o->listen[2].endpoint.host, "/run/e") == 0;
}
static bool has_two_status(const struct options *o)
{
    return o->status_count == 2 && strcmp(o->status[0].text, "7") == 0 &&
           strcmp(o->status[1].endpoint.host, "/run/s") == 0;
}
static bool has_last_max(const struct options *o) { return o->max_connections == 9; }
static bool shows_messages(const struct options *o) { return o->verbosity == LOG_MESSAGES; }
static bool is_normal(const struct options *o) { return o->verbosity == LOG_NORMAL; }

/* Catches -l that replaces the one before, the default address beside given ones, and a
 * verbosity beyond the last level. */
START_TEST(repeated_options_add_addresses_and_verbosity_and_else_the_last_counts)
{
    static const struct reading readings[] = {
        {{"-l7", "-l[::1]:7", "--listen=/run/e"}, has_three_listens},
        {{"-S7", "--status=/run/s"}, has_two_status},
        {{"-c7", "-c", "8", "--max-connections=9"}, has_last_max},
        {{"-vv"}, shows_messages},
        {{"-vvvv", "-v"}, shows_messages},
        {{"-q", "-v"}, is_normal},
        {{"-v", "-q"}, is_quiet},
        {{"--proxy=::/0", "--proxy=10.0.0.0/8", "--proxy=192.0.2.1"}, has_proxy},
    };

    for (size_t i = 0; i < SUITE_LENGTH(readings); i++)
        ck_assert_msg(outcome_of(&readings[i]) == OPTIONS_SERVE, "reading %zu: '%s'", i,
                      errors.text);
}
END_TEST

struct mistake {
    struct reading reading;
    const char *option, *takes; /* what the message has to name */
};

/* Each of them has to be wrong, said in one line that names the option. */
static void assert_wrong(const struct mistake *mistakes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int outcome = outcome_of(&mistakes[i].reading);
        const char *said = errors.text;
        ck_assert_msg(outcome == OPTIONS_WRONG, "%s: outcome %d", mistakes[i].reading.words[0],
                      outcome);
        ck_assert_msg(lines_of(said) == 1 && strncmp(said, "forkecho: ", 10) == 0, "'%s'", said);
        ck_assert_msg(strstr(said, mistakes[i].option) != NULL, "'%s' lacks '%s'", said,
                      mistakes[i].option);
        ck_assert_msg(strstr(said, mistakes[i].takes) != NULL, "'%s' lacks '%s'", said,
                      mistakes[i].takes);
        ck_assert_str_eq(output.text, "");
    }
}

static bool runs_cat(const struct options *o)
{
    return o->command != NULL && strcmp(o->command[0], "cat") == 0 &&
           strcmp(o->command[1], "-q") == 0 && o->command[2] == NULL &&
           o->verbosity == LOG_CLIENTS && o->service.idle <= 0;
}

static bool runs_minus_q(const struct options *o)
{
    return o->command != NULL && strcmp(o->command[0], "-q") == 0 && o->verbosity == LOG_CLIENTS;
}

/* Catches an option that is taken from the arguments of a program, or a program's name for one. */
START_TEST(operands_are_a_program_and_its_arguments)
{
    static const struct reading readings[] = {
        {{"-v", "--", "cat", "-q"}, runs_cat},
        {{"-v", "cat", "-q"}, runs_cat},
        {{"-v", "--", "-q"}, runs_minus_q},
    };

    for (size_t i = 0; i < SUITE_LENGTH(readings); i++)
        ck_assert_msg(outcome_of(&readings[i]) == OPTIONS_SERVE, "reading %zu: '%s'", i,
                      errors.text);
}
END_TEST

/* Catches an option of the echo that is ignored in silence beside a program. */
START_TEST(options_of_the_echo_are_wrong_beside_a_program)
{
    static const struct mistake mistakes[] = {
        {{{"-t", "5", "cat"}, NULL}, "-t, --idle", "use -T"},
        {{{"-m%m", "cat"}, NULL}, "-m, --reply", "the program"},
        {{{"-Ghi", "-v", "cat"}, NULL}, "-G, --greeting", "the program"},
        {{{"-w1s", "cat"}, NULL}, "-w, --delay", "the program"},
        {{{"-z9", "cat"}, NULL}, "-z, --message-size", "the program"},
        {{{"-i", "cat"}, NULL}, "-i, --inetd", "can run the program itself"},
    };

    assert_wrong(mistakes, SUITE_LENGTH(mistakes));
}
END_TEST

/* Catches a misspelt option that is let pass, and a value that is dropped. */
START_TEST(what_is_no_option_or_takes_no_value_is_wrong)
{
    static const struct mistake mistakes[] = {
        {{{"-x"}, NULL}, "-x", "unknown"},
        {{{"--frobnicate"}, NULL}, "--frobnicate", "unknown"},
        {{{"--backlock=3"}, NULL}, "--backlock", "did you mean --backlog"},
        {{{"--quiet=yes"}, NULL}, "--quiet", "no value"},
        {{{"--quiet", "-xv"}, NULL}, "option -x", "unknown"},
    };

    assert_wrong(mistakes, SUITE_LENGTH(mistakes));
}
END_TEST

/* Catches a number that is cut, wraps around or is taken from half a word. */
START_TEST(a_number_out_of_range_or_form_is_wrong)
{
    static const struct mistake mistakes[] = {
        {{{"-b"}, NULL}, "--backlog", "value"},
        {{{"-b", ""}, NULL}, "--backlog", "value"},
        {{{"-b", "0"}, NULL}, "--backlog", "1 to"},
        {{{"-b", "many"}, NULL}, "--backlog", "number"},
        {{{"-b", "65536"}, NULL}, "--backlog", "65535"},
        {{{"-c"}, NULL}, "--max-connections", "value"},
        {{{"-c", "0"}, NULL}, "--max-connections", "from 1"},
        {{{"-c", "-1"}, NULL}, "--max-connections", "number"},
        {{{"-c", "1e3"}, NULL}, "--max-connections", "number"},
        {{{"-c", "99999999999999999999"}, NULL}, "--max-connections", "number"},
        {{{"-C"}, NULL}, "--max-per-source", "value"},
        {{{"-C", "-1"}, NULL}, "--max-per-source", "from 0"},
        {{{"-C", "3 "}, NULL}, "--max-per-source", "number"},
        {{{"-z", "0"}, NULL}, "--message-size", "from 1"},
        {{{"-z", "65537"}, NULL}, "--message-size", "65536"},
        {{{"-z"}, NULL}, "--message-size", "value"},
        {{{"-C", "-0"}, NULL}, "--max-per-source", "number"},
    };

    assert_wrong(mistakes, SUITE_LENGTH(mistakes));
}
END_TEST

/* Catches a unit that is taken for another, and a time that is none. */
START_TEST(a_duration_of_another_form_is_wrong)
{
    static const struct mistake mistakes[] = {
        {{{"-g"}, NULL}, "--grace", "value"},
        {{{"-g", "soon"}, NULL}, "--grace", "duration"},
        {{{"-g", "-1s"}, NULL}, "--grace", "duration"},
        {{{"-t", "10min"}, NULL}, "--idle", "duration"},
        {{{"-t", ""}, NULL}, "--idle", "value"},
        {{{"--idle"}, NULL}, "--idle", "value"},
        {{{"-T", "1d"}, NULL}, "--lifetime", "duration"},
        {{{"--lifetime=inf"}, NULL}, "--lifetime", "duration"},
        {{{"-w", "nan"}, NULL}, "--delay", "duration"},
        {{{"-w"}, NULL}, "--delay", "value"},
    };

    assert_wrong(mistakes, SUITE_LENGTH(mistakes));
}
END_TEST

/* Catches a template whose mistake only the first client would see. */
START_TEST(a_template_with_a_mistake_is_wrong)
{
    static const struct mistake mistakes[] = {
        {{{"-m", "%z"}, NULL}, "--reply", "template"},
        {{{"-m", "a\\"}, NULL}, "--reply", "template"},
        {{{"-m", ""}, NULL}, "--reply", "value"},
        {{{"-m"}, NULL}, "--reply", "value"},
        {{{"-G", "%m"}, NULL}, "--greeting", "greeting"},
        {{{"-G"}, NULL}, "--greeting", "value"},
        {{{"-m", "%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q"
                 "%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q%q", "-z", "65536"}, NULL},
         "--reply", "exceed"},
        {{{"--proxy"}, NULL}, "option --proxy", "value"},
        {{{"--proxy=10.0.0.1/8"}, NULL}, "option --proxy", "10.0.0.0/8"},
    };

    assert_wrong(mistakes, SUITE_LENGTH(mistakes));
}
END_TEST

/* Catches an address that is found out when it is bound, or an operand that is ignored. */
START_TEST(an_address_of_another_form_is_wrong)
{
    static const struct mistake mistakes[] = {
        {{{"-l"}, NULL}, "--listen", "value"},
        {{{"-l", ""}, NULL}, "--listen", "value"},
        {{{"-l", "::1"}, NULL}, "--listen", "[::1]:port"},
        {{{"-l", "host:99999"}, NULL}, "--listen", "65535"},
        {{{"-l", ":7"}, NULL}, "--listen", "host is missing"},
        {{{"-l", "7", "-l", "a:b:c"}, NULL}, "--listen", "'a:b:c'"},
        {{{"-S", "7", "-S", "a:b:c"}, NULL}, "--status", "'a:b:c'"},
        {{{"-P", ""}, NULL}, "--pidfile", "value"},
        {{{"-r"}, NULL}, "--root", "value"},
        {{{"--user="}, NULL}, "--user", "value"},
        {{{"-i", "-l", "7"}, NULL}, "--inetd", "--listen"},
        {{{"-i", "-S", "7"}, NULL}, "--inetd", "--status"},
        {{{"-d", "-i"}, NULL}, "--inetd", "--daemon"},
        {{{"-i", "-P", "/run/pid"}, NULL}, "--inetd", "--pidfile"},
        {{{"-i1"}, NULL}, "--inetd", "--print-address"},
        {{{"7007"}, NULL}, "7007", "-l"},
    };

    assert_wrong(mistakes, SUITE_LENGTH(mistakes));
}
END_TEST

static bool has_as_many_listens_as_fit(const struct options *o)
{
    return o->listen_count == OPTIONS_LISTEN_MAX;
}

static int read_many_listens(void *data)
{
    const char *words[WORDS_MAX] = {NULL};
    int count = *(int *)data;

    for (int i = 0; i < count; i++)
        words[i] = "-l7";
    return read_list(words, count, has_as_many_listens_as_fit);
}

/* Catches an overrun of the list of addresses. */
START_TEST(addresses_are_taken_up_to_the_limit)
{
    int most = OPTIONS_LISTEN_MAX, more = OPTIONS_LISTEN_MAX + 1;

    ck_assert_int_eq(suite_in_child(read_many_listens, &most), OPTIONS_SERVE);
    capture_begin(&errors, STDERR_FILENO);
    ck_assert_int_eq(suite_in_child(read_many_listens, &more), OPTIONS_WRONG);
    capture_end(&errors);
    ck_assert_ptr_nonnull(strstr(errors.text, "--listen"));
    ck_assert_int_eq(lines_of(errors.text), 1);
}
END_TEST

/* Whether every_option has the long form that stands at `form`. */
static bool is_read(const char *form)
{
    char name[32];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(form, " \n"), form);
    for (size_t i = 0; i < SUITE_LENGTH(every_option); i++)
        if (strcmp(every_option[i].words[0], name) == 0)
            return true;
    return strcmp(name, "--help") == 0 || strcmp(name, "--version") == 0;
}

/* Catches a help that goes to standard error or does not fit a screen, and an option that was
 * added without a row above. */
START_TEST(the_help_shows_options_that_are_read_and_fits_a_screen)
{
    static const struct reading forms[] = {{{"-h"}, NULL}, {{"-v", "--help", "--nothing"}, NULL}};
    const char *form;

    for (size_t i = 0; i < SUITE_LENGTH(forms); i++) {
        ck_assert_int_eq(outcome_of(&forms[i]), OPTIONS_DONE);
        ck_assert_str_eq(errors.text, "");
        ck_assert_int_le(lines_of(output.text), 24);
        for (const char *at = output.text; *at != '\0'; at += strcspn(at, "\n") + 1)
            ck_assert_msg(strcspn(at, "\n") <= 80, "%s", at);
        for (form = output.text; (form = strstr(form, " --")) != NULL; form++)
            ck_assert_msg(is_read(form + 1), "every_option lacks %.20s", form + 1);
    }
}
END_TEST

/* Catches a version that is not the Makefile's, or that is followed by a server. */
START_TEST(the_version_is_one_line)
{
    static const struct reading forms[] = {{{"-V"}, NULL}, {{"--version", "-x"}, NULL}};

    for (size_t form = 0; form < SUITE_LENGTH(forms); form++) {
        ck_assert_int_eq(outcome_of(&forms[form]), OPTIONS_DONE);
        ck_assert_str_eq(output.text, "forkecho " VERSION "\n");
        ck_assert_str_eq(errors.text, "");
    }
}
END_TEST

/* Catches a late usage error that names no option. */
START_TEST(a_late_error_names_its_option_too)
{
    struct options options = {.program = "selectecho"};

    capture_begin(&errors, STDERR_FILENO);
    options_reject(&options, 'c', "'9999' is too many");
    capture_end(&errors);
    ck_assert_str_eq(errors.text, "selectecho: option -c, --max-connections: '9999' is too many "
                                  "(see selectecho --help)\n");
}
END_TEST

SUITE("options", operands_are_a_program_and_its_arguments,
      options_of_the_echo_are_wrong_beside_a_program, without_options_the_defaults_hold,
      every_option_sets_its_value_in_both_forms,
      repeated_options_add_addresses_and_verbosity_and_else_the_last_counts,
      what_is_no_option_or_takes_no_value_is_wrong, a_number_out_of_range_or_form_is_wrong,
      a_duration_of_another_form_is_wrong, a_template_with_a_mistake_is_wrong,
      an_address_of_another_form_is_wrong, addresses_are_taken_up_to_the_limit,
      the_help_shows_options_that_are_read_and_fits_a_screen, the_version_is_one_line,
      a_late_error_names_its_option_too)
