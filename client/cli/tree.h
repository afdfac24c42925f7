/* SPDX-License-Identifier: BSD-3-Clause */
/* tree.h -- a reply of a node (RESP3) as a tree to look things up in.
 *
 * Attributes are left out. RESP2's flat pairs are not maps.
 *
 * Owns:    its nodes; texts lie in the reply that was read, which must outlive the tree.
 * Limits:  TREE_DEPTH_MAX.
 * Errors:  MALFORMED (no reply, more than one, too deep), NO_MEMORY. */
#ifndef TERRACE_CLIENT_CLI_TREE_H
#define TERRACE_CLIENT_CLI_TREE_H

#include "protocol/resp_read.h"

#include <jansson.h>

enum {
    TREE_DEPTH_MAX = 32
};

struct tree {
    struct reply_element element;
    size_t count; /* elements below; of a map: two for each pair */
    struct tree *below;
};

enum status tree_read(struct slice reply, struct tree *ret_tree) MUST_USE;
void tree_done(struct tree *tree);

/* All of these take NULL, and give NULL, "" or `preset` for what is not there. */
const struct tree *tree_at(const struct tree *tree, size_t i);
const struct tree *tree_find(const struct tree *map, const char *name); /* the value */
struct slice tree_text(const struct tree *tree);              /* of strings, statuses, errors */
int64_t tree_number(const struct tree *tree, int64_t preset); /* integers; strings of digits */
double tree_real(const struct tree *tree, double preset);
bool tree_is_error(const struct tree *tree);

/* As JSON: maps become objects, bytes that are no UTF-8 become {"base64": ...}. NULL: no memory. */
json_t *tree_json(const struct tree *tree);

#endif
