/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/saved.h"

#include "protocol/check.h"
#include "tiers/snapshot_l1.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    OTHER_BOOT_PER_MILLE = 50,
    COLD_PER_MILLE = 200
};

/* One that is being written. */
struct saving {
    struct saving *next; /* of all that ever were */
    struct node *node;
    struct coherence_mark mark;
    struct snapshot_now now;
};

/* The clock of the machine goes on from one life to the next. */
static struct snapshot_now clocks(const struct node *node)
{
    struct snapshot_now now = {.now_ms = node_now_ms(node),
                               .boot_ms = node->world->now_us / SIM_MS,
                               .unix_ms = node->world->now_us / SIM_MS};
    memcpy(now.boot, &node->world->boots[node->slot], sizeof node->world->boots[node->slot]);
    return now;
}

static enum status on_bytes(void *arg, struct slice bytes)
{
    return buf_append_slice(arg, bytes);
}

static void save(struct saving *saving)
{
    struct node *node = saving->node;
    struct buf *file = &node->world->files[node->slot];
    struct snapshot_head head;
    struct snapshot_writer writer = {0};
    file->size = 0;
    snapshot_head_fill(&head, node->namespaces, &saving->mark, &saving->now);
    CHECK(snapshot_begin(&writer, (struct snapshot_sink){.write = on_bytes, .arg = file}, &head) ==
          OK);
    CHECK(snapshot_take(&writer, node->namespaces, UINT64_MAX, node_now_ms(node)) == OK);
    CHECK(snapshot_end(&writer) == OK);
    TRACE(node->world, "node %u writes down %" PRIu64 " values, as of seq %" PRIu64, node->slot,
          writer.totals.records, head.seq);
    snapshot_writer_done(&writer);
    node->world->saves++;
}

static void on_walk(struct world *world, void *arg, uint64_t number)
{
    struct saving *saving = arg;
    (void)world;
    (void)number;
    if (!saving->node->ended) {
        save(saving);
    }
}

void saved_begin(struct node *node, bool ends)
{
    struct world *world = node->world;
    struct saving *saving = sim_alloc(sizeof *saving);
    *saving = (struct saving){.next = world->savings, .node = node, .now = clocks(node)};
    world->savings = saving;
    coherence_mark(tiers_coherence(node->tiers), &saving->mark);
    world_at(world, ends ? 0 : world_between(world, 0, 200 * SIM_MS), NULL, on_walk, saving, 0);
}

static enum status read_bytes(void *arg, uint64_t offset, char *dst, size_t size)
{
    const struct buf *file = arg;
    memcpy(dst, file->data + offset, size);
    return OK;
}

void saved_restore(struct node *node)
{
    struct world *world = node->world;
    struct buf *file = &world->files[node->slot];
    struct snapshot_reader reader;
    struct snapshot_restored restored;
    if (file->size == 0 || world_chance(world, COLD_PER_MILLE)) {
        return;
    }
    if (world_chance(world, OTHER_BOOT_PER_MILLE)) {
        world->boots[node->slot]++;
    }
    const struct snapshot_now now = clocks(node);
    CHECK(snapshot_open(
              &reader,
              &(struct snapshot_source){.read = read_bytes, .arg = file, .size = file->size},
              UINT64_MAX) == OK);
    CHECK(snapshot_restore(&reader, node->namespaces, false, &now, NULL, &restored) == OK);
    snapshot_close(&reader);
    coherence_resume(tiers_coherence(node->tiers), &restored.mark, now.now_ms);
    node->managed_floor_ms = restored.mark.managed_floor_ms;
    node->resumes = restored.mark.seq != 0 && restored.managed > 0;
    world->returns += node->resumes;
    TRACE(world,
          "node %u comes back with %" PRIu64 " managed values and %" PRIu64
          " suspects, as of seq %" PRIu64,
          node->slot, restored.managed, restored.suspects, restored.mark.seq);
}

void saved_free(struct world *world)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        buf_done(&world->files[i]);
    }
    while (world->savings != NULL) {
        struct saving *saving = world->savings;
        world->savings = saving->next;
        free(saving);
    }
}
