/* SPDX-License-Identifier: BSD-3-Clause */
/* info_text.h -- the text of INFO: sections of lines `name:value`, some of whose values are fields `name=value,...`.
 *
 * Threads: pure; slices lie in the text. */
#ifndef TERRACE_PROTOCOL_INFO_TEXT_H
#define TERRACE_PROTOCOL_INFO_TEXT_H

#include "protocol/bytes.h"

struct info_entry {
    struct slice section; /* as in "# Server", without the sign */
    struct slice name;    /* never empty, but of a heading */
    struct slice value;
};

/* Lines from the front of *rest, which begins with the whole text; *entry keeps the section. false: no more. The first
 * gives also the headings of sections, as entries without a name. */
bool info_next_line(struct slice *rest, struct info_entry *entry);
bool info_next(struct slice *rest, struct info_entry *entry);
/* The value of a name; empty if it is not there. */
struct slice info_find(struct slice text, const char *name);
int64_t info_number(struct slice text, const char *name, int64_t preset);
/* The next field of "a=1,b=2", from the front of *rest; its section is not looked at. The last field may hold commas. */
bool info_next_field(struct slice *rest, struct info_entry *ret_field);
struct slice info_field(struct slice value, const char *name);
int64_t info_field_number(struct slice value, const char *name, int64_t preset);

/* Whether each part between commas is `name=value`, with a name of letters, digits, _ and . only: so it is no sentence
 * that has an equals sign in it. */
bool info_has_fields(struct slice value);

#endif
