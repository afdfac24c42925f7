/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/namespace_report.h"

#include "server/node.h"

const struct tally_line *tally_line(enum tally tally)
{
    static const struct tally_line lines[] = {
#define TALLY(id, name, prometheus, labels, help) [id] = {name, prometheus, labels, help},
#include "tiers/base/tally.def"
#undef TALLY
    };
    return &lines[tally];
}

void namespace_report(const struct node *node, const struct namespace *ns,
                      struct namespace_report *ret_report)
{
    l1_stats(ns->l1, &ret_report->l1);
    namespace_tallies(ns, ret_report->tallies);
    uint64_t dead = ret_report->tallies[TALLY_DEAD];
    dead = dead < ret_report->l1.hits ? dead : ret_report->l1.hits; /* not read at one instant */
    ret_report->l1.hits -= dead;
    ret_report->l1.misses += dead;
    for (int i = 0; i < QUOTA_KINDS; i++) {
        quota_watch_read(node->quotas, ns, (enum quota_kind)i, &ret_report->uses[i]);
    }
}
