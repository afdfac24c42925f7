/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/acl_user.h"

#include "protocol/limits.h"
#include "server/acl_list.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

/* --- lists ------------------------------------------------------------------------------------------------------ */

void acl_list_clear(struct acl_list *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        free((void *)(uintptr_t)list->at[i].bytes.data);
    }
    free(list->at);
    *list = (struct acl_list){.count = 0};
}

enum status acl_list_add(struct acl_list *list, struct slice bytes, uint32_t tag)
{
    if (list->count >= LIMIT_ACL_TEXTS) {
        return NO_MEMORY;
    }
    if ((list->count & (list->count - 1)) == 0) { /* room doubles at powers of two */
        const size_t room = list->count == 0 ? 1 : 2 * (size_t)list->count;
        struct acl_text *grown = realloc(list->at, room * sizeof(*grown));
        if (grown == NULL) {
            return NO_MEMORY;
        }
        list->at = grown;
    }
    char *copy = malloc(bytes.size + 1);
    if (copy == NULL) {
        return NO_MEMORY;
    }
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    copy[bytes.size] = '\0';
    list->at[list->count++] =
        (struct acl_text){.tag = tag, .bytes = {.data = copy, .size = bytes.size}};
    return OK;
}

static enum status acl_list_copy(const struct acl_list *from, struct acl_list *ret)
{
    *ret = (struct acl_list){.count = 0};
    enum status status = OK;
    for (unsigned i = 0; i < from->count && status == OK; i++) {
        status = acl_list_add(ret, from->at[i].bytes, from->at[i].tag);
    }
    return status;
}

struct acl_text *acl_list_find(const struct acl_list *list, struct slice bytes)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (slice_equal(list->at[i].bytes, bytes)) {
            return &list->at[i];
        }
    }
    return NULL;
}

void acl_list_remove(struct acl_list *list, struct acl_text *text)
{
    const unsigned place = (unsigned)(text - list->at);
    free((void *)(uintptr_t)text->bytes.data);
    memmove(text, text + 1, (list->count - place - 1) * sizeof(*text));
    list->count--;
    if (list->count == 0) {
        acl_list_clear(list);
    }
}

void acl_list_remove_tag(struct acl_list *list, uint32_t tag)
{
    for (unsigned i = list->count; i-- > 0;) {
        if (list->at[i].tag == tag) {
            acl_list_remove(list, &list->at[i]);
        }
    }
}

/* --- selectors -------------------------------------------------------------------------------------------------- */

void acl_selector_done(struct acl_selector *selector)
{
    acl_list_clear(&selector->patterns);
    acl_list_clear(&selector->channels);
    acl_list_clear(&selector->first_args);
    acl_list_clear(&selector->others);
}

static enum status selector_copy(const struct acl_selector *from, struct acl_selector *ret)
{
    *ret = *from;
    enum status status = acl_list_copy(&from->patterns, &ret->patterns);
    const enum status channels = acl_list_copy(&from->channels, &ret->channels);
    const enum status first_args = acl_list_copy(&from->first_args, &ret->first_args);
    const enum status others = acl_list_copy(&from->others, &ret->others);
    const bool whole = status == OK && channels == OK && first_args == OK && others == OK;
    return whole ? OK : NO_MEMORY;
}

enum status acl_user_add_selector(struct acl_user *user, const struct acl_selector *selector)
{
    if (user->selector_count >= LIMIT_ACL_SELECTORS) {
        return NO_MEMORY;
    }
    struct acl_selector *grown =
        realloc(user->selectors, (user->selector_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return NO_MEMORY;
    }
    user->selectors = grown;
    grown[user->selector_count++] = *selector;
    return OK;
}

/* --- users ------------------------------------------------------------------------------------------------------ */

static void user_free(struct acl_user *user)
{
    for (unsigned i = 0; i < user->selector_count; i++) {
        acl_selector_done(&user->selectors[i]);
    }
    free(user->selectors);
    acl_list_clear(&user->passwords);
    free(user);
}

/* The name lies behind the struct. */
static struct acl_user *user_alloc(struct slice name)
{
    struct acl_user *user = calloc(1, sizeof(*user) + name.size + 1);
    if (user != NULL) {
        char *text = (char *)(user + 1);
        if (name.size > 0) {
            memcpy(text, name.data, name.size);
        }
        user->name = (struct slice){text, name.size};
        atomic_store(&user->refs, 1);
    }
    return user;
}

struct acl_user *acl_user_new(struct slice name, const struct acl_rule_context *context)
{
    struct acl_user *user = user_alloc(name);
    const struct acl_selector root = {.all_channels = context->all_channels};
    if (user != NULL && acl_user_add_selector(user, &root) != OK) {
        user_free(user);
        return NULL;
    }
    return user;
}

struct acl_user *acl_user_copy(const struct acl_user *from)
{
    struct acl_user *user = user_alloc(from->name);
    if (user == NULL) {
        return NULL;
    }
    user->id = from->id;
    user->flags = from->flags;
    enum status status = acl_list_copy(&from->passwords, &user->passwords);
    for (unsigned i = 0; i < from->selector_count && status == OK; i++) {
        struct acl_selector selector;
        status = selector_copy(&from->selectors[i], &selector);
        if (status != OK || acl_user_add_selector(user, &selector) != OK) {
            acl_selector_done(&selector);
            status = NO_MEMORY;
        }
    }
    if (status != OK) {
        user_free(user);
        return NULL;
    }
    return user;
}

struct acl_user *acl_user_new_default(const struct acl_rule_context *context)
{
    static const char *const rules[] = {"+@all", "~*", "&*", "on", "nopass"};
    struct acl_user *user = acl_user_new(SLICE_LITERAL("default"), context);
    for (size_t i = 0; user != NULL && i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (acl_user_set(user, slice_of(rules[i]), context, NULL) != NULL) {
            user_free(user);
            return NULL;
        }
    }
    return user;
}

const struct acl_user *acl_user_ref(const struct acl_user *user)
{
    atomic_fetch_add(&((struct acl_user *)(uintptr_t)user)->refs, 1);
    return user;
}

void acl_user_release(const struct acl_user *user)
{
    struct acl_user *own = (struct acl_user *)(uintptr_t)user;
    if (own != NULL && atomic_fetch_sub(&own->refs, 1) == 1) {
        user_free(own);
    }
}

/* --- passwords -------------------------------------------------------------------------------------------------- */

void acl_hash_password(struct slice password, char ret_hex[ACL_PASSWORD_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[SHA256_DIGEST_LENGTH];
    (void)SHA256((const unsigned char *)password.data, password.size, hash);
    for (size_t i = 0; i < sizeof(hash); i++) {
        ret_hex[2 * i] = digits[hash[i] >> 4];
        ret_hex[2 * i + 1] = digits[hash[i] & 15];
    }
    OPENSSL_cleanse(hash, sizeof(hash));
}

bool acl_user_password_is(const struct acl_user *user, struct slice password)
{
    if ((user->flags & ACL_USER_NOPASS) != 0) {
        return true;
    }
    char hex[ACL_PASSWORD_SIZE];
    acl_hash_password(password, hex);
    bool right = false;
    for (unsigned i = 0; i < user->passwords.count; i++) {
        right |= CRYPTO_memcmp(hex, user->passwords.at[i].bytes.data, sizeof(hex)) == 0;
    }
    return right;
}

bool acl_user_is_free(const struct acl_user *user)
{
    for (unsigned i = 0; i < user->selector_count; i++) {
        const struct acl_selector *selector = &user->selectors[i];
        if (selector->all_commands && selector->all_keys && selector->all_channels) {
            return true;
        }
    }
    return false;
}
