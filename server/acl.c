/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/acl.h"

#include "protocol/check.h"
#include "protocol/limits.h"
#include "server/acl_log.h"
#include "server/command.h"
#include "server/node.h"
#include "tiers/l2_commands.h"
#include "tiers/tiers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct acl {
    struct node *node;
    struct acl_log *log;
    _Atomic uint64_t generation; /* of `table` */
    _Atomic bool all_channels;
    pthread_mutex_t changes; /* one change at a time; before `lock` */
    pthread_mutex_t lock;    /* of `table`: while it is taken or replaced */
    const struct acl_table *table;
    uint64_t next_id; /* under changes */
    uint16_t *ids;    /* in acl_command.h, by the index of a built-in command */
};

/* --- tables ----------------------------------------------------------------------------------------------------- */

static int name_order(struct slice a, struct slice b)
{
    const size_t least = a.size < b.size ? a.size : b.size;
    const int order = least > 0 ? memcmp(a.data, b.data, least) : 0;
    return order != 0 ? order : a.size < b.size ? -1 : a.size > b.size;
}

int acl_order(const void *a, const void *b)
{
    const struct acl_user *const *left = a;
    const struct acl_user *const *right = b;
    return name_order((*left)->name, (*right)->name);
}

/* Where the name is, or would be. */
static unsigned place_of(const struct acl_table *table, struct slice name, bool *ret_found)
{
    unsigned low = 0;
    unsigned high = table->count;
    *ret_found = false;
    while (low < high) {
        const unsigned middle = (low + high) / 2;
        const int order = name_order(name, table->users[middle]->name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static struct acl_table *table_new(unsigned count)
{
    struct acl_table *table = calloc(1, sizeof(*table) + count * sizeof(table->users[0]));
    if (table != NULL) {
        atomic_store(&table->refs, 1);
        table->count = count;
    }
    return table;
}

const struct acl_user *acl_find(const struct acl_table *table, struct slice name)
{
    bool found = false;
    const unsigned place = place_of(table, name, &found);
    return found ? table->users[place] : NULL;
}

const struct acl_table *acl_take(struct acl *acl)
{
    CHECK(pthread_mutex_lock(&acl->lock) == 0);
    const struct acl_table *table = acl->table;
    atomic_fetch_add(&((struct acl_table *)(uintptr_t)table)->refs, 1);
    CHECK(pthread_mutex_unlock(&acl->lock) == 0);
    return table;
}

void acl_drop(const struct acl_table *table)
{
    struct acl_table *own = (struct acl_table *)(uintptr_t)table;
    if (own == NULL || atomic_fetch_sub(&own->refs, 1) != 1) {
        return;
    }
    for (unsigned i = 0; i < own->count; i++) {
        acl_user_release(own->users[i]);
    }
    free(own);
}

/* Takes the table over. */
static void publish(struct acl *acl, struct acl_table *table)
{
    const struct acl_table *before = acl->table;
    table->default_user = acl_find(table, SLICE_LITERAL("default"));
    CHECK(table->default_user != NULL);
    table->generation = before == NULL ? 1 : before->generation + 1;
    CHECK(pthread_mutex_lock(&acl->lock) == 0);
    acl->table = table;
    CHECK(pthread_mutex_unlock(&acl->lock) == 0);
    atomic_store(&acl->generation, table->generation);
    acl_drop(before);
}

/* --- the node's ------------------------------------------------------------------------------------------------- */

/* What L2 has that our table has not: modules, later versions. As long as its table is not here, as when the file is read at
 * start, names with a dot may be a module's; others are more likely misspelt, and a misspelt "-name" would deny nothing. */
static bool l2_knows(void *arg, struct slice name)
{
    const struct node *node = arg;
    if (node->tiers == NULL) {
        return false;
    }
    const struct l2_commands *commands = tiers_commands(node->tiers);
    return commands == NULL ? memchr(name.data, '.', name.size) != NULL
                            : l2_commands_find(commands, name) != NULL;
}

struct acl_rule_context acl_context(struct acl *acl)
{
    return (struct acl_rule_context){
        .all_channels = atomic_load(&acl->all_channels), .knows = l2_knows, .arg = acl->node};
}

void acl_set_channels_default(struct acl *acl, bool all_channels)
{
    atomic_store(&acl->all_channels, all_channels);
}

/* Every built-in command has its line in acl_commands.def (a test sees to it). */
static uint16_t *number_commands(void)
{
    uint16_t *ids = calloc(command_count(), sizeof(*ids));
    const struct command *command;
    for (unsigned i = 0; ids != NULL && (command = command_at(i)) != NULL; i++) {
        for (unsigned j = 0; j <= command->subcommand_count; j++) {
            const struct command *one = j == 0 ? command : &command->subcommands[j - 1];
            const unsigned id = acl_command_find(slice_of(one->full_name));
            CHECK(id < acl_command_count());
            ids[one->index] = (uint16_t)id;
        }
    }
    return ids;
}

unsigned acl_id_of(const struct acl *acl, const struct command *command)
{
    return acl->ids[command->index];
}

struct acl *acl_new(struct node *node)
{
    struct acl *acl = calloc(1, sizeof(*acl));
    if (acl == NULL) {
        return NULL;
    }
    acl->node = node;
    CHECK(pthread_mutex_init(&acl->changes, NULL) == 0);
    CHECK(pthread_mutex_init(&acl->lock, NULL) == 0);
    acl->log = acl_log_new();
    acl->ids = number_commands();
    const struct acl_rule_context context = acl_context(acl);
    struct acl_user *user = acl_user_new_default(&context);
    struct acl_table *table = table_new(1);
    if (acl->log == NULL || acl->ids == NULL || user == NULL || table == NULL) {
        acl_user_release(user);
        free(table);
        acl_free(acl);
        return NULL;
    }
    user->id = ++acl->next_id;
    table->users[0] = user;
    publish(acl, table);
    return acl;
}

void acl_free(struct acl *acl)
{
    if (acl != NULL) {
        acl_drop(acl->table);
        acl_log_free(acl->log);
        free(acl->ids);
        CHECK(pthread_mutex_destroy(&acl->lock) == 0);
        CHECK(pthread_mutex_destroy(&acl->changes) == 0);
        free(acl);
    }
}

uint64_t acl_generation(const struct acl *acl)
{
    return atomic_load_explicit(&acl->generation, memory_order_acquire);
}

struct acl_log *acl_log_of(struct acl *acl)
{
    return acl->log;
}

/* --- changes ---------------------------------------------------------------------------------------------------- */

const struct acl_table *acl_begin(struct acl *acl)
{
    CHECK(pthread_mutex_lock(&acl->changes) == 0);
    return acl->table;
}

void acl_end(struct acl *acl)
{
    CHECK(pthread_mutex_unlock(&acl->changes) == 0);
}

/* The users of `from`, each with a reference, without the one at `left_out`, with room at `room` (UINT_MAX: none). */
static struct acl_table *copy_table(const struct acl_table *from, unsigned left_out, unsigned room)
{
    const unsigned fewer = left_out < from->count ? 1 : 0;
    const unsigned more = room != UINT32_MAX ? 1 : 0;
    struct acl_table *table = table_new(from->count - fewer + more);
    unsigned at = 0;
    for (unsigned i = 0; table != NULL && i <= from->count; i++) {
        at += i == room ? 1 : 0;
        if (i < from->count && i != left_out) {
            table->users[at++] = acl_user_ref(from->users[i]);
        }
    }
    return table;
}

enum status acl_put(struct acl *acl, struct acl_user *user)
{
    bool found = false;
    const unsigned place = place_of(acl->table, user->name, &found);
    if (!found && acl->table->count >= LIMIT_ACL_USERS) {
        acl_user_release(user);
        return NO_MEMORY;
    }
    struct acl_table *table = copy_table(acl->table, found ? place : UINT32_MAX, place);
    if (table == NULL) {
        acl_user_release(user);
        return NO_MEMORY;
    }
    if (user->id == 0) {
        user->id = ++acl->next_id;
    }
    table->users[place] = user;
    publish(acl, table);
    return OK;
}

enum status acl_remove(struct acl *acl, struct slice name, bool *ret_found)
{
    const unsigned place = place_of(acl->table, name, ret_found);
    if (!*ret_found) {
        return OK;
    }
    struct acl_table *table = copy_table(acl->table, place, UINT32_MAX);
    if (table == NULL) {
        return NO_MEMORY;
    }
    publish(acl, table);
    return OK;
}

enum status acl_put_all(struct acl *acl, struct acl_user **users, unsigned count)
{
    struct acl_table *table = table_new(count);
    if (table == NULL) {
        return NO_MEMORY;
    }
    for (unsigned i = 0; i < count; i++) {
        const bool is_default = slice_is(users[i]->name, "default");
        users[i]->id = is_default ? acl->table->default_user->id : ++acl->next_id;
        table->users[i] = users[i];
    }
    publish(acl, table);
    return OK;
}

/* --- the default user ------------------------------------------------------------------------------------------- */

enum status acl_user_set_password(struct acl_user *user, struct slice password,
                                  const struct acl_rule_context *context)
{
    struct buf rule = {0};
    enum status status = buf_append(&rule, ">", 1);
    if (status == OK) {
        status = buf_append_slice(&rule, password);
    }
    const char *reason = status == OK
                             ? acl_user_set(user, SLICE_LITERAL("resetpass"), context, NULL)
                             : "out of memory";
    if (reason == NULL) {
        reason = acl_user_set(user, password.size > 0 ? buf_slice(&rule) : SLICE_LITERAL("nopass"),
                              context, NULL);
    }
    buf_done(&rule);
    return reason == NULL ? OK : NO_MEMORY;
}

enum status acl_set_default_password(struct acl *acl, struct slice password)
{
    const struct acl_rule_context context = acl_context(acl);
    struct acl_user *user = acl_user_copy(acl_begin(acl)->default_user);
    enum status status = NO_MEMORY;
    if (user != NULL && acl_user_set_password(user, password, &context) == OK) {
        status = acl_put(acl, user);
    } else {
        acl_user_release(user);
    }
    acl_end(acl);
    return status;
}

bool acl_is_open(const struct acl_table *table)
{
    const unsigned flags = table->default_user->flags;
    return (flags & ACL_USER_ON) != 0 && (flags & ACL_USER_NOPASS) != 0;
}
