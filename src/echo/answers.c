/* answers.c: see answers.h. */
#include "echo/answers.h"

#include "process/log.h"

size_t answers_message_size(const struct answers *answers)
{
    return answers->reply != NULL ? answers->message_size : MESSAGE_SIZE_MAX;
}

size_t answers_buffer_size(const struct answers *answers)
{
    size_t size = answers_message_size(answers), greeting = 0;

    if (answers->reply != NULL)
        size += reply_size_max(answers->reply, size);
    if (answers->greeting != NULL)
        greeting = reply_size_max(answers->greeting, 0);
    return size > greeting ? size : greeting;
}

/* -vv: what a client sent, escaped, and cut to what a log line holds. */
static void log_message(const struct peer *peer, const struct answer *message)
{
    enum { SHOWN = 60 };
    char client[ADDRESS_TEXT_MAX], text[SHOWN * 4 + 1];
    size_t shown = message->size < SHOWN ? message->size : SHOWN;

    text[reply_escape(message->bytes, shown, text)] = '\0';
    log_event(LOG_MESSAGES, "message from=%s bytes=%zu text='%s'%s", peer_text(peer, client),
              message->size, text, shown < message->size ? "..." : "");
}

void answers_apply(const struct answers *answers, const struct peer *peer, struct answer *answer)
{
    char *message = answer->bytes;

    if (answer->size == 0) {
        if (answers->greeting != NULL)
            answer->size = reply_make(answers->greeting, NULL, 0, peer, answer->bytes);
        answer->pause = answers->delay;
        return;
    }
    if (log_shows(LOG_MESSAGES))
        log_message(peer, answer);
    if (answers->reply != NULL) {
        answer->bytes = message + answers->message_size; /* behind it: a reply may quote it */
        answer->size = reply_make(answers->reply, message, answer->size, peer, answer->bytes);
    }
}
