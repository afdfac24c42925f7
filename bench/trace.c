/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/trace.h"

#include "bench/values.h"
#include "protocol/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READ_SIZE = 256 << 10,
    LINE_MAX_SIZE = TRACE_KEY_MAX + 128,
    FIELDS = 4,
    SHOWN_MAX = 80
};

static enum status complain(struct trace *trace, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum status complain(struct trace *trace, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(trace->error, sizeof trace->error, format, arguments);
    va_end(arguments);
    return status;
}

/* ------------------------------------------------------------------ keys */

struct slice trace_key(const struct trace *trace, uint32_t key)
{
    size_t begin = key == 0 ? 0 : trace->key_ends[key - 1];
    return (struct slice){.data = trace->key_bytes.data + begin,
                          .size = trace->key_ends[key] - begin};
}

const struct trace_request *trace_first(const struct trace *trace, uint32_t key)
{
    return &trace->requests[trace->key_first[key]];
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t find_slot(const struct trace *trace, struct slice key)
{
    uint32_t mask = trace->slot_count - 1;
    uint32_t slot = (uint32_t)value_owner(key) & mask;
    while (trace->slots[slot] != 0 && !slice_equal(trace_key(trace, trace->slots[slot] - 1), key)) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

static enum status grow_slots(struct trace *trace)
{
    uint32_t slot_count = trace->slot_count == 0 ? 1024 : trace->slot_count * 2;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL) {
        return NO_MEMORY;
    }
    free(trace->slots);
    trace->slots = slots;
    trace->slot_count = slot_count;
    for (uint32_t i = 0; i < trace->key_count; i++) {
        trace->slots[find_slot(trace, trace_key(trace, i))] = i + 1;
    }
    return OK;
}

static enum status grow_keys(struct trace *trace)
{
    uint32_t capacity = trace->key_capacity == 0 ? 1024 : trace->key_capacity * 2;
    size_t *ends = reallocarray(trace->key_ends, capacity, sizeof *ends);
    if (ends == NULL) {
        return NO_MEMORY;
    }
    trace->key_ends = ends;
    uint32_t *first = reallocarray(trace->key_first, capacity, sizeof *first);
    if (first == NULL) {
        return NO_MEMORY;
    }
    trace->key_first = first;
    trace->key_capacity = capacity;
    return OK;
}

/* The number of the key, which is a new one when nobody named it before. */
static enum status intern(struct trace *trace, struct slice key, uint32_t size, uint32_t *ret_key)
{
    if (trace->key_count >= trace->slot_count / 2 && grow_slots(trace) != OK) {
        return NO_MEMORY;
    }
    if (trace->key_count == trace->key_capacity && grow_keys(trace) != OK) {
        return NO_MEMORY;
    }
    uint32_t slot = find_slot(trace, key);
    if (trace->slots[slot] == 0) {
        if (buf_append_slice(&trace->key_bytes, key) != OK) {
            return NO_MEMORY;
        }
        trace->key_ends[trace->key_count] = trace->key_bytes.size;
        trace->key_first[trace->key_count] = trace->count;
        trace->value_bytes += size;
        trace->slots[slot] = ++trace->key_count;
    }
    *ret_key = trace->slots[slot] - 1;
    return OK;
}

/* ------------------------------------------------------------------ lines */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* How many fields the line has; the first FIELDS of them are handed out. */
static unsigned split(struct slice line, struct slice ret_fields[FIELDS])
{
    unsigned count = 0;
    size_t at = 0;
    for (;;) {
        while (at < line.size && is_blank(line.data[at])) {
            at++;
        }
        if (at == line.size) {
            return count;
        }
        size_t begin = at;
        while (at < line.size && !is_blank(line.data[at])) {
            at++;
        }
        if (count < FIELDS) {
            ret_fields[count] = (struct slice){.data = line.data + begin, .size = at - begin};
        }
        count++;
    }
}

/* Whole seconds; the fraction is checked and left out. */
static bool parse_time(struct slice text, uint32_t *ret_seconds)
{
    size_t dots = 0;
    uint64_t seconds = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '.') {
            dots++;
        } else if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        } else if (dots == 0 && seconds <= UINT32_MAX) {
            seconds = seconds * 10 + (uint64_t)(text.data[i] - '0');
        }
    }
    *ret_seconds = seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
    return dots <= 1 && dots < text.size;
}

static enum status grow_requests(struct trace *trace)
{
    uint32_t capacity = trace->capacity == 0 ? 4096 : trace->capacity * 2;
    struct trace_request *requests = reallocarray(trace->requests, capacity, sizeof *requests);
    if (requests == NULL) {
        return NO_MEMORY;
    }
    trace->requests = requests;
    trace->capacity = capacity;
    return OK;
}

static enum status add(struct trace *trace, struct slice key, struct trace_request request)
{
    if (trace->count == trace->capacity && grow_requests(trace) != OK) {
        return NO_MEMORY;
    }
    if (intern(trace, key, request.size, &request.key) != OK) {
        return NO_MEMORY;
    }
    trace->requests[trace->count++] = request;
    return OK;
}

static enum status add_copies(struct trace *trace, struct slice key, struct trace_request request)
{
    if (trace->copies <= 1) {
        return add(trace, key, request);
    }
    struct buf name = {0};
    enum status status = buf_append_slice(&name, key);
    for (uint32_t i = 0; i < trace->copies && status == OK; i++) {
        name.size = key.size;
        status = buf_printf(&name, "#%03" PRIu32, i);
        status = status == OK ? add(trace, buf_slice(&name), request) : status;
    }
    buf_done(&name);
    return status;
}

static int shown(struct slice text)
{
    return text.size > SHOWN_MAX ? SHOWN_MAX : (int)text.size;
}

enum status trace_add_line(struct trace *trace, const char *name, struct slice line)
{
    trace->line++;
    struct slice fields[FIELDS];
    unsigned count = split(line, fields);
    if (count == 0 || fields[0].data[0] == '#') {
        return OK;
    }
    if (count != FIELDS) {
        return complain(trace, MALFORMED,
                        "%s:%" PRIu64 ": expected `timestamp key size ttl`, found %u fields: %.*s",
                        name, trace->line, count, shown(line), line.data);
    }
    struct trace_request request = {0};
    if (!parse_time(fields[0], &request.time_s)) {
        return complain(trace, MALFORMED,
                        "%s:%" PRIu64 ": timestamp: expected a number, found '%.*s'", name,
                        trace->line, shown(fields[0]), fields[0].data);
    }
    if (fields[1].size > TRACE_KEY_MAX) {
        return complain(trace, TOO_BIG, "%s:%" PRIu64 ": key: %zu bytes, at most %d are allowed",
                        name, trace->line, fields[1].size, TRACE_KEY_MAX);
    }
    uint64_t size = 0;
    if (slice_to_u64(fields[2], &size) != OK || size > LIMIT_BULK) {
        return complain(trace, MALFORMED,
                        "%s:%" PRIu64 ": size: expected 0 to %llu bytes, found '%.*s'", name,
                        trace->line, LIMIT_BULK, shown(fields[2]), fields[2].data);
    }
    uint64_t ttl_s = 0;
    if (slice_to_u64(fields[3], &ttl_s) != OK || ttl_s > UINT32_MAX) {
        return complain(trace, MALFORMED,
                        "%s:%" PRIu64 ": ttl: expected 0 to %u seconds, found '%.*s'", name,
                        trace->line, UINT32_MAX, shown(fields[3]), fields[3].data);
    }
    if (trace->count >= TRACE_REQUESTS_MAX - trace->copies) {
        return complain(trace, TOO_BIG,
                        "%s:%" PRIu64 ": more than %d requests; --trace-limit reads fewer", name,
                        trace->line, TRACE_REQUESTS_MAX);
    }
    request.size = (uint32_t)size;
    request.ttl_s = (uint32_t)ttl_s;
    if (add_copies(trace, fields[1], request) != OK) {
        return complain(trace, NO_MEMORY, "%s:%" PRIu64 ": out of memory", name, trace->line);
    }
    return OK;
}

/* ------------------------------------------------------------------ files */

/* Takes the whole lines out of `pending`. The last one may lack its line end: `at_end` takes it too. */
static enum status take_lines(struct trace *trace, const char *name, struct buf *pending,
                              uint64_t limit, bool at_end)
{
    size_t at = 0;
    enum status status = OK;
    while (status == OK && at < pending->size && (limit == 0 || trace->count < limit)) {
        const char *begin = pending->data + at;
        const char *end = memchr(begin, '\n', pending->size - at);
        if (end == NULL && !at_end) {
            break;
        }
        size_t size = end == NULL ? pending->size - at : (size_t)(end - begin);
        status = trace_add_line(trace, name, (struct slice){.data = begin, .size = size});
        at += end == NULL ? size : size + 1;
    }
    buf_consume(pending, at);
    if (status == OK && pending->size > LINE_MAX_SIZE && (limit == 0 || trace->count < limit)) {
        return complain(trace, MALFORMED, "%s:%" PRIu64 ": a line of more than %d bytes", name,
                        trace->line + 1, LINE_MAX_SIZE);
    }
    return status;
}

static enum status read_all(struct trace *trace, const char *name, int fd, uint64_t limit)
{
    struct buf pending = {0};
    enum status status = OK;
    while (status == OK && (limit == 0 || trace->count < limit)) {
        if (buf_reserve(&pending, READ_SIZE) != OK) {
            status = complain(trace, NO_MEMORY, "%s: out of memory", name);
            break;
        }
        ssize_t got = read(fd, pending.data + pending.size, READ_SIZE);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            status = complain(trace, INVALID, "%s: %s", name, strerrordesc_np(errno));
            break;
        }
        pending.size += (size_t)got;
        status = take_lines(trace, name, &pending, limit, got == 0);
        if (got == 0) {
            break;
        }
    }
    buf_done(&pending);
    return status;
}

/* Reads what `xz -dc name` writes. The name comes after `--` and no shell is involved. */
static enum status read_xz(struct trace *trace, const char *name, uint64_t limit)
{
    int ends[2];
    if (access(name, R_OK) != 0 || pipe2(ends, O_CLOEXEC) != 0) {
        return complain(trace, INVALID, "%s: %s", name, strerrordesc_np(errno));
    }
    pid_t child = fork();
    if (child < 0) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        return complain(trace, INVALID, "%s: cannot start xz: %s", name, strerrordesc_np(errno));
    }
    if (child == 0) {
        sigset_t none;
        /* The parent may block SIGINT for its signalfd; xz must not inherit that. */
        (void)sigemptyset(&none);
        (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
        if (dup2(ends[1], STDOUT_FILENO) >= 0) {
            (void)execlp("xz", "xz", "-dc", "--", name, (char *)NULL);
        }
        _exit(127);
    }
    (void)close(ends[1]);
    enum status status = read_all(trace, name, ends[0], limit);
    (void)close(ends[0]);
    int result = 0;
    while (waitpid(child, &result, 0) < 0 && errno == EINTR) {
    }
    bool cut_short =
        status != OK ||
        (limit != 0 && trace->count >= limit); /* then xz dies of SIGPIPE, as it should */
    if (!cut_short && !(WIFEXITED(result) && WEXITSTATUS(result) == 0)) {
        return complain(trace, INVALID, "%s:%" PRIu64 ": xz failed (%s)", name, trace->line,
                        WIFEXITED(result) && WEXITSTATUS(result) == 127 ? "xz is not installed"
                                                                        : "damaged file");
    }
    return status;
}

static bool ends_with(const char *name, const char *end)
{
    size_t name_size = strlen(name);
    size_t end_size = strlen(end);
    return name_size >= end_size && strcmp(name + name_size - end_size, end) == 0;
}

enum status trace_read(struct trace *trace, const char *name, uint64_t limit)
{
    if (strcmp(name, "-") == 0) {
        return read_all(trace, "standard input", STDIN_FILENO, limit);
    }
    if (ends_with(name, ".xz")) {
        return read_xz(trace, name, limit);
    }
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return complain(trace, INVALID, "%s: %s", name, strerrordesc_np(errno));
    }
    enum status status = read_all(trace, name, fd, limit);
    (void)close(fd);
    return status;
}

void trace_done(struct trace *trace)
{
    free(trace->requests);
    free(trace->key_ends);
    free(trace->key_first);
    free(trace->slots);
    buf_done(&trace->key_bytes);
    *trace = (struct trace){0};
}
