/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/managed.h"

#include "protocol/envelope.h"
#include "tiers/wrap.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Items leave the node in snapshots alone, which it reads itself: as the machine writes it. */
struct head {
    uint64_t version;
    int64_t fresh_until_ms;
    int64_t stale_until_ms;
    int64_t fresh_ms;
    uint32_t load_ms;
    uint16_t flags;
    uint8_t tag_count;
    uint8_t unused;
};
_Static_assert(ENVELOPE_TAGS_MAX <= UINT8_MAX, "one byte counts them");

enum {
    TAG_SIZE = sizeof(uint64_t)
};

/* --- out of L2 ------------------------------------------------------------------------------------------------------ */

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Negative: no end. */
static int64_t life_of(const struct managed_read *read, const struct envelope *envelope)
{
    const int64_t written_ms =
        managed_px_ms((int64_t)envelope->fresh_ms, envelope->swr_ms, envelope->sie_ms);
    const bool is_longer = read->pttl_ms < 0 || read->pttl_ms > written_ms;
    return written_ms > 0 && is_longer ? written_ms : read->pttl_ms;
}

static struct head head_of(const struct managed_read *read, const struct envelope *envelope,
                           int64_t life_ms)
{
    struct head head = {
        .version = envelope->version,
        .fresh_until_ms = INT64_MAX,
        .stale_until_ms = INT64_MAX,
        .fresh_ms = (int64_t)envelope->fresh_ms,
        .load_ms = envelope->load_ms,
        .flags =
            (uint16_t)((envelope->soft ? MANAGED_SOFT : 0) | (read->is_held ? MANAGED_HELD : 0) |
                       (read->is_recent ? MANAGED_RECENT : 0) |
                       (envelope->kind == ENVELOPE_NEGATIVE ? MANAGED_NEGATIVE : 0)),
        .tag_count = (uint8_t)envelope->tag_count,
    };
    if (life_ms >= 0) {
        head.fresh_until_ms =
            read->issued_at_ms + life_ms - larger(envelope->swr_ms, envelope->sie_ms);
        head.stale_until_ms = head.fresh_until_ms + envelope->swr_ms;
    }
    return head;
}

/* An item with room for a value behind head and tags; *ret_room is where they begin. */
static struct item *item_for(const struct managed_read *read, size_t size, int64_t life_ms,
                             char **ret_room)
{
    const struct item_spec spec = {
        .db = read->key.db,
        .key = read->key.bytes,
        .value_size = size,
        .expire_at_ms = life_ms >= 0 ? read->issued_at_ms + life_ms : ITEM_NEVER,
        .stamped_at_ms = read->issued_at_ms,
        .look = ITEM_LOOK_PLAIN,
    };
    struct item *item =
        read->l1 == NULL ? item_new(&spec) : l1_item_new(read->l1, read->key.hash, &spec);
    *ret_room = item == NULL ? NULL : item_value_room(item);
    return item;
}

static enum status decode_foreign(const struct managed_read *read, struct item **ret_item)
{
    char *room = NULL;
    const int64_t life_ms = read->pttl_ms;
    const struct envelope none = {.value_size = (uint32_t)read->bytes.size};
    struct head head = head_of(read, &none, life_ms);
    struct item *item = item_for(read, sizeof(head) + read->bytes.size, life_ms, &room);
    if (item == NULL) {
        return NO_MEMORY;
    }
    head.flags = read->is_other ? MANAGED_FOREIGN | MANAGED_OTHER : MANAGED_FOREIGN;
    memcpy(room, &head, sizeof(head));
    if (read->bytes.size > 0) {
        memcpy(room + sizeof(head), read->bytes.data, read->bytes.size);
    }
    *ret_item = item;
    return OK;
}

char *managed_write_tags(const struct envelope *envelope, char *to)
{
    size_t at = 0;
    struct slice tag;
    while (envelope_next_tag(envelope, &at, &tag)) {
        const uint64_t hash = bans_tag_hash((struct slice){0}, tag);
        memcpy(to, &hash, TAG_SIZE);
        to += TAG_SIZE;
    }
    return to;
}

static enum status decode_envelope(const struct managed_read *read, const struct envelope *envelope,
                                   struct item **ret_item)
{
    const enum status status = unwrap_size(read->window, read->ns, envelope);
    if (status != OK) {
        return status;
    }
    char *room = NULL;
    const int64_t life_ms = life_of(read, envelope);
    const struct head head = head_of(read, envelope, life_ms);
    struct item *item = item_for(
        read, sizeof(head) + envelope->tag_count * TAG_SIZE + envelope->value_size, life_ms, &room);
    if (item == NULL) {
        return NO_MEMORY;
    }
    memcpy(room, &head, sizeof(head));
    room = managed_write_tags(envelope, room + sizeof(head));
    if (unwrap_value(read->window, read->ns, envelope, room) != OK) {
        item_release(item);
        return MALFORMED;
    }
    *ret_item = item;
    return OK;
}

bool managed_may_be_large(struct slice beginning, uint64_t size)
{
    struct envelope envelope;
    const enum status status = envelope_begin(beginning, size, &envelope);
    return status == OK || status == MISS;
}

enum status managed_decode_large(const struct managed_read *read, uint64_t size,
                                 struct item **ret_item)
{
    struct envelope envelope = {.value_size = (uint32_t)size};
    const enum status status = envelope_begin(read->bytes, size, &envelope);
    if (status != OK && status != MISS) {
        return MISS;
    }
    char *room = NULL;
    const uint64_t value_size = envelope.value_size;
    const int64_t life_ms = status == OK ? life_of(read, &envelope) : read->pttl_ms;
    struct head head = head_of(read, &envelope, life_ms);
    head.flags |= status == OK ? MANAGED_LARGE : MANAGED_LARGE | MANAGED_FOREIGN;
    struct item *item = item_for(
        read, sizeof(head) + envelope.tag_count * TAG_SIZE + sizeof(value_size), life_ms, &room);
    if (item == NULL) {
        return NO_MEMORY;
    }
    memcpy(room, &head, sizeof(head));
    room = managed_write_tags(&envelope, room + sizeof(head));
    memcpy(room, &value_size, sizeof(value_size));
    *ret_item = item;
    return OK;
}

/* NO_MEMORY, or `why`. */
static enum status decode_unreadable(const struct managed_read *read, enum status why,
                                     struct item **ret_item)
{
    char *room = NULL;
    uint64_t version = 0;
    const bool has_version = envelope_peek_version(read->bytes, &version);
    const struct head head = {
        .version = version,
        .flags = has_version ? MANAGED_UNREADABLE : MANAGED_UNREADABLE | MANAGED_FOREIGN,
    };
    struct item *item = item_for(read, sizeof(head), -1, &room);
    if (item == NULL) {
        return NO_MEMORY;
    }
    memcpy(room, &head, sizeof(head));
    *ret_item = item;
    return why;
}

enum status managed_decode(const struct managed_read *read, struct item **ret_item)
{
    struct envelope envelope;
    enum status status = envelope_read(read->bytes, &envelope);
    if (status == MISS) {
        return decode_foreign(read, ret_item);
    }
    if (status == OK) {
        status = decode_envelope(read, &envelope, ret_item);
    }
    return status == MALFORMED || status == MISS ? decode_unreadable(read, status, ret_item)
                                                 : status;
}

/* --- out of L1 ------------------------------------------------------------------------------------------------------ */

enum status managed_open(struct slice bytes, int64_t expire_at_ms, struct managed_value *ret_value)
{
    struct head head;
    if (bytes.size < sizeof(head)) {
        return MALFORMED;
    }
    memcpy(&head, bytes.data, sizeof(head));
    const size_t before = sizeof(head) + head.tag_count * (size_t)TAG_SIZE;
    if (bytes.size < before) {
        return MALFORMED;
    }
    *ret_value = (struct managed_value){
        .version = head.version,
        .fresh_until_ms = head.fresh_until_ms,
        .stale_until_ms = head.stale_until_ms,
        .dies_at_ms = expire_at_ms == ITEM_NEVER ? INT64_MAX : expire_at_ms,
        .fresh_ms = head.fresh_ms,
        .load_ms = head.load_ms,
        .flags = head.flags,
        .tag_count = head.tag_count,
        .tags = bytes.data + sizeof(head),
        .value = {bytes.data + before, bytes.size - before},
        .size = bytes.size - before,
    };
    if ((head.flags & MANAGED_LARGE) != 0) {
        if (ret_value->value.size != sizeof(ret_value->size)) {
            return MALFORMED;
        }
        memcpy(&ret_value->size, ret_value->value.data, sizeof(ret_value->size));
        ret_value->value = (struct slice){0};
    }
    return OK;
}

/* Without end, or a time of this clock that nothing overflows by. */
static int64_t moved(int64_t time_ms, int64_t by_ms)
{
    int64_t sum_ms = 0;
    if (time_ms == INT64_MAX || __builtin_add_overflow(time_ms, by_ms, &sum_ms)) {
        return time_ms == INT64_MAX || by_ms > 0 ? INT64_MAX : 0;
    }
    return larger(sum_ms, 0);
}

enum status managed_move_times(char *bytes, size_t size, int64_t by_ms)
{
    struct managed_value value;
    struct head head;
    if (managed_open((struct slice){bytes, size}, ITEM_NEVER, &value) != OK ||
        (value.flags & ~MANAGED_SOFT) != 0 || value.tag_count > ENVELOPE_TAGS_MAX ||
        value.version >= ENVELOPE_NUMBER_END || value.fresh_ms < 0) {
        return MALFORMED;
    }
    memcpy(&head, bytes, sizeof(head));
    head.fresh_until_ms = moved(head.fresh_until_ms, by_ms);
    head.stale_until_ms = moved(head.stale_until_ms, by_ms);
    memcpy(bytes, &head, sizeof(head));
    return OK;
}

void managed_set_verdict(struct item *item, enum ban_verdict bans)
{
    char *at = item_value_room(item) + offsetof(struct head, flags);
    uint16_t flags = 0;
    memcpy(&flags, at, sizeof(flags));
    switch (bans) {
    case BAN_UNKNOWN: return;
    case BAN_NONE: flags |= MANAGED_JUDGED; break;
    case BAN_SOFT: flags |= MANAGED_JUDGED | MANAGED_SOFT; break;
    case BAN_HARD: flags |= MANAGED_JUDGED | MANAGED_UNREADABLE; break;
    }
    memcpy(at, &flags, sizeof(flags));
}

bool managed_is_large(struct slice bytes)
{
    struct head head;
    if (bytes.size < sizeof(head)) {
        return false;
    }
    memcpy(&head, bytes.data, sizeof(head));
    return (head.flags & MANAGED_LARGE) != 0;
}

bool managed_is_same(const struct item *a, const struct item *b)
{
    struct managed_value first;
    struct managed_value second;
    return managed_open(item_value(a), item_expire_at_ms(a), &first) == OK &&
           managed_open(item_value(b), item_expire_at_ms(b), &second) == OK &&
           first.version == second.version && first.flags == second.flags &&
           first.size == second.size && slice_equal(first.value, second.value);
}

/* --- what it is worth ----------------------------------------------------------------------------------------------- */

/* XFetch (Vattani, Chierichetti, Lowenstein 2015): each reader draws for itself, so that a hot key is loaded anew before it
 * ends, and about once; the longer its load takes, the earlier. */
static bool xfetch_draws(const struct managed_value *value, const struct ns_rules *rules,
                         int64_t now_ms, uint32_t noise)
{
    const double unit = ((double)noise + 1) / 4294967296.0; /* above 0, up to 1 */
    const double early_ms =
        -(double)value->load_ms * (double)rules->xfetch_milli / 1000 * log(unit);
    return (double)(value->fresh_until_ms - now_ms) <= early_ms;
}

static bool is_eager(const struct managed_value *value, const struct ns_rules *rules,
                     int64_t now_ms, uint32_t noise)
{
    if (value->fresh_until_ms == INT64_MAX || (value->flags & MANAGED_NEGATIVE) != 0) {
        return false;
    }
    const int64_t left_ms = value->fresh_until_ms - now_ms;
    if (rules->eager_percent > 0 && value->fresh_ms > 0 &&
        (double)left_ms < (double)value->fresh_ms * (double)(100 - rules->eager_percent) / 100) {
        return true;
    }
    return rules->xfetch_milli > 0 && value->load_ms > 0 &&
           xfetch_draws(value, rules, now_ms, noise);
}

static bool is_fresh(const struct managed_value *value, enum ban_verdict bans, int64_t now_ms)
{
    return bans == BAN_NONE && (value->flags & MANAGED_SOFT) == 0 && now_ms < value->fresh_until_ms;
}

enum managed_state managed_judge(const struct managed_value *value, const struct ns_rules *rules,
                                 enum ban_verdict bans, int64_t now_ms, uint32_t noise)
{
    if (bans == BAN_HARD || now_ms >= value->dies_at_ms ||
        (value->flags & MANAGED_UNREADABLE) != 0) {
        return MANAGED_DEAD;
    }
    if (bans == BAN_UNKNOWN) {
        return MANAGED_UNSURE;
    }
    if (is_fresh(value, bans, now_ms)) {
        return is_eager(value, rules, now_ms, noise) ? MANAGED_EAGER : MANAGED_FRESH;
    }
    if ((value->flags & MANAGED_NEGATIVE) != 0) {
        return MANAGED_DEAD;
    }
    return now_ms < value->stale_until_ms ? MANAGED_STALE : MANAGED_SPARE;
}

int64_t managed_ttl_ms(const struct managed_value *value, enum ban_verdict bans, int64_t now_ms)
{
    if (!is_fresh(value, bans, now_ms)) {
        return 0;
    }
    return value->fresh_until_ms == INT64_MAX ? MANAGED_NO_END : value->fresh_until_ms - now_ms;
}

int64_t managed_age_ms(const struct managed_value *value, int64_t now_ms)
{
    if (value->fresh_ms == 0 || value->fresh_until_ms == INT64_MAX) {
        return MANAGED_AGE_UNKNOWN;
    }
    return larger(value->fresh_ms - (value->fresh_until_ms - now_ms), 0);
}

/* --- what is written ------------------------------------------------------------------------------------------------ */

int64_t managed_life_ms(const struct ns_rules *rules, int64_t asked_ms, uint32_t noise)
{
    const int64_t max_ms = rules->max_ttl_ms;
    int64_t life_ms = asked_ms > 0 ? asked_ms : rules->ttl_ms;
    const bool is_cut = max_ms > 0 && (life_ms == 0 || life_ms > max_ms);
    life_ms = is_cut ? max_ms : life_ms;
    if (life_ms == 0 || (asked_ms > 0 && !is_cut)) {
        return life_ms;
    }
    const double less_ms =
        (double)life_ms * (double)rules->jitter_percent / 100 * ((double)noise / 4294967296.0);
    return life_ms - (int64_t)less_ms;
}

int64_t managed_px_ms(int64_t fresh_ms, int64_t swr_ms, int64_t sie_ms)
{
    return fresh_ms == 0 ? 0 : fresh_ms + larger(swr_ms, sie_ms);
}
