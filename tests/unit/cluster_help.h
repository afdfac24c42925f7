/* SPDX-License-Identifier: BSD-3-Clause */
/* cluster_help.h -- a cluster whose endpoints a test makes answer or fail. */
#ifndef TERRACE_TESTS_UNIT_CLUSTER_HELP_H
#define TERRACE_TESTS_UNIT_CLUSTER_HELP_H

#include "client/cluster.h"
#include "tests/unit/seed_help.h"

static inline struct cluster *help_cluster(const struct cluster_options *options,
                                           const struct cluster_endpoint_spec *specs, size_t count)
{
    struct cluster *cluster = cluster_new(options);
    assert_non_null(cluster);
    assert_int_equal(cluster_update(cluster, specs, count, 0), OK);
    return cluster;
}

static inline struct cluster_endpoint_description help_describe(const struct cluster *cluster,
                                                                const char *address)
{
    struct cluster_endpoint_description all[CLUSTER_ENDPOINTS_MAX];
    size_t count = cluster_describe(cluster, all, CLUSTER_ENDPOINTS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].address, address) == 0) {
            return all[i];
        }
    }
    fail_msg("%s is not in the list", address);
    return all[0];
}

static inline struct cluster_endpoint *help_find(const struct cluster *cluster, const char *address)
{
    union {
        const struct cluster_endpoint *borrowed;
        struct cluster_endpoint *endpoint;
    } found = {.borrowed = help_describe(cluster, address).endpoint};
    return found.endpoint;
}

static inline void help_fails(struct cluster *cluster, const char *address, unsigned times,
                              int64_t now_ms)
{
    for (unsigned i = 0; i < times; i++) {
        cluster_on_sent(cluster, help_find(cluster, address), now_ms);
        cluster_on_failed(cluster, help_find(cluster, address), "refused", now_ms);
    }
}

static inline void help_answers(struct cluster *cluster, const char *address, int64_t now_ms)
{
    cluster_on_sent(cluster, help_find(cluster, address), now_ms);
    cluster_on_answered(cluster, help_find(cluster, address), 100, now_ms);
}

/* All that are due are probed; those whose address is in `dead` do not answer. */
static inline unsigned help_probes(struct cluster *cluster, const char *dead, int64_t now_ms)
{
    unsigned count = 0;
    struct cluster_endpoint *endpoint = NULL;
    while (cluster_next_probe(cluster, now_ms, &endpoint)) {
        bool ok = strstr(dead, cluster_endpoint_address(endpoint)) == NULL;
        cluster_on_probe(cluster, endpoint, ok, ok ? NULL : "refused", now_ms);
        count++;
    }
    return count;
}

static inline const char *help_choice(struct cluster *cluster, uint64_t hash, int64_t now_ms)
{
    int64_t wait_ms = 0;
    struct cluster_endpoint *one = cluster_choose(cluster, hash, NULL, now_ms, &wait_ms);
    assert_true((one == NULL) == (wait_ms > 0));
    return one == NULL ? NULL : cluster_endpoint_address(one);
}

#endif
