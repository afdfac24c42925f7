/* SPDX-License-Identifier: BSD-3-Clause */
/* watch -- prints the keys under a prefix that change, as a node hears of it, until it has printed so many.
 *
 *      cc watch.c $(pkg-config --cflags --libs terrace) -pthread -o watch
 *      ./watch 'endpoints=127.0.0.1:7379' user: 10
 *
 * The callback runs on a thread of the library's: it does little, and hands on what takes longer. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <terrace.h>

struct watched {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    long left; /* to be printed */
};

static void on_change(void *arg, const void *key, size_t key_size)
{
    struct watched *watched = arg;
    (void)pthread_mutex_lock(&watched->lock);
    if (key == NULL) {
        (void)printf(
            "any key may have changed\n"); /* so it begins, too: from here on nothing is missed */
    } else if (watched->left > 0) {
        (void)printf("%.*s\n", (int)key_size, (const char *)key);
        watched->left--;
    }
    (void)fflush(stdout);
    (void)pthread_cond_signal(&watched->changed);
    (void)pthread_mutex_unlock(&watched->lock);
}

static int watch(struct terrace *terrace, const char *prefix, struct watched *watched)
{
    struct terrace_watch *watch = NULL;
    const enum terrace_status status =
        terrace_watch_begin(terrace, prefix, strlen(prefix), on_change, watched, &watch);
    if (status != TERRACE_OK) {
        (void)fprintf(stderr, "watch: %s\n", terrace_status_name(status));
        return 1;
    }
    (void)pthread_mutex_lock(&watched->lock);
    while (watched->left > 0) {
        (void)pthread_cond_wait(&watched->changed, &watched->lock);
    }
    (void)pthread_mutex_unlock(&watched->lock);
    terrace_watch_end(watch); /* on_change runs no more */
    return 0;
}

int main(int argc, char **argv)
{
    char error[TERRACE_ERROR_SIZE] = "no memory";
    struct watched watched = {.lock = PTHREAD_MUTEX_INITIALIZER,
                              .changed = PTHREAD_COND_INITIALIZER,
                              .left = argc > 3 ? strtol(argv[3], NULL, 10) : 10};
    struct terrace_options *options = terrace_options_new();
    struct terrace *terrace = NULL;
    if (options != NULL && terrace_options_parse(options, argc > 1 ? argv[1] : "", error,
                                                 sizeof error) == TERRACE_OK) {
        terrace = terrace_open(options, error, sizeof error);
    }
    terrace_options_free(options);
    if (terrace == NULL) {
        (void)fprintf(stderr, "watch: %s\n", error);
        return 1;
    }
    const int code = watch(terrace, argc > 2 ? argv[2] : "", &watched);
    terrace_close(terrace);
    return code;
}
