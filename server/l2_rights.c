/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/l2_rights.h"

#include "server/node.h"
#include "tiers/base/rand.h"
#include "tiers/tiers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_MS = 2000,
    AGAIN_MS = 5000,   /* after a refusal: somebody may have granted them */
    REPEAT_MS = 15000, /* after a success: somebody may have changed rights or policy */
    RECORD_MS = 10000,
    EVICTION_TEXT_MAX = RIGHTS_POLICY_MAX + 48
};

struct l2_rights {
    struct node *node;
    struct link *link; /* NULL: closed for good */
    int64_t now_ms;
    bool wanted;           /* there is something to ask, or it is being asked */
    bool asked;            /* on the present connection */
    bool away;             /* an attempt has failed: from now on nothing ends the node */
    int64_t overdue_at_ms; /* of the answers */
    int64_t repeat_at_ms;  /* when all is to be asked again, if nothing is wanted before */
    struct rights rights;
    int64_t clock_ahead_ms;                /* if rights.clock_us is known */
    char told[RIGHTS_TEXT_MAX];            /* the refusal that is in the log */
    char told_eviction[EVICTION_TEXT_MAX]; /* the policy that is; "": none that evicts our keys */
    struct buf scratch;
    _Atomic bool granted;
    pthread_mutex_t lock; /* of `described` only */
    struct l2_rights_description described;
};

/* --- the verdict --------------------------------------------------------------------------------------------------- */

static const char *user_name(const struct l2_rights *rights)
{
    const struct l2_url *url = tiers_url(rights->node->tiers);
    return url != NULL && url->user != NULL ? url->user : "default";
}

static void tell_refusal(struct l2_rights *rights, const char *missing, bool ends)
{
    const char *user = user_name(rights);
    log_write(&rights->node->log, LOG_WARNING, "l2_rights",
              "%sL2 refuses its user '%s' what this node needs: %s. Redis says: %s. Grant it with: "
              "ACL SETUSER %s " RIGHTS_ACL_RULES,
              ends ? "this node ends: " : "", user, missing, rights->rights.why, user);
}

/* The node works without, so it is said once; and again when it is another one. */
static void tell_warming(struct l2_rights *rights, const char *missing)
{
    const char *user = user_name(rights);
    if (rights_warm(&rights->rights)) {
        rights->told[0] = '\0';
    } else if (strcmp(missing, rights->told) != 0) {
        log_write(
            &rights->node->log, LOG_WARNING, "l2_warms_not",
            "L2 refuses its user '%s' what this node reads by when nobody waits: %s. So it can warm nothing, or part "
            "of it, nor read values anew in the background. Redis says: %s. Grant it with: "
            "ACL SETUSER %s " RIGHTS_ACL_RULES,
            user, missing, rights->rights.why, user);
        (void)snprintf(rights->told, sizeof rights->told, "%s", missing);
    }
}

/* One line per change. */
static void tell_eviction(struct l2_rights *rights)
{
    char now[EVICTION_TEXT_MAX] = "";
    if (rights_may_evict(&rights->rights)) {
        (void)snprintf(now, sizeof now, "%s, with maxmemory %lld", rights->rights.policy,
                       (long long)rights->rights.maxmemory);
    }
    if (strcmp(now, rights->told_eviction) == 0) {
        return;
    }
    if (now[0] != '\0') {
        log_write(
            &rights->node->log, LOG_WARNING, "l2_evicts",
            "maxmemory-policy is %s: Redis may evict the nodes' own keys (terrace:*), and "
            "each time all nodes read everything anew. A policy of volatile-* spares them, for they have no TTL",
            now);
    } else {
        log_write(&rights->node->log, LOG_NOTICE, "l2_spares",
                  "Redis may no longer evict the nodes' own keys");
    }
    (void)snprintf(rights->told_eviction, sizeof rights->told_eviction, "%s", now);
}

static void show(struct l2_rights *rights, const char *missing, bool suffices)
{
    pthread_mutex_lock(&rights->lock);
    rights->described = (struct l2_rights_description){.known = true,
                                                       .suffices = suffices,
                                                       .rights = rights->rights,
                                                       .clock_known = rights->rights.clock_us != 0,
                                                       .clock_ahead_ms = rights->clock_ahead_ms};
    (void)snprintf(rights->described.missing, sizeof rights->described.missing, "%s", missing);
    pthread_mutex_unlock(&rights->lock);
}

static void refused(struct l2_rights *rights, const char *missing)
{
    const bool ends = !rights->away && !atomic_load(&rights->granted);
    if (ends || strcmp(missing, rights->told) != 0) {
        tell_refusal(rights, missing, ends);
        (void)snprintf(rights->told, sizeof rights->told, "%s", missing);
    }
    if (ends) {
        node_fail(rights->node);
    }
}

/* All is answered. */
static void conclude(struct l2_rights *rights)
{
    char missing[RIGHTS_TEXT_MAX];
    const bool suffices = rights_suffice(&rights->rights);
    rights_missing(&rights->rights, missing);
    rights->wanted = !suffices;
    show(rights, missing, suffices);
    if (!suffices) {
        refused(rights, missing);
    } else {
        tell_warming(rights, missing);
        rights->repeat_at_ms = rights->now_ms + REPEAT_MS;
        atomic_store(&rights->granted, true);
        tell_eviction(rights);
    }
    rights->asked = false;
    link_go_to(rights->link, NULL, 0, rights->now_ms);
    if (rights->wanted) {
        link_go_to(rights->link, tiers_url(rights->node->tiers), AGAIN_MS, rights->now_ms);
    }
}

/* --- the link ------------------------------------------------------------------------------------------------------ */

static void on_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct l2_rights *rights = arg;
    const struct tiers *tiers = rights->node->tiers;
    struct beat_request greeting = {
        .coherence_db = tiers_coherence_db(tiers),
        .known_epoch = coherence_known_epoch(tiers_coherence(tiers)),
        .node = rights->node->id,
    };
    (void)answer;
    rights->now_ms = clock_now_ms(&rights->node->clock);
    greeting.deadline_ms = rights->now_ms + RECORD_MS;
    rand_secret(&greeting.fresh_random, sizeof greeting.fresh_random);
    rights->scratch.size = 0;
    rights->asked =
        rights_write(&rights->rights, &greeting, link_client_id(link), &rights->scratch) == OK &&
        link_say(link, buf_slice(&rights->scratch)) == OK;
    rights->overdue_at_ms = rights->now_ms + ANSWER_MS;
    if (!rights->asked) {
        link_close(link, "no memory for the questions", rights->now_ms);
    }
}

static void on_reply(struct link *link, void *arg, struct slice reply)
{
    struct l2_rights *rights = arg;
    if (!rights->asked) {
        return; /* the bus goes on behind the last answer */
    }
    rights->now_ms = clock_now_ms(&rights->node->clock);
    const bool was_known = rights->rights.clock_us != 0;
    const enum status status = rights_take(&rights->rights, reply);
    if (!was_known && rights->rights.clock_us != 0) {
        rights->clock_ahead_ms = (rights->rights.clock_us - clock_unix_us()) / 1000;
    }
    if (status == OK) {
        conclude(rights);
    } else if (status != AGAIN) {
        link_close(link, "L2 cannot say yet what it grants", rights->now_ms);
    }
}

/* Also when a greeting is refused: without CLIENT ID one cannot even ask. */
static void on_down(struct link *link, void *arg, const char *why)
{
    struct l2_rights *rights = arg;
    (void)link;
    if (!rights->wanted) {
        return; /* all is said, or this loop ends */
    }
    rights->asked = false;
    if (rights_is_refusal(slice_of(why))) {
        rights->rights = (struct rights){.maxmemory = -1};
        (void)snprintf(rights->rights.why, sizeof rights->rights.why, "%s", why);
        show(rights, "CLIENT ID", false);
        refused(rights, "CLIENT ID");
    } else {
        rights->away = true;
    }
}

/* --- life ---------------------------------------------------------------------------------------------------------- */

struct l2_rights *l2_rights_new(struct node *node, struct l2_roof *roof)
{
    struct l2_rights *rights = calloc(1, sizeof *rights);
    if (rights == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&rights->lock, NULL) != 0) {
        free(rights);
        return NULL;
    }
    rights->node = node;
    rights->wanted = true;
    rights->link = link_new(&(struct link_options){
        .proto = 2,
        .plain = true,
        .io = l2_roof_io(roof),
        .on_ready = on_ready,
        .on_down = on_down,
        .on_push = on_reply,
        .arg = rights,
    });
    if (rights->link == NULL) {
        l2_rights_free(rights);
        return NULL;
    }
    return rights;
}

void l2_rights_close(struct l2_rights *rights)
{
    struct link *link = rights->link;
    rights->link = NULL;
    rights->wanted = false;
    link_free(link);
}

void l2_rights_free(struct l2_rights *rights)
{
    if (rights != NULL) {
        buf_done(&rights->scratch);
        (void)pthread_mutex_destroy(&rights->lock);
        free(rights);
    }
}

void l2_rights_on_up(struct l2_rights *rights, uint64_t run)
{
    rights->wanted = rights->wanted || run != rights->rights.run;
}

void l2_rights_tick(struct l2_rights *rights, int64_t now_ms)
{
    const struct l2_url *url = tiers_url(rights->node->tiers);
    rights->now_ms = now_ms;
    rights->wanted = rights->wanted || now_ms >= rights->repeat_at_ms;
    if (!rights->wanted || url == NULL) {
        return;
    }
    if (link_url(rights->link) != url) {
        link_go_to(rights->link, url, 0, now_ms);
    }
    if (rights->asked && now_ms >= rights->overdue_at_ms) {
        link_close(rights->link, "L2 did not say in time what it grants", now_ms);
    }
    link_tick(rights->link, now_ms);
}

void l2_rights_describe(struct l2_rights *rights, struct l2_rights_description *ret)
{
    pthread_mutex_lock(&rights->lock);
    *ret = rights->described;
    pthread_mutex_unlock(&rights->lock);
}

bool l2_rights_granted(const struct l2_rights *rights)
{
    return atomic_load(&rights->granted);
}
