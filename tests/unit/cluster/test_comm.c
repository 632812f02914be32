/* The contract of comm, kept by comm_local; tests/mpi/test_run.c asks the same of comm_mpi. */
#include "collimate/cluster/comm.h"
#include "collimate/cluster/wire.h"
#include "support/near.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

enum { RANKS = 4, ROUNDS = 200 };

typedef struct peer {
    clm_comm *c;
    int misses; /* assertions belong to the main thread */
} peer;

#define note(yes) (p->misses += !(yes))

static void *talk(void *arg) {
    peer *p = arg;
    clm_comm *c = p->c;
    clm_err err = CLM_ERR_NONE;
    unsigned char buf[64];
    int next[RANKS] = {0}, got_all = 0;
    for (unsigned char i = 0; i < ROUNDS; i++)
        for (int to = 0; to < c->size; to++) {
            unsigned char out[3] = {i, (unsigned char)c->rank, (unsigned char)to};
            if (to != c->rank) note(clm_comm_send(c, to, out, sizeof out, &err));
            memset(out, 0xee, sizeof out); /* the copy is comm's own */
        }
    while (got_all < ROUNDS * (c->size - 1)) {
        int from = -1;
        size_t n = 0;
        bool got = false;
        note(clm_comm_recv(c, 20, &from, buf, sizeof buf, &n, &got, &err));
        note(got);
        if (!got) break;
        got_all++;
        note(n == 3 && buf[0] == next[from]++ && buf[1] == from && buf[2] == c->rank);
    }
    bool got = true, any = true;
    int from;
    size_t n;
    note(clm_comm_recv(c, 0, &from, buf, sizeof buf, &n, &got, &err) && !got);
    note(clm_comm_flush(c, 1, &err));
    note(clm_comm_any(c, false, &any, &err) && !any);
    note(clm_comm_any(c, c->rank == c->size - 1, &any, &err) && any);
    note(clm_comm_any(c, false, &any, &err) && !any);
    clm_buf blob = {0};
    char text[] = "the job, as rank 0 read it";
    note(clm_buf_reserve(&blob, sizeof text, &err));
    if (c->rank == 0) memcpy(blob.data, text, blob.n = sizeof text);
    for (int i = 0; i < 3; i++) note(clm_comm_share(c, &blob, &err));
    note(blob.n == sizeof text && memcmp(blob.data, text, sizeof text) == 0);
    blob.n = 0;
    note(clm_comm_share(c, &blob, &err) && blob.n == 0);
    clm_buf_free(&blob);
    return NULL;
}

static void test_talk(void **state) {
    (void)state;
    for (int size = 1; size <= RANKS; size++)
        for (int stall = 0; stall < 2; stall++) {
            clm_comm_trouble trouble = {.seed = 1, .most_stall_s = stall * 0.0002};
            clm_comm_hub *hub;
            clm_comm *c[RANKS];
            clm_err err = CLM_ERR_NONE;
            peer p[RANKS] = {0};
            pthread_t thread[RANKS];
            assert_ok(clm_comm_local_open(size, &trouble, &hub, c, &err), err);
            for (int r = 0; r < size; r++) {
                p[r].c = c[r];
                assert_true(c[r]->rank == r && c[r]->size == size && c[r]->host == 0 &&
                            c[r]->host_size == size);
                assert_true(clm_comm_slots(c[r]) >= 1);
                assert_int_equal(pthread_create(&thread[r], NULL, talk, &p[r]), 0);
            }
            for (int r = 0; r < size; r++) pthread_join(thread[r], NULL);
            for (int r = 0; r < size; r++) assert_int_equal(p[r].misses, 0);
            for (int r = 0; r < size; r++) clm_comm_close(c[r], true);
            clm_comm_local_close(hub);
        }
}

static void test_limits_and_a_dropped_peer(void **state) {
    (void)state;
    clm_comm_hub *hub;
    clm_comm *c[3];
    clm_err err = CLM_ERR_NONE;
    static unsigned char big[CLM_MESSAGE_MAX + 1], small[10];
    int from;
    size_t n;
    bool got;
    assert_ok(clm_comm_local_open(3, NULL, &hub, c, &err), err);
    assert_fails(CLM_E_ARG, clm_comm_send(c[0], 1, big, sizeof big, &err), err);
    assert_fails(CLM_E_ARG, clm_comm_send(c[0], 0, big, 1, &err), err);
    assert_fails(CLM_E_ARG, clm_comm_send(c[0], 3, big, 1, &err), err);
    assert_fails(CLM_E_ARG, clm_comm_send(c[0], -1, big, 1, &err), err);
    assert_ok(clm_comm_send(c[0], 1, big, CLM_MESSAGE_MAX, &err), err);
    assert_fails(CLM_E_FORMAT, clm_comm_recv(c[1], 0, &from, small, sizeof small, &n, &got, &err), err);
    assert_false(got);
    assert_ok(clm_comm_send(c[0], 1, big, 0, &err), err);
    assert_ok(clm_comm_recv(c[1], 1, &from, small, sizeof small, &n, &got, &err), err);
    assert_true(got && n == 0 && from == 0);
    assert_ok(clm_comm_send(c[2], 1, big, 5, &err), err); /* on its way when the peer vanishes */
    clm_comm_local_drop(hub, 1);
    assert_ok(clm_comm_send(c[0], 1, big, 5, &err), err); /* silence is not an error */
    assert_ok(clm_comm_send(c[1], 0, big, 5, &err), err);
    assert_ok(clm_comm_recv(c[1], 0.01, &from, small, sizeof small, &n, &got, &err), err);
    assert_false(got);
    assert_ok(clm_comm_recv(c[0], 0.01, &from, small, sizeof small, &n, &got, &err), err);
    assert_false(got);
    assert_ok(clm_comm_send(c[2], 0, big, 5, &err), err); /* the others talk on */
    assert_ok(clm_comm_recv(c[0], 1, &from, small, sizeof small, &n, &got, &err), err);
    assert_true(got && from == 2);
    for (int r = 0; r < 3; r++) clm_comm_close(c[r], false);
    clm_comm_local_close(hub);
}

static void cores_are_those_of_the_mask(void **state) {
    (void)state;
    cpu_set_t all, one;
    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_int_equal(clm_comm_cores(), CPU_COUNT(&all));
    for (size_t k = 0; CPU_COUNT(&one) == 0; k++)
        if (CPU_ISSET(k, &all)) CPU_SET(k, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(clm_comm_cores(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talk),
        cmocka_unit_test(test_limits_and_a_dropped_peer),
        cmocka_unit_test(cores_are_those_of_the_mask),
    };
    return cmocka_run_group_tests_name("cluster.comm", tests, NULL, NULL);
}
