/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_history.c -- any bytes as a history.
 *
 * A random checksum is never right, so the bytes are read twice: as they are, and as the records of a history whose
 * frame is right. What must hold: the reader stops with an error that names a byte or gives records that the writer
 * writes again; the judge takes whatever the reader lets through, with and without --strict, and counts each read; its
 * verdict can be told. */
#include "client/check/judge.h"
#include "client/check/verdict.h"
#include "protocol/check.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 3,
    NODES = 3,
    RECORDS_MAX = 2000
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct history_header frame = {
    .bound_ns = 1000,
    .slack_ns = 3,
    .grace_ns = 5000,
    .keys = KEYS,
    .nodes = NODES,
    .node = {{1000, "a"}, {1000, "b"}, {0, "redis"}},
    .prefix = "k:",
};

static void judge_all(const struct history_header *header, const struct history_record *records,
                      size_t count, bool strict)
{
    struct judge *judge = malloc(sizeof *judge);
    CHECK(judge != NULL);
    const struct judge_config config = {.header = *header, .window_ns = 1, .strict = strict};
    enum status status = judge_init(judge, &config);
    uint64_t reads = 0;
    for (size_t i = 0; i < count && status == OK; i++) {
        status = judge_record(judge, &records[i]);
        reads += records[i].kind == HISTORY_READ ? 1 : 0;
    }
    status = status == OK ? judge_end(judge) : status;
    CHECK(status == OK || (status == INVALID && judge->error[0] != '\0'));
    if (status == OK) {
        CHECK(judge_reads(judge) == reads);
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        CHECK(out != NULL);
        verdict_text(out, judge, 1);
        (void)fclose(out);
        CHECK(strstr(text, "violations") != NULL);
        free(text);
    }
    judge_done(judge);
    free(judge);
}

/* True: to the end mark. */
static bool read_all(struct slice input, struct history_reader *reader,
                     struct history_record *records, size_t *ret_count)
{
    struct history_record block[HISTORY_BLOCK_RECORDS];
    enum status status = OK;
    *ret_count = 0;
    while (status == OK) {
        uint32_t count = 0;
        size_t used = 0;
        status = history_read(reader, input, block, &count, &used);
        CHECK(used <= input.size && (status == OK || (count == 0 && used == 0)));
        input.data += used;
        input.size -= used;
        for (uint32_t i = 0; i < count && *ret_count < RECORDS_MAX; i++) {
            records[(*ret_count)++] = block[i];
        }
    }
    if (status == AGAIN) {
        status = history_read_end(reader, input.size);
    }
    CHECK(status == OK || strncmp(reader->error, "at byte ", 8) == 0);
    return status == OK;
}

/* 40 bytes a record, bent so that most are possible. */
static struct history_record bend(const uint8_t *src, uint64_t *now_ns)
{
    struct history_record record = {.kind = (uint8_t)(1 + src[0] % 5),
                                    .what = (uint8_t)(src[1] % 5),
                                    .node = (uint16_t)(src[2] % NODES),
                                    .key = src[3] % 16 == 0 ? HISTORY_ALL_KEYS : src[3] % KEYS,
                                    .session = src[4] % 4,
                                    .value = src[5] % 16,
                                    .life_ms = src[6] % 8 == 0 ? src[7] : 0};
    *now_ns += (uint64_t)get_u16le(src + 8) << (src[10] % 12);
    record.invoked_ns = *now_ns;
    if (!history_is_begin(&record)) {
        uint64_t lasted_ns = (uint64_t)src[11] << (src[12] % 12);
        record.completed_ns = *now_ns;
        record.invoked_ns = lasted_ns > *now_ns ? 0 : *now_ns - lasted_ns;
    }
    return record;
}

enum {
    CHUNK = 13
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t room = RECORDS_MAX * sizeof(struct history_record);
    struct history_record *records = malloc(room);
    struct history_writer *writer = calloc(1, sizeof *writer);
    CHECK(records != NULL && writer != NULL);
    struct history_reader reader = {0};
    size_t count = 0;
    (void)read_all((struct slice){(const char *)data, size}, &reader, records, &count);

    uint64_t now_ns = 0;
    CHECK(history_write_header(writer, &frame) == OK);
    for (size_t at = 0; at + CHUNK <= size && writer->total < RECORDS_MAX; at += CHUNK) {
        CHECK(history_write(writer, bend(data + at, &now_ns)) == OK);
    }
    CHECK(history_write_end(writer) == OK);
    reader = (struct history_reader){0};
    if (read_all(buf_slice(&writer->out), &reader, records, &count)) {
        CHECK(count == writer->total);
        judge_all(&reader.header, records, count, false);
        judge_all(&reader.header, records, count, true);
    }
    history_writer_done(writer);
    free(writer);
    free(records);
    return 0;
}
