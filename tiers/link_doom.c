/* SPDX-License-Identifier: BSD-3-Clause */
/* link_doom.c -- a write of unknown outcome must not run later (link.h, "Lost writes"; COHERENCE T7). */
#include "tiers/link_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t kill_wait_ms(const struct link *link)
{
    const struct link_options *options = &link->options;
    return options->kill_wait_ms != NULL ? options->kill_wait_ms(options->arg) : 0;
}

static bool is_doomed(const struct link_slot *slot, uint64_t written)
{
    return slot->request != NULL && slot->request->writes && slot->ends_at <= written;
}

static void group_push(struct link *link, struct link_doomed *group)
{
    struct link_doomed **last = &link->doomed;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = group;
}

static void group_take_out(struct link *link, struct link_doomed *group)
{
    struct link_doomed **at = &link->doomed;
    while (*at != group) {
        at = &(*at)->next;
    }
    *at = group->next;
}

/* Callbacks may ask and close. */
static void group_end_writes(struct link *link, struct link_doomed *group, bool confirmed)
{
    if (!group->given_up) {
        group->given_up = !confirmed;
        link_count(link, confirmed ? M_KILLS_CONFIRMED : M_KILLS_GIVEN_UP);
    }
    struct link_fifo writes = group->writes;
    group->writes = (struct link_fifo){0};
    while (writes.count > 0) {
        struct link_request *request = link_fifo_pop(&writes).request;
        request->confirmed = confirmed;
        link_end_request(link, request, UNKNOWN, (struct slice){0});
    }
    link_fifo_done(&writes);
}

/* The group is the link's no more when its writes end. */
static void group_end(struct link *link, struct link_doomed *group, bool confirmed)
{
    group_take_out(link, group);
    group_end_writes(link, group, confirmed);
    free(group);
}

void link_doom(struct link *link, struct link_fifo *sent, uint64_t written, int64_t now_ms)
{
    const int64_t wait_ms = kill_wait_ms(link);
    size_t count = 0;
    for (size_t i = 0; i < sent->count; i++) {
        count += is_doomed(link_fifo_at(sent, i), written);
    }
    struct link_doomed *group = wait_ms > 0 && count > 0 ? calloc(1, sizeof *group) : NULL;
    if (group == NULL) {
        return;
    }
    if (link_fifo_reserve(&group->writes, count) != OK) {
        free(group);
        return;
    }
    group->client_id = link->client_id;
    group->run = link->greeting.run;
    group->url = link->options.url;
    group->epoch = link->fence.epoch.counter;
    group->until_ms = now_ms + wait_ms;
    for (size_t i = 0; i < sent->count; i++) {
        struct link_slot *slot = link_fifo_at(sent, i);
        if (is_doomed(slot, written)) {
            link_fifo_push(&group->writes, *slot);
            slot->request = NULL;
        }
    }
    group_push(link, group);
    link->retry_at_ms = now_ms; /* somebody waits for it */
}

void link_doom_lost(struct link *link)
{
    for (struct link_doomed *group = link->doomed; group != NULL; group = group->next) {
        group->asked = false;
    }
}

void link_doom_free(struct link *link)
{
    while (link->doomed != NULL) {
        group_end(link, link->doomed, false);
    }
}

void link_doom_tick(struct link *link, int64_t now_ms)
{
    for (struct link_doomed *group = link->doomed; group != NULL; group = group->next) {
        if (!group->given_up && now_ms >= group->until_ms) {
            group_end_writes(link, group, false); /* it is killed all the same, when L2 is back */
            return; /* a callback may have changed the list; the others have the next tick */
        }
    }
}

static bool asks_nothing(const struct link_fifo *fifo)
{
    size_t i = 0;
    while (i < fifo->count && link_fifo_at(fifo, i)->kind == SLOT_BEAT) {
        i++;
    }
    return i == fifo->count;
}

bool link_is_quiet(const struct link *link)
{
    const struct link_doomed *group = link->doomed;
    while (group != NULL && group->writes.count == 0) {
        group = group->next;
    }
    return group == NULL && !link->poured && link->waiting.count == 0 &&
           link->fence.kept.count == 0 && asks_nothing(&link->sent);
}

/* --- the greeting ------------------------------------------------------------------------------------------------ */

/* The first whose process is another one now. */
static struct link_doomed *find_of_another_run(const struct link *link)
{
    struct link_doomed *group = link->doomed;
    while (group != NULL && group->run == link->greeting.run) {
        group = group->next;
    }
    return group;
}

static enum status kill_append(struct link *link, uint64_t client_id)
{
    char id[24];
    const int digits = snprintf(id, sizeof id, "%" PRIu64, client_id);
    return buf_printf(&link->out, "*4\r\n$6\r\nCLIENT\r\n$4\r\nKILL\r\n$2\r\nID\r\n$%d\r\n%s\r\n",
                      digits, id);
}

void link_doom_greeted(struct link *link)
{
    const uint64_t connection = link->connection;
    struct link_doomed *group = NULL;
    while ((group = find_of_another_run(link)) != NULL) {
        /* At another address the former server may live on, be the master again one day, and still have the bytes in its
         * connection: a new process there says nothing (tests/model/unknown.pml, ANY_NEW_RUN_ID). */
        const bool is_elsewhere = group->url != link->options.url;
        const bool is_newer = group->epoch < link->greeting.epoch.counter;
        if (!is_newer && !is_elsewhere && !group->given_up) {
            break; /* which of the two processes is the newer one is not known: let it wait */
        }
        group_end(link, group, is_newer && !is_elsewhere);
        if (connection != link->connection) {
            return;
        }
    }
    const size_t before = link->out.size - link->out_head;
    for (group = link->doomed; group != NULL; group = group->next) {
        if (group->run == link->greeting.run && kill_append(link, group->client_id) == OK) {
            group->asked = true;
            link_count(link, M_KILLS_ASKED);
        }
    }
    link_out_announce(link, before);
}

bool link_doom_waits(const struct link *link)
{
    const struct link_doomed *group = link->doomed;
    while (group != NULL && !group->asked) {
        group = group->next;
    }
    return group != NULL;
}

void link_doom_take_kill(struct link *link, bool is_number)
{
    struct link_doomed *group = link->doomed;
    while (!group->asked) {
        group = group->next;
    }
    group_end(link, group, is_number);
}
