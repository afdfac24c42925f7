/* SPDX-License-Identifier: BSD-3-Clause */
/* The section Warming of INFO: what this node brings in before somebody asks for it. */
#include "server/info.h"
#include "server/node.h"

#include <inttypes.h>

static double of_one(unsigned thousandths)
{
    return (double)thousandths / JOIN_FULL;
}

static void info_join(struct info *info)
{
    const struct join *join = &info->node->join;
    struct join_rules rules;
    char text[JOIN_TEXT_MAX];
    node_join_rules(info->node, &rules);
    join_describe(join, &rules, info->now_ms, text);
    info_line(info, "join_state:%s", join_state_name(join_state(join)));
    info_line(info, "join_hot_mass:%.3f", of_one(join_mass(join)));
    info_line(info, "join_ready_ms:%" PRId64, join_ready_ms(join));
    info_line(info, "join_why:%s", text);
    info_line(info, "weight:%.3f", of_one(join_weight(join)));
}

void info_warming(struct info *info)
{
    info_join(info);
}
