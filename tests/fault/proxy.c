/* SPDX-License-Identifier: BSD-3-Clause */
/* proxy -- a TCP proxy that misbehaves on demand, between a node and its Redis, or a client and a node.
 *
 *      proxy PORT       to 127.0.0.1:PORT; prints "port N", where it listens, and then answers commands from stdin,
 *                       one line each (trouble.h, and below), until stdin ends
 *
 *      hold DIRECTION HEX     the first connection that carries these bytes stops there, and everything behind it
 *      release DIRECTION
 *      heal                   everything passes again; what was frozen is delivered, what lost bytes is reset
 *      reset WHO              RST to both ends of each connection
 *      half_close WHO DIRECTION
 *      sever WHO DIRECTION    a black hole for the connections that are there; new ones pass
 *      refuse                 resets, and ends what connects from now on, until heal
 *      stats                  one line of JSON
 *
 * In C since it sits in the way of a loaded run: an announcement costs it about a microsecond. tests/fault/proxy.py
 * starts and commands it.
 *
 * Threads: one, and one epoll. */
#include "protocol/check.h"
#include "tests/fault/pair.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 64,
    LINE_MAX_BYTES = 1 << 16
};

struct proxy {
    int epoll;
    int listener;
    int target_port;
    struct trouble trouble;
    struct list pairs;
    bool refusing;
    struct buf marker[DIRECTIONS];
    uint64_t accepted;
    int64_t due_ns; /* when some pair wants to be pushed */
    struct buf line;
    bool ended;
};

static int64_t now_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static struct pair *pair_at(struct list *node)
{
    return LIST_ENTRY(node, struct pair, in_proxy);
}

static void push(struct proxy *proxy, struct pair *pair, int64_t now)
{
    const int64_t due_ns = pair_push(pair, now);
    proxy->due_ns = due_ns < proxy->due_ns ? due_ns : proxy->due_ns;
}

static void push_all(struct proxy *proxy, int64_t now)
{
    proxy->due_ns = NEVER_NS;
    for (struct list *at = proxy->pairs.next; at != &proxy->pairs; at = at->next) {
        push(proxy, pair_at(at), now);
    }
}

static void free_those_over(struct proxy *proxy)
{
    for (struct list *at = proxy->pairs.next; at != &proxy->pairs;) {
        struct pair *pair = pair_at(at);
        at = at->next;
        if (pair->over) {
            pair_free(pair);
        }
    }
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

static void reset_those(struct proxy *proxy, const bool kinds[KINDS], bool only_holed)
{
    for (struct list *at = proxy->pairs.next; at != &proxy->pairs; at = at->next) {
        struct pair *pair = pair_at(at);
        const bool holed = pair->stream[UP].lost_bytes + pair->stream[DOWN].lost_bytes > 0;
        if (kinds[pair->stream[UP].is_bus ? BUS : PLAIN] && (holed || !only_holed)) {
            pair_reset(pair);
        }
    }
}

static void heal(struct proxy *proxy)
{
    static const bool all[KINDS] = {true, true};
    proxy->refusing = false;
    reset_those(proxy, all, true);
    for (struct list *at = proxy->pairs.next; at != &proxy->pairs; at = at->next) {
        pair_at(at)->stream[UP].severed = pair_at(at)->stream[DOWN].severed = false;
    }
    trouble_heal(&proxy->trouble);
}

static void sever(struct pair *pair, enum direction direction)
{
    pair->stream[direction].severed = true;
}

static void do_to_those(struct proxy *proxy, const bool kinds[KINDS],
                        const bool directions[DIRECTIONS],
                        void (*what)(struct pair *pair, enum direction direction))
{
    for (struct list *at = proxy->pairs.next; at != &proxy->pairs; at = at->next) {
        struct pair *pair = pair_at(at);
        for (unsigned d = 0; d < DIRECTIONS; d++) {
            if (directions[d] && kinds[pair->stream[UP].is_bus ? BUS : PLAIN]) {
                what(pair, (enum direction)d);
            }
        }
    }
}

static void release(struct proxy *proxy, const bool directions[DIRECTIONS])
{
    for (unsigned d = 0; d < DIRECTIONS; d++) {
        if (!directions[d]) {
            continue;
        }
        buf_done(&proxy->marker[d]);
        for (struct list *at = proxy->pairs.next; at != &proxy->pairs; at = at->next) {
            pair_at(at)->stream[d].held = false;
        }
    }
}

static uint64_t done_to(const struct proxy *proxy, enum action action, enum message_kind kind)
{
    return proxy->trouble.count.actions[action][kind];
}

static void tell_stats(struct proxy *proxy, char answer[ANSWER_MAX])
{
    uint64_t open = 0;
    uint64_t buses = 0;
    bool held[DIRECTIONS] = {false, false};
    for (struct list *at = proxy->pairs.next; at != &proxy->pairs; at = at->next) {
        const struct pair *pair = pair_at(at);
        open += !pair->over;
        buses += !pair->over && pair->stream[UP].is_bus;
        held[UP] |= pair->stream[UP].held;
        held[DOWN] |= pair->stream[DOWN].held;
    }
    int size = snprintf(
        answer, ANSWER_MAX,
        "ok {\"accepted\":%" PRIu64 ",\"open\":%" PRIu64 ",\"buses\":%" PRIu64
        ",\"bytes_up\":%" PRIu64 ",\"bytes_down\":%" PRIu64 ",\"keys\":%" PRIu64
        ",\"frames\":%" PRIu64 ",\"flipped_bytes\":%" PRIu64 ",\"held_up\":%d,\"held_down\":%d",
        proxy->accepted, open, buses, proxy->trouble.count.bytes[UP],
        proxy->trouble.count.bytes[DOWN], proxy->trouble.count.messages[MESSAGE_KEYS],
        proxy->trouble.count.messages[MESSAGE_FRAME], proxy->trouble.count.flipped_bytes, held[UP],
        held[DOWN]);
    static const char *const names[ACTIONS] = {[ACTION_DROP] = "dropped",
                                               [ACTION_DUPLICATE] = "duplicated",
                                               [ACTION_DELAY] = "delayed",
                                               [ACTION_REORDER] = "reordered",
                                               [ACTION_FLIP] = "flipped"};
    for (unsigned i = ACTION_DROP; i < ACTIONS; i++) {
        size += snprintf(answer + size, ANSWER_MAX - (size_t)size,
                         ",\"%s_keys\":%" PRIu64 ",\"%s_frames\":%" PRIu64, names[i],
                         done_to(proxy, (enum action)i, MESSAGE_KEYS), names[i],
                         done_to(proxy, (enum action)i, MESSAGE_FRAME));
    }
    (void)snprintf(answer + size, ANSWER_MAX - (size_t)size, "}");
}

static enum status command_with_direction(struct proxy *proxy, const struct words *words)
{
    bool directions[DIRECTIONS];
    bool kinds[KINDS];
    const char *name = words->at[0];
    const size_t count = words->count;
    if (strcmp(name, "half_close") == 0 || strcmp(name, "sever") == 0) {
        if (count != 3 || !word_kind(words->at[1], kinds) ||
            !word_direction(words->at[2], directions)) {
            return INVALID;
        }
        do_to_those(proxy, kinds, directions, name[0] == 'h' ? pair_half_close : sever);
        return OK;
    }
    if (count < 2 || !word_direction(words->at[1], directions)) {
        return INVALID;
    }
    release(proxy, directions); /* one at a time */
    for (unsigned d = 0; d < DIRECTIONS && count == 3; d++) {
        if (directions[d] && word_bytes(words->at[2], &proxy->marker[d]) != OK) {
            return INVALID;
        }
    }
    return OK;
}

static enum status run_command(struct proxy *proxy, const struct words *words,
                               char answer[ANSWER_MAX])
{
    const char *name = words->at[0];
    bool kinds[KINDS];
    enum status status = trouble_command(&proxy->trouble, words, answer);
    if (status != MISS) {
        return status;
    }
    if (strcmp(name, "heal") == 0) {
        heal(proxy);
    } else if (strcmp(name, "reset") == 0 && words->count == 2 && word_kind(words->at[1], kinds)) {
        reset_those(proxy, kinds, false);
    } else if (strcmp(name, "refuse") == 0) {
        static const bool all[KINDS] = {true, true};
        proxy->refusing = true;
        reset_those(proxy, all, false);
    } else if (strcmp(name, "stats") == 0) {
        tell_stats(proxy, answer);
    } else if (strcmp(name, "hold") == 0 || strcmp(name, "release") == 0 ||
               strcmp(name, "half_close") == 0 || strcmp(name, "sever") == 0) {
        return command_with_direction(proxy, words);
    } else {
        return INVALID;
    }
    return OK;
}

static void on_line(struct proxy *proxy, char *line)
{
    char answer[ANSWER_MAX] = "";
    struct words words = {0};
    char *rest = line;
    for (char *word = strsep(&rest, " "); word != NULL && words.count < WORDS_MAX;
         word = strsep(&rest, " ")) {
        words.at[words.count++] = word;
    }
    const enum status status = run_command(proxy, &words, answer);
    if (answer[0] == '\0') {
        (void)snprintf(answer, sizeof answer, status == OK ? "ok" : "error no such command: %s",
                       words.at[0]);
    }
    push_all(proxy, now_ns()); /* in force before it is said to be */
    free_those_over(proxy);
    (void)printf("%s\n", answer);
    (void)fflush(stdout);
}

static void on_stdin(struct proxy *proxy)
{
    struct buf *line = &proxy->line;
    CHECK(buf_reserve(line, LINE_MAX_BYTES) == OK);
    const ssize_t size = read(STDIN_FILENO, line->data + line->size, LINE_MAX_BYTES);
    if (size <= 0) {
        proxy->ended = true;
        return;
    }
    line->size += (size_t)size;
    for (char *end; (end = memchr(line->data, '\n', line->size)) != NULL;) {
        *end = '\0';
        const size_t used = (size_t)(end - line->data) + 1;
        on_line(proxy, line->data);
        buf_consume(line, used);
    }
}

/* --- connections ------------------------------------------------------------------------------------------------- */

static void on_accept(struct proxy *proxy, int64_t now)
{
    int client;
    while ((client = accept4(proxy->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        proxy->accepted++;
        struct pair *pair = pair_new(&proxy->trouble, proxy->epoll, client, proxy->target_port);
        if (pair == NULL) {
            continue;
        }
        list_push_back(&proxy->pairs, &pair->in_proxy);
        if (proxy->refusing) {
            pair_reset(pair);
        }
        push(proxy, pair, now);
    }
}

static void on_side(struct proxy *proxy, struct side *side, uint32_t events, int64_t now)
{
    struct pair *pair = side->pair;
    if (pair->over) {
        return;
    }
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
        const enum direction direction = side == &pair->client ? UP : DOWN;
        pair_receive(pair, side, events, &proxy->marker[direction], now);
        if (pair->stream[direction].held) { /* the first one only */
            buf_done(&proxy->marker[direction]);
        }
    }
    push(proxy, pair, now);
}

static int wait_ms(const struct proxy *proxy)
{
    if (proxy->due_ns == NEVER_NS) {
        return -1;
    }
    const int64_t left_ns = proxy->due_ns - now_ns();
    return left_ns <= 0 ? 0 : (int)(left_ns / 1000000 + 1);
}

static void run(struct proxy *proxy)
{
    while (!proxy->ended) {
        struct epoll_event events[EVENTS_MAX];
        const int count = epoll_wait(proxy->epoll, events, EVENTS_MAX, wait_ms(proxy));
        CHECK(count >= 0 || errno == EINTR);
        const int64_t now = now_ns();
        for (int i = 0; i < count; i++) {
            void *what = events[i].data.ptr;
            if (what == &proxy->listener) {
                on_accept(proxy, now);
            } else if (what != proxy) {
                on_side(proxy, what, events[i].events, now);
            }
        }
        if (proxy->due_ns <= now) {
            push_all(proxy, now);
        }
        free_those_over(proxy);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == proxy) { /* after the others: it may free connections */
                on_stdin(proxy);
            }
        }
    }
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static void watch(const struct proxy *proxy, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = what}};
    CHECK(epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static int listen_somewhere(struct proxy *proxy)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(proxy->listener >= 0);
    CHECK(bind(proxy->listener, (const struct sockaddr *)&address, size) == 0);
    CHECK(listen(proxy->listener, SOMAXCONN) == 0);
    CHECK(getsockname(proxy->listener, (struct sockaddr *)&address, &size) == 0);
    return ntohs(address.sin_port);
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct proxy proxy = {.due_ns = NEVER_NS};
    proxy.target_port = argc == 2 ? atoi(argv[1]) : 0;
    if (proxy.target_port <= 0 || proxy.target_port > 65535) {
        (void)fprintf(stderr, "usage: proxy PORT\n");
        return 2;
    }
    raise_file_limit();
    list_init(&proxy.pairs);
    trouble_init(&proxy.trouble);
    proxy.epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(proxy.epoll >= 0);
    (void)printf("port %d\n", listen_somewhere(&proxy));
    (void)fflush(stdout);
    watch(&proxy, proxy.listener, &proxy.listener);
    watch(&proxy, STDIN_FILENO, &proxy);
    run(&proxy);
    for (struct list *at = proxy.pairs.next; at != &proxy.pairs; at = at->next) {
        pair_reset(pair_at(at));
    }
    free_those_over(&proxy);
    heal(&proxy);
    static const bool both[DIRECTIONS] = {true, true};
    release(&proxy, both);
    trouble_done(&proxy.trouble);
    buf_done(&proxy.line);
    close(proxy.listener);
    close(proxy.epoll);
    return 0;
}
