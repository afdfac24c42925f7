/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fault/stream.h"

#include "protocol/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CHUNK_BYTES (64u << 10)
#define MS_NS       INT64_C(1000000)
#define SECOND_NS   INT64_C(1000000000)

struct chunk {
    struct chunk *next;
    int64_t due_ns;
    size_t size;
    size_t sent;
    size_t capacity;
    char bytes[];
};

static const struct faults *faults_of(const struct stream *stream)
{
    return &stream->trouble->faults[stream->is_bus ? BUS : PLAIN][stream->direction];
}

static enum mode mode_of(const struct stream *stream)
{
    return stream->severed ? HOLE : faults_of(stream)->mode;
}

void stream_init(struct stream *stream, struct trouble *trouble, enum direction direction, int from,
                 int to)
{
    *stream = (struct stream){.trouble = trouble, .direction = direction, .from = from, .to = to};
}

static void chunks_free(struct chunk *first)
{
    while (first != NULL) {
        struct chunk *next = first->next;
        free(first);
        first = next;
    }
}

void stream_throw_away(struct stream *stream)
{
    chunks_free(stream->first);
    chunks_free(stream->aside);
    stream->first = stream->last = stream->aside = NULL;
    stream->swapped.size = 0;
    stream->waiting_bytes = 0;
}

void stream_done(struct stream *stream)
{
    stream_throw_away(stream);
    buf_done(&stream->swapped);
    buf_done(&stream->begun);
}

/* Who subscribes has nothing outstanding, so what comes down next begins a message. */
void stream_became_bus(struct stream *stream)
{
    stream->is_bus = true;
}

/* --- the queue --------------------------------------------------------------------------------------------------- */

static struct chunk *chunk_new(size_t capacity, int64_t due_ns)
{
    struct chunk *chunk = malloc(sizeof *chunk + capacity);
    CHECK(chunk != NULL);
    *chunk = (struct chunk){.capacity = capacity, .due_ns = due_ns};
    return chunk;
}

static void put(struct stream *stream, struct slice bytes)
{
    stream->waiting_bytes += bytes.size;
    struct chunk *last = stream->last;
    if (last == NULL || last->due_ns != stream->due_ns ||
        bytes.size > last->capacity - last->size) {
        last = chunk_new(bytes.size > CHUNK_BYTES ? bytes.size : CHUNK_BYTES, stream->due_ns);
        if (stream->last == NULL) {
            stream->first = last;
        } else {
            stream->last->next = last;
        }
        stream->last = last;
    }
    memcpy(last->bytes + last->size, bytes.data, bytes.size);
    last->size += bytes.size;
}

static void drop_first(struct stream *stream)
{
    struct chunk *chunk = stream->first;
    stream->first = chunk->next;
    if (stream->first == NULL) {
        stream->last = NULL;
    }
    stream->waiting_bytes -= chunk->size - chunk->sent;
    free(chunk);
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

static void put_aside(struct stream *stream, struct slice message, int64_t due_ns)
{
    struct chunk *chunk = chunk_new(message.size, due_ns);
    memcpy(chunk->bytes, message.data, message.size);
    chunk->size = message.size;
    chunk->next = stream->aside;
    stream->aside = chunk;
}

/* Messages whose delay is over go to the end of the queue, the oldest first. */
static int64_t take_from_aside(struct stream *stream, int64_t now_ns)
{
    for (;;) {
        struct chunk **oldest = &stream->aside;
        for (struct chunk **at = &stream->aside; *at != NULL; at = &(*at)->next) {
            if ((*at)->due_ns < (*oldest)->due_ns) {
                oldest = at;
            }
        }
        struct chunk *chunk = *oldest;
        if (chunk == NULL) {
            return NEVER_NS;
        }
        if (chunk->due_ns > now_ns) {
            return chunk->due_ns;
        }
        *oldest = chunk->next;
        put(stream, (struct slice){.data = chunk->bytes, .size = chunk->size});
        free(chunk);
    }
}

static void message_passes(struct stream *stream, struct slice message)
{
    put(stream, message);
    if (stream->swapped.size > 0) {
        put(stream, buf_slice(&stream->swapped));
        stream->swapped.size = 0;
    }
}

static void on_message(struct stream *stream, char *bytes, size_t size, int64_t now_ns)
{
    const struct slice message = {.data = bytes, .size = size};
    const struct rule *rule = trouble_judge(stream->trouble, message);
    switch (rule->action) {
    case ACTION_DROP: return;
    case ACTION_DUPLICATE: put(stream, message); break;
    case ACTION_DELAY: put_aside(stream, message, now_ns + (int64_t)rule->delay_ms * MS_NS); return;
    case ACTION_REORDER:
        if (stream->swapped.size == 0) {
            CHECK(buf_append_slice(&stream->swapped, message) == OK);
            return;
        }
        break;
    case ACTION_FLIP: (void)trouble_flip_payload(stream->trouble, bytes, size); break;
    case ACTION_NONE:
    case ACTIONS: break;
    }
    message_passes(stream, message);
}

static void take_messages(struct stream *stream, struct slice bytes, int64_t now_ns)
{
    CHECK(buf_append_slice(&stream->begun, bytes) == OK);
    size_t used = 0;
    for (;;) {
        const struct slice rest = {.data = stream->begun.data + used,
                                   .size = stream->begun.size - used};
        size_t size = 0;
        const enum status status = reply_frame(&stream->framer, rest, &size);
        if (status == AGAIN) {
            break;
        }
        if (status != OK) {
            stream->opaque = true;
            put(stream, rest);
            used = stream->begun.size;
            break;
        }
        on_message(stream, stream->begun.data + used, size, now_ns);
        used += size;
    }
    buf_consume(&stream->begun, used);
}

/* --- in ---------------------------------------------------------------------------------------------------------- */

static void flip_bytes(struct stream *stream, char *bytes, size_t size, uint64_t one_in)
{
    struct trouble *trouble = stream->trouble;
    size_t at = 0;
    while (stream->flip_left < size - at) {
        at += stream->flip_left;
        bytes[at] ^= (char)(1 << rand_below(&trouble->rand, 8));
        trouble->count.flipped_bytes++;
        at++;
        stream->flip_left = rand_below(&trouble->rand, 2 * one_in - 1);
    }
    stream->flip_left -= size - at;
}

bool stream_wants_in(const struct stream *stream)
{
    return stream->ending == ENDING_NOT && stream->waiting_bytes < STREAM_WAITING_MAX;
}

void stream_take(struct stream *stream, struct slice bytes, int64_t now_ns)
{
    const struct faults *faults = faults_of(stream);
    if (stream->closed) {
        return;
    }
    if (mode_of(stream) == HOLE) {
        stream->lost_bytes += bytes.size;
        return;
    }
    int64_t due_ns = 0;
    if (faults->delay_ms > 0 || faults->jitter_ms > 0) {
        due_ns = now_ns + (int64_t)faults->delay_ms * MS_NS +
                 (int64_t)rand_below(&stream->trouble->rand, faults->jitter_ms * 1000000 + 1);
    }
    if (due_ns > stream->due_ns || stream->first == NULL) { /* order is kept, whatever the jitter */
        stream->due_ns = due_ns;
    }
    const struct chunk *last = stream->last;
    const size_t before = last == NULL ? 0 : last->size;
    if (stream->is_bus && stream->direction == DOWN && !stream->opaque) {
        take_messages(stream, bytes, now_ns);
    } else {
        put(stream, bytes);
    }
    if (faults->flip_one_in > 0) { /* in what was just queued */
        struct chunk *chunk = last == NULL ? stream->first : stream->last;
        const size_t from = chunk == last ? before : 0;
        if (chunk != NULL) {
            flip_bytes(stream, chunk->bytes + from, chunk->size - from, faults->flip_one_in);
        }
    }
}

/* --- out --------------------------------------------------------------------------------------------------------- */

/* How many of `want` bytes the rate allows now; the cost is paid in time. */
static size_t allowed(struct stream *stream, size_t want, uint64_t rate_bytes, int64_t now_ns)
{
    const int64_t one_byte_ns = SECOND_NS / (int64_t)rate_bytes + 1;
    const int64_t burst_ns = one_byte_ns > 10 * MS_NS ? one_byte_ns : 10 * MS_NS;
    if (stream->paid_ns < now_ns - burst_ns) {
        stream->paid_ns = now_ns - burst_ns;
    }
    const uint64_t bytes = (uint64_t)(now_ns - stream->paid_ns) * rate_bytes / (uint64_t)SECOND_NS;
    return bytes < want ? (size_t)bytes : want;
}

static size_t piece_of(struct stream *stream, const struct chunk *chunk, int64_t now_ns)
{
    const struct faults *faults = faults_of(stream);
    size_t size = chunk->size - chunk->sent;
    if (faults->slice_bytes > 0 && size > faults->slice_bytes) {
        size = faults->slice_bytes;
    }
    if (faults->rate_bytes > 0) {
        size = stream->paid_ns > now_ns ? 0 : allowed(stream, size, faults->rate_bytes, now_ns);
    }
    return size;
}

static void sent(struct stream *stream, size_t size)
{
    const struct faults *faults = faults_of(stream);
    stream->first->sent += size;
    stream->waiting_bytes -= size;
    stream->trouble->count.bytes[stream->direction] += size;
    if (faults->rate_bytes > 0) {
        stream->paid_ns += (int64_t)((uint64_t)size * (uint64_t)SECOND_NS / faults->rate_bytes);
    }
    if (stream->first->sent == stream->first->size) {
        drop_first(stream);
    }
}

static int64_t push_queue(struct stream *stream, int64_t now_ns)
{
    const struct faults *faults = faults_of(stream);
    while (stream->first != NULL) {
        struct chunk *chunk = stream->first;
        if (chunk->due_ns > now_ns) {
            return chunk->due_ns;
        }
        const size_t piece = piece_of(stream, chunk, now_ns);
        if (piece == 0) {
            return now_ns + MS_NS;
        }
        const ssize_t size =
            send(stream->to, chunk->bytes + chunk->sent, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                stream->wants_out = true;
            } else {
                stream->closed = true;
                stream_throw_away(stream);
            }
            return NEVER_NS;
        }
        sent(stream, (size_t)size);
        if (faults->slice_bytes > 0 &&
            stream->first != NULL) { /* the next piece in the next turn */
            stream->wants_out = true;
            return NEVER_NS;
        }
    }
    return NEVER_NS;
}

int64_t stream_push(struct stream *stream, int64_t now_ns)
{
    stream->wants_out = false;
    if (stream->closed) {
        stream_throw_away(stream);
        return NEVER_NS;
    }
    const enum mode mode = mode_of(stream);
    if (mode == HOLE) {
        stream->lost_bytes += stream->waiting_bytes;
        stream_throw_away(stream);
        return NEVER_NS;
    }
    if (mode == FREEZE || stream->held) {
        return NEVER_NS;
    }
    const int64_t aside_ns = take_from_aside(stream, now_ns);
    const int64_t queue_ns = push_queue(stream, now_ns);
    return aside_ns < queue_ns ? aside_ns : queue_ns;
}

bool stream_is_dry(const struct stream *stream)
{
    return stream->first == NULL && stream->aside == NULL && !stream->held &&
           mode_of(stream) == PASS;
}
