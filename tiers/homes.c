/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/homes.h"

#include "protocol/hash.h"

#include <stdio.h>

enum {
    AT_NAME = 0,
    AT_PREFIX = 4,
    AT_FACTS = 8
};

struct row {
    uint32_t name;
    uint32_t prefix;
    uint32_t facts;
};

static uint32_t facts_of(const struct namespace *ns)
{
    return (ns->managed ? (uint32_t)HOME_MANAGED : 0) |
           (namespace_told(ns) ? (uint32_t)HOME_TOLD : 0);
}

/* Where its keys would be without it. */
static const struct namespace *parent_of(const struct namespaces *spaces,
                                         const struct namespace *ns)
{
    const struct namespace *parent = namespaces_default(spaces);
    const struct namespace *other = NULL;
    for (unsigned at = 0; (other = namespaces_next(spaces, &at)) != NULL;) {
        if (other->prefix.size < ns->prefix.size && other->prefix.size > parent->prefix.size &&
            memcmp(other->prefix.data, ns->prefix.data, other->prefix.size) == 0) {
            parent = other;
        }
    }
    return parent;
}

static struct row row_of(const struct namespaces *spaces, const struct namespace *ns)
{
    const uint32_t facts = facts_of(ns);
    const bool matters = ns->managed || facts != facts_of(parent_of(spaces, ns));
    return (struct row){
        .name = (uint32_t)hash_checksum(slice_of(ns->name)),
        .prefix = (uint32_t)hash_checksum(ns->prefix),
        .facts = facts | (matters ? (uint32_t)HOME_MATTERS : 0),
    };
}

size_t homes_write(const struct namespaces *spaces, char dst[FRAME_HOMES_MAX * FRAME_HOME_SIZE])
{
    const struct namespace *ns = NULL;
    size_t size = 0;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL; size += FRAME_HOME_SIZE) {
        const struct row row = row_of(spaces, ns);
        put_u32le(dst + size + AT_NAME, row.name);
        put_u32le(dst + size + AT_PREFIX, row.prefix);
        put_u32le(dst + size + AT_FACTS, row.facts);
    }
    return size;
}

/* --- comparing --------------------------------------------------------------------------------------------------- */

static struct row row_at(struct slice rows, size_t place)
{
    const char *at = rows.data + place * FRAME_HOME_SIZE;
    return (struct row){
        .name = get_u32le(at + AT_NAME),
        .prefix = get_u32le(at + AT_PREFIX),
        .facts = get_u32le(at + AT_FACTS),
    };
}

static bool find_by_prefix(struct slice rows, uint32_t prefix, struct row *ret)
{
    for (size_t i = 0; i < rows.size / FRAME_HOME_SIZE; i++) {
        *ret = row_at(rows, i);
        if (ret->prefix == prefix) {
            return true;
        }
    }
    return false;
}

static bool find_by_name(struct slice rows, uint32_t name, struct row *ret)
{
    for (size_t i = 0; i < rows.size / FRAME_HOME_SIZE; i++) {
        *ret = row_at(rows, i);
        if (ret->name == name) {
            return true;
        }
    }
    return false;
}

/* NULL: in nothing. */
static const char *difference(const struct row *ours, struct slice rows)
{
    struct row theirs;
    if (find_by_prefix(rows, ours->prefix, &theirs)) {
        const uint32_t differs = ours->facts ^ theirs.facts;
        return (differs & HOME_MANAGED) != 0 ? "another format there"
               : (differs & HOME_TOLD) != 0  ? "other writers there"
               : (ours->facts & HOME_MANAGED) != 0 && ours->name != theirs.name
                   ? "another name there"
                   : NULL;
    }
    if (find_by_name(rows, ours->name, &theirs)) {
        return ((ours->facts | theirs.facts) & HOME_MATTERS) != 0 ? "another prefix there" : NULL;
    }
    return (ours->facts & HOME_MATTERS) != 0 ? "missing there" : NULL;
}

/* What they have of which we know neither name nor prefix. */
static bool has_strangers(struct slice ours, struct slice theirs)
{
    for (size_t i = 0; i < theirs.size / FRAME_HOME_SIZE; i++) {
        const struct row row = row_at(theirs, i);
        struct row same;
        if ((row.facts & HOME_MATTERS) != 0 && !find_by_prefix(ours, row.prefix, &same) &&
            !find_by_name(ours, row.name, &same)) {
            return true;
        }
    }
    return false;
}

void homes_compare(const struct namespaces *spaces, struct slice theirs,
                   char ret[PEER_DISAGREEMENT_MAX])
{
    char room[FRAME_HOMES_MAX * FRAME_HOME_SIZE];
    const struct slice ours = {room, homes_write(spaces, room)};
    ret[0] = '\0';
    if (theirs.size == 0 || slice_equal(ours, theirs)) {
        return;
    }
    const struct namespace *ns = NULL;
    size_t place = 0;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL; place++) {
        const struct row row = row_at(ours, place);
        const char *what = difference(&row, theirs);
        if (what != NULL) {
            (void)snprintf(ret, PEER_DISAGREEMENT_MAX, "namespace %s: %s", ns->name, what);
            return;
        }
    }
    if (has_strangers(ours, theirs)) {
        (void)snprintf(ret, PEER_DISAGREEMENT_MAX, "a namespace of it is missing here");
    }
}
