/* children.c: see children.h. */
#include "server/children.h"

#include "base/clock.h"
#include "platform/platform.h"

struct source_count {
    struct source source;
    size_t live;
    struct source_count *chain; /* as in struct child */
};

struct children *children_new(size_t capacity)
{
    struct children *children = platform_private_memory(sizeof *children);
    size_t chains = 2;

    if (children == NULL)
        return NULL;
    for (children->shift = 63; chains < capacity; chains *= 2)
        children->shift--;
    children->capacity = capacity;
    children->salt = ((uint64_t)(clock_seconds() * 1e9) * UINT64_C(0x9e3779b97f4a7c15)) | 1;
    children->sources = platform_private_memory((capacity + 1) * sizeof *children->sources);
    children->by_id = platform_private_memory(chains * sizeof *children->by_id);
    children->by_source = platform_private_memory(chains * sizeof *children->by_source);
    children->free_child = platform_private_memory(capacity * sizeof *children->free_child);
    children->free_source = platform_private_memory(capacity * sizeof *children->free_source);
    if (children->sources == NULL || children->by_id == NULL || children->by_source == NULL ||
        children->free_child == NULL || children->free_source == NULL)
        return NULL;
    return children;
}

/* Multiply-shift hashing (Dietzfelbinger et al., 1997): the top bits of the product with a random
 * odd factor, so that a client cannot choose addresses that share a chain. */
static size_t hash(const struct children *children, uint64_t value)
{
    return (size_t)((value * children->salt) >> children->shift);
}

static struct source_count **source_chain(const struct children *children, struct source source)
{
    return &children->by_source[hash(children, source.net + source.zone + source.kind)];
}

static struct source_count *find_source(const struct children *children, struct source source)
{
    struct source_count *each = *source_chain(children, source);

    while (each != NULL && !source_equal(each->source, source))
        each = each->chain;
    return each;
}

/* Counts one more of `source`. There is room: sources are never more than children. */
static struct source_count *count_source(struct children *children, struct source source)
{
    struct source_count *count = find_source(children, source);
    struct source_count **chain = source_chain(children, source);

    if (count == NULL) {
        count = children->free_source;
        children->free_source = count->chain != NULL ? count->chain : count + 1;
        *count = (struct source_count){.source = source, .chain = *chain};
        *chain = count;
    }
    if (count->live > 0)
        children->sources[count->live]--;
    children->sources[++count->live]++;
    if (count->live > children->most_from_one)
        children->most_from_one = count->live;
    return count;
}

struct child *children_add(struct children *children, int64_t id, const struct peer *peer,
                           double since)
{
    struct child **chain = &children->by_id[hash(children, (uint64_t)id)];
    struct child *child = children->free_child;

    if (children->live == children->capacity || children_find(children, id) != NULL)
        return NULL;
    children->free_child = child->chain != NULL ? child->chain : child + 1;
    *child = (struct child){.id = id, .peer = *peer, .since = since, .chain = *chain};
    *chain = child;
    child->source = count_source(children, address_source(peer));
    child->older = children->youngest;
    *(child->older != NULL ? &child->older->younger : &children->oldest) = child;
    children->youngest = child;
    children->live++;
    return child;
}

struct child *children_find(struct children *children, int64_t id)
{
    struct child *each = children->by_id[hash(children, (uint64_t)id)];

    while (each != NULL && each->id != id)
        each = each->chain;
    return each;
}

void children_leave_source(struct children *children, struct child *child)
{
    struct source_count *count = child->source, **link;

    child->source = NULL;
    if (count == NULL)
        return;
    children->sources[count->live]--;
    if (children->sources[children->most_from_one] == 0) /* it was the only one */
        children->most_from_one--;
    if (--count->live > 0) {
        children->sources[count->live]++;
        return;
    }
    for (link = source_chain(children, count->source); *link != count; link = &(*link)->chain)
        ;
    *link = count->chain;
    count->chain = children->free_source;
    children->free_source = count;
}

void children_remove(struct children *children, struct child *child)
{
    struct child **link = &children->by_id[hash(children, (uint64_t)child->id)];

    while (*link != child)
        link = &(*link)->chain;
    *link = child->chain;
    *(child->older != NULL ? &child->older->younger : &children->oldest) = child->younger;
    *(child->younger != NULL ? &child->younger->older : &children->youngest) = child->older;
    children_leave_source(children, child);
    child->chain = children->free_child;
    children->free_child = child;
    children->live--;
}

size_t children_from(const struct children *children, const struct peer *peer)
{
    const struct source_count *count = find_source(children, address_source(peer));

    return count != NULL ? count->live : 0;
}
