/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_warm_json.c -- any bytes as a warm job.
 *
 * What must hold: what is refused names a path ("$...") in printable letters, and leaves nothing behind; what is read is within
 * its limits and can be described in one line. */
#include "protocol/check.h"
#include "protocol/limits.h"
#include "server/warm_json.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static void check_keys(const struct warm_job *job)
{
    size_t at = 0;
    for (size_t i = 0; i < job->key_count; i++) {
        CHECK(job->keys.size - at >= sizeof(uint32_t));
        const uint32_t key = get_u32le(job->keys.data + at);
        at += sizeof(uint32_t);
        CHECK(key < LIMIT_L1_KEY && job->keys.size - at >= key);
        at += key;
    }
    CHECK(at == job->keys.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct warm_job job;
    char error[WARM_ERROR_MAX];
    const enum status status =
        warm_job_parse((struct slice){(const char *)data, size}, &job, error);
    if (status != OK) {
        CHECK(status == INVALID && error[0] == '$' && is_printable(error));
        CHECK(job.text == NULL && job.schedule == NULL && job.keys.data == NULL);
        return 0;
    }
    char shown[WARM_SOURCE_TEXT_MAX];
    warm_job_describe(&job, shown);
    CHECK(is_printable(shown) && shown[0] != '\0');
    CHECK(job.priority >= 0 && job.priority <= WARM_PRIORITY_MAX && job.db < LIMIT_DATABASES);
    CHECK(job.text_size < LIMIT_L1_KEY && job.key_count <= WARM_KEYS_MAX && job.n <= WARM_N_MAX);
    CHECK((job.source == WARM_KEYS) == (job.key_count > 0));
    check_keys(&job);
    warm_job_done(&job);
    return 0;
}
