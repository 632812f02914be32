#include "collimate/cluster/side.h"
#include "collimate/base/clock.h"
#include "collimate/base/heap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct clm_side {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, closing, begun, ended; /* begun: until the loop has seen the end */
    clm_side_fn fn;
    void *arg;
    bool ok;
    double seconds;
    clm_err err;
    void (*wake)(void *ctx);
    void *ctx;
};

bool clm_side_open(void (*wake)(void *ctx), void *ctx, clm_side **out, clm_err *err) {
    clm_side *s = *out = clm_heap_new(1, sizeof *s, err);
    if (!s) return false;
    s->wake = wake;
    s->ctx = ctx;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    return true;
}

static void *side_main(void *arg) {
    clm_side *s = arg;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        if (!s->begun || s->ended) {
            if (s->closing) break;
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        clm_err err = CLM_ERR_NONE;
        double begin_s = clm_clock_s();
        bool ok = s->fn(s->arg, &err);
        pthread_mutex_lock(&s->lock);
        s->seconds = clm_clock_s() - begin_s;
        s->ok = ok;
        s->err = err;
        s->ended = true;
        pthread_mutex_unlock(&s->lock);
        s->wake(s->ctx);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static bool start(clm_side *s, clm_err *err) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&s->thread, NULL, side_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->started = rc == 0;
    errno = rc;
    return s->started || clm_fail_os(err, CLM_E_NOMEM, "thread for syncing");
}

bool clm_side_begin(clm_side *s, clm_side_fn fn, void *arg, clm_err *err) {
    if (!s->started && !start(s, err)) return false;
    pthread_mutex_lock(&s->lock);
    s->fn = fn;
    s->arg = arg;
    s->begun = true;
    s->ended = false;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return true;
}

bool clm_side_busy(const clm_side *s) { return s->begun; } /* written by the loop's thread only */

bool clm_side_ended(clm_side *s, bool *ok, double *seconds, clm_err *err) {
    if (!s->begun) return false;
    pthread_mutex_lock(&s->lock);
    bool ended = s->ended;
    if (ended) {
        *ok = s->ok;
        *seconds = s->seconds;
        if (!s->ok) *err = s->err;
        s->begun = false;
    }
    pthread_mutex_unlock(&s->lock);
    return ended;
}

void clm_side_close(clm_side *s) {
    if (!s) return;
    if (s->started) {
        pthread_mutex_lock(&s->lock);
        s->closing = true;
        pthread_cond_signal(&s->changed);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    clm_heap_free(s);
}
