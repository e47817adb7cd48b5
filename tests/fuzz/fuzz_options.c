/*
 * fuzz_options.c: the command line of a server (options.h, arguments.h).
 *
 * Input: lines, each a word of the command line. Catches: an option that is taken with a value
 * outside its range, options that exclude each other, a reply that no buffer could hold, a
 * command line that is refused without a word or with more than a line, and what the parser
 * keeps from one command line to the next.
 */
#include "base/parse.h"
#include "fuzz.h"
#include "platform/platform.h"
#include "server/options.h"

#include <limits.h>
#include <unistd.h>

#define WORDS_MAX 140
#define SAID_MAX 8192

/* ---- what is said ---- */

/* Has standard error go to `file`. Returns what it was. */
static int turn_errors_to(int file)
{
    int before = dup(STDERR_FILENO);

    fflush(stderr);
    if (before == -1 || ftruncate(file, 0) == -1 || lseek(file, 0, SEEK_SET) == -1 ||
        dup2(file, STDERR_FILENO) == -1)
        abort();
    return before;
}

static void turn_errors_back(int before)
{
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
}

/* One line, of what can stand in one, for what is wrong; nothing for what is right. */
static void check_said(int file, enum options_outcome outcome)
{
    char said[SAID_MAX + 1];
    ssize_t size = pread(file, said, SAID_MAX, 0);

    FUZZ_HOLDS(size >= 0 && size < SAID_MAX);
    said[size] = '\0';
    if (outcome != OPTIONS_WRONG) {
        FUZZ_HOLDS(size == 0);
        return;
    }
    FUZZ_HOLDS(size > 1 && said[size - 1] == '\n');
    said[size - 1] = '\0';
    FUZZ_HOLDS(is_plain(said));
}

/* ---- what is taken ---- */

static bool is_duration(double seconds)
{
    return seconds >= 0 && seconds <= PARSE_DURATION_MAX;
}

static void check_service(const struct service *service)
{
    const struct answers *answers = &service->answers;

    FUZZ_HOLDS(answers->message_size >= 1 && answers->message_size <= 65536);
    FUZZ_HOLDS(is_duration(answers->delay) && is_duration(service->idle));
    FUZZ_HOLDS(is_duration(service->lifetime));
    FUZZ_HOLDS(answers->reply == NULL ||
               reply_size_max(answers->reply, answers->message_size) <= REPLY_SIZE_MAX);
    FUZZ_HOLDS(session_buffer_size(service) <= REPLY_SIZE_MAX + 65536);
}

static void check_options(const struct options *options)
{
    FUZZ_HOLDS(options->listen_count >= 1 && options->listen_count <= OPTIONS_LISTEN_MAX);
    for (size_t i = 0; i < options->listen_count; i++)
        FUZZ_HOLDS(options->listen[i].endpoint.host[0] != '\0' ||
                   options->listen[i].endpoint.port[0] != '\0');
    FUZZ_HOLDS(options->status_count <= OPTIONS_LISTEN_MAX);
    FUZZ_HOLDS(options->backlog >= 1 && options->backlog <= 65535);
    FUZZ_HOLDS(options->max_connections >= 1 && options->max_connections <= INT_MAX);
    FUZZ_HOLDS(options->max_per_source <= INT_MAX && is_duration(options->grace));
    FUZZ_HOLDS(options->facility >= -1 && options->facility < 24);
    FUZZ_HOLDS(options->verbosity >= LOG_QUIET && options->verbosity <= LOG_MESSAGES);
    FUZZ_HOLDS(!options->inetd || (!options->daemon && !options->listen_given &&
                                   options->status_count == 0 && options->pidfile == NULL && !options->print_address));
    check_service(&options->service);
}

static void free_options(struct options *options)
{
    free(options->access.entries);
    free(options->service.proxies.entries);
    free((struct reply *)options->service.answers.reply);
    free((struct reply *)options->service.answers.greeting);
}

/* ---- a command line ---- */

static enum options_outcome read_words(int count, char **words)
{
    static int file = -1;
    struct options options;
    enum options_outcome outcome;
    int before;

    if (file == -1 && (file = platform_anonymous_file()) == -1)
        abort();
    optind = 0; /* glibc, musl and others: a new command line, whatever the last one left */
    before = turn_errors_to(file);
    outcome = options_read(&options, "forkecho", "[program]", "Fuzzed.", count, words);
    turn_errors_back(before);
    check_said(file, outcome);
    if (outcome == OPTIONS_SERVE)
        check_options(&options);
    free_options(&options);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_of(data, size);
    char *words[WORDS_MAX + 2] = {"forkecho"}, *order[WORDS_MAX + 2];
    int count = 1;
    enum options_outcome outcome;

    while (count <= WORDS_MAX && (words[count] = take_line(&input)) != NULL)
        count++;
    words[count] = NULL;
    memcpy(order, words, sizeof order);
    outcome = read_words(count, order);
    /* It says the same of the same words. */
    memcpy(order, words, sizeof order);
    FUZZ_HOLDS(read_words(count, order) == outcome);
    for (int i = 1; i < count; i++)
        free(words[i]);
    return 0;
}
