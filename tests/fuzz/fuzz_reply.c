/*
 * fuzz_reply.c: templates of replies and greetings (reply.h).
 *
 * Input: a line with the template, the rest is the message. Catches: a reply that is longer
 * than reply_size_max promises (it would overflow the session's buffer), one that differs
 * from what the template says (model.h), a %m in a greeting, and quotes that cannot be read
 * back as the message.
 */
#include "echo/reply.h"
#include "fuzz.h"
#include "model.h"

/* What is between the quotes of a literal is the message again. */
static void check_escape(const char *message, size_t size)
{
    char *text = fuzz_memory(4 * size + 1);
    const char *at = text;
    size_t length = reply_escape(message, size, text);

    FUZZ_HOLDS(length <= 4 * size);
    text[length] = '\0';
    FUZZ_HOLDS(is_plain(text) && strlen(text) == length);
    for (size_t i = 0; i < size; i++) {
        int character = (unsigned char)*at++;

        if (character == '\\')
            character = model_escape(&at);
        FUZZ_HOLDS(character == (unsigned char)message[i]);
    }
    FUZZ_HOLDS(*at == '\0');
    free(text);
}

/* The memory ends where the promise does. */
static void check_reply(const struct reply *reply, const char *template, const char *message,
                        size_t size, const struct peer *peer)
{
    size_t most = reply_size_max(reply, size), made;
    char *to = fuzz_memory(most);
    struct bytes expected = {.at = NULL};

    made = reply_make(reply, message, size, peer, to);
    FUZZ_HOLDS(made <= most);
    FUZZ_HOLDS(model_reply(&expected, template, message, size, peer));
    FUZZ_HOLDS(model_has_time(template) ? made >= expected.size
                                        : bytes_are(&expected, to, made));
    bytes_free(&expected);
    free(to);
}

/* As a reply to the message, or as a greeting, which has none. */
static void check_template(const char *template, const char *message, size_t size,
                           const struct peer *peer)
{
    const char *problem = NULL;
    struct reply *reply = reply_compile(template, message != NULL, &problem);
    struct bytes none = {.at = NULL};

    if (reply != NULL)
        check_reply(reply, template, message, size, peer);
    else
        FUZZ_HOLDS(problem != NULL && is_plain(problem) &&
                   (strlen(template) > REPLY_TEMPLATE_MAX ||
                    !model_reply(&none, template, message, size, peer)));
    bytes_free(&none);
    free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t address[16] = {192, 0, 2, 1, [15] = 7};
    static const sa_family_t families[] = {AF_INET, AF_INET6, AF_UNIX};
    struct input input = input_of(data, size);
    struct peer peer = peer_of(families[size % FUZZ_LENGTH(families)], address, 7);
    char *template = take_line(&input);

    if (template == NULL)
        return 0;
    check_template(template, (const char *)input.at, input.left, &peer);
    check_template(template, NULL, 0, &peer);
    check_escape((const char *)input.at, input.left);
    free(template);
    return 0;
}
