/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/warm_job.h"

#include <inttypes.h>
#include <string.h>

/* By enum terrace_warm_source. */
static const struct {
    const char *name;
    bool has_text;
    bool has_n; /* beside its text, as "n"; of a source without text it is the value itself */
} sources[] = {
    [TERRACE_WARM_KEYS] = {"keys", false, false},
    [TERRACE_WARM_PATTERN] = {"pattern", true, false},
    [TERRACE_WARM_TAG] = {"tag", true, false},
    [TERRACE_WARM_HOT] = {"hot", false, false},
    [TERRACE_WARM_SET] = {"set", true, false},
    [TERRACE_WARM_ZSET] = {"zset", true, true},
    [TERRACE_WARM_FILE] = {"file", true, false},
    [TERRACE_WARM_LOG] = {"log", true, true},
    [TERRACE_WARM_SNAPSHOT] = {"snapshot", true, false},
};
static const char *const modes[] = {"missing", "stale", "force"};
static const char *const targets[] = {"all", "self", "l2"};

struct writer {
    struct buf *to;
    enum terrace_status status;
};

static void put(struct writer *writer, const void *bytes, size_t size)
{
    if (writer->status == TERRACE_OK && size > 0 && buf_append(writer->to, bytes, size) != OK) {
        writer->status = TERRACE_NO_MEMORY;
    }
}

static void put_text(struct writer *writer, const char *text)
{
    put(writer, text, strlen(text));
}

/* A string of JSON (RFC 8259, section 7). Whether its bytes are UTF-8 the node knows, and refuses if they are not. */
static void put_string(struct writer *writer, struct slice text)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0; /* bytes in front of `i` that go as they are */
    put_text(writer, "\"");
    for (size_t i = 0; i < text.size; i++) {
        const unsigned char c = (unsigned char)text.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        const char code[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        put(writer, text.data + plain, i - plain);
        put(writer, code, sizeof code);
        plain = i + 1;
    }
    if (text.size > plain) {
        put(writer, text.data + plain, text.size - plain);
    }
    put_text(writer, "\"");
}

static void put_name(struct writer *writer, const char *name)
{
    put_text(writer, ",\"");
    put_text(writer, name);
    put_text(writer, "\":");
}

static void put_number(struct writer *writer, uint64_t number)
{
    if (writer->status == TERRACE_OK && buf_printf(writer->to, "%" PRIu64, number) != OK) {
        writer->status = TERRACE_NO_MEMORY;
    }
}

/* Nothing of 0, which is what is meant without it. */
static void put_pair(struct writer *writer, const char *name, uint64_t number)
{
    if (number > 0) {
        put_name(writer, name);
        put_number(writer, number);
    }
}

static void put_keys(struct writer *writer, const struct terrace_warm_job *job)
{
    put_text(writer, "[");
    for (size_t i = 0; i < job->key_count; i++) {
        const size_t size = job->key_sizes != NULL ? job->key_sizes[i] : strlen(job->keys[i]);
        put_text(writer, i == 0 ? "" : ",");
        put_string(writer, (struct slice){job->keys[i], size});
    }
    put_text(writer, "]");
}

static void put_source(struct writer *writer, const struct terrace_warm_job *job)
{
    put_text(writer, "{\"source\":{\"");
    put_text(writer, sources[job->source].name);
    put_text(writer, "\":");
    if (job->source == TERRACE_WARM_KEYS) {
        put_keys(writer, job);
    } else if (sources[job->source].has_text) {
        put_string(writer, slice_of(job->text));
    } else {
        put_number(writer, job->n);
    }
    if (sources[job->source].has_n) {
        put_pair(writer, "n", job->n);
    }
    put_text(writer, "}");
}

static void put_wishes(struct writer *writer, const struct terrace_warm_job *job)
{
    put_pair(writer, "db", (uint64_t)job->db);
    if (job->priority != 0) {
        put_name(writer, "priority");
        put_number(writer, job->priority < 0 ? 0 : (uint64_t)job->priority);
    }
    put_pair(writer, "rate", job->rate);
    put_pair(writer, "bytes", job->byte_rate);
    put_name(writer, "mode");
    put_string(writer, slice_of(modes[job->mode]));
    put_name(writer, "target");
    put_string(writer, slice_of(targets[job->target]));
    put_pair(writer, "deadline", ((uint64_t)job->deadline_ms + 999) / 1000);
    if (job->dry_run != 0) {
        put_name(writer, "dryrun");
        put_text(writer, "true");
    }
    if (job->schedule != NULL) {
        put_name(writer, "schedule");
        put_string(writer, slice_of(job->schedule));
    }
    if (job->before_expiry_percent > 0) {
        put_name(writer, "before_expiry");
        put_text(writer, "\"");
        put_number(writer, (uint64_t)job->before_expiry_percent);
        put_text(writer, "%\"");
    }
}

static bool is_whole(const struct terrace_warm_job *job)
{
    const bool is_source = job->source >= TERRACE_WARM_KEYS && job->source <= TERRACE_WARM_SNAPSHOT;
    if (!is_source || (unsigned)job->mode > TERRACE_WARM_FORCE ||
        (unsigned)job->target > TERRACE_WARM_L2 || job->db < 0 || job->priority < -1 ||
        job->deadline_ms < 0 || job->before_expiry_percent < 0) {
        return false;
    }
    if (sources[job->source].has_text && job->text == NULL) {
        return false;
    }
    for (size_t i = 0; i < job->key_count; i++) {
        if (job->keys == NULL ||
            (job->keys[i] == NULL && (job->key_sizes == NULL || job->key_sizes[i] > 0))) {
            return false;
        }
    }
    return true;
}

enum terrace_status warm_job_write(const struct terrace_warm_job *job, struct buf *to)
{
    struct writer writer = {.to = to, .status = TERRACE_OK};
    if (job == NULL || job->timeout_ms < 0 || (job->json == NULL && !is_whole(job))) {
        return TERRACE_BAD_ARGUMENT;
    }
    if (job->json != NULL) {
        put_text(&writer, job->json);
        return writer.status;
    }
    put_source(&writer, job);
    put_wishes(&writer, job);
    put_text(&writer, "}");
    return writer.status;
}
