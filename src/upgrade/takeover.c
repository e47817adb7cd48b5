/* takeover.c: the state that a program leaves, written; takeover_read.c reads it. */
#include "upgrade/takeover.h"

#include "process/log_sink.h"
#include "process/manager.h"

#include <stdio.h>
#include <unistd.h>

static void put_bytes(FILE *file, const void *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = bytes;

    putc(' ', file);
    for (size_t i = 0; i < size; i++) {
        putc(digits[at[i] / 16], file);
        putc(digits[at[i] % 16], file);
    }
}

static void put_listener(FILE *file, const struct listener *listener)
{
    fprintf(file, "listener %d %llu %llu %d %lu", listener->descriptor,
            (unsigned long long)listener->device, (unsigned long long)listener->file,
            listener->inherits, (unsigned long)listener->address.length);
    put_bytes(file, &listener->address.name, sizeof listener->address.name);
    putc('\n', file);
}

static void put_child(FILE *file, const struct child *child)
{
    fprintf(file, "child %lld %.9f %d %d %d %llu %llu %d", (long long)child->id, child->since,
            child->exit_recorded, child->ending, child->problem, (unsigned long long)child->in,
            (unsigned long long)child->out, child->stop_signal);
    put_bytes(file, &child->peer, sizeof child->peer);
    put_bytes(file, &child->client, sizeof child->client);
    putc('\n', file);
}

static void put_server(FILE *file, const struct server *server)
{
    const struct statistics *count = &server->statistics;

    fprintf(file, "statistics %llu %llu %llu %llu %llu %llu %llu %zu %.9f\n", count->accepted,
            count->ended, count->refused, count->deferred, count->deferred_cap, count->in,
            count->out, count->peak, server->started);
    for (size_t i = 0; i < server->listeners.count; i++)
        put_listener(file, &server->listeners.all[i]);
    for (const struct child *each = children_oldest(server->children); each != NULL;
         each = each->younger)
        put_child(file, each);
    if (server->gate.holding) {
        fprintf(file, "held %d", server->gate.held.descriptor);
        put_bytes(file, &server->gate.held.peer, sizeof server->gate.held.peer);
        putc('\n', file);
    }
}

int takeover_write(int file, const struct server *server)
{
    FILE *stream;
    bool failed;
    int own;

    if (ftruncate(file, 0) == -1 || lseek(file, 0, SEEK_SET) == -1 || (own = dup(file)) == -1)
        return -1;
    stream = fdopen(own, "w");
    if (stream == NULL) {
        close(own);
        return -1;
    }
    fprintf(stream, "takeover %d %s\n", TAKEOVER_FORMAT, server->options->program);
    put_server(stream, server);
    fprintf(stream, "ledger %d %d\n", server->ledger.read_end, server->ledger.write_end);
    if (server->pidfile->descriptor != -1)
        fprintf(stream, "pidfile %d %s\n", server->pidfile->descriptor, server->pidfile->path);
    if (manager_descriptor() != -1)
        fprintf(stream, "manager %d\n", manager_descriptor());
    if (log_sink_descriptor() != -1)
        fprintf(stream, "syslog %d\n", log_sink_descriptor());
    fprintf(stream, "end\n");
    failed = ferror(stream) != 0;
    return fclose(stream) == EOF || failed ? -1 : 0;
}

size_t takeover_descriptors(const struct server *server, int *descriptors)
{
    size_t count = 0;

    for (size_t i = 0; i < server->listeners.count; i++)
        descriptors[count++] = server->listeners.all[i].descriptor;
    descriptors[count++] = server->ledger.read_end;
    descriptors[count++] = server->ledger.write_end;
    if (server->gate.holding)
        descriptors[count++] = server->gate.held.descriptor;
    if (server->pidfile->descriptor != -1)
        descriptors[count++] = server->pidfile->descriptor;
    if (manager_descriptor() != -1)
        descriptors[count++] = manager_descriptor();
    if (log_sink_descriptor() != -1)
        descriptors[count++] = log_sink_descriptor();
    return count;
}
