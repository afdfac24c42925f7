/* SPDX-License-Identifier: BSD-3-Clause */
/* terrace.h -- libterrace, the C client of the Terrace cache. This header is the manual.
 *
 * Two faces of one client. `struct terrace` blocks: any number of threads may call it at the same time. `struct terrace_async`
 * runs on a uv_loop of the application's: one thread, and callbacks.
 *
 *      struct terrace_options *options = terrace_options_new();
 *      char error[TERRACE_ERROR_SIZE];
 *      terrace_options_parse(options, "terrace://10.0.0.1:7379,10.0.0.2:7379?timeout=250ms&near-memory=64mb", error, sizeof error);
 *      struct terrace *terrace = terrace_open(options, error, sizeof error);
 *      terrace_options_free(options);
 *      struct terrace_value value = {0};
 *      if (terrace_get(terrace, "user:1", 6, NULL, &value) == TERRACE_OK) {
 *          use(value.data, value.size);
 *      }
 *      terrace_value_done(&value);
 *      terrace_close(terrace);
 *
 * A cache is not in the way. One that cannot be reached is a MISS with a reason, not an error, unless the option `fail` says
 * `closed`. Writes say what became of them in any case.
 *
 * What a read promises is what the namespace of its key promises (README, docs/semantics.md): so old at most, and no older
 * because a copy lies in this process (option `near-memory`). One read may ask for more, or for less. As long as one endpoint is
 * asked, what was written is seen by each later read of the same client, and no value of a key comes after a newer one. Two
 * endpoints may be apart by as much as the namespace allows: who needs more keeps a key to one (the strategies `hash` and
 * `sticky`), or asks with atleast_seq.
 *
 * The library has no global state, writes to no log and no terminal, installs no signal handler (it writes with MSG_NOSIGNAL),
 * and closes on exec whatever it opens. What it does not understand from a node ends the connection. It never ends the
 * process.
 *
 * Bytes are a pointer and a size, any bytes; text is UTF-8 and ends with 0. 0 in an option struct means what is said there, so
 * a struct of zeros, or NULL in its place, is a request without wishes.
 *
 * Owns: what a function hands out is given back by the function that its comment names; all else that is passed in or out is
 * borrowed until the call, or the callback, returns.
 * Threads: of `struct terrace`, any, but for terrace_close; of `struct terrace_async`, the loop's. An option struct, a value,
 * an invalidation belong to one thread at a time. After fork the child may not use a client of its parent's, nor close it.
 * Units: sizes in bytes; times in milliseconds (int64_t), unless the name says otherwise.
 * Limits: keys 64 MiB, values 512 MiB, 64 tags of 250 bytes for a value; requests under way by the options `max-inflight` and
 * `max-queue-bytes`. What is over them is BAD_ARGUMENT or BUSY.
 * Errors: enum terrace_status, from each call that may fail. Text for people goes where `error` points. */
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

/* Of this header. Within one major version a program runs with each later library of the same soname. */
#define TERRACE_VERSION_MAJOR 0
#define TERRACE_VERSION_MINOR 7
#define TERRACE_VERSION_PATCH 0
/* Of the library that runs, as "MAJOR.MINOR.PATCH".
 *
 *      printf("libterrace %s\n", terrace_version());
 */
const char *terrace_version(void);

/* What became of a call. */
enum terrace_status {
    TERRACE_OK = 0,
    /* No value: struct terrace_value says why. Of terrace_delete: there was none. */
    TERRACE_MISS,
    /* A value that is older than its contract, and the namespace or the caller takes such. */
    TERRACE_STALE,
    /* It is known that there is no such thing: somebody has looked, and said so. */
    TERRACE_NEGATIVE,
    /* terrace_fetch: the caller is to load the value, and to end with terrace_fill or terrace_fail. */
    TERRACE_LOAD,
    /* terrace_fill, terrace_fail: the key was invalidated or written meanwhile, so nothing was kept. */
    TERRACE_LOST,
    /* terrace_set: its condition does not hold. */
    TERRACE_UNMET,
    /* A write was sent and its outcome is not known: it may be done, now or later, or not at all. */
    TERRACE_UNKNOWN,
    /* Not done in time. A write was not done. */
    TERRACE_DEADLINE,
    /* No node could be asked, or the node could not ask Redis. A write was not done. */
    TERRACE_UNREACHABLE,
    /* A bounded queue is full, here or there, or a quota is used up. Nothing was done. */
    TERRACE_BUSY,
    /* The user or the password is wrong, or this user may not. */
    TERRACE_DENIED,
    /* The node answered with any other error, whose text is in `error`. */
    TERRACE_REFUSED,
    /* What was passed in cannot be. Nothing was done. */
    TERRACE_BAD_ARGUMENT,
    /* Memory was refused, here. */
    TERRACE_NO_MEMORY,
    /* The client is being closed. A write that was under way may be done. */
    TERRACE_CLOSED
};
/* "OK", "MISS" ... ; "?" of a number that is none.
 *
 *      printf("%s (%s)\n", terrace_status_name(status), terrace_reason_name(value.reason));
 */
const char *terrace_status_name(enum terrace_status status);

/* Why a value is not there. */
enum terrace_reason {
    TERRACE_REASON_NONE = 0,
    /* There is no such key. */
    TERRACE_REASON_ABSENT,
    /* No node could be asked, or the node could not ask Redis. */
    TERRACE_REASON_UNREACHABLE,
    /* Nobody answered in time. */
    TERRACE_REASON_DEADLINE,
    /* There may be a value, but the node cannot prove now that it is as fresh as it has to be. */
    TERRACE_REASON_CONTRACT,
    /* A bounded queue is full, or a quota is used up. */
    TERRACE_REASON_BUSY,
    /* The node answered with an error. */
    TERRACE_REASON_REFUSED
};
/* "NONE", "ABSENT" ... ; "?" of a number that is none. */
const char *terrace_reason_name(enum terrace_reason reason);

/* Room enough for any text of an error; shorter rooms get its beginning. A room that is passed in is always ended by 0, and
 * empty if nothing was wrong. */
#define TERRACE_ERROR_SIZE 256

/* --- options ------------------------------------------------------------------------------------------------------- */

/* Options have names, and values as text: `endpoints` = `10.0.0.1:7379,10.0.0.2:7379`, `timeout` = `250ms`. terrace-options(5)
 * has them all, and so has terrace_options_list. A client copies what it is opened with: options may be changed or freed
 * afterwards, and one set of them may open many clients. */

struct terrace_options;
/* All at their defaults. NULL: no memory. To be given back by terrace_options_free. */
struct terrace_options *terrace_options_new(void);
/* NULL is fine. */
void terrace_options_free(struct terrace_options *options);
/* Sets one. BAD_ARGUMENT: there is no such option, or not with such a value; `error`, if it is not NULL, says what was
 * expected, and nothing has changed.
 *
 *      status = terrace_options_set(options, "timeout", "250ms", error, sizeof error);
 */
enum terrace_status terrace_options_set(struct terrace_options *options, const char *name,
                                        const char *value, char *error, size_t error_size);
/* Sets several: `name=value&name=value`, or a URL, `terrace://[user:password@]host:port[,host:port]/db?name=value&...`
 * (`terraces://`: by TLS). In values %26 is a byte in hexadecimal digits. BAD_ARGUMENT: `error` says what is wrong; what stands
 * in front of it was set.
 *
 *      status = terrace_options_parse(options, "terraces://app:secret@cache.example:7379/0?hedge=20ms", error, sizeof error);
 */
enum terrace_status terrace_options_parse(struct terrace_options *options, const char *text,
                                          char *error, size_t error_size);
/* One option that there is. All texts live as long as the library. */
struct terrace_option_info {
    const char *name;
    const char *preset;
    const char *summary;
};
/* The i-th, from 0. Returns 0 if there are not so many.
 *
 *      struct terrace_option_info info;
 *      for (size_t i = 0; terrace_options_list(i, &info); i++) {
 *          printf("%s = %s\n", info.name, info.preset);
 *      }
 */
int terrace_options_list(size_t i, struct terrace_option_info *ret_info);

/* --- requests and values ------------------------------------------------------------------------------------------- */

/* What a read takes. */
enum terrace_contract {
    /* What the mode of the key's namespace allows. */
    TERRACE_CONTRACT_NAMESPACE = 0,
    /* What is at most max_stale_ms behind Redis. */
    TERRACE_CONTRACT_MAXSTALE,
    /* What Redis has now: no memory is looked at. */
    TERRACE_CONTRACT_FRESH,
    /* Whatever is there. */
    TERRACE_CONTRACT_ANY
};

/* The wishes of a read. */
struct terrace_read_options {
    /* For all tries together. 0: the option `timeout`. */
    int64_t timeout_ms;
    enum terrace_contract contract;
    /* Of TERRACE_CONTRACT_MAXSTALE. */
    int64_t max_stale_ms;
    /* Nothing older than the write or invalidation with this number, on whatever node. 0: no such wish. */
    uint64_t atleast_seq;
    /* If Redis has not answered the node for so long, what is older than the contract will do, as STALE. 0: the node waits. */
    int64_t soft_ms;
    /* If nobody can be asked: a copy in this process that is at most so old will do, as STALE. 0: none will. */
    int64_t spare_ms;
    /* Not 0: no copy in this process is read, and none is kept. */
    int no_near;
    /* If nobody has answered for so long, a second node is asked, too, and the first answer counts. 0: the option `hedge`; -1:
     * never. A fetch is never hedged. */
    int64_t hedge_ms;
    /* What the strategies `hash` and `sticky` choose the node by. NULL: the key. */
    const char *affinity;
    /* W3C Trace Context, 55 characters: stands in the slow log of the node. NULL: none. */
    const char *traceparent;
    /* Room for the text of an error. NULL: not wanted. Not used by terrace_async_*, whose results have it. */
    char *error;
    size_t error_size;
    uint64_t reserved[4]; /* for later versions: 0 */
};

/* The wishes of a write. Those on the life of a value, and tags, are of managed namespaces (docs/semantics.md), but for ttl_ms. */
struct terrace_write_options {
    /* For all tries together. 0: the option `timeout`. */
    int64_t timeout_ms;
    /* How long the value is fresh. 0: as its namespace says. */
    int64_t ttl_ms;
    /* How long it may be served beyond that while somebody loads a new one, and if nobody can. 0: as its namespace says; -1:
     * not at all. */
    int64_t swr_ms;
    int64_t sie_ms;
    /* What it can be invalidated by: tag_count of them. */
    const char *const *tags;
    size_t tag_count;
    /* Of terrace_set: 0: always; 1: only if there is no such key; 2: only if there is. Not together with tags, swr_ms, sie_ms
     * or want_seq. */
    int condition;
    /* Not 0: the number that covers the write is wanted. */
    int want_seq;
    /* Not 0: what may have been done is tried again, since it does no harm twice. */
    int retry_unknown;
    /* As of struct terrace_read_options. */
    const char *affinity;
    const char *traceparent;
    char *error;
    size_t error_size;
    uint64_t reserved[4]; /* for later versions: 0 */
};

/* What a load is ended with. To be copied as it is. */
struct terrace_token {
    char bytes[16];
    size_t size;
    uint64_t private_;
};

/* A value, or why there is none. All zeros before its first use; what a call fills in is given back by terrace_value_done,
 * before it is filled in again. Bytes stay where they are until then, whatever happens to the client. */
struct terrace_value {
    /* NULL: no value. Of an empty one it is not NULL. */
    const void *data;
    size_t size;
    /* How far it may be behind Redis at most; of managed keys, how old it is. -1: not known. */
    int64_t age_ms;
    /* -1: no end; -2: there is no value. */
    int64_t ttl_ms;
    enum terrace_reason reason;
    /* 1: it is a copy in this process. */
    int from_near;
    /* Of status LOAD. */
    struct terrace_token token;
    void *private_[2];
};
/* It is all zeros afterwards. Zeros, and NULL, are fine. */
void terrace_value_done(struct terrace_value *value);

/* --- opening and closing ------------------------------------------------------------------------------------------- */

struct terrace;
/* A client. Waits for nothing: connections are made as they are needed (terrace_ping waits for one). Starts one thread, which
 * keeps connections and copies alive while nobody calls. NULL: `error` says why. To be given back by terrace_close.
 *
 *      struct terrace *opened = terrace_open(options, error, sizeof error);
 */
struct terrace *terrace_open(const struct terrace_options *options, char *error, size_t error_size);
/* Ends what is under way with CLOSED, in whatever thread it waits, and waits until no thread is inside (a loader, a callback of
 * a watch). Then nothing of it runs any more. Nobody may call it with this client afterwards, nor from inside a loader or a
 * callback. Values that were handed out stay. NULL is fine. */
void terrace_close(struct terrace *terrace);
/* Asks a node for a sign of life, over a connection that is made if need be. OK; else why not, in `error`, too.
 *
 *      status = terrace_ping(terrace, 1000, error, sizeof error);
 */
enum terrace_status terrace_ping(struct terrace *terrace, int64_t timeout_ms, char *error,
                                 size_t error_size);

/* --- reading and writing ------------------------------------------------------------------------------------------- */

/* Reads that no node answered are tried again as long as there is time: at once at another node, then after 0.5, 1, 2, 2 ... s
 * with jitter. A node that answers that it cannot ask Redis is believed: the others would ask the same one.
 * Writes only while it is known that they were not done, unless retry_unknown says more. */

/* Reads the value of a key into `value`. OK, STALE; MISS, NEGATIVE. With the option `fail` at `closed` also UNREACHABLE,
 * DEADLINE, BUSY, REFUSED. A copy in this process (option `near-memory`) is handed out without a copy of its bytes, and without
 * a system call.
 *
 *      struct terrace_read_options half_a_second = {.contract = TERRACE_CONTRACT_MAXSTALE, .max_stale_ms = 500};
 *      status = terrace_get(terrace, "user:1", 6, &half_a_second, &value);
 *      if (status == TERRACE_OK) {
 *          use(value.data, value.size);
 *      }
 *      terrace_value_done(&value);
 */
enum terrace_status terrace_get(struct terrace *terrace, const void *key, size_t key_size,
                                const struct terrace_read_options *options,
                                struct terrace_value *value);
/* One key of terrace_mget. The caller fills in key and key_size, and gives each value back. */
struct terrace_pair {
    const void *key;
    size_t key_size;
    enum terrace_status status;
    struct terrace_value value;
};
/* Reads several keys at once. OK: each pair has its own status, as of terrace_get; else it has the one that is returned, unless
 * it was answered before. Values are overwritten.
 *
 *      struct terrace_pair pairs[] = {{.key = "user:1", .key_size = 6}, {.key = "user:2", .key_size = 6}};
 *      status = terrace_mget(terrace, pairs, 2, NULL);
 *      for (size_t i = 0; i < 2; i++) {
 *          use(pairs[i].value.data, pairs[i].value.size);
 *          terrace_value_done(&pairs[i].value);
 *      }
 */
enum terrace_status terrace_mget(struct terrace *terrace, struct terrace_pair *pairs, size_t count,
                                 const struct terrace_read_options *options);
/* Stores a value. OK, UNMET; UNKNOWN, DEADLINE, UNREACHABLE, BUSY, DENIED, REFUSED. `seq`: NULL, or where the number goes if
 * want_seq is not 0; a read that says atleast_seq with it sees this write on any node.
 *
 *      static const char *const tags[] = {"users", "user:1"};
 *      struct terrace_write_options minute = {.ttl_ms = 60000, .tags = tags, .tag_count = 2, .want_seq = 1};
 *      uint64_t seq = 0;
 *      status = terrace_set(terrace, "page:1", 6, "hello", 5, &minute, &seq);
 */
enum terrace_status terrace_set(struct terrace *terrace, const void *key, size_t key_size,
                                const void *data, size_t size,
                                const struct terrace_write_options *options, uint64_t *seq);
/* Deletes a key, in Redis and on all nodes. OK; MISS: there was none; as terrace_set. Of its options those on values are not
 * looked at.
 *
 *      status = terrace_delete(terrace, "user:1", 6, NULL);
 */
enum terrace_status terrace_delete(struct terrace *terrace, const void *key, size_t key_size,
                                   const struct terrace_write_options *options);

/* --- loading ------------------------------------------------------------------------------------------------------- */

/* In managed namespaces one client of the whole cluster is told to load what is not there, and the others wait for it, or get
 * what is stale. terrace_get_or_load does all of it; terrace_fetch, terrace_fill and terrace_fail are its parts, for who cannot
 * load within a call. */

/* What a loader brings. It may set `write`, the wishes for keeping the value, and negative_ms if it is to say MISS. */
struct terrace_loaded {
    struct terrace_write_options write;
    /* With MISS, in managed namespaces: for so long it is remembered that there is nothing. 0: one second; -1: it is not. */
    int64_t negative_ms;
    void *private_[4];
};
/* The value that a loader brings. Copies the bytes; the last one counts. OK, NO_MEMORY, BAD_ARGUMENT. */
enum terrace_status terrace_loaded_set(struct terrace_loaded *loaded, const void *data,
                                       size_t size);
/* Loads the value of a key. deadline_ms is what is left of the caller's time; it is not interrupted, and what comes late is
 * kept all the same. Returns OK after terrace_loaded_set; MISS: there is no such thing; anything else: it could not be loaded.
 * Runs on the thread of a caller of terrace_get_or_load, under no lock of the library's, and may use the client; but not close
 * it, nor load the same key.
 *
 *      enum terrace_status load_page(void *arg, const void *key, size_t key_size, int64_t deadline_ms,
 *                                    struct terrace_loaded *loaded)
 *      {
 *          loaded->write.ttl_ms = 60000;
 *          return terrace_loaded_set(loaded, "made", 4);
 *      }
 */
typedef enum terrace_status terrace_loader(void *arg, const void *key, size_t key_size,
                                           int64_t deadline_ms, struct terrace_loaded *loaded);
/* Reads a value, or has it loaded, once: one thread of this process calls the loader, the others wait for what it brings, each
 * within its own timeout; and in a managed namespace one process of the cluster.
 *
 * OK: the value. STALE: an older one, which all but the loader get at once while it is loaded anew, and all if it could not be
 * loaded. NEGATIVE, MISS: there is nothing. Else what the loader returned (REFUSED in place of what would mean a value), or as
 * terrace_get.
 *
 * What was loaded is kept as loaded->write says; in a plain namespace only if nobody has written the key meanwhile. If the
 * cache did not take it (LOST: the key was invalidated meanwhile), its loader gets it all the same, with an age of -1, and the
 * others ask again. If the cache cannot be asked one thread of the process loads, and nothing is kept; with `fail` at `closed`
 * it is the error, and nobody loads.
 *
 *      status = terrace_get_or_load(terrace, "page:1", 6, NULL, load_page, arg, &value);
 *      if (status == TERRACE_OK || status == TERRACE_STALE) {
 *          use(value.data, value.size);
 *      }
 *      terrace_value_done(&value);
 */
enum terrace_status terrace_get_or_load(struct terrace *terrace, const void *key, size_t key_size,
                                        const struct terrace_read_options *options,
                                        terrace_loader *loader, void *arg,
                                        struct terrace_value *value);
/* Reads as terrace_get; or LOAD: the caller is to load the value, and value->token is for its end. If value->data is not NULL
 * then, it is a stale value that may be used meanwhile. Whoever is told LOAD says terrace_fill or terrace_fail, or others wait
 * until the load is given up for them (`load-timeout` of the namespace). In namespaces that are not managed nobody is told
 * LOAD.
 *
 *      status = terrace_fetch(terrace, "page:1", 6, NULL, &value);
 *      if (status == TERRACE_LOAD) {
 *          struct terrace_token token = value.token;
 *          status = terrace_fill(terrace, "page:1", 6, &token, "made", 4, NULL, NULL);
 *      }
 *      terrace_value_done(&value);
 */
enum terrace_status terrace_fetch(struct terrace *terrace, const void *key, size_t key_size,
                                  const struct terrace_read_options *options,
                                  struct terrace_value *value);
/* Ends a load with its value. OK; LOST: nothing was kept, since the key was invalidated or written meanwhile, or the load was
 * given up. As terrace_set besides, without condition. */
enum terrace_status terrace_fill(struct terrace *terrace, const void *key, size_t key_size,
                                 const struct terrace_token *token, const void *data, size_t size,
                                 const struct terrace_write_options *options, uint64_t *seq);
/* Ends a load without one: somebody else is told to load. With negative_ms above 0 all are told NEGATIVE for so long instead.
 * OK, LOST; as terrace_set.
 *
 *      status = terrace_fail(terrace, "page:1", 6, &value.token, 5000);
 */
enum terrace_status terrace_fail(struct terrace *terrace, const void *key, size_t key_size,
                                 const struct terrace_token *token, int64_t negative_ms);

/* --- invalidation and other commands ------------------------------------------------------------------------------- */

/* What the words of an invalidation are. */
enum terrace_target {
    TERRACE_KEY = 1,
    TERRACE_TAG,
    TERRACE_PREFIX,
    TERRACE_PATTERN,
    /* There are no words. */
    TERRACE_ALL
};
/* What is invalid from now on (CACHE.INVALIDATE; docs/semantics.md). */
struct terrace_invalidation {
    enum terrace_target target;
    /* count of them; word_sizes NULL: each ends with 0. */
    const char *const *words;
    const size_t *word_sizes;
    size_t count;
    /* Not 0: tags: only values that carry all of them. */
    int match_all;
    /* Not 0: not gone, but stale. */
    int soft;
    /* Not 0: only counts. */
    int dry_run;
    /* Waits so long until no node serves the old values. 0: does not wait. */
    int64_t sync_ms;
    /* Of this namespace alone. NULL: of any. */
    const char *ns;
    /* 0: the option `timeout`. */
    int64_t timeout_ms;
    uint64_t reserved[4]; /* for later versions: 0 */
};
/* The number that covers it, and how many entries of its node's memory it ended: of many, those among the first that were
 * looked at. */
struct terrace_invalidated {
    uint64_t seq;
    uint64_t dropped;
};
/* Invalidates. OK; UNKNOWN: with sync_ms, done, but not known in time to be done on all nodes; as terrace_set. `result` may be
 * NULL.
 *
 *      static const char *const changed[] = {"user:1", "user:2"};
 *      struct terrace_invalidation what = {.target = TERRACE_TAG, .words = changed, .count = 2, .sync_ms = 500, .timeout_ms = 2000};
 *      struct terrace_invalidated result;
 *      status = terrace_invalidate(terrace, &what, &result, error, sizeof error);
 */
enum terrace_status terrace_invalidate(struct terrace *terrace,
                                       const struct terrace_invalidation *what,
                                       struct terrace_invalidated *result, char *error,
                                       size_t error_size);
/* Any other command, and its reply as the bytes of RESP3 in `reply`. `sizes` NULL: each word ends with 0. What changes a
 * connection, or waits, is REFUSED (docs/protocol.md). An error of the command is REFUSED, DENIED, BUSY ..., with its text in
 * `error`. Taken for a write: never tried again when its outcome is not known.
 *
 *      const void *words[] = {"HINCRBY", "visits", "user:1", "1"};
 *      status = terrace_command(terrace, words, NULL, 4, 0, &value, error, sizeof error);
 *      terrace_value_done(&value);
 */
enum terrace_status terrace_command(struct terrace *terrace, const void *const *words,
                                    const size_t *sizes, size_t count, int64_t timeout_ms,
                                    struct terrace_value *reply, char *error, size_t error_size);

/* --- warming ------------------------------------------------------------------------------------------------------- */

/* A warm job brings keys into the memory of the nodes before they are asked for (CACHE.WARM; docs/warming.md). The cluster has
 * one queue, in Redis: a job outlives this client and the node that it was submitted at, and each node knows all jobs. */

/* Where a job takes its keys from. */
enum terrace_warm_source {
    /* `keys`. */
    TERRACE_WARM_KEYS = 1,
    /* Keys of L2 that fit the glob `text`. */
    TERRACE_WARM_PATTERN,
    /* Managed values that carry the tag `text`. */
    TERRACE_WARM_TAG,
    /* The `n` keys that all nodes are asked for most. */
    TERRACE_WARM_HOT,
    /* The members of the set, in L2, whose key is `text`. */
    TERRACE_WARM_SET,
    /* The `n` members of the sorted set `text` with the highest scores. */
    TERRACE_WARM_ZSET,
    /* A key per line of the file `text` in the folder `warm-dir` of the node that is asked. */
    TERRACE_WARM_FILE,
    /* The `n` keys that the access log `text` in that folder names most. */
    TERRACE_WARM_LOG,
    /* The keys of the node's snapshot `text`; "": of the newest. */
    TERRACE_WARM_SNAPSHOT
};
/* What is done with a key that is in memory already. */
enum terrace_warm_mode {
    /* Nothing. */
    TERRACE_WARM_MISSING = 0,
    /* It is read anew if it is in doubt or not fresh. */
    TERRACE_WARM_STALE,
    /* It is read anew. */
    TERRACE_WARM_FORCE
};
/* Who gets them. */
enum terrace_warm_target {
    /* Every node all keys. */
    TERRACE_WARM_ALL = 0,
    /* The node that is asked. */
    TERRACE_WARM_SELF,
    /* No node: Redis is told that they are used. */
    TERRACE_WARM_L2
};
/* A job. Only `source`, and what belongs to it, must be there. */
struct terrace_warm_job {
    enum terrace_warm_source source;
    /* Ends with 0, UTF-8 as all text; so are keys: others are for a file. */
    const char *text;
    uint64_t n;
    /* key_count of them; key_sizes NULL: each ends with 0. */
    const char *const *keys;
    const size_t *key_sizes;
    size_t key_count;
    int db;
    /* 1 to 9, 9 first; 0: as usual, which is 4; -1: behind all others. */
    int priority;
    /* Keys and bytes per second, over all nodes. 0: as fast as the nodes allow. */
    uint64_t rate, byte_rate;
    enum terrace_warm_mode mode;
    enum terrace_warm_target target;
    /* It ends after so long, done or not. 0: it takes its time. */
    int64_t deadline_ms;
    /* Not 0: it looks what it would do. */
    int dry_run;
    /* terrace_warm_register: when, as `every 5m` or `08:55 mon-fri`; NULL: not by the clock. */
    const char *schedule;
    /* terrace_warm_register, with TERRACE_WARM_HOT: a key is read anew when so much of its life is left. 0: not so. */
    int before_expiry_percent;
    /* Not NULL: the job as JSON (docs/http.md), and of all the above nothing is looked at. */
    const char *json;
    /* 0: the option `timeout`. */
    int64_t timeout_ms;
    uint64_t reserved[8]; /* for later versions: 0 */
};
/* Submits a job; *ret_id, if that is not NULL, is its number. OK; BUSY: the queue is full; REFUSED: it cannot be, and `error` names
 * the place in the job as JSON has it (`$.source.hot`); UNKNOWN: it may have been taken, terrace_warm_list tells; as terrace_set.
 *
 *      struct terrace_warm_job job = {.source = TERRACE_WARM_PATTERN, .text = "product:*", .rate = 5000};
 *      uint64_t id = 0;
 *      status = terrace_warm_submit(terrace, &job, &id, error, sizeof error);
 */
enum terrace_status terrace_warm_submit(struct terrace *terrace, const struct terrace_warm_job *job,
                                        uint64_t *ret_id, char *error, size_t error_size);
/* Registers a standing job, which submits another one whenever its time has come. As terrace_warm_submit.
 *
 *      struct terrace_warm_job standing = {.source = TERRACE_WARM_HOT, .n = 1000, .schedule = "08:55 mon-fri"};
 *      status = terrace_warm_register(terrace, &standing, NULL, error, sizeof error);
 */
enum terrace_status terrace_warm_register(struct terrace *terrace,
                                          const struct terrace_warm_job *job, uint64_t *ret_id,
                                          char *error, size_t error_size);

/* How far a job is. */
enum terrace_warm_state {
    /* One that this version does not know. */
    TERRACE_WARM_OTHER = 0,
    TERRACE_WARM_QUEUED,
    TERRACE_WARM_RUNNING,
    TERRACE_WARM_PAUSED,
    /* From here on it has ended. */
    TERRACE_WARM_DONE,
    TERRACE_WARM_FAILED,
    TERRACE_WARM_CANCELLED,
    /* It was registered, and submits others. */
    TERRACE_WARM_STANDING
};
/* "queued", "running" ... ; "?" of a number that is none.
 *
 *      printf("%s\n", terrace_warm_state_name(TERRACE_WARM_RUNNING));
 */
const char *terrace_warm_state_name(enum terrace_warm_state state);
/* What one node did for it. */
struct terrace_warm_node {
    char node[17], address[64];
    /* Its keys: loaded + skipped + absent + failed. */
    uint64_t done, loaded, skipped, absent, failed;
    uint64_t bytes;
    /* Keys per second. */
    double rate;
    /* By which it holds back for clients; 1: not at all. */
    double yield;
    uint64_t reserved[4]; /* for later versions: 0 */
};
/* A key that could not be loaded. */
struct terrace_warm_failure {
    const void *key;
    size_t key_size;
    const char *why;
    unsigned attempts;
    uint64_t reserved[2]; /* for later versions: 0 */
};
/* A job as it is. Keys count once for each node that takes part. Times are ms of Redis' wall clock; 0: not yet. */
struct terrace_warm_status {
    uint64_t id;
    enum terrace_warm_state state;
    /* For people: "pattern product:*". */
    const char *source;
    /* "missing", "stale", "force"; "all", "self", "l2". */
    const char *mode, *target;
    /* Why it failed; or "". */
    const char *error;
    /* Of a standing one; or "". */
    const char *schedule;
    int db, priority, effective_priority, dry_run;
    uint64_t rate_limit;
    /* -1: the source has not told all. */
    int64_t total;
    uint64_t processed, loaded, skipped, absent, failed, bytes;
    double rate;
    /* -1: not known. */
    int64_t eta_ms;
    int64_t submitted_at_ms, started_at_ms, ended_at_ms, deadline_at_ms, next_at_ms;
    /* Misses that a standing one has prevented. */
    uint64_t prevented;
    const struct terrace_warm_node *nodes;
    size_t node_count;
    const struct terrace_warm_failure *failures;
    size_t failure_count;
    uint64_t reserved[8]; /* for later versions: 0 */
};
/* Jobs, and the memory that they lie in. */
struct terrace_warm_list {
    const struct terrace_warm_status *jobs;
    size_t count;
    void *memory;
    uint64_t reserved[4]; /* for later versions: 0 */
};
/* All jobs, the newest first, in *ret_list. To be given back by terrace_warm_list_done. timeout_ms 0: the option `timeout`. OK;
 * otherwise the list is empty.
 *
 *      struct terrace_warm_list jobs;
 *      status = terrace_warm_list(terrace, 0, &jobs, error, sizeof error);
 *      terrace_warm_list_done(&jobs);
 */
enum terrace_status terrace_warm_list(struct terrace *terrace, int64_t timeout_ms,
                                      struct terrace_warm_list *ret_list, char *error,
                                      size_t error_size);
/* One job: after OK, and only then, a list of exactly one. REFUSED: there is none of that number. As terrace_warm_list.
 *
 *      struct terrace_warm_list one;
 *      status = terrace_warm_status(terrace, id, 0, &one, error, sizeof error);
 *      if (status == TERRACE_OK) {
 *          printf("%s: %llu keys\n", terrace_warm_state_name(one.jobs[0].state), (unsigned long long)one.jobs[0].processed);
 *      }
 *      terrace_warm_list_done(&one);
 */
enum terrace_status terrace_warm_status(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                        struct terrace_warm_list *ret_list, char *error,
                                        size_t error_size);
/* An empty one is fine; NULL, too. */
void terrace_warm_list_done(struct terrace_warm_list *list);
/* A job stops where it is. REFUSED: there is none of that number, or it has ended. To be done again when UNKNOWN.
 *
 *      status = terrace_warm_pause(terrace, id, 0, error, sizeof error);
 */
enum terrace_status terrace_warm_pause(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                       char *error, size_t error_size);
/* A paused job goes on. As terrace_warm_pause.
 *
 *      status = terrace_warm_resume(terrace, id, 0, error, sizeof error);
 */
enum terrace_status terrace_warm_resume(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                        char *error, size_t error_size);
/* A job ends, and what it has loaded stays. A standing one is no more. As terrace_warm_pause.
 *
 *      status = terrace_warm_cancel(terrace, id, 0, error, sizeof error);
 */
enum terrace_status terrace_warm_cancel(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                        char *error, size_t error_size);
/* A job goes on with so many keys per second over all nodes; 0: as fast as they allow. As terrace_warm_pause.
 *
 *      status = terrace_warm_setrate(terrace, id, 20000, 0, error, sizeof error);
 */
enum terrace_status terrace_warm_setrate(struct terrace *terrace, uint64_t id, uint64_t rate,
                                         int64_t timeout_ms, char *error, size_t error_size);

/* A key that is read much. */
struct terrace_hot_key {
    const void *key;
    size_t key_size;
    int db;
    /* The namespace. */
    const char *ns;
    /* Reads per second, of late; at most `error_per_s` too many. */
    double per_s, error_per_s;
    /* The same as counted; fading. */
    uint64_t count, error;
    /* 0 to 255. */
    unsigned heat;
    uint64_t reserved[4]; /* for later versions: 0 */
};
/* Keys, and the memory that they lie in. */
struct terrace_hot_list {
    const struct terrace_hot_key *keys;
    size_t count;
    void *memory;
    uint64_t reserved[4]; /* for later versions: 0 */
};
/* The keys that the node which is asked reads most, hottest first; `count` of them, 0: ten. To be given back by terrace_hot_done.
 * timeout_ms 0: the option `timeout`. OK; otherwise the list is empty.
 *
 *      struct terrace_hot_list hot;
 *      status = terrace_hot(terrace, 100, 0, &hot, error, sizeof error);
 *      terrace_hot_done(&hot);
 */
enum terrace_status terrace_hot(struct terrace *terrace, unsigned count, int64_t timeout_ms,
                                struct terrace_hot_list *ret_list, char *error, size_t error_size);
/* An empty one is fine; NULL, too. */
void terrace_hot_done(struct terrace_hot_list *list);

/* --- watching ------------------------------------------------------------------------------------------------------ */

/* A key under the prefix has changed; key NULL: any of them may have, up to now. Runs on a thread of the library's, one call at
 * a time for each client. May use the client, but neither end a watch nor close it. The key is borrowed until it returns. */
typedef void terrace_watch_fn(void *arg, const void *key, size_t key_size);
struct terrace_watch;
/* Tells what changes under a prefix (a size of 0: everything), as a node hears of it. Waits for nothing. on_change is told first
 * of all that any key may have changed: from there on nothing is missed. It is told so again when the connection, which is one
 * of its own, is lost, and when it stands again. A callback that is slow loses single keys (beyond 4096 of them it is told that
 * any may have changed), and holds up no call. OK, NO_MEMORY, BAD_ARGUMENT, CLOSED. To be given back by terrace_watch_end, before
 * the client is closed.
 *
 *      struct terrace_watch *watch = NULL;
 *      status = terrace_watch_begin(terrace, "user:", 5, on_change, arg, &watch);
 *      terrace_watch_end(watch);
 */
enum terrace_status terrace_watch_begin(struct terrace *terrace, const void *prefix,
                                        size_t prefix_size, terrace_watch_fn *on_change, void *arg,
                                        struct terrace_watch **ret_watch);
/* When it returns, on_change runs no more. NULL is fine. */
void terrace_watch_end(struct terrace_watch *watch);

/* --- looking inside ------------------------------------------------------------------------------------------------ */

/* What a client has done since it was opened. */
struct terrace_counters {
    /* Copies in this process: reads that were served from there, those that were not, and of these handed out as spare ones. */
    uint64_t near_hits, near_misses, near_stale;
    /* Answers kept as copies, and those that might have been and were not: the key was changed meanwhile, too large, no memory. */
    uint64_t near_fills, near_refused;
    /* Copies ended because they were changed, and how often any might have been: a connection was lost, a node in doubt. */
    uint64_t near_dropped, near_doubts;
    /* What is held now. */
    uint64_t near_items, near_bytes;
    /* Calls that asked nodes, and what nodes answered; calls that ended with an error that is not among those below. */
    uint64_t requests, answers, errors;
    /* Tries beyond the first; second nodes that were asked, and those that were quicker; changes of region. */
    uint64_t retries, hedges, hedges_won, failovers;
    /* Calls that ended so. */
    uint64_t unknown, deadline, unreachable;
    /* Connections made and lost, and what went over them. */
    uint64_t connects, disconnects, bytes_in, bytes_out;
    /* terrace_get_or_load: loaders called; callers who got what another one loaded; callers who got something stale. */
    uint64_t loads, loads_shared, loads_stale;
    uint64_t reserved[16]; /* for later versions: 0 */
};
/* All of them, as they are now.
 *
 *      struct terrace_counters counters;
 *      terrace_counters(terrace, &counters);
 */
void terrace_counters(struct terrace *terrace, struct terrace_counters *ret);

/* How an endpoint is, as far as this client knows. */
enum terrace_health {
    TERRACE_HEALTH_UNKNOWN = 0,
    TERRACE_HEALTH_UP,
    TERRACE_HEALTH_DOWN,
    /* It says goodbye: no new requests go there. */
    TERRACE_HEALTH_DRAINING
};
/* One endpoint. */
struct terrace_endpoint_info {
    char address[128];
    char region[64];
    enum terrace_health health;
    int breaker_open;
    int is_current_region;
    double weight;
    /* A moving average, in microseconds. */
    int64_t latency_us;
    unsigned inflight;
    unsigned connections;
    uint64_t requests, failures;
    /* For so long it has been as it is. */
    int64_t since_ms;
    uint64_t reserved[4]; /* for later versions: 0 */
};
/* Copies up to `room` of them; returns how many there are.
 *
 *      struct terrace_endpoint_info infos[16];
 *      size_t there = terrace_endpoints(terrace, infos, 16);
 */
size_t terrace_endpoints(struct terrace *terrace, struct terrace_endpoint_info *infos, size_t room);
/* Something that happened to an endpoint or a region. */
struct terrace_health_event {
    /* Unix time. */
    int64_t at_ms;
    char address[128];
    char region[64];
    char what[96];
    uint64_t reserved[4]; /* for later versions: 0 */
};
/* Changes of health, failovers and failbacks, the newest first: copies up to `room`, returns how many are kept, 256 at most.
 *
 *      struct terrace_health_event events[16];
 *      size_t kept = terrace_health_history(terrace, events, 16);
 */
size_t terrace_health_history(struct terrace *terrace, struct terrace_health_event *events,
                              size_t room);
/* Uses this region from now on, until it is called with NULL, or, unless `force` is not 0, the region is down. OK;
 * BAD_ARGUMENT: no endpoint is there; UNREACHABLE: it is down, and force is 0.
 *
 *      status = terrace_use_region(terrace, "eu-west", 0);
 *      status = terrace_use_region(terrace, NULL, 0);
 */
enum terrace_status terrace_use_region(struct terrace *terrace, const char *region, int force);

/* --- on the application's own loop --------------------------------------------------------------------------------- */

/* The same client without a thread: all is called, and called back, on the thread of a libuv loop. A call answers at once: OK,
 * and then its callback comes exactly once, from the loop, never from inside the call; or BUSY, BAD_ARGUMENT, NO_MEMORY,
 * CLOSED, and it will not come. Keys, values and words are copied. Options and statuses are those of the blocking calls of the
 * same name. There is no mget (as many gets under way cost the same), and no get_or_load, watch, ping, and look at endpoints. */

struct uv_loop_s;
struct terrace_async;
/* NULL: `error` says why. To be given back by terrace_async_close, before the loop is.
 *
 *      struct terrace_async *opened = terrace_async_open(loop, options, error, sizeof error);
 */
struct terrace_async *terrace_async_open(struct uv_loop_s *loop,
                                         const struct terrace_options *options, char *error,
                                         size_t error_size);
/* Nothing of the client is left in the loop. */
typedef void terrace_closed_fn(void *arg);
/* What is under way ends with CLOSED first, from the loop; then on_closed comes, if it is not NULL, and the client is gone. Of
 * a client that is NULL nothing comes.
 *
 *      terrace_async_close(client, on_closed, arg);
 */
void terrace_async_close(struct terrace_async *client, terrace_closed_fn *on_closed, void *arg);
/* What became of a call; borrowed until the callback returns. */
struct terrace_result {
    enum terrace_status status;
    /* Of a read or a command; NULL: of a write. It is given back by the library. */
    const struct terrace_value *value;
    /* Of a write with want_seq, a fill, an invalidation. */
    uint64_t seq;
    /* Of an invalidation: entries that it ended (struct terrace_invalidated). */
    uint64_t count;
    /* NULL, or text for people. */
    const char *error;
    /* Of a warm job that was submitted or registered: its number. */
    uint64_t id;
    /* Of terrace_async_warm_list, of terrace_async_warm_status (exactly one), and of terrace_async_hot, if the status is OK; NULL
     * otherwise. They are given back by the library. */
    const struct terrace_warm_list *jobs;
    const struct terrace_hot_list *keys;
    uint64_t reserved[1]; /* for later versions: 0 */
};
typedef void terrace_done_fn(void *arg, const struct terrace_result *result);
/* As terrace_get.
 *
 *      status = terrace_async_get(client, "user:1", 6, NULL, on_done, arg); */
enum terrace_status terrace_async_get(struct terrace_async *client, const void *key,
                                      size_t key_size, const struct terrace_read_options *options,
                                      terrace_done_fn *on_done, void *arg);
/* As terrace_set.
 *
 *      status = terrace_async_set(client, "user:1", 6, "Ada", 3, NULL, on_done, arg); */
enum terrace_status terrace_async_set(struct terrace_async *client, const void *key,
                                      size_t key_size, const void *data, size_t size,
                                      const struct terrace_write_options *options,
                                      terrace_done_fn *on_done, void *arg);
/* As terrace_delete.
 *
 *      status = terrace_async_delete(client, "user:1", 6, NULL, on_done, arg); */
enum terrace_status terrace_async_delete(struct terrace_async *client, const void *key,
                                         size_t key_size,
                                         const struct terrace_write_options *options,
                                         terrace_done_fn *on_done, void *arg);
/* As terrace_fetch. Status LOAD: result->value->token is to be copied.
 *
 *      status = terrace_async_fetch(client, "page:1", 6, NULL, on_done, arg);
 */
enum terrace_status terrace_async_fetch(struct terrace_async *client, const void *key,
                                        size_t key_size, const struct terrace_read_options *options,
                                        terrace_done_fn *on_done, void *arg);
/* As terrace_fill.
 *
 *      status = terrace_async_fill(client, "page:1", 6, &value.token, "made", 4, NULL, on_done, arg); */
enum terrace_status terrace_async_fill(struct terrace_async *client, const void *key,
                                       size_t key_size, const struct terrace_token *token,
                                       const void *data, size_t size,
                                       const struct terrace_write_options *options,
                                       terrace_done_fn *on_done, void *arg);
/* As terrace_fail.
 *
 *      status = terrace_async_fail(client, "page:1", 6, &value.token, 0, on_done, arg); */
enum terrace_status terrace_async_fail(struct terrace_async *client, const void *key,
                                       size_t key_size, const struct terrace_token *token,
                                       int64_t negative_ms, terrace_done_fn *on_done, void *arg);
/* As terrace_invalidate.
 *
 *      struct terrace_invalidation everything = {.target = TERRACE_ALL, .ns = "pages"};
 *      status = terrace_async_invalidate(client, &everything, on_done, arg);
 */
enum terrace_status terrace_async_invalidate(struct terrace_async *client,
                                             const struct terrace_invalidation *what,
                                             terrace_done_fn *on_done, void *arg);
/* As terrace_command.
 *
 *      const void *words[] = {"DBSIZE"};
 *      status = terrace_async_command(client, words, NULL, 1, 0, on_done, arg);
 */
enum terrace_status terrace_async_command(struct terrace_async *client, const void *const *words,
                                          const size_t *sizes, size_t count, int64_t timeout_ms,
                                          terrace_done_fn *on_done, void *arg);
/* As terrace_warm_submit: result->id is its number. `job` and what it points to are copied.
 *
 *      struct terrace_warm_job job = {.source = TERRACE_WARM_PATTERN, .text = "product:*", .rate = 5000};
 *      status = terrace_async_warm_submit(client, &job, on_done, arg);
 */
enum terrace_status terrace_async_warm_submit(struct terrace_async *client,
                                              const struct terrace_warm_job *job,
                                              terrace_done_fn *on_done, void *arg);
/* As terrace_warm_register.
 *
 *      struct terrace_warm_job standing = {.source = TERRACE_WARM_HOT, .n = 1000, .schedule = "08:55 mon-fri"};
 *      status = terrace_async_warm_register(client, &standing, on_done, arg);
 */
enum terrace_status terrace_async_warm_register(struct terrace_async *client,
                                                const struct terrace_warm_job *job,
                                                terrace_done_fn *on_done, void *arg);
/* As terrace_warm_list: result->jobs.
 *
 *      status = terrace_async_warm_list(client, 0, on_done, arg); */
enum terrace_status terrace_async_warm_list(struct terrace_async *client, int64_t timeout_ms,
                                            terrace_done_fn *on_done, void *arg);
/* As terrace_warm_status: result->jobs->jobs[0].
 *
 *      status = terrace_async_warm_status(client, id, 0, on_done, arg); */
enum terrace_status terrace_async_warm_status(struct terrace_async *client, uint64_t id,
                                              int64_t timeout_ms, terrace_done_fn *on_done,
                                              void *arg);
/* As terrace_warm_pause.
 *
 *      status = terrace_async_warm_pause(client, id, 0, on_done, arg); */
enum terrace_status terrace_async_warm_pause(struct terrace_async *client, uint64_t id,
                                             int64_t timeout_ms, terrace_done_fn *on_done,
                                             void *arg);
/* As terrace_warm_resume.
 *
 *      status = terrace_async_warm_resume(client, id, 0, on_done, arg); */
enum terrace_status terrace_async_warm_resume(struct terrace_async *client, uint64_t id,
                                              int64_t timeout_ms, terrace_done_fn *on_done,
                                              void *arg);
/* As terrace_warm_cancel.
 *
 *      status = terrace_async_warm_cancel(client, id, 0, on_done, arg); */
enum terrace_status terrace_async_warm_cancel(struct terrace_async *client, uint64_t id,
                                              int64_t timeout_ms, terrace_done_fn *on_done,
                                              void *arg);
/* As terrace_warm_setrate.
 *
 *      status = terrace_async_warm_setrate(client, id, 20000, 0, on_done, arg); */
enum terrace_status terrace_async_warm_setrate(struct terrace_async *client, uint64_t id,
                                               uint64_t rate, int64_t timeout_ms,
                                               terrace_done_fn *on_done, void *arg);
/* As terrace_hot: result->keys.
 *
 *      status = terrace_async_hot(client, 100, 0, on_done, arg); */
enum terrace_status terrace_async_hot(struct terrace_async *client, unsigned count,
                                      int64_t timeout_ms, terrace_done_fn *on_done, void *arg);
/* As terrace_counters.
 *
 *      struct terrace_counters counters;
 *      terrace_async_counters(client, &counters);
 */
void terrace_async_counters(struct terrace_async *client, struct terrace_counters *ret);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
