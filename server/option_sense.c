/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings that contradict each other, and settings that have no effect where they stand. */
#include "server/option_table.h"
#include "tiers/l2_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_managed(const struct namespace_options *ns)
{
    return strcmp(ns->format, "managed") == 0;
}

static bool is(const struct option *option, const char *name)
{
    return strcmp(option->name, name) == 0;
}

static bool is_said(const struct namespace_options *ns, const char *name)
{
    return ns->lines[option_index(namespace_option_find(slice_of(name)))] > 0;
}

/* --- contradictions ------------------------------------------------------------------------------------------------- */

/* The reason, and the option's name. */
static const char *contradiction_of(const struct namespace_options *ns, const char **ret_option)
{
    *ret_option = "ttl";
    if (is_managed(ns) && ns->max_ttl > 0 && ns->ttl > ns->max_ttl) {
        return "ttl is longer than max-ttl";
    }
    *ret_option = "soft-timeout";
    if (is_managed(ns) && is_said(ns, "soft-timeout") && ns->soft_timeout > ns->hard_timeout) {
        return "soft-timeout is longer than hard-timeout, which ends the wait before";
    }
    *ret_option = "write";
    if (!is_managed(ns) && slice_is_nocase(slice_of(ns->write), "around")) {
        return "write 'around' needs format 'managed': plain values are written as they come";
    }
    return NULL;
}

const char *namespaces_check_sense(const struct options *options, char room[OPTION_REASON_MAX],
                                   struct option_place *ret_place)
{
    for (unsigned i = 0; i < options->namespace_count; i++) {
        const struct namespace_options *ns = &options->namespaces[i];
        const char *option = NULL;
        const char *reason = contradiction_of(ns, &option);
        if (reason != NULL) {
            *ret_place = (struct option_place){.option = namespace_option_find(slice_of(option)),
                                               .section = ns};
            (void)snprintf(room, OPTION_REASON_MAX, "namespace '%s': %s", ns->name, reason);
            return room;
        }
    }
    return NULL;
}

/* --- no effect ------------------------------------------------------------------------------------------------------ */

static bool is_of_managed(const struct option *option)
{
    static const char *const names[] = {
        "max-ttl",      "jitter",       "swr",          "sie",          "eager",       "xfetch",
        "negative-ttl", "soft-timeout", "hard-timeout", "load-timeout", "compress-min"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (is(option, names[i])) {
            return true;
        }
    }
    return false;
}

/* NULL: it has one. */
static const char *void_in_section(const struct options *options,
                                   const struct namespace_options *ns, const struct option *option)
{
    if (options->l2[0] == '\0' && (is(option, "mode") || is(option, "writers"))) {
        return "without l2: this node's memory is the only copy";
    }
    if (!is_managed(ns)) {
        return is_of_managed(option) ? "on plain values: it needs format = managed" : NULL;
    }
    if (is(option, "jitter") && ns->jitter > 0 && ns->ttl == 0 && ns->max_ttl == 0) {
        return "without ttl or max-ttl: no life is the namespace's own choice";
    }
    if (is(option, "sie") && ns->sie > 0 && ns->sie <= ns->swr) {
        return "beside a swr that is as long: both begin when the fresh life is over";
    }
    return NULL;
}

/* What is said and is the default anyway is a printed configuration. `room`: all zeros, as large as `fields`. */
static bool is_default(const void *fields, void *room, const struct option *option)
{
    char reason[OPTION_REASON_MAX];
    const bool same = option_assign(room, option, slice_of(option->fallback), reason) == OK &&
                      option_same(fields, room, option);
    if (option_is_text(option)) {
        free(*option_text_field(room, option));
        *option_text_field(room, option) = NULL;
    }
    return same;
}

static bool any_is_behind(const struct options *options)
{
    for (unsigned i = 0; i < options->namespace_count; i++) {
        if (slice_is_nocase(slice_of(options->namespaces[i].write), "behind")) {
            return true;
        }
    }
    return false;
}

static bool is_kin(const struct option *option, const char *prefix)
{
    return strncmp(option->name, prefix, strlen(prefix)) == 0;
}

static const char *void_in_node(const struct options *options, const struct option *option)
{
    if (options->l2[0] == '\0' && (is(option, "mode") || is(option, "writers"))) {
        return "without l2: this node's memory is the only copy";
    }
    if (is_kin(option, "behind-") && !any_is_behind(options)) {
        return "where no namespace has write = behind";
    }
    struct option_address address;
    if (is_kin(option, "tls-") && options_first_address(options, true, &address) != OK) {
        return "without a tls:// address in listen";
    }
    if (is_kin(option, "l2-tls-") && !l2_urls_use_tls(slice_of(options->l2))) {
        return "without a rediss:// address in l2";
    }
    if (is_kin(option, "snapshot-") && options->snapshot_dir[0] == '\0') {
        return "without snapshot-dir";
    }
    if (is(option, "admin-token") && options->admin[0] == '\0') {
        return "without admin";
    }
    return NULL;
}

static void tell(const struct options *options, const struct option_place *place,
                 const char *reason, options_advice_fn *on_advice, void *arg)
{
    char where[OPTION_WHERE_MAX];
    char text[OPTIONS_ERROR_MAX];
    option_describe(options, place, where);
    (void)snprintf(text, sizeof(text), "%s: %s%s%s%s has no effect %s", where,
                   place->section == NULL ? "" : "namespace '",
                   place->section == NULL ? "" : place->section->name,
                   place->section == NULL ? "" : "': ", place->option->name, reason);
    on_advice(arg, text);
}

void options_advise(const struct options *options, options_advice_fn *on_advice, void *arg)
{
    struct option_place place = {NULL, NULL};
    const char *reason;
    for (unsigned i = 0; (place.option = option_at(i)) != NULL; i++) {
        struct options room = {.file = NULL};
        if (!is_default(options, &room, place.option) &&
            (reason = void_in_node(options, place.option)) != NULL) {
            tell(options, &place, reason, on_advice, arg);
        }
    }
    for (unsigned n = 0; n < options->namespace_count; n++) {
        place.section = &options->namespaces[n];
        for (unsigned i = 0; (place.option = namespace_option_at(i)) != NULL; i++) {
            struct namespace_options room = {.name = NULL};
            if (!is_default(place.section, &room, place.option) &&
                (reason = void_in_section(options, place.section, place.option)) != NULL) {
                tell(options, &place, reason, on_advice, arg);
            }
        }
    }
}
