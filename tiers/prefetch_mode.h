/* SPDX-License-Identifier: BSD-3-Clause */
/* prefetch_mode.h -- which keys warming reads from L2, by what this node has of them. */
#ifndef TERRACE_TIERS_PREFETCH_MODE_H
#define TERRACE_TIERS_PREFETCH_MODE_H

enum prefetch_mode {
    PREFETCH_MISSING, /* only what is not here at all, neither servable nor suspect */
    PREFETCH_STALE,   /* also what is suspect, and managed values that are not fresh */
    PREFETCH_FORCE    /* whatever stands */
};

#endif
