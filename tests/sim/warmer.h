/* SPDX-License-Identifier: BSD-3-Clause */
/* warmer.h -- who brings keys in that nobody asked for (tiers/prefetch.h), in some of the seeds: on any worker of any node, in
 * any mode. It tells nobody a value; what it leaves in L1 is judged when clients read it, and at rest. */
#ifndef TERRACE_TESTS_SIM_WARMER_H
#define TERRACE_TESTS_SIM_WARMER_H

#include "tests/sim/world.h"

struct warmer *warmer_new(struct world *world);
void warmer_start(struct world *world);
void warmer_free(struct warmer *warmer);

#endif
