/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/learned.h"

#include "protocol/check.h"
#include "protocol/hash.h"
#include "tiers/l2_commands.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 2 * LEARNED_MAX /* a power of two, never more than half full */
};

struct learned {
    pthread_mutex_t lock;
    unsigned count;        /* under lock, as all below */
    uint16_t slots[SLOTS]; /* by hash, going on with the next: number of the name + 1; 0: free */
    char names[LEARNED_MAX][L2_COMMAND_NAME_MAX];
};

struct learned *learned_new(void)
{
    struct learned *learned = calloc(1, sizeof(*learned));
    if (learned != NULL) {
        CHECK(pthread_mutex_init(&learned->lock, NULL) == 0);
    }
    return learned;
}

void learned_free(struct learned *learned)
{
    if (learned != NULL) {
        (void)pthread_mutex_destroy(&learned->lock);
        free(learned);
    }
}

/* The slot that has the name, or the free one where it belongs. */
static uint16_t *slot_of(struct learned *learned, const char *name)
{
    size_t at = hash_checksum(slice_of(name)) % SLOTS;
    while (learned->slots[at] != 0 && strcmp(learned->names[learned->slots[at] - 1], name) != 0) {
        at = (at + 1) % SLOTS;
    }
    return &learned->slots[at];
}

unsigned learned_index(struct learned *learned, const char *name)
{
    unsigned number = LEARNED_MAX;
    (void)pthread_mutex_lock(&learned->lock);
    uint16_t *slot = slot_of(learned, name);
    if (*slot == 0 && learned->count < LEARNED_MAX) {
        (void)strncpy(learned->names[learned->count], name, L2_COMMAND_NAME_MAX - 1);
        *slot = (uint16_t)++learned->count;
    }
    if (*slot != 0) {
        number = *slot - 1u;
    }
    (void)pthread_mutex_unlock(&learned->lock);
    return command_count() + number;
}

static bool next_of_ours(struct learned_walk *walk, struct command *ret_command)
{
    const struct command *command = command_at(walk->command);
    if (command == NULL) {
        return false;
    }
    *ret_command = walk->subcommand == 0 ? *command : command->subcommands[walk->subcommand - 1];
    if (walk->subcommand++ == command->subcommand_count) {
        walk->subcommand = 0;
        walk->command++;
    }
    return true;
}

bool learned_next(struct learned *learned, struct learned_walk *walk, struct command *ret_command)
{
    if (next_of_ours(walk, ret_command)) {
        return true;
    }
    (void)pthread_mutex_lock(&learned->lock);
    const bool is_there = walk->number < learned->count;
    (void)pthread_mutex_unlock(&learned->lock);
    if (is_there) {
        *ret_command = (struct command){.full_name = learned->names[walk->number],
                                        .index = command_count() + walk->number};
        walk->number++; /* what was written stays as it is */
    }
    return is_there;
}
