/* SPDX-License-Identifier: BSD-3-Clause */
/* acl_list.h -- the lists and selectors of a user, for those who build him: acl_user.c, acl_rules.c.
 *
 * Threads: one. */
#ifndef TERRACE_SERVER_ACL_LIST_H
#define TERRACE_SERVER_ACL_LIST_H

#include "server/acl_user.h"

/* A copy of the bytes. NO_MEMORY: or the list is full. */
enum status acl_list_add(struct acl_list *list, struct slice bytes, uint32_t tag) MUST_USE;
struct acl_text *acl_list_find(const struct acl_list *list, struct slice bytes); /* NULL: none */
void acl_list_remove(struct acl_list *list, struct acl_text *text);
void acl_list_remove_tag(struct acl_list *list, uint32_t tag);
void acl_list_clear(struct acl_list *list);

/* Takes the selector over if OK. NO_MEMORY: or there are too many. */
enum status acl_user_add_selector(struct acl_user *user,
                                  const struct acl_selector *selector) MUST_USE;

#endif
