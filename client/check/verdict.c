/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/verdict.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const outcome_names[JUDGE_OUTCOMES] = {
    [HISTORY_OK] = "ok",
    [HISTORY_REFUSED] = "refused",
    [HISTORY_UNKNOWN] = "unknown",
    [HISTORY_LOST] = "lost",
};

static const char *outcome_name(const struct write *write)
{
    return write->outcome == 0 ? "not answered" : outcome_names[write->outcome];
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

/* A quantile over all reads: those of the newest value have the age 0. */
static double age_quantile_ms(const struct node_tally *tally, double quantile)
{
    double rank = ceil(quantile * (double)tally->reads);
    double fresh = (double)(tally->reads - tally->stale);
    if (tally->stale == 0 || rank <= fresh) {
        return 0;
    }
    return ms(histogram_quantile_ns(&tally->ages, (rank - fresh) / (double)tally->stale));
}

static double share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

static void sum_up(const struct judge *judge, struct node_tally *ret_sum)
{
    memset(ret_sum, 0, sizeof *ret_sum);
    for (uint32_t i = 0; i < judge->config.header.nodes; i++) {
        const struct node_tally *tally = &judge->nodes[i];
        ret_sum->reads += tally->reads;
        ret_sum->nothing += tally->nothing;
        ret_sum->marked += tally->marked;
        ret_sum->final += tally->final;
        ret_sum->stale += tally->stale;
        for (int j = 0; j < JUDGE_OUTCOMES; j++) {
            ret_sum->writes[j] += tally->writes[j];
        }
        histogram_add(&ret_sum->ages, &tally->ages);
    }
}

static uint64_t answered(const struct node_tally *sum)
{
    uint64_t count = 0;
    for (int i = HISTORY_OK; i < JUDGE_OUTCOMES; i++) {
        count += sum->writes[i];
    }
    return count;
}

/* ------------------------------------------------------------------ words */

enum {
    NAME_MAX = 64
};

static const char *value_text(uint64_t value, char text[NAME_MAX])
{
    if (value == HISTORY_NOTHING) {
        return "nothing";
    }
    if (value == HISTORY_FOREIGN) {
        return "a value of nobody's";
    }
    (void)snprintf(text, NAME_MAX, "%016" PRIx64, value);
    return text;
}

static double at_ms(const struct judge *judge, uint64_t ns)
{
    return ns <= judge->first_ns ? 0 : ms(ns - judge->first_ns);
}

static const char *kind_text(const struct write *write)
{
    switch (write->kind) {
    case HISTORY_SET: return "SET";
    case HISTORY_DELETE: return write->key == HISTORY_ALL_KEYS ? "flush" : "DELETE";
    case HISTORY_LOSS: return "loss";
    default: return "write";
    }
}

static void tell_write(FILE *out, const struct judge *judge, const char *role,
                       const struct write *write)
{
    char text[NAME_MAX];
    if (write->begun_ns == 0) {
        (void)fprintf(out, "    %s %s: forgotten\n", role, value_text(write->value, text));
        return;
    }
    (void)fprintf(out, "    %s %s: %s by session %" PRIu32 " on %s, asked %.6f ms, ", role,
                  value_text(write->value, text), kind_text(write), write->session,
                  judge->config.header.node[write->node].name, at_ms(judge, write->begun_ns));
    if (write->answered_ns == 0) {
        (void)fputs("not answered", out);
    } else {
        (void)fprintf(out, "answered %.6f ms: %s", at_ms(judge, write->answered_ns),
                      outcome_name(write));
    }
    if (write->seen && write->high_ns < HISTORY_NEVER && write->high_ns != write->answered_ns) {
        (void)fprintf(out, ", seen %.6f ms", at_ms(judge, write->high_ns));
    }
    if (write->life_ms != 0) {
        (void)fprintf(out, ", lives %" PRIu32 " ms", write->life_ms);
    }
    (void)fputc('\n', out);
}

static void tell(FILE *out, const struct judge *judge, const struct violation *violation)
{
    const struct history_record *read = &violation->read;
    char text[NAME_MAX];
    (void)fprintf(out, "\n[%s] key %s%012" PRIu32 ": ", rule_name(violation->rule),
                  judge->config.header.prefix, read->key);
    if (violation->rule == RULE_ORDER) {
        (void)fprintf(out, "not linearizable: %s\n", violation->why);
    } else {
        (void)fprintf(out, "session %" PRIu32 " on %s read %s [%.6f .. %.6f] ms: %s", read->session,
                      judge->config.header.node[read->node].name, value_text(read->value, text),
                      at_ms(judge, read->invoked_ns), at_ms(judge, read->completed_ns),
                      violation->why);
        (void)fprintf(out, violation->age_ns > 0 ? ", age %.6f ms at least\n" : "\n",
                      ms(violation->age_ns));
    }
    if (violation->has_written) {
        tell_write(out, judge, violation->rule == RULE_ORDER ? "one  " : "read ",
                   &violation->written);
    }
    if (violation->has_against) {
        tell_write(out, judge, violation->rule == RULE_ORDER ? "other" : "later",
                   &violation->against);
    }
}

static void text_ages(FILE *out, const char *name, const struct node_tally *tally)
{
    (void)fprintf(out,
                  "  %-24s %12" PRIu64 " reads, %.4f %% stale, age ms p99 %.3f p99.9 %.3f p99.99 "
                  "%.3f max %.3f",
                  name, tally->reads, share(tally->stale, tally->reads) * 100,
                  age_quantile_ms(tally, 0.99), age_quantile_ms(tally, 0.999),
                  age_quantile_ms(tally, 0.9999), ms(tally->ages.max_ns));
    if (tally->marked > 0) {
        (void)fprintf(out, ", %" PRIu64 " marked stale", tally->marked);
    }
    (void)fputc('\n', out);
}

static void text_counts(FILE *out, const struct judge *judge, const struct node_tally *sum)
{
    const struct history_header *header = &judge->config.header;
    (void)fprintf(out, "reads       %" PRIu64 ", %" PRIu64 " of nothing, %" PRIu64 " unjudged\n",
                  sum->reads, sum->nothing, judge->unjudged);
    (void)fprintf(out, "writes      %" PRIu64 ":", judge->begun);
    for (int i = HISTORY_OK; i < JUDGE_OUTCOMES; i++) {
        (void)fprintf(out, " %" PRIu64 " %s,", sum->writes[i], outcome_names[i]);
    }
    (void)fprintf(out, " %" PRIu64 " not answered\n", judge->begun - answered(sum));
    (void)fprintf(out,
                  "read back   %" PRIu64 " reads in the end, %" PRIu64 " of %" PRIu32
                  " keys where nothing may be lost\n",
                  sum->final, judge->read_back, header->keys);
    (void)fprintf(out, "ages        bound %.3f ms + %.3f ms", ms(header->bound_ns),
                  ms(header->slack_ns));
    if (header->grace_ns > 0) {
        (void)fprintf(out, ", marked stale %.3f ms", ms(header->grace_ns));
    }
    (void)fputc('\n', out);
}

void verdict_text(FILE *out, const struct judge *judge, double seconds)
{
    const struct history_header *header = &judge->config.header;
    struct node_tally sum;
    sum_up(judge, &sum);
    if (header->description[0] != '\0') {
        (void)fprintf(out, "%s\n", header->description);
    }
    (void)fprintf(out,
                  "history     %" PRIu64 " records over %.1f s, judged in %.2f s, %.2f M/s%s\n",
                  judge->records, ms(judge->last_ns - judge->first_ns) / 1e3, seconds,
                  seconds > 0 ? (double)judge->records / seconds / 1e6 : 0,
                  judge->config.strict ? ", linearizability too" : "");
    text_counts(out, judge, &sum);
    for (uint32_t i = 0; i < header->nodes; i++) {
        text_ages(out, header->node[i].name, &judge->nodes[i]);
    }
    if (header->nodes > 1) {
        text_ages(out, "all", &sum);
    }
    for (uint32_t i = 0; i < judge->explained_count; i++) {
        tell(out, judge, &judge->explained[i]);
    }
    uint64_t count = judge_violations(judge);
    (void)fprintf(out, "%sviolations  %" PRIu64, count > 0 ? "\n" : "", count);
    for (int i = 0; i < RULE_COUNT; i++) {
        if (judge->violations[i] > 0) {
            (void)fprintf(out, ", %" PRIu64 " %s", judge->violations[i], rule_name((enum rule)i));
        }
    }
    (void)fputc('\n', out);
}

/* ------------------------------------------------------------------ JSON */

static void put(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value); /* a failure shows when the object is written */
}

static void put_count(json_t *object, const char *name, uint64_t number)
{
    put(object, name, json_integer((json_int_t)number));
}

static json_t *json_tally(const struct node_tally *tally)
{
    json_t *object = json_object();
    put_count(object, "reads", tally->reads);
    put_count(object, "nothing", tally->nothing);
    put_count(object, "marked_stale", tally->marked);
    put_count(object, "final", tally->final);
    put_count(object, "stale", tally->stale);
    put(object, "stale_share", json_real(share(tally->stale, tally->reads)));
    put(object, "age_p99_ms", json_real(age_quantile_ms(tally, 0.99)));
    put(object, "age_p999_ms", json_real(age_quantile_ms(tally, 0.999)));
    put(object, "age_p9999_ms", json_real(age_quantile_ms(tally, 0.9999)));
    put(object, "age_max_ms", json_real(ms(tally->ages.max_ns)));
    json_t *writes = json_object();
    for (int i = HISTORY_OK; i < JUDGE_OUTCOMES; i++) {
        put_count(writes, outcome_names[i], tally->writes[i]);
    }
    put(object, "writes", writes);
    return object;
}

static json_t *json_story(const struct judge *judge, const struct violation *violation)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    tell(out, judge, violation);
    (void)fclose(out);
    json_t *object = json_object();
    put(object, "rule", json_string(rule_name(violation->rule)));
    put_count(object, "key", violation->read.key);
    put(object, "age_ms", json_real(ms(violation->age_ns)));
    put(object, "story", text == NULL ? NULL : json_stringn_nocheck(text + 1, size - 2));
    free(text);
    return object;
}

static json_t *json_violations(const struct judge *judge)
{
    json_t *object = json_object();
    for (int i = 0; i < RULE_COUNT; i++) {
        put_count(object, rule_name((enum rule)i), judge->violations[i]);
    }
    return object;
}

enum status verdict_json(FILE *out, const struct judge *judge, double seconds)
{
    const struct history_header *header = &judge->config.header;
    struct node_tally sum;
    sum_up(judge, &sum);
    json_t *object = json_object();
    put(object, "description", json_string_nocheck(header->description));
    put_count(object, "seed", header->seed);
    put_count(object, "records", judge->records);
    put(object, "span_s", json_real(ms(judge->last_ns - judge->first_ns) / 1e3));
    put(object, "judging_s", json_real(seconds));
    put(object, "strict", json_boolean(judge->config.strict));
    put(object, "bound_ms", json_real(ms(header->bound_ns)));
    put_count(object, "reads", sum.reads);
    put_count(object, "unjudged", judge->unjudged);
    put_count(object, "writes", judge->begun);
    put_count(object, "keys", header->keys);
    put_count(object, "keys_read_back", judge->read_back);
    put_count(object, "violations", judge_violations(judge));
    put(object, "violations_by_rule", json_violations(judge));
    put(object, "all", json_tally(&sum));
    json_t *nodes = json_object();
    for (uint32_t i = 0; i < header->nodes; i++) {
        put(nodes, header->node[i].name, json_tally(&judge->nodes[i]));
    }
    put(object, "nodes", nodes);
    json_t *stories = json_array();
    for (uint32_t i = 0; i < judge->explained_count; i++) {
        (void)json_array_append_new(stories, json_story(judge, &judge->explained[i]));
    }
    put(object, "stories", stories);
    int failed = object == NULL ? -1 : json_dumpf(object, out, JSON_INDENT(2));
    (void)fputc('\n', out);
    json_decref(object);
    return failed != 0 || ferror(out) != 0 ? NO_MEMORY : OK;
}
