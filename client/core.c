/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/core.h"


#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>
#include <time.h>

enum {
    SWEEP_MS = 100,
    LATE_MS = 5,
    TICK_MS_MAX = 1000
};

static struct core *core_of_wheel(struct wheel *wheel)
{
    return (struct core *)((char *)wheel - offsetof(struct core, wheel));
}

static struct core *core_of_tick(struct timer *timer)
{
    return (struct core *)((char *)timer - offsetof(struct core, tick));
}

/* --- turns ---------------------------------------------------------------------------------------------------------------- */

static void on_prepare(uv_prepare_t *prepare)
{
    core_turn(prepare->data);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* keeps the loop from waiting while something is to be announced */
}

void core_wake(struct core *core)
{
    if (!core->is_closing && !uv_is_active((const uv_handle_t *)&core->prepare)) {
        (void)uv_prepare_start(&core->prepare, on_prepare);
    }
}

void core_tell_later(struct core *core, struct core_later *later)
{
    later->next = NULL;
    *core->later_last = later;
    core->later_last = &later->next;
    core_wake(core);
}

static void tell_all(struct core *core)
{
    struct core_later *later = core->later;
    core->later = NULL;
    core->later_last = &core->later;
    while (later != NULL) {
        struct core_later *next = later->next;
        later->tell(later, core->is_closing);
        later = next;
    }
}

void core_turn(struct core *core)
{
    (void)uv_prepare_stop(&core->prepare);
    request_announce(core);
    tell_all(core);
    conn_flush_dirty(&core->setting);
    if (core->ended != NULL || core->later != NULL) { /* who was told asked again, and was answered:
                                                         the loop is not to wait */
        core_wake(core);
        (void)uv_idle_start(&core->idle, on_idle);
    } else {
        (void)uv_idle_stop(&core->idle);
    }
}

static void on_timer(uv_timer_t *timer);

static void set_alarm(struct core *core, int64_t due_ms)
{
    const int64_t now_ms = clock_ms();
    core->wheel.alarm_ms = due_ms;
    (void)uv_timer_start(&core->timer, on_timer, due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0,
                         0);
}

static void on_earlier(struct wheel *wheel, int64_t due_ms)
{
    set_alarm(core_of_wheel(wheel), due_ms);
}

/* The loop stood still, and libuv looks at timers first: answers that are there are read before anybody is blamed. */
static void read_first(struct core *core)
{
    for (struct lane *lane = core->lanes; lane != NULL && !core->is_closing; lane = lane->next) {
        conn_look(lane->conn);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct core *core = timer->data;
    struct timer *due;
    const bool is_late = clock_ms() - core->wheel.alarm_ms > LATE_MS;
    core->wheel.alarm_ms = INT64_MAX;
    if (is_late) {
        read_first(core);
    }
    while (!core->is_closing && (due = wheel_turn(&core->wheel, clock_ms())) != NULL) {
        due->on_due(due);
    }
    const int64_t next_ms = wheel_next_ms(&core->wheel);
    if (!core->is_closing && next_ms < core->wheel.alarm_ms) {
        set_alarm(core, next_ms);
    }
}

/* --- the cluster's time ------------------------------------------------------------------------------------------------------ */

struct probe {
    struct core *core;
    struct cluster_endpoint *endpoint;
    int64_t began_ms;
};

static struct peer *peer_of(struct cluster_endpoint *endpoint)
{
    return cluster_endpoint_user(endpoint);
}

/* Bytes that came since then say that somebody lives there, even if the answer stands behind a large value. */
static bool was_heard(const struct peer *peer, int64_t since_ms)
{
    bool was_heard = false;
    for (int i = 0; peer != NULL && i < PEER_LANES_MAX; i++) {
        const struct lane *lane = peer->lanes[i];
        was_heard |= lane != NULL && conn_heard_ms(lane->conn) >= since_ms;
    }
    return was_heard;
}

static void break_lanes(struct peer *peer)
{
    for (int i = 0; peer != NULL && i < PEER_LANES_MAX; i++) {
        struct lane *lane = peer->lanes[i];
        if (lane != NULL) {
            conn_break(lane->conn, TERRACE_UNREACHABLE,
                       "a probe was not answered in time: it hangs, or is no node of Terrace");
        }
    }
}

static void on_probe_done(void *arg, const struct outcome *outcome)
{
    struct probe *probe = arg;
    struct core *core = probe->core;
    struct peer *peer = peer_of(probe->endpoint);
    const bool is_late = outcome->status == TERRACE_DEADLINE;
    /* An error is an answer, too: whoever says it lives. */
    const bool is_good = outcome->reply != NULL || (is_late && was_heard(peer, probe->began_ms));
    if (!core->is_closing) {
        cluster_on_probe(core->cluster, probe->endpoint, is_good,
                         is_good                  ? NULL
                         : outcome->error != NULL ? outcome->error
                                                  : "no answer",
                         clock_ms());
        if (!is_good && is_late) {
            break_lanes(peer);
        }
        core_tick_within(core,
                         0); /* the next probe may be due sooner now, the region another one */
        core_feed(core);
    }
    free(probe);
}

static void begin_probe(struct core *core, struct cluster_endpoint *endpoint)
{
    (void)was_heard(peer_of(endpoint), 0); /* what is to be compared with */
    struct probe *probe = malloc(sizeof *probe);
    struct request *request = NULL;
    if (probe != NULL) {
        *probe = (struct probe){core, endpoint, clock_ms()};
        const struct ask ask = {.op = NATIVE_BEAT,
                                .only = endpoint,
                                .is_probe = true,
                                .timeout_ms = core->options->connect_timeout_ms,
                                .on_done = on_probe_done,
                                .arg = probe};
        if (request_new(core->options, &ask, &request) == TERRACE_OK &&
            request_start(core, request) == TERRACE_OK) {
            return;
        }
        free(probe);
    }
    cluster_on_probe(core->cluster, endpoint, false, "no memory", clock_ms());
}

static void hurry_after_a_move(struct core *core)
{
    struct cluster_counters counters;
    cluster_counters(core->cluster, &counters);
    if (counters.failovers + counters.failbacks != core->moves_seen) {
        core->moves_seen = counters.failovers + counters.failbacks;
        core_hurry(core);
    }
}

static void on_tick(struct timer *timer)
{
    struct core *core = core_of_tick(timer);
    const int64_t now_ms = clock_ms();
    struct cluster_endpoint *endpoint = NULL;
    cluster_tick(core->cluster, now_ms);
    hurry_after_a_move(core);
    while (cluster_next_probe(core->cluster, now_ms, &endpoint)) {
        begin_probe(core, endpoint);
    }
    while ((endpoint = cluster_next_left(core->cluster)) != NULL) {
        peer_free(peer_of(endpoint), TERRACE_UNREACHABLE);
        cluster_endpoint_set_user(endpoint, NULL);
    }
    int64_t wait_ms = cluster_next_tick_ms(core->cluster, now_ms);
    wait_ms = wait_ms > TICK_MS_MAX ? TICK_MS_MAX : wait_ms < 1 ? 1 : wait_ms;
    if (core->near != NULL) {
        near_sweep(core->near, now_ms);
        wait_ms = wait_ms > SWEEP_MS ? SWEEP_MS : wait_ms;
    }
    wheel_set(&core->wheel, timer, now_ms + wait_ms);
}

void core_tick_within(struct core *core, int64_t ms)
{
    const int64_t due_ms = clock_ms() + ms;
    if (timer_is_set(&core->tick) && core->tick.due_ms > due_ms) {
        wheel_set(&core->wheel, &core->tick, due_ms);
    }
}

/* --- addresses --------------------------------------------------------------------------------------------------------------- */

static bool resolve_unix(struct slice path, struct peer *ret)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&ret->address;
    if (path.size >= sizeof address->sun_path) {
        return false;
    }
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path.data, path.size);
    ret->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.size + 1);
    return true;
}

bool core_resolve(struct core *core, const char *text, struct peer *ret)
{
    struct slice rest = slice_of(text);
    struct endpoint_text parsed;
    const char *error = NULL;
    char host[256];
    ret->tls_name[0] = '\0';
    memset(&ret->address, 0, sizeof ret->address);
    if (!options_next_endpoint(&rest, &parsed, &error)) {
        return false;
    }
    if (parsed.is_unix) {
        return resolve_unix(parsed.host, ret);
    }
    error_say(host, sizeof host, "%.*s", (int)parsed.host.size, parsed.host.data);
    if (uv_ip4_addr(host, parsed.port, (struct sockaddr_in *)&ret->address) == 0) {
        ret->address_size = sizeof(struct sockaddr_in);
    } else if (uv_ip6_addr(host, parsed.port, (struct sockaddr_in6 *)&ret->address) == 0) {
        ret->address_size = sizeof(struct sockaddr_in6);
    } else {
        return false;
    }
    if (core->options->tls) {
        const char *found = discovery_host(core->discovery, text);
        const char *said = core->options->tls_name;
        error_say(ret->tls_name, sizeof ret->tls_name, "%s",
                  said[0] != '\0' ? said
                  : found != NULL ? found
                                  : host);
    }
    return true;
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static const char *make_near(struct core *core, const struct terrace_options *options)
{
    const char *policy = options->near_policy[0] != '\0' ? options->near_policy : NULL;
    if (options->near_memory == 0) {
        return NULL;
    }
    if (policy != NULL && !near_knows_policy(policy)) {
        return "option near-policy: expected one of the policies in docs/eviction.md";
    }
    core->near = near_new(&(struct near_options){.bytes_max = (size_t)options->near_memory,
                                                 .policy = policy,
                                                 .value_max = (size_t)options->near_value_max});
    return core->near != NULL ? NULL : "no memory for option near-memory";
}

static struct cluster *make_cluster(struct core *core, const struct terrace_options *options)
{
    return cluster_new(&(struct cluster_options){
        .strategy = (enum cluster_strategy)options->strategy,
        .seed = core->chance,
        .failures_to_down = (unsigned)options->failures_to_down,
        .breaker_open_ms = options->breaker_open_ms,
        .breaker_most_ms = options->breaker_most_ms,
        .hold_down_ms = options->hold_down_ms == 0 ? -1 : options->hold_down_ms,
        .sticky_ttl_ms = options->sticky_ttl_ms,
        .hash_load = options->hash_load,
    });
}

/* What takes no handle of the loop, so that it can be given up without waiting. */
static bool make_parts(struct core *core, const struct terrace_options *options, char *error,
                       size_t error_size)
{
    core->options = options_copy(options);
    if (core->options == NULL ||
        link_context_new(core->options, &core->links, error, error_size) != TERRACE_OK) {
        return false;
    }
    const char *wrong = make_near(core, options);
    if (wrong != NULL) {
        error_say(error, error_size, "%s", wrong);
        return false;
    }
    core->cluster = make_cluster(core, options);
    core->discovery = discovery_new(core);
    return core->cluster != NULL && core->discovery != NULL;
}

void core_free(struct core *core)
{
    discovery_free(core->discovery);
    cluster_free(core->cluster);
    near_free(core->near);
    link_context_free(core->links);
    terrace_options_free(core->options);
    free(core);
}

static void begin(struct core *core, uv_loop_t *loop)
{
    core->setting = (struct conn_setting){.loop = loop,
                                          .wheel = &core->wheel,
                                          .links = core->links,
                                          .options = core->options,
                                          .hooks = &lane_hooks,
                                          .tally = &core->tally};
    (void)uv_timer_init(loop, &core->timer); /* these cannot fail */
    (void)uv_prepare_init(loop, &core->prepare);
    (void)uv_idle_init(loop, &core->idle);
    core->timer.data = core->prepare.data = core->idle.data = core;
    core->open = 3;
    core->later_last = &core->later;
    wheel_init(&core->wheel, clock_ms());
    core->wheel.on_earlier = on_earlier;
    core->tick.on_due = on_tick;
    discovery_begin(core->discovery);
    wheel_set(&core->wheel, &core->tick, clock_ms() + 1);
}

struct core *core_open(uv_loop_t *loop, const struct terrace_options *options, char *error,
                       size_t error_size)
{
    struct core *core = calloc(1, sizeof *core);
    error_say(error, error_size, "no memory");
    if (core == NULL) {
        return NULL;
    }
    if (getrandom(&core->chance, sizeof core->chance, GRND_NONBLOCK) != sizeof core->chance) {
        core->chance =
            uv_hrtime() ^ (uintptr_t)core; /* early in a boot: chance is only for jitter */
    }
    if (!make_parts(core, options, error, error_size)) {
        core_free(core);
        return NULL;
    }
    error_say(error, error_size, "%s", "");
    begin(core, loop);
    return core;
}

void core_unref(struct core *core)
{
    if (--core->open == 0) {
        void (*on_closed)(void *arg) = core->on_closed;
        void *arg = core->on_closed_arg;
        on_closed(arg);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    core_unref(handle->data);
}

static void close_peers(struct core *core)
{
    struct cluster_endpoint_description infos[CLUSTER_ENDPOINTS_MAX];
    struct cluster_endpoint *left;
    const size_t count = cluster_describe(core->cluster, infos, CLUSTER_ENDPOINTS_MAX);
    for (size_t i = 0; i < count && i < CLUSTER_ENDPOINTS_MAX; i++) {
        struct cluster_endpoint *endpoint = (struct cluster_endpoint *)(uintptr_t)infos[i].endpoint;
        struct peer *peer = peer_of(endpoint);
        if (peer != NULL) {
            peer_free(peer, TERRACE_CLOSED);
            cluster_endpoint_set_user(endpoint, NULL);
        }
    }
    while ((left = cluster_next_left(core->cluster)) != NULL) {
        peer_free(peer_of(left), TERRACE_CLOSED);
        cluster_endpoint_set_user(left, NULL);
    }
}

/* From the loop: nobody is told anything from inside core_close. */
static void on_prepare_closed(uv_handle_t *handle)
{
    struct core *core = handle->data;
    while (core->watchers != NULL) {
        watcher_end(core->watchers);
    }
    request_close_all(core);
    request_announce(core);
    tell_all(core);
    close_peers(core);
    uv_close((uv_handle_t *)&core->timer, on_handle_closed);
    uv_close((uv_handle_t *)&core->idle, on_handle_closed);
    core_unref(core);
}

void core_close(struct core *core, void (*on_closed)(void *arg), void *arg)
{
    core->is_closing = true;
    core->on_closed = on_closed;
    core->on_closed_arg = arg;
    discovery_stop(core->discovery);
    uv_close((uv_handle_t *)&core->prepare, on_prepare_closed);
}

/* --- looking inside ----------------------------------------------------------------------------------------------------------- */

void core_counters(struct core *core, struct terrace_counters *ret)
{
    *ret = (struct terrace_counters){0};
#define COPY(name) ret->name = atomic_load_explicit(&core->tally.name, memory_order_relaxed);
    TALLY_NAMES(COPY)
#undef COPY
    struct cluster_counters cluster;
    cluster_counters(core->cluster, &cluster);
    ret->failovers = cluster.failovers;
    if (core->near != NULL) {
        struct near_stats near;
        near_stats(core->near, &near);
        ret->near_hits = near.hits;
        ret->near_misses = near.misses;
        ret->near_stale = near.stale;
        ret->near_fills = near.fills;
        ret->near_refused = near.refused;
        ret->near_dropped = near.dropped;
        ret->near_doubts = near.doubts;
        ret->near_items = near.items;
        ret->near_bytes = near.bytes_used;
    }
}

static unsigned open_connections(const struct peer *peer)
{
    unsigned count = 0;
    for (int i = 0; peer != NULL && i < PEER_LANES_MAX; i++) {
        count += peer->lanes[i] != NULL && conn_is_ready(peer->lanes[i]->conn);
    }
    return count;
}

size_t core_endpoints(struct core *core, struct terrace_endpoint_info *infos, size_t room)
{
    static const enum terrace_health health[] = {[CLUSTER_UNKNOWN] = TERRACE_HEALTH_UNKNOWN,
                                                 [CLUSTER_UP] = TERRACE_HEALTH_UP,
                                                 [CLUSTER_DOWN] = TERRACE_HEALTH_DOWN};
    struct cluster_endpoint_description found[CLUSTER_ENDPOINTS_MAX];
    const size_t count = cluster_describe(core->cluster, found, CLUSTER_ENDPOINTS_MAX);
    for (size_t i = 0; i < count && i < room; i++) {
        const struct cluster_endpoint_description *from = &found[i];
        struct terrace_endpoint_info *to = &infos[i];
        *to = (struct terrace_endpoint_info){
            .health = from->health == CLUSTER_UP && from->weight <= 0 ? TERRACE_HEALTH_DRAINING
                                                                      : health[from->health],
            .breaker_open = from->breaker != CLUSTER_CLOSED,
            .is_current_region = from->is_current_region,
            .weight = from->weight,
            .latency_us = from->latency_us,
            .inflight = from->inflight,
            .connections = open_connections(
                cluster_endpoint_user((struct cluster_endpoint *)(uintptr_t)from->endpoint)),
            .requests = from->requests,
            .failures = from->failures,
            .since_ms = clock_ms() - from->since_ms};
        error_say(to->address, sizeof to->address, "%s", from->address);
        error_say(to->region, sizeof to->region, "%s", from->region);
    }
    return count;
}

size_t core_history(struct core *core, struct terrace_health_event *events, size_t room)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const int64_t unix_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000 - clock_ms();
    room = room < CLUSTER_EVENTS_MAX ? room : CLUSTER_EVENTS_MAX;
    struct cluster_event *found = calloc(room + 1, sizeof *found);
    const size_t count = found != NULL ? cluster_history(core->cluster, found, room) : 0;
    for (size_t i = 0; i < count && i < room; i++) {
        events[i].at_ms = found[i].at_ms + unix_ms;
        error_say(events[i].address, sizeof events[i].address, "%s", found[i].address);
        error_say(events[i].region, sizeof events[i].region, "%s", found[i].region);
        error_say(events[i].what, sizeof events[i].what, "%s", found[i].what);
    }
    free(found);
    return count;
}

enum terrace_status core_use_region(struct core *core, const char *region, bool force)
{
    switch (cluster_use_region(core->cluster, region, force, clock_ms())) {
    case OK: core_feed(core); return TERRACE_OK;
    case L2_DOWN: return TERRACE_UNREACHABLE;
    case AGAIN:
    case PENDING:
    case MISS:
    case CLAIMED:
    case TAKEN:
    case STALE:
    case TOO_BIG:
    case NO_MEMORY:
    case MALFORMED:
    case CLOSE:
    case L2_ERROR:
    case UNKNOWN:
    case INVALID:
    case BUSY:
    case TIMEOUT: break;
    }
    return TERRACE_BAD_ARGUMENT;
}
