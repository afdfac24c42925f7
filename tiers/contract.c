/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/contract.h"

/* L2's word is taken from a link that was proved so recently at least: a beat needs its time, too. */
#define FENCE_MIN_MS 10

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t proof_age_ms(const struct proof *proof, int64_t stamp_ms)
{
    int64_t known_ms = 0;
    if (stamp_ms >= proof->floor_ms) {
        known_ms = proof->horizon_ms;
    } else if (stamp_ms >= proof->prior_floor_ms) {
        known_ms = proof->proven_ms;
    }
    return proof->now_ms - most(known_ms, stamp_ms);
}

int64_t proof_floor_of(const struct proof *proof, int64_t limit_ms)
{
    if (limit_ms == INT64_MAX) {
        return INT64_MIN;
    }
    const int64_t oldest_ms = proof->now_ms - limit_ms;
    int64_t from_ms = oldest_ms;
    if (proof->horizon_ms != 0 && proof->horizon_ms >= oldest_ms) {
        from_ms = least(from_ms, proof->floor_ms);
    }
    if (proof->proven_ms != 0 && proof->proven_ms >= oldest_ms) {
        from_ms = least(from_ms, proof->prior_floor_ms);
    }
    return from_ms;
}

/* What is as good as the mode promises while all is well. */
static int64_t good_from(const struct proof *proof, const struct namespace_mode *mode)
{
    if (mode->kind == NAMESPACE_TTL) {
        return INT64_MIN;
    }
    return proof_reaches(proof, mode->bound_ms) ? proof->floor_ms : INT64_MAX;
}

static struct contract of_mode(const struct proof *proof, const struct namespace_mode *mode)
{
    const int64_t good_from_ms = good_from(proof, mode);
    struct contract contract = {
        .serve_from_ms = good_from_ms,
        .spare_from_ms = good_from_ms,
        .join_ms = mode->bound_ms,
        .fence_ms = mode->bound_ms,
    };
    if (mode->kind == NAMESPACE_AVAILABLE) {
        contract.spare_from_ms = least(good_from_ms, proof_floor_of(proof, mode->grace_ms));
        if (good_from_ms == INT64_MAX) {
            contract.serve_from_ms = contract.spare_from_ms;
        }
    }
    if (mode->kind == NAMESPACE_STRICT && good_from_ms == INT64_MAX) {
        contract.join_ms = 0;
    }
    return contract;
}

/* At most so old: from L1 at once, unless the reader would rather wait for L2. */
static void limit(struct contract *contract, const struct proof *proof,
                  const struct namespace_mode *mode, int64_t limit_ms, bool patient)
{
    const int64_t from_ms = proof_floor_of(proof, limit_ms);
    contract->spare_from_ms = from_ms;
    contract->serve_from_ms = patient ? most(good_from(proof, mode), from_ms) : from_ms;
    contract->join_ms = least(contract->join_ms, limit_ms);
    contract->fence_ms = least(contract->fence_ms, most(limit_ms, FENCE_MIN_MS));
}

struct contract contract_of(const struct proof *proof, const struct namespace_mode *mode,
                            const struct wish *wish)
{
    struct contract contract = of_mode(proof, mode);
    if (wish == NULL) {
        return contract;
    }
    switch (wish->kind) {
    case WISH_NOTHING:
        if (wish->patient) {
            contract.serve_from_ms = good_from(proof, mode);
        }
        break;
    case WISH_MAXSTALE: limit(&contract, proof, mode, wish->max_stale_ms, wish->patient); break;
    case WISH_ANY: limit(&contract, proof, mode, INT64_MAX, wish->patient); break;
    case WISH_FRESH:
        contract.serve_from_ms = contract.spare_from_ms = INT64_MAX;
        contract.join_ms = 0;
        break;
    }
    if (wish->atleast_seq > proof->applied_seq) {
        contract.serve_from_ms = contract.spare_from_ms = INT64_MAX;
        contract.join_ms = 0;
    } else if (wish->atleast_seq > 0) {
        contract.serve_from_ms = most(contract.serve_from_ms, proof->floor_ms);
        contract.spare_from_ms = most(contract.spare_from_ms, proof->floor_ms);
    }
    return contract;
}

bool contract_is_stale(const struct proof *proof, const struct namespace_mode *mode,
                       int64_t stamp_ms)
{
    return mode->kind != NAMESPACE_TTL && proof_age_ms(proof, stamp_ms) > mode->bound_ms;
}
