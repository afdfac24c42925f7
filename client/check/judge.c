/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/judge_inner.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WINDOW_IN_BOUNDS = 4 /* room for reads that last, beyond what the rules look back */
};

static const char *const rule_names[RULE_COUNT] = {
    [RULE_UNWRITTEN] = "unwritten", [RULE_EXPIRED] = "expired", [RULE_STALE] = "stale",
    [RULE_LOST] = "lost",           [RULE_NODE] = "node",       [RULE_OWN_WRITE] = "own write",
    [RULE_BACKWARDS] = "backwards", [RULE_ORDER] = "order",
};

const char *rule_name(enum rule rule)
{
    return rule_names[rule];
}

__attribute__((format(printf, 2, 3))) static enum status judge_refuse(struct judge *judge,
                                                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(judge->error, sizeof judge->error, format, arguments);
    va_end(arguments);
    return INVALID;
}

void judge_accuse(struct judge *judge, const struct violation *violation)
{
    judge->violations[violation->rule]++;
    if (judge->explained_count < JUDGE_EXPLAINED_MAX) {
        judge->explained[judge->explained_count++] = *violation;
    }
}

uint64_t judge_violations(const struct judge *judge)
{
    uint64_t count = 0;
    for (int i = 0; i < RULE_COUNT; i++) {
        count += judge->violations[i];
    }
    return count;
}

uint64_t judge_reads(const struct judge *judge)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < judge->config.header.nodes; i++) {
        count += judge->nodes[i].reads;
    }
    return count;
}

enum status judge_init(struct judge *judge, const struct judge_config *config)
{
    *judge = (struct judge){.config = *config, .free_write = INDEX_NONE};
    const struct history_header *header = &config->header;
    uint64_t bound_ns = header->bound_ns + header->grace_ns + header->slack_ns;
    for (uint32_t i = 0; i < header->nodes; i++) {
        bound_ns = header->node[i].bound_ns > bound_ns ? header->node[i].bound_ns : bound_ns;
    }
    if (bound_ns > HISTORY_NEVER / WINDOW_IN_BOUNDS) {
        return judge_refuse(judge, "a bound of %" PRIu64 " ns", bound_ns);
    }
    if (judge->config.window_ns < bound_ns * WINDOW_IN_BOUNDS) {
        judge->config.window_ns = bound_ns * WINDOW_IN_BOUNDS;
    }
    judge->orders = calloc(header->keys, sizeof *judge->orders);
    return judge->orders == NULL ? NO_MEMORY : OK;
}

void judge_done(struct judge *judge)
{
    for (uint32_t key = 0; judge->orders != NULL && key < judge->config.header.keys; key++) {
        struct judge_order *order = &judge->orders[key];
        for (uint32_t i = 0; order->by_node != NULL && i < judge->config.header.nodes; i++) {
            stairs_done(&order->by_node[i]);
        }
        free(order->by_node);
        stairs_done(&order->all);
        spans_done(&order->nothing);
    }
    free(judge->orders);
    judge->orders = NULL;
    judge_memory_done(judge);
}

/* ------------------------------------------------------------------ writes */

static uint64_t life_ns(const struct write *write)
{
    return (uint64_t)write->life_ms * NS_PER_MS;
}

static uint64_t ends_not_before(const struct write *write)
{
    uint64_t end_ns = write->begun_ns + life_ns(write);
    return end_ns > LIFE_ROUNDING_NS ? end_ns - LIFE_ROUNDING_NS : 0;
}

/* Nothing may stand in the key's place from now on, until `high_ns` is known. */
static enum status may_be_nothing(struct judge_order *order, const struct write *write)
{
    bool deletes = write->kind == HISTORY_DELETE;
    const struct span span = {.low_ns = deletes ? write->begun_ns : ends_not_before(write),
                              .high_ns = HISTORY_NEVER,
                              .value = write->value};
    if (order->all.count > 0) { /* what ends before the oldest step was overwritten a window ago */
        spans_trim(&order->nothing, order->all.steps[order->all.head].low_ns);
    }
    return spans_add(&order->nothing, span);
}

static enum status begin_on(struct judge_order *order, const struct write *write)
{
    if (write->kind == HISTORY_LOSS) {
        order->losses_open++;
        return OK;
    }
    return write->kind == HISTORY_DELETE || write->life_ms != 0 ? may_be_nothing(order, write) : OK;
}

/* By `time_ns` the write had happened, if it ever does. */
static void happened_by(struct judge_order *order, struct write *write, uint64_t time_ns)
{
    if (time_ns >= write->high_ns) {
        return;
    }
    write->high_ns = time_ns;
    if (write->life_ms != 0) {
        write->gone_ns = time_ns + life_ns(write) + LIFE_ROUNDING_NS;
        spans_set_high(&order->nothing, ends_not_before(write), write->value, write->gone_ns);
    }
}

/* What a load brings is as old as its beginning, whenever it is stored: an invalidation in between is later. */
static void taken_by(struct write *write, const struct history_record *end)
{
    const uint64_t age_ns = (uint64_t)end->life_ms * NS_PER_MS;
    const uint64_t since_ns = end->completed_ns - write->begun_ns;
    const uint64_t taken_ns = end->completed_ns - (age_ns < since_ns ? age_ns : since_ns);
    write->high_ns = taken_ns < write->high_ns ? taken_ns : write->high_ns;
}

static struct step step_of(const struct write *write, uint64_t completed_ns)
{
    return (struct step){
        .completed_ns = completed_ns, .low_ns = write->begun_ns, .value = write->value};
}

static enum status end_on(struct judge *judge, struct judge_order *order, struct write *write,
                          enum history_outcome outcome, uint64_t completed_ns)
{
    if (outcome == HISTORY_LOST) {
        return OK;
    }
    if (write->kind == HISTORY_LOSS) {
        order->losses_open--;
        if (outcome != HISTORY_REFUSED && completed_ns > order->losses_high_ns) {
            order->losses_high_ns = completed_ns;
        }
        return OK;
    }
    if (outcome == HISTORY_REFUSED) {
        uint64_t low_ns = write->kind == HISTORY_DELETE ? write->begun_ns : ends_not_before(write);
        spans_set_high(&order->nothing, low_ns, write->value, 0);
        return OK;
    }
    if (write->kind == HISTORY_DELETE) {
        spans_set_high(&order->nothing, write->begun_ns, write->value, completed_ns);
    }
    return outcome == HISTORY_OK
               ? stairs_push(&order->all, step_of(write, completed_ns), judge_keep_ns(judge))
               : OK;
}

/* The key's order, with all that was done to all keys until now. NULL: no memory. */
static struct judge_order *order_of(struct judge *judge, uint32_t key)
{
    struct judge_order *order = &judge->orders[key];
    while (order->wide_seen < judge->wide.count) {
        const struct judge_wide *wide = &judge->wide.items[order->wide_seen];
        struct write *write = &judge->writes[wide->write];
        enum status status = wide->ends
                                 ? end_on(judge, order, write, write->outcome, wide->moment_ns)
                                 : begin_on(order, write);
        if (status != OK) {
            return NULL;
        }
        order->wide_seen++;
    }
    return order;
}

static enum status on_begin(struct judge *judge, const struct history_record *record)
{
    if (index_find(&judge->by_value, record->value) != INDEX_NONE) {
        return judge_refuse(judge, "value %" PRIx64 " was written twice", record->value);
    }
    bool plain = record->kind == HISTORY_SET && record->life_ms == 0;
    if (judge->config.strict && !plain) {
        return judge_refuse(
            judge, "--strict judges writes of values that stay: no lives, deletions or losses");
    }
    judge->begun++;
    judge->losses_open += record->kind == HISTORY_LOSS ? 1 : 0;
    if (record->key == HISTORY_ALL_KEYS) {
        enum status status = judge_add_write(judge, record);
        return status == OK ? judge_note_wide(judge, record->value, record->invoked_ns, false)
                            : status;
    }
    struct judge_order *order = order_of(judge, record->key);
    if (order == NULL || judge_add_write(judge, record) != OK) {
        return NO_MEMORY;
    }
    return begin_on(order, judge_find(judge, record->value));
}

static void accuse_write(struct judge *judge, const struct history_record *record,
                         const struct write *write)
{
    judge_accuse(judge, &(struct violation){.rule = RULE_UNWRITTEN,
                                            .read = *record,
                                            .why = "its write was refused after it had been read",
                                            .has_written = true,
                                            .written = *write});
}

static enum status acknowledged(struct judge *judge, struct judge_order *order,
                                const struct history_record *record, const struct write *write)
{
    uint32_t nodes = judge->config.header.nodes;
    if (order->by_node == NULL) {
        order->by_node = calloc(nodes, sizeof *order->by_node);
    }
    struct judge_view *view = judge_view_make(judge, record->session, record->key);
    if (order->by_node == NULL || view == NULL) {
        return NO_MEMORY;
    }
    if (write->begun_ns > view->own_low_ns) {
        view->own_low_ns = write->begun_ns;
        view->own_value = write->value;
    }
    return stairs_push(&order->by_node[record->node], step_of(write, record->completed_ns),
                       judge_keep_ns(judge));
}

static enum status on_end(struct judge *judge, const struct history_record *record)
{
    struct write *write = judge_find(judge, record->value);
    if (write == NULL || write->key != record->key || write->outcome != 0) {
        return judge_refuse(judge, "the end of write %" PRIx64 ", which %s", record->value,
                            write == NULL         ? "did not begin"
                            : write->outcome != 0 ? "has ended already"
                                                  : "is of another key");
    }
    enum history_outcome outcome = (enum history_outcome)record->what;
    write->outcome = record->what;
    write->answered_ns = record->completed_ns;
    judge->nodes[record->node].writes[outcome]++;
    if (write->kind == HISTORY_LOSS && outcome != HISTORY_LOST) {
        judge->losses_open--;
        judge->losses_high_ns = record->completed_ns;
    }
    if (record->key == HISTORY_ALL_KEYS) {
        return judge_note_wide(judge, record->value, record->completed_ns, true);
    }
    struct judge_order *order = order_of(judge, record->key);
    if (order == NULL) {
        return NO_MEMORY;
    }
    if (outcome == HISTORY_REFUSED && write->seen) {
        accuse_write(judge, record, write);
    }
    if (write->kind == HISTORY_SET && (outcome == HISTORY_OK || outcome == HISTORY_UNKNOWN)) {
        happened_by(order, write, record->completed_ns);
        taken_by(write, record);
    }
    enum status status = end_on(judge, order, write, outcome, record->completed_ns);
    return status == OK && outcome == HISTORY_OK ? acknowledged(judge, order, record, write)
                                                 : status;
}

/* ------------------------------------------------------------------ reads */

struct reading {
    struct judge *judge;
    const struct history_record *record;
    struct judge_order *order;
    struct judge_view *view;
    struct write *write; /* NULL: of nothing, or of what is not known */
    uint64_t high_ns;    /* what was read had taken effect by then */
    uint64_t age_ns;
    struct violation violation;
};

static void describe(struct judge *judge, uint64_t value, struct write *ret_write, bool *ret_has)
{
    const struct write *write = judge_find(judge, value);
    *ret_has = value != HISTORY_NOTHING;
    *ret_write = write != NULL ? *write : (struct write){.value = value};
}

static bool breaks(struct reading *reading, enum rule rule, uint64_t against, const char *why)
{
    struct violation *violation = &reading->violation;
    violation->rule = rule;
    violation->read = *reading->record;
    violation->age_ns = reading->age_ns;
    violation->why = why;
    describe(reading->judge, against, &violation->against, &violation->has_against);
    if (reading->write != NULL) {
        violation->written = *reading->write;
        violation->has_written = true;
    }
    return true;
}

static uint64_t bound_of(const struct judge *judge, const struct history_record *record)
{
    const struct history_header *header = &judge->config.header;
    uint64_t bound_ns = header->node[record->node].bound_ns;
    if ((record->what & HISTORY_MARKED_STALE) != 0 && header->grace_ns > bound_ns) {
        bound_ns = header->grace_ns;
    }
    return bound_ns == 0 ? 0
                         : bound_ns + header->slack_ns; /* Redis itself has no clock to err by */
}

/* The value is not known: forgotten, or never written. */
static bool unknown_is_wrong(struct reading *reading)
{
    struct judge *judge = reading->judge;
    const struct history_record *record = reading->record;
    if (record->value == HISTORY_FOREIGN || !judge_may_be_forgotten(judge, record->value)) {
        return breaks(reading, RULE_UNWRITTEN, HISTORY_NOTHING,
                      "no write of it began before the read ended");
    }
    uint64_t lasted_ns = record->completed_ns - record->invoked_ns;
    if (judge->config.window_ns <= lasted_ns + bound_of(judge, record)) {
        judge->unjudged++;
        return false;
    }
    reading->age_ns = judge->config.window_ns - lasted_ns;
    return breaks(reading, RULE_STALE, HISTORY_NOTHING,
                  "it was overwritten so long ago that its write is forgotten (--window), or it "
                  "never was of this key");
}

static bool unwritten(struct reading *reading)
{
    const struct write *write = reading->write;
    if (write->key != reading->record->key) {
        return breaks(reading, RULE_UNWRITTEN, HISTORY_NOTHING, "it was written to another key");
    }
    if (write->kind != HISTORY_SET) {
        return breaks(reading, RULE_UNWRITTEN, HISTORY_NOTHING, "it names what wrote no value");
    }
    if (write->outcome == HISTORY_REFUSED) {
        return breaks(reading, RULE_UNWRITTEN, HISTORY_NOTHING,
                      "its write was refused: nothing was to be done");
    }
    return false;
}

/* By then it had taken effect, or may have been brought back by a loss. */
static uint64_t high_of(const struct reading *reading)
{
    const struct judge_order *order = reading->order;
    if (order->losses_open > 0) {
        return HISTORY_NEVER;
    }
    uint64_t high_ns = reading->write != NULL
                           ? reading->write->high_ns
                           : spans_most(&order->nothing, reading->record->completed_ns);
    return high_ns > order->losses_high_ns ? high_ns : order->losses_high_ns;
}

static bool expired(struct reading *reading)
{
    const struct write *write = reading->write;
    const struct judge *judge = reading->judge;
    if (write == NULL || write->gone_ns == HISTORY_NEVER || reading->order->losses_open > 0 ||
        reading->record->invoked_ns <= write->gone_ns + judge->config.header.slack_ns) {
        return false;
    }
    return reading->order->losses_high_ns < write->begun_ns &&
           breaks(reading, RULE_EXPIRED, HISTORY_NOTHING, "its life was over");
}

static bool stale(struct reading *reading)
{
    const struct history_record *record = reading->record;
    const struct step *step = stairs_above(&reading->order->all, reading->high_ns);
    if (step == NULL || step->completed_ns >= record->invoked_ns) {
        return false;
    }
    reading->age_ns = record->invoked_ns - step->completed_ns;
    if (reading->age_ns <= bound_of(reading->judge, record)) {
        return false;
    }
    if ((record->what & HISTORY_FINAL) != 0) {
        return breaks(reading, RULE_LOST, step->value,
                      "a later write, acknowledged or seen, is not there in the end");
    }
    return breaks(reading, RULE_STALE, step->value,
                  "a later write had happened more than the bound before");
}

/* What only matters if the read is not of the newest value at all. */
static bool too_old(struct reading *reading)
{
    const struct history_record *record = reading->record;
    const struct judge_order *order = reading->order;
    if (stale(reading)) {
        return true;
    }
    if (order->by_node != NULL) {
        const struct step *step = stairs_above(&order->by_node[record->node], reading->high_ns);
        if (step != NULL && step->completed_ns <= record->invoked_ns) {
            return breaks(reading, RULE_NODE, step->value,
                          "this node had acknowledged a later write");
        }
    }
    const struct judge_view *view = reading->view;
    if (reading->high_ns < view->own_low_ns) {
        return breaks(reading, RULE_OWN_WRITE, view->own_value,
                      "the session itself had made a later write");
    }
    if (reading->high_ns < view->saw_low_ns) {
        return breaks(reading, RULE_BACKWARDS, view->saw_value,
                      "the session had already seen a later write");
    }
    return false;
}

/* The earliest that nothing may have been there without breaking a rule; 0: before all, or by a loss. */
static uint64_t low_of_nothing(const struct reading *reading)
{
    const struct judge_view *view = reading->view;
    const struct judge_order *order = reading->order;
    uint64_t floor_ns = view->own_low_ns > view->saw_low_ns ? view->own_low_ns : view->saw_low_ns;
    uint64_t bound_ns = bound_of(reading->judge, reading->record);
    if (reading->record->invoked_ns > bound_ns) {
        uint64_t low_ns = stairs_low(&order->all, reading->record->invoked_ns - bound_ns);
        floor_ns = low_ns > floor_ns ? low_ns : floor_ns;
    }
    bool by_loss = order->losses_open > 0 || order->losses_high_ns >= floor_ns;
    return by_loss ? 0 : spans_low(&order->nothing, floor_ns);
}

static enum status learn(struct reading *reading)
{
    const struct history_record *record = reading->record;
    struct judge_view *view = reading->view;
    struct write *write = reading->write;
    uint64_t low_ns = write == NULL ? low_of_nothing(reading) : write->begun_ns;
    if (low_ns > view->saw_low_ns) {
        view->saw_low_ns = low_ns;
        view->saw_value = record->value;
    }
    if (write == NULL) {
        return OK;
    }
    write->last_begin_ns =
        record->invoked_ns > write->last_begin_ns ? record->invoked_ns : write->last_begin_ns;
    happened_by(reading->order, write, record->completed_ns);
    if (write->seen || write->outcome == HISTORY_OK) {
        write->seen = true;
        return OK;
    }
    write->seen = true;
    return stairs_push(&reading->order->all, step_of(write, record->completed_ns),
                       judge_keep_ns(reading->judge));
}

static void learn_of_nothing(struct judge_order *order, const struct history_record *record)
{
    if (!order->nothing_seen || record->completed_ns < order->nothing_first_end_ns) {
        order->nothing_first_end_ns = record->completed_ns;
    }
    if (record->invoked_ns > order->nothing_last_begin_ns) {
        order->nothing_last_begin_ns = record->invoked_ns;
    }
    order->nothing_seen = true;
}

static void count_read(struct reading *reading)
{
    const struct history_record *record = reading->record;
    struct judge *judge = reading->judge;
    struct node_tally *tally = &judge->nodes[record->node];
    tally->reads++;
    tally->nothing += record->value == HISTORY_NOTHING ? 1 : 0;
    tally->marked += (record->what & HISTORY_MARKED_STALE) != 0 ? 1 : 0;
    if ((record->what & HISTORY_FINAL) != 0) {
        tally->final++;
        bool first = !reading->order->read_back;
        if (first && judge->config.header.node[record->node].bound_ns == 0) {
            reading->order->read_back = true;
            judge->read_back++;
        }
    }
    if (reading->age_ns > 0) {
        tally->stale++;
        histogram_record(&tally->ages, reading->age_ns);
    }
}

/* True: the read breaks a rule. */
static bool judge_read(struct reading *reading)
{
    const struct history_record *record = reading->record;
    if (record->value != HISTORY_NOTHING) {
        reading->write =
            record->value == HISTORY_FOREIGN ? NULL : judge_find(reading->judge, record->value);
        if (reading->write == NULL) {
            return unknown_is_wrong(reading);
        }
        if (unwritten(reading)) {
            return true;
        }
    }
    reading->high_ns = high_of(reading);
    return expired(reading) || too_old(reading);
}

static enum status on_read(struct judge *judge, const struct history_record *record)
{
    struct reading reading = {.judge = judge,
                              .record = record,
                              .order = order_of(judge, record->key),
                              .view = judge_view_make(judge, record->session, record->key)};
    if (reading.order == NULL || reading.view == NULL) {
        return NO_MEMORY;
    }
    bool wrong = judge_read(&reading);
    count_read(&reading);
    if (record->value == HISTORY_NOTHING) {
        learn_of_nothing(reading.order, record);
    }
    if (wrong) {
        judge_accuse(judge, &reading.violation);
        return OK;
    }
    bool known = record->value == HISTORY_NOTHING || reading.write != NULL;
    return known ? learn(&reading) : OK;
}

/* ------------------------------------------------------------------ the history */

enum status judge_record(struct judge *judge, const struct history_record *record)
{
    uint64_t moment_ns = history_moment(record);
    if (judge->records == 0) {
        judge->first_ns = moment_ns;
        judge->views_since_ns = moment_ns;
    }
    judge->records++;
    judge->last_ns = moment_ns;
    if (record->kind == HISTORY_READ) {
        return on_read(judge, record);
    }
    return record->kind == HISTORY_END ? on_end(judge, record) : on_begin(judge, record);
}

enum status judge_end(struct judge *judge)
{
    return judge->config.strict ? judge_strictly(judge) : OK;
}
