/* test_children.c: the table of live children against a naive one (children.h). */
#include "suite.h"

#include "server/children.h"

#include <time.h>

#define CAPACITY 40

/* Clients that share a source have the same letter. */
static const struct {
    const char *address;
    char source;
} clients[] = {
    {"192.0.2.1", 'a'},           {"::ffff:192.0.2.1", 'a'},
    {"192.0.2.2", 'b'},           {"::ffff:192.0.2.2", 'b'},
    {"10.0.0.1", 'c'},            {"0.0.0.0", 'd'},
    {"2001:db8:1:2::1", 'e'},     {"2001:db8:1:2:ffff:ffff:ffff:ffff", 'e'},
    {"2001:db8:1:2:8000::", 'e'}, {"2001:db8:1:3::1", 'f'},
    {"::1", 'g'},                 {"::", 'g'},
    {"local", 'h'},               {"255.255.255.255", 'i'},
};

/* Client `number`, each on a port of its own. */
static struct peer peer_number(size_t number)
{
    static struct peer peers[SUITE_LENGTH(clients)];

    for (size_t i = 0; peers[0].name.any.sa_family == 0 && i < SUITE_LENGTH(clients); i++) {
        size_t last = SUITE_LENGTH(clients) - 1 - i; /* the first one says that all are made */
        peers[last] = peer_at(clients[last].address, (unsigned)last + 1);
    }
    return peers[number];
}

/* ---- the naive table: an array in order of age ---- */

struct model {
    size_t live;
    struct {
        int64_t id;
        size_t client;
        double since;
    } all[CAPACITY];
};

static size_t model_find(const struct model *model, int64_t id)
{
    size_t at = 0;

    while (at < model->live && model->all[at].id != id)
        at++;
    return at;
}

static size_t model_from(const struct model *model, char source)
{
    size_t count = 0;

    for (size_t i = 0; i < model->live; i++)
        count += clients[model->all[i].client].source == source;
    return count;
}

static void model_remove(struct model *model, size_t at)
{
    model->live--;
    memmove(&model->all[at], &model->all[at + 1], (model->live - at) * sizeof model->all[0]);
}

/* Holds one table against the other, every number, every order. Returns what differs, or NULL:
 * an assertion of check is too dear to be asked this often. */
static const char *difference(const struct children *children, const struct model *model)
{
    const struct child *child = children->oldest, *older = NULL;
    size_t most = 0;

    if (children->live != model->live)
        return "the number of live children";
    for (size_t i = 0; i < model->live; i++, older = child, child = child->younger) {
        struct peer peer = peer_number(model->all[i].client);
        if (child == NULL || child->id != model->all[i].id || child->older != older)
            return "the order of age";
        if (child->since != model->all[i].since ||
            !source_equal(address_source(&child->peer), address_source(&peer)) ||
            address_port(&child->peer.name.any) != address_port(&peer.name.any))
            return "what is known of a child";
    }
    if (child != NULL)
        return "the youngest";
    for (size_t i = 0; i < SUITE_LENGTH(clients); i++) {
        struct peer peer = peer_number(i);
        size_t from = model_from(model, clients[i].source);
        if (children_from(children, &peer) != from)
            return "the count of a source";
        most = from > most ? from : most;
    }
    return children->most_from_one == most ? NULL : "the most of one source";
}

/* Catches a hash that the last bits of a prefix do not reach: one customer's /48 would make
 * each look-up as long as the table. Linear chains take a hundred times as long. */
START_TEST(one_network_does_not_share_a_chain)
{
    enum { MANY = 40000 };
    struct children *spread = children_new(MANY), *narrow = children_new(MANY);
    struct peer peer = {0};
    clock_t begun, times[2];

    peer.name.v6.sin6_family = AF_INET6;
    for (int which = 0; which < 2; which++) {
        begun = clock();
        for (int i = 0; i < MANY; i++) {
            uint8_t *bytes = peer.name.v6.sin6_addr.s6_addr + (which == 0 ? 2 : 6);
            bytes[0] = (uint8_t)(i >> 8);
            bytes[1] = (uint8_t)i;
            ck_assert_ptr_nonnull(children_add(which == 0 ? spread : narrow, i, &peer, 0));
        }
        times[which] = clock() - begun;
        memset(peer.name.v6.sin6_addr.s6_addr, 0, 16);
    }
    ck_assert_int_lt(times[1], 20 * (times[0] + CLOCKS_PER_SEC / 1000));
}
END_TEST

/* Catches any drift between entries, chains, ages and counts that some order of additions and
 * removals brings about; ids are few, so that they are used again and collide. */
START_TEST(any_order_of_additions_and_removals_agrees_with_a_naive_table)
{
    struct children *children = children_new(CAPACITY);
    struct model model = {0};
    uint64_t state = 11;

    ck_assert_ptr_nonnull(children);
    for (int step = 0; step < 20000; step++) {
        int64_t id = (int64_t)random_below(&state, 2 * CAPACITY) - 3;
        size_t client = random_below(&state, SUITE_LENGTH(clients));
        struct peer peer = peer_number(client);
        size_t at = model_find(&model, id);
        struct child *found = children_find(children, id);
        const char *differs;
        ck_assert((found != NULL) == (at < model.live) && (found == NULL || found->id == id));
        /* Long runs of more additions, then of more removals: full and empty are both met. */
        if (random_below(&state, 10) < (step / 500 % 2 == 0 ? 7U : 3U)) {
            struct child *added = children_add(children, id, &peer, step);
            ck_assert((added != NULL) == (found == NULL && model.live < CAPACITY));
            if (added != NULL) {
                ck_assert(!added->exit_recorded && added->in == 0 && added->out == 0);
                ck_assert(added->ending == 0 && added->stop_signal == 0 && added->own == NULL);
                added->exit_recorded = true;
                added->in = added->out = 1;
                added->ending = added->stop_signal = 2;
                added->own = &model;
                model.all[model.live].id = id;
                model.all[model.live].client = client;
                model.all[model.live++].since = step;
            }
        } else if (found != NULL) {
            children_remove(children, found);
            model_remove(&model, at);
        }
        differs = difference(children, &model);
        ck_assert_msg(differs == NULL, "%s differs after step %d", differs, step);
    }
}
END_TEST

/* Catches an entry beyond the capacity, and a full table that stays full. */
START_TEST(a_full_table_refuses_and_takes_again_after_a_removal)
{
    static const size_t capacities[] = {1, 2, 3, 64, 65, 1000};
    struct peer peer = peer_at("192.0.2.1", 1);

    for (size_t i = 0; i < SUITE_LENGTH(capacities); i++) {
        int64_t capacity = (int64_t)capacities[i];
        struct children *children = children_new(capacities[i]);
        ck_assert_ptr_nonnull(children);
        for (int round = 0; round < 3; round++) {
            for (int64_t id = 1; id <= capacity; id++)
                ck_assert_ptr_nonnull(children_add(children, id, &peer, 0));
            ck_assert_ptr_null(children_add(children, capacity + 1, &peer, 0));
            ck_assert_ptr_null(children_find(children, capacity + 1));
            ck_assert_uint_eq(children->live, capacities[i]);
            ck_assert_uint_eq(children_from(children, &peer), capacities[i]);
            children_remove(children, children->oldest);
            ck_assert_ptr_nonnull(children_add(children, capacity + 1, &peer, 0));
            ck_assert_ptr_null(children_find(children, 1));
            while (children->oldest != NULL)
                children_remove(children, children->oldest);
            ck_assert_uint_eq(children_from(children, &peer), 0);
        }
    }
}
END_TEST

/* Catches a second entry of one pid, which would leave a slot behind when it is reaped. */
START_TEST(an_id_is_registered_once)
{
    struct peer peer = peer_at("192.0.2.1", 1), other = peer_at("192.0.2.2", 1);
    struct children *children = children_new(4);
    struct child *first = children_add(children, 7, &peer, 0);

    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(children_add(children, 7, &other, 0));
    ck_assert_uint_eq(children->live, 1);
    ck_assert_uint_eq(children_from(children, &other), 0);
    ck_assert_ptr_eq(children_find(children, 7), first);
}
END_TEST

/* Catches ids that differ only above 32 bits taken for one. */
START_TEST(ids_are_told_apart_in_all_their_bits)
{
    static const int64_t ids[] = {0, 1, -1, INT64_C(1) << 32, (INT64_C(1) << 32) + 1, INT64_MAX,
                                  INT64_MIN};
    struct peer peer = peer_at("local", 0);
    struct children *children = children_new(16);

    for (size_t i = 0; i < SUITE_LENGTH(ids); i++)
        ck_assert_ptr_nonnull(children_add(children, ids[i], &peer, (double)i));
    for (size_t i = 0; i < SUITE_LENGTH(ids); i++)
        ck_assert_double_eq(children_find(children, ids[i])->since, (double)i);
}
END_TEST

/* Catches more sources than the table has room for: each child may have its own, and each
 * may come and go. */
START_TEST(as_many_sources_as_children_are_counted)
{
    enum { COUNT = 500 };
    struct children *children = children_new(COUNT);
    char address[40];

    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < COUNT; i++) {
            struct peer peer;
            snprintf(address, sizeof address, round % 2 == 0 ? "10.%d.%d.1" : "2001:db8:%x:%x::1",
                     round + i / 256, i % 256);
            peer = peer_at(address, 1);
            ck_assert_uint_eq(children_from(children, &peer), 0);
            ck_assert_ptr_nonnull(children_add(children, i, &peer, 0));
            ck_assert_uint_eq(children_from(children, &peer), 1);
        }
        for (int i = 0; i < COUNT; i++) {
            struct child *child = children_find(children, (i * 7) % COUNT);
            struct peer peer = child->peer;
            children_remove(children, child);
            ck_assert_uint_eq(children_from(children, &peer), 0);
        }
        ck_assert_uint_eq(children->live, 0);
        ck_assert_ptr_null(children->oldest);
    }
}
END_TEST

/* Catches a child that is counted twice as gone, once for its source and once when it is removed,
 * or one that is live no more as soon as its source has one less. */
START_TEST(who_has_left_its_source_is_live)
{
    struct peer peer = peer_at("192.0.2.1", 1), other = peer_at("192.0.2.2", 1);
    struct children *children = children_new(3);
    struct child *first = children_add(children, 1, &peer, 0);
    struct child *second = children_add(children, 2, &peer, 0);

    ck_assert_ptr_nonnull(children_add(children, 3, &other, 0));
    children_leave_source(children, first);
    children_leave_source(children, first);
    ck_assert_uint_eq(children_from(children, &peer), 1);
    ck_assert_uint_eq(children->most_from_one, 1);
    ck_assert_uint_eq(children->live, 3);
    ck_assert_ptr_null(children_add(children, 4, &peer, 0));
    children_remove(children, first);
    ck_assert_uint_eq(children_from(children, &peer), 1);
    children_leave_source(children, second);
    ck_assert_uint_eq(children_from(children, &peer), 0);
    ck_assert_ptr_nonnull(children_add(children, 4, &peer, 0));
    ck_assert_uint_eq(children_from(children, &peer), 1);
    children_remove(children, second);
    ck_assert_uint_eq(children_from(children, &peer), 1);
    ck_assert_uint_eq(children->live, 2);
}
END_TEST

SUITE("children", any_order_of_additions_and_removals_agrees_with_a_naive_table,
      a_full_table_refuses_and_takes_again_after_a_removal, an_id_is_registered_once,
      ids_are_told_apart_in_all_their_bits, one_network_does_not_share_a_chain,
      as_many_sources_as_children_are_counted, who_has_left_its_source_is_live)
