/* SPDX-License-Identifier: BSD-3-Clause */
/* Bodies of WARM and HOT: what is made of any answer can be read back, and any bytes are read or refused. */
#include "client/warm_list.h"
#include "protocol/check.h"
#include "protocol/native_warm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_lists(struct slice bytes, bool must_be_one)
{
    struct terrace_warm_list jobs;
    if (warm_list_jobs(bytes, &jobs) == OK) {
        CHECK(jobs.count == 0 || jobs.memory != NULL);
        terrace_warm_list_done(&jobs);
    } else {
        CHECK(!must_be_one && jobs.memory == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice text = {(const char *)data, size};
    struct buf body = {0};
    struct terrace_hot_list keys;
    if (native_warm_list_of(text, &body) == OK) {
        read_lists(buf_slice(&body), true);
    }
    CHECK(body.size == 0 || size > 0);
    body.size = 0;
    if (native_hot_list_of(text, &body) == OK) {
        CHECK(warm_list_keys(buf_slice(&body), &keys) == OK);
        terrace_hot_done(&keys);
    }
    buf_done(&body);
    read_lists(text, false);
    if (warm_list_keys(text, &keys) == OK) {
        terrace_hot_done(&keys);
    }
    return 0;
}
