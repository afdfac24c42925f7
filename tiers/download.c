/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/download.h"

#include "protocol/resp_write.h"
#include "tiers/stream.h"
#include "tiers/unpack.h"
#include "tiers/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum download_state {
    DOWNLOAD_ROW,
    DOWNLOAD_ASKED,
    DOWNLOAD_JUDGED,
    DOWNLOAD_FLOWING,
    DOWNLOAD_OVER
};

struct tiers_download {
    struct stream_seat seat; /* first: it is cast back */
    struct tiers_window *window;
    struct tiers_download_user *user; /* NULL: over */
    struct list in_hall;
    enum download_state state;
    bool held;  /* by its user */
    bool whole; /* JUDGED: all of the reply is in `early` */
    bool large;
    bool managed;
    struct tiers_seen seen; /* managed */
    struct unpack unpack;   /* ... with an envelope */
    struct link_request request;
    struct link_request proof; /* on the shared link */
    struct tiers_confirm confirm;
    enum status doubt; /* why it may not be shown, unless these two say that it may */
    unsigned waits;    /* for these two: the memory is theirs, too */
    struct buf early;
    int64_t moved_ms;  /* when the last piece came */
    struct l1_key key; /* bytes in `bytes` */
    char bytes[];
};

static struct namespace *download_home(const struct tiers_download *download)
{
    return window_key(download->window, &download->key).ns;
}

/* What stands in L1 may be older than what is read here, and so may what others are reading. Of a managed one it is what says
 * that this may be read. */
static void download_end_key(const struct tiers_download *download)
{
    if (download->managed) {
        return;
    }
    l1_land(download_home(download)->l1, &download->key);
}

static void download_free_if_last(struct tiers_download *download)
{
    if (download->state == DOWNLOAD_OVER && download->waits == 0) {
        buf_done(&download->early);
        free(download);
    }
}

/* The bytes of `reply` may be those of `early`, or of the line. */
static void download_end(struct tiers_download *download, enum status status, struct slice reply)
{
    struct tiers_download_user *user = download->user;
    download->user = NULL;
    download->state = DOWNLOAD_OVER;
    list_remove(&download->in_hall);
    download->waits++;
    stream_rise(download->window, &download->seat);
    if (user != NULL) {
        user->on_end(user, status, reply);
    }
    download->waits--;
    download_free_if_last(download);
}

static void download_count(const struct tiers_download *download, struct slice reply)
{
    const bool is_nil = slice_is(reply, "$-1\r\n") || slice_is(reply, "_\r\n");
    metrics_count(download->window->options.metrics, reply.data[0] == REPLY_ERROR ? M_L2_ERRORS
                                                     : is_nil                     ? M_L2_MISSES
                                                                                  : M_L2_HITS);
}

static void download_refuse(struct tiers_download *download, enum status status);

/* The next bytes of the reply go to the user. false: it is over. */
static bool download_give(struct tiers_download *download, struct slice bytes)
{
    const bool unpacks = download->managed && !download->seen.foreign;
    if (unpacks && unpack_take(&download->unpack, &bytes) != OK) {
        download_refuse(download, MALFORMED);
        return false;
    }
    if (bytes.size > 0) {
        download->user->on_piece(download->user, bytes);
    }
    return true;
}

/* It may be shown. */
static void download_show(struct tiers_download *download)
{
    download_end_key(download);
    if (!download->large) {
        download_count(download, buf_slice(&download->early));
        download_end(download, OK, buf_slice(&download->early));
        return;
    }
    struct buf early = download->early;
    download->early = (struct buf){0};
    download->state = DOWNLOAD_FLOWING;
    download->moved_ms = download->window->now_ms;
    metrics_count(download->window->options.metrics, M_LARGE_READS);
    metrics_count(download->window->options.metrics, M_L2_HITS);
    if (download->managed && !download->seen.foreign) {
        char head[I64_DIGITS_MAX + 3];
        const int size =
            snprintf(head, sizeof(head), "$%llu\r\n", (unsigned long long)download->seen.size);
        download->user->on_piece(download->user, (struct slice){head, (size_t)size});
    }
    const bool goes_on = early.size == 0 || download_give(download, buf_slice(&early));
    buf_done(&early);
    if (!goes_on) {
        return;
    }
    if (download->whole) {
        download_end(download, OK, (struct slice){0});
    } else {
        line_hold(download->seat.line, download->held);
    }
}

/* Not what was seen: what stands in L1 of it ends, so that the next look is at L2. */
static void download_look_again(struct tiers_download *download)
{
    (void)l1_invalidate(download_home(download)->l1, &download->key);
    download_end(download, AGAIN, (struct slice){0});
}

static void download_refuse(struct tiers_download *download, enum status status)
{
    if (status == MALFORMED) {
        metrics_count(download->window->options.metrics, M_ENVELOPES_MALFORMED);
        stream_note_broken(download->window, &download->key);
        (void)l1_invalidate(download_home(download)->l1, &download->key);
    }
    if (status == L2_DOWN) {
        metrics_count(download->window->options.metrics, M_L2_ERRORS);
    }
    download_end(download, status, (struct slice){0});
}

/* --- may it be shown? -------------------------------------------------------------------------------------------------- */

static void download_on_confirmed(struct tiers_confirm *confirm, enum status status)
{
    struct tiers_download *download = LIST_ENTRY(confirm, struct tiers_download, confirm);
    download->waits--;
    if (download->state != DOWNLOAD_JUDGED) {
        download_free_if_last(download);
    } else if (status == OK) {
        download_show(download);
    } else {
        download_refuse(download, STALE);
    }
}

/* It came from a master. PENDING: on_confirmed follows. */
static enum status download_confirm(struct tiers_download *download)
{
    if (namespace_kind(download_home(download)) != NAMESPACE_STRICT) {
        return OK;
    }
    download->confirm.on_confirmed = download_on_confirmed;
    if (window_confirm(download->window, &download->confirm) != OK) {
        return STALE;
    }
    download->waits++;
    return PENDING;
}

static void download_on_proof(struct link_request *request, enum status status, struct slice reply)
{
    struct tiers_download *download = LIST_ENTRY(request, struct tiers_download, proof);
    const struct link *shared = download->window->links[0];
    (void)reply;
    download->waits--;
    if (download->state != DOWNLOAD_JUDGED) {
        download_free_if_last(download);
        return;
    }
    const bool is_same = status == OK && shared != NULL && link_run(shared) != 0 &&
                         link_run(shared) == link_run(line_link(download->seat.line));
    const enum status next = is_same ? download_confirm(download) : L2_DOWN;
    if (next == OK) {
        download_show(download);
    } else if (next != PENDING) {
        download_refuse(download, next);
    }
}

static void download_ask_proof(struct tiers_download *download)
{
    struct tiers_window *window = download->window;
    struct link *shared = window_link(window, 2);
    const struct slice words[] = {SLICE_LITERAL("PTTL"), download->key.bytes};
    download->proof = (struct link_request){.on_reply = download_on_proof,
                                            .deadline_ms = window->now_ms + window->read_timeout_ms,
                                            .fence_ms = download->request.fence_ms,
                                            .asked_ms = window->now_ms};
    window->scratch.size = 0;
    if (shared != NULL && resp_append_request(&window->scratch, 2, words) == OK &&
        link_ask(shared, &download->proof, download->key.db, buf_slice(&window->scratch)) == OK) {
        download->waits++;
    } /* else its deadline ends it */
}

/* --- what the line says ------------------------------------------------------------------------------------------------ */

/* Whether this is the value that was seen. */
static bool download_begins_as_seen(struct tiers_download *download,
                                    const struct link_large_reply *reply)
{
    struct envelope envelope;
    const enum status status = envelope_begin(reply->beginning, reply->value_size, &envelope);
    if (status == MISS) {
        return download->seen.foreign && download->seen.size == reply->value_size;
    }
    if (status != OK || download->seen.foreign || envelope.version != download->seen.version ||
        envelope.value_size != download->seen.size) {
        return false;
    }
    unpack_begin(&download->unpack, reply->size, &envelope);
    return true;
}

/* It may have shrunk to what L1 keeps: the next read brings it there. */
static void download_note(const struct tiers_download *download, uint64_t reply_size)
{
    if (reply_size > stream_kept_max(download_home(download))) {
        stream_note_large(download->window, &download->key);
    } else {
        stream_note_small(download->window, &download->key);
    }
}

static enum link_way download_on_large(struct link_request *request,
                                       const struct link_large_reply *reply)
{
    struct tiers_download *download = LIST_ENTRY(request, struct tiers_download, request);
    if (download->managed && !download_begins_as_seen(download, reply)) {
        return LINK_PASS_OVER;
    }
    download->state = DOWNLOAD_JUDGED;
    download->doubt = reply->is_fenced ? STALE : L2_DOWN;
    download->large = true;
    download->moved_ms = download->window->now_ms;
    download_note(download, reply->size);
    if (!reply->is_fenced) {
        download_ask_proof(download);
    } else if (download_confirm(download) == OK) {
        download_show(download);
        return LINK_STREAM;
    } /* what it cannot wait for ends with its deadline */
    line_hold(download->seat.line, true);
    return LINK_STREAM;
}

static void download_on_piece(struct link_request *request, struct slice bytes)
{
    struct tiers_download *download = LIST_ENTRY(request, struct tiers_download, request);
    download->moved_ms = download->window->now_ms;
    if (download->state == DOWNLOAD_FLOWING) {
        (void)download_give(download, bytes);
    } else if (buf_append_slice(&download->early, bytes) != OK) {
        download_refuse(download, NO_MEMORY);
    }
}

/* A reply that is not large: gathered, and behind its fence. */
static void download_take_small(struct tiers_download *download, struct slice reply)
{
    stream_note_small(download->window, &download->key);
    download->state = DOWNLOAD_JUDGED;
    download->moved_ms = download->window->now_ms;
    const enum status status = download_confirm(download);
    if (status == OK) {
        download_end_key(download);
        download_count(download, reply);
        download_end(download, OK, reply);
    } else if (status != PENDING) {
        download_refuse(download, status);
    } else if (buf_append_slice(&download->early, reply) != OK) {
        download_refuse(download, NO_MEMORY);
    }
}

static void download_on_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct tiers_download *download = LIST_ENTRY(request, struct tiers_download, request);
    if (download->state == DOWNLOAD_OVER) {
        return; /* its line ended with it */
    }
    const bool is_other = download->managed && download->state == DOWNLOAD_ASKED &&
                          (status == OK || status == TOO_BIG);
    if (is_other) {
        download_look_again(download);
    } else if (status != OK) {
        download_refuse(download, L2_DOWN);
    } else if (download->state == DOWNLOAD_ASKED) {
        download_take_small(download, reply);
    } else if (download->state == DOWNLOAD_JUDGED) {
        download->whole = true;
    } else {
        download_end(download, OK, (struct slice){0});
    }
}

/* --- asking ------------------------------------------------------------------------------------------------------------ */

static enum status download_ask(struct tiers_download *download)
{
    struct tiers_window *window = download->window;
    const struct slice words[] = {SLICE_LITERAL("GET"), download->key.bytes};
    download->state = DOWNLOAD_ASKED;
    download->request =
        (struct link_request){.on_reply = download_on_reply,
                              .on_large = download_on_large,
                              .on_piece = download_on_piece,
                              .beginning = download->managed ? ENVELOPE_BEGINNING : 0,
                              .deadline_ms = window->now_ms + window->read_timeout_ms,
                              .fence_ms = namespace_bound_ms(download_home(download)),
                              .asked_ms = window->now_ms};
    download_end_key(download);
    window->scratch.size = 0;
    const enum status status = resp_append_request(&window->scratch, 2, words);
    return status != OK ? status
                        : line_ask(download->seat.line, &download->request, download->key.db,
                                   buf_slice(&window->scratch));
}

static void download_on_seated(struct stream_seat *seat, enum status status)
{
    struct tiers_download *download = (struct tiers_download *)(void *)seat;
    if (status == OK) {
        status = download_ask(download);
    }
    if (status != OK) {
        download_refuse(download, status);
    }
}

enum status tiers_download(struct tiers_window *window, const struct l1_key *key,
                           const struct tiers_seen *seen, int proto,
                           struct tiers_download_user *user, struct tiers_download **ret_download)
{
    struct tiers_download *download = calloc(1, sizeof(*download) + key->bytes.size);
    if (download == NULL) {
        return NO_MEMORY;
    }
    download->seat = (struct stream_seat){.on_seated = download_on_seated,
                                          .proto = proto,
                                          .deadline_ms = window->now_ms + window->read_timeout_ms};
    download->window = window;
    download->user = user;
    download->managed = seen != NULL;
    download->seen = seen != NULL ? *seen : (struct tiers_seen){0};
    download->key = *key;
    download->moved_ms = window->now_ms;
    memcpy(download->bytes, key->bytes.data, key->bytes.size);
    download->key.bytes.data = download->bytes;
    list_push_back(&window->streams.under_way, &download->in_hall);
    enum status status = stream_sit(window, &download->seat);
    if (status == OK) {
        status = download_ask(download);
    }
    if (status != OK && status != PENDING) {
        download->user = NULL; /* who asks is told by the status */
        download_end(download, status, (struct slice){0});
        return status;
    }
    *ret_download = download;
    return OK;
}

void tiers_download_hold(struct tiers_download *download, bool holds)
{
    download->held = holds;
    if (download->state == DOWNLOAD_FLOWING) {
        download->moved_ms = download->window->now_ms;
        line_hold(download->seat.line, holds);
    }
}

void tiers_download_leave(struct tiers_download *download)
{
    download->user = NULL;
    download_end(download, L2_DOWN, (struct slice){0});
}

/* L2 says nothing more, or nobody says whether it may be shown. */
static bool download_is_late(const struct tiers_download *download)
{
    const struct tiers_window *window = download->window;
    const int64_t waited_ms = window->now_ms - download->moved_ms;
    return (download->state == DOWNLOAD_FLOWING && !download->held &&
            waited_ms > window->read_timeout_ms) ||
           (download->state == DOWNLOAD_JUDGED && download->waits == 0 &&
            waited_ms > window->read_timeout_ms);
}

void downloads_tick(struct tiers_window *window)
{
    struct list due;
    list_init(&due);
    list_splice_back(&due, &window->streams.under_way);
    while (!list_empty(&due)) {
        struct tiers_download *download = LIST_ENTRY(due.next, struct tiers_download, in_hall);
        list_remove(&download->in_hall);
        list_push_back(&window->streams.under_way, &download->in_hall);
        if (download_is_late(download)) {
            download_refuse(download,
                            download->state == DOWNLOAD_JUDGED ? download->doubt : L2_DOWN);
        }
    }
}
