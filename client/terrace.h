/* SPDX-License-Identifier: BSD-3-Clause */
/* terrace.h -- libterrace, the C client of Terrace. (DRAFT: signatures bind, prose is to be made the manual.)
 *
 * Two faces of one client:
 *   struct terrace        blocking, thread-safe: any number of threads call it at the same time.
 *   struct terrace_async  on a uv_loop of the application's: one thread, callbacks.
 *
 * Fail-open: a cache that cannot be reached is a miss with a reason, not an error, unless option `fail = closed`.
 * The library has no global state, never aborts, never writes to a log or a terminal, installs no signal handlers (writes use
 * MSG_NOSIGNAL), and closes on exec all it opens.
 *
 * Bytes: keys and values are (pointer, size), any bytes. Sizes in bytes, times in ms (int64_t) unless the name says otherwise.
 * 0 in an option struct is its documented default. Text is UTF-8, ended by 0. */
#ifndef TERRACE_H
#define TERRACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define TERRACE_VERSION_MAJOR 0
#define TERRACE_VERSION_MINOR 2
#define TERRACE_VERSION_PATCH 0
const char *terrace_version(void); /* "0.2.0" of the library that runs */

enum terrace_status {
    TERRACE_OK = 0,
    TERRACE_MISS, /* no value: see terrace_reason */
    TERRACE_STALE, /* a value that is older than its contract, and the caller said that it takes such */
    TERRACE_NEGATIVE,    /* known to be nothing */
    TERRACE_LOAD,        /* fetch: you are to load it, and end with fill or fail */
    TERRACE_LOST,        /* fill, fail: somebody invalidated the key meanwhile: nothing was kept */
    TERRACE_UNMET,       /* set: its condition does not hold */
    TERRACE_UNKNOWN,     /* a write was sent and its outcome is not known */
    TERRACE_DEADLINE,    /* not done in time (a write: not sent) */
    TERRACE_UNREACHABLE, /* no endpoint could be asked (a write: not done) */
    TERRACE_BUSY,        /* a bounded queue is full, here or there */
    TERRACE_DENIED,      /* NOAUTH, NOPERM */
    TERRACE_REFUSED,     /* the node answered with another error: terrace_error_text */
    TERRACE_BAD_ARGUMENT,
    TERRACE_NO_MEMORY,
    TERRACE_CLOSED /* the client is being closed */
};
const char *terrace_status_name(enum terrace_status status); /* "OK", "MISS" ... */

/* Why a value is not there. */
enum terrace_reason {
    TERRACE_REASON_NONE = 0,
    TERRACE_REASON_ABSENT, /* L2 has no such key */
    TERRACE_REASON_UNREACHABLE,
    TERRACE_REASON_DEADLINE,
    TERRACE_REASON_CONTRACT, /* the node cannot prove it fresh enough now */
    TERRACE_REASON_BUSY,
    TERRACE_REASON_REFUSED
};
const char *terrace_reason_name(enum terrace_reason reason);

/* --- options ------------------------------------------------------------------------------------------------------- */

/* By name, as text: "endpoints" = "10.0.0.1:7379,10.0.0.2:7379", "timeout" = "250ms", "near-memory" = "64mb" ...; the list with
 * defaults is in terrace-options(5), and in terrace_options_list. */
struct terrace_options;
struct terrace_options *terrace_options_new(void); /* NULL: no memory */
void terrace_options_free(struct terrace_options *options);
/* BAD_ARGUMENT: error (if not NULL, error_size bytes) says which option and what was expected. */
enum terrace_status terrace_options_set(struct terrace_options *options, const char *name,
                                        const char *value, char *error, size_t error_size);
/* "name=value&name=value", or a URL "terrace://[user:password@]host:port[,host:port]/db?name=value&..." ("terraces://": TLS) */
enum terrace_status terrace_options_parse(struct terrace_options *options, const char *text,
                                          char *error, size_t error_size);
/* The i-th option there is; 0: there is none. */
struct terrace_option_info {
    const char *name;
    const char *preset;
    const char *summary;
};
int terrace_options_list(size_t i, struct terrace_option_info *ret_info);

/* --- what is asked and answered ------------------------------------------------------------------------------------ */

enum terrace_contract {
    TERRACE_CONTRACT_NAMESPACE = 0,
    TERRACE_CONTRACT_MAXSTALE,
    TERRACE_CONTRACT_FRESH,
    TERRACE_CONTRACT_ANY
};

struct terrace_read_options {
    int64_t timeout_ms; /* 0: the client's; for all tries together */
    enum terrace_contract contract;
    int64_t max_stale_ms; /* MAXSTALE */
    uint64_t atleast_seq; /* 0: none */
    int64_t
        soft_ms; /* 0: none. What is older than the mode allows is served when L2 has not answered for so long */
    int64_t
        spare_ms; /* when nothing can be asked: hand out a near copy up to so old, as STALE. 0: none */
    int no_near; /* neither read from L0 nor kept there */
    int64_t
        hedge_ms; /* 0: the client's; -1: not this one. Ask a second endpoint after so long; first answer wins */
    const char *affinity; /* NULL: the key. What `sticky` and `hash` go by */
    const char *traceparent;
    char *
        error; /* room for the text of an error, ended by 0; NULL: not wanted. Not used by terrace_async_* */
    size_t error_size;
};
struct terrace_write_options {
    int64_t timeout_ms;
    int64_t ttl_ms; /* 0: the namespace's default */
    int64_t swr_ms; /* 0: the namespace's; -1: none */
    int64_t sie_ms;
    const char *const *tags; /* tag_count of them */
    size_t tag_count;
    int condition; /* 0 always, 1 only if absent, 2 only if present */
    int want_seq;
    int retry_unknown; /* try again even if the outcome of a try is not known */
    const char *affinity;
    const char *traceparent;
    char *error; /* as of struct terrace_read_options */
    size_t error_size;
};

struct terrace_token {
    char bytes[16];
    size_t size;
    uint64_t private_;
};

/* A value; give it back with terrace_value_done. All zeros before first use; may be used again after done. */
struct terrace_value {
    const void *data; /* NULL: no value (an empty one is not NULL) */
    size_t size;
    int64_t age_ms; /* how far it may be behind L2 at most; -1: not known */
    int64_t ttl_ms; /* -1: no end; -2: no key */
    enum terrace_reason reason;
    int from_near;              /* 1: from L0 */
    struct terrace_token token; /* of LOAD */
    void *private_[2];
};
void terrace_value_done(struct terrace_value *value); /* zeros are fine */

/* Written by all calls that may fail: text for people, e.g. the node's error. */
#define TERRACE_ERROR_SIZE 256

/* --- blocking ------------------------------------------------------------------------------------------------------ */

struct terrace;
/* Copies the options. Does not wait for a connection (terrace_ping does). NULL: error says why. */
struct terrace *terrace_open(const struct terrace_options *options, char *error, size_t error_size);
/* Ends what is under way with CLOSED, in whatever thread it waits; when it returns, no thread is inside any more and nothing runs. */
void terrace_close(struct terrace *terrace); /* NULL is fine */
/* The text of the last error of this thread's call on this client is in no hidden place: calls that need one take it. */

enum terrace_status terrace_ping(struct terrace *terrace, int64_t timeout_ms, char *error,
                                 size_t error_size);
enum terrace_status terrace_get(struct terrace *terrace, const void *key, size_t key_size,
                                const struct terrace_read_options *options,
                                struct terrace_value *value);
struct terrace_pair {
    const void *key;
    size_t key_size;
    enum terrace_status status;
    struct terrace_value value;
};
/* Each pair has its own status; OK: all were asked. */
enum terrace_status terrace_mget(struct terrace *terrace, struct terrace_pair *pairs, size_t count,
                                 const struct terrace_read_options *options);
enum terrace_status terrace_set(struct terrace *terrace, const void *key, size_t key_size,
                                const void *data, size_t size,
                                const struct terrace_write_options *options, uint64_t *seq);
enum terrace_status terrace_delete(
    struct terrace *terrace, const void *key, size_t key_size,
    const struct terrace_write_options *options); /* MISS: there was none */
enum terrace_status terrace_fetch(struct terrace *terrace, const void *key, size_t key_size,
                                  const struct terrace_read_options *options,
                                  struct terrace_value *value);
enum terrace_status terrace_fill(struct terrace *terrace, const void *key, size_t key_size,
                                 const struct terrace_token *token, const void *data, size_t size,
                                 const struct terrace_write_options *options, uint64_t *seq);
enum terrace_status terrace_fail(struct terrace *terrace, const void *key, size_t key_size,
                                 const struct terrace_token *token, int64_t negative_ms);

enum terrace_target {
    TERRACE_KEY = 1,
    TERRACE_TAG,
    TERRACE_PREFIX,
    TERRACE_PATTERN,
    TERRACE_ALL
};
struct terrace_invalidation {
    enum terrace_target target;
    const char *const *words; /* count of them; none for ALL */
    const size_t *word_sizes; /* NULL: they end with 0 */
    size_t count;
    int match_all;
    int soft;
    int dry_run;
    int64_t sync_ms; /* 0: does not wait for the other nodes */
    const char *ns;  /* NULL: every */
    int64_t timeout_ms;
};
struct terrace_invalidated {
    uint64_t seq;
    uint64_t dropped;
};
enum terrace_status terrace_invalidate(struct terrace *terrace,
                                       const struct terrace_invalidation *what,
                                       struct terrace_invalidated *result, char *error,
                                       size_t error_size);

/* Loads what is not there, once: in this process (one thread calls the loader, the others wait or get what is stale) and in the
 * cluster (leases of managed namespaces). The loader runs on a calling thread, holds no lock of the library's, and may call it. */
struct terrace_loaded { /* filled in by the loader, through the setters */
    struct terrace_write_options write;
    int64_t negative_ms; /* with MISS: remember so long that there is nothing */
    void *private_[4];
};
/* Copies the bytes. */
enum terrace_status terrace_loaded_set(struct terrace_loaded *loaded, const void *data,
                                       size_t size);
/* OK: terrace_loaded_set was called; MISS: there is no such thing; anything else: failed. `deadline_ms`: how long the loader may take. */
typedef enum terrace_status terrace_loader(void *arg, const void *key, size_t key_size,
                                           int64_t deadline_ms, struct terrace_loaded *loaded);
/* STALE: the value is served while somebody loads a new one (stale-while-revalidate), or the loader failed and it may be
 * (stale-if-error). */
enum terrace_status terrace_get_or_load(struct terrace *terrace, const void *key, size_t key_size,
                                        const struct terrace_read_options *options,
                                        terrace_loader *loader, void *arg,
                                        struct terrace_value *value);

/* Any other command, as RESP3 (docs/protocol.md says what is refused). The reply is borrowed from value. */
enum terrace_status terrace_command(struct terrace *terrace, const void *const *words,
                                    const size_t *sizes, size_t count, int64_t timeout_ms,
                                    struct terrace_value *reply, char *error, size_t error_size);

/* --- looking inside ------------------------------------------------------------------------------------------------ */

struct terrace_counters {
    uint64_t near_hits, near_misses, near_stale, near_fills, near_refused, near_dropped,
        near_doubts, near_items, near_bytes;
    uint64_t requests, answers, errors, retries, hedges, hedges_won, failovers, unknown, deadline,
        unreachable, connects, disconnects, bytes_in, bytes_out;
    uint64_t loads, loads_shared, loads_stale;
};
void terrace_counters(struct terrace *terrace, struct terrace_counters *ret);

enum terrace_health {
    TERRACE_HEALTH_UNKNOWN = 0,
    TERRACE_HEALTH_UP,
    TERRACE_HEALTH_DOWN,
    TERRACE_HEALTH_DRAINING
};
struct terrace_endpoint_info {
    char address[128];
    char region[64];
    enum terrace_health health;
    int breaker_open;
    int is_current_region;
    double weight;
    int64_t latency_us; /* EWMA */
    unsigned inflight;
    unsigned connections;
    uint64_t requests, failures;
    int64_t since_ms; /* in this health */
};
/* Copies up to `room`; returns how many there are. */
size_t terrace_endpoints(struct terrace *terrace, struct terrace_endpoint_info *infos, size_t room);
struct terrace_health_event {
    int64_t at_ms; /* Unix time */
    char address[128];
    char region[64];
    char what[96];
};
/* The newest first: health changes, failovers, failbacks; at most 256 are kept. */
size_t terrace_health_history(struct terrace *terrace, struct terrace_health_event *events,
                              size_t room);
/* Manual failover: this region is used until it is called with NULL, or (unless `force`) the region is down. */
enum terrace_status terrace_use_region(struct terrace *terrace, const char *region, int force);

/* --- watching ------------------------------------------------------------------------------------------------------ */

/* What changes, as the nodes hear of it: keys under a prefix. key NULL: any key may have changed. On the library's thread. */
typedef void terrace_watch_fn(void *arg, const void *key, size_t key_size);
struct terrace_watch;
enum terrace_status terrace_watch_begin(struct terrace *terrace, const void *prefix,
                                        size_t prefix_size, terrace_watch_fn *on_change, void *arg,
                                        struct terrace_watch **ret_watch);
void terrace_watch_end(struct terrace_watch *watch); /* when it returns, on_change runs no more */

/* --- asynchronous -------------------------------------------------------------------------------------------------- */

struct uv_loop_s;
struct terrace_async;
/* All on the loop's thread. A callback comes exactly once, never from inside the call that registers it, and not after close. */
struct terrace_async *terrace_async_open(struct uv_loop_s *loop,
                                         const struct terrace_options *options, char *error,
                                         size_t error_size);
typedef void terrace_closed_fn(void *arg);
void terrace_async_close(struct terrace_async *client, terrace_closed_fn *on_closed,
                         void *arg); /* pending ones end with CLOSED first */
struct terrace_result {
    enum terrace_status status;
    const struct terrace_value *value; /* borrowed until the callback returns; NULL: of a write */
    uint64_t seq;
    uint64_t count;
    const char *error;
};
typedef void terrace_done_fn(void *arg, const struct terrace_result *result);
/* BUSY, BAD_ARGUMENT, NO_MEMORY, CLOSED: the callback will not come. OK: it will. Keys and values are copied. */
enum terrace_status terrace_async_get(struct terrace_async *client, const void *key,
                                      size_t key_size, const struct terrace_read_options *options,
                                      terrace_done_fn *on_done, void *arg);
enum terrace_status terrace_async_set(struct terrace_async *client, const void *key,
                                      size_t key_size, const void *data, size_t size,
                                      const struct terrace_write_options *options,
                                      terrace_done_fn *on_done, void *arg);
enum terrace_status terrace_async_delete(struct terrace_async *client, const void *key,
                                         size_t key_size,
                                         const struct terrace_write_options *options,
                                         terrace_done_fn *on_done, void *arg);
enum terrace_status terrace_async_fetch(struct terrace_async *client, const void *key,
                                        size_t key_size, const struct terrace_read_options *options,
                                        terrace_done_fn *on_done, void *arg);
enum terrace_status terrace_async_fill(struct terrace_async *client, const void *key,
                                       size_t key_size, const struct terrace_token *token,
                                       const void *data, size_t size,
                                       const struct terrace_write_options *options,
                                       terrace_done_fn *on_done, void *arg);
enum terrace_status terrace_async_fail(struct terrace_async *client, const void *key,
                                       size_t key_size, const struct terrace_token *token,
                                       int64_t negative_ms, terrace_done_fn *on_done, void *arg);
enum terrace_status terrace_async_invalidate(struct terrace_async *client,
                                             const struct terrace_invalidation *what,
                                             terrace_done_fn *on_done, void *arg);
enum terrace_status terrace_async_command(struct terrace_async *client, const void *const *words,
                                          const size_t *sizes, size_t count, int64_t timeout_ms,
                                          terrace_done_fn *on_done, void *arg);
void terrace_async_counters(struct terrace_async *client, struct terrace_counters *ret);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
