/* SPDX-License-Identifier: BSD-3-Clause */
/* info_text.h -- the text of INFO: sections of lines `name:value`, some of whose values are fields `name=value,...`.
 *
 * Threads: pure; slices lie in the text. */
#ifndef TERRACE_CLIENT_CLI_INFO_TEXT_H
#define TERRACE_CLIENT_CLI_INFO_TEXT_H

#include "protocol/bytes.h"

#include <jansson.h>

struct info_entry {
    struct slice section; /* as in "# Server", without the sign */
    struct slice name;
    struct slice value;
};

/* Lines from the front of *rest, which begins with the whole text; *entry keeps the section. false: no more. */
bool info_next(struct slice *rest, struct info_entry *entry);
/* The value of a name; empty if it is not there. */
struct slice info_find(struct slice text, const char *name);
int64_t info_number(struct slice text, const char *name, int64_t preset);
/* A field of "a=1,b=2". The last field may hold commas. */
struct slice info_field(struct slice value, const char *name);
int64_t info_field_number(struct slice value, const char *name, int64_t preset);

/* {"server": {"redis_version": ...}, ...}; values made of fields are objects. NULL: no memory. */
json_t *info_json(struct slice text);

#endif
