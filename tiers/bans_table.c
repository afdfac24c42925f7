/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/bans_table.h"

#include "protocol/check.h"
#include "protocol/hash.h"
#include "tiers/base/glob.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS_MIN = 64,
    WORD = 8
};

/* Stands for any tag of a namespace: what binds values whose tags nobody knows. No tag has this id but by chance. */
#define ANY_TAG UINT64_C(0xa17a6a17a6a17a60)

static uint64_t fold(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t bans_ns_id(struct slice name)
{
    if (name.size == 0) {
        return 0;
    }
    const uint64_t hash = hash_checksum(name);
    return hash != 0 ? hash : 1;
}

uint64_t bans_tag_id(struct slice tag)
{
    return hash_checksum(tag);
}

/* --- hashes of slots; 0 is none ---------------------------------------------------------------------------------- */

static uint64_t slot_of_tag(const struct bans_secret *secret, uint64_t ns, uint64_t tag)
{
    const uint64_t hash =
        fold(fold(tag ^ secret->word[0], secret->word[1] | 1) ^ ns, secret->word[2] | 1);
    return hash != 0 ? hash : 1;
}

/* A key on the way from its beginning. */
struct walk {
    const struct bans_secret *secret;
    struct slice key;
    size_t at; /* whole words until here are in the state */
    uint64_t state;
    uint64_t word; /* the next eight bytes, little endian; zeros behind the end */
};

static void walk_look(struct walk *walk)
{
    const size_t left = walk->key.size - walk->at;
    walk->word = 0;
    if (left >= WORD) {
        memcpy(&walk->word, walk->key.data + walk->at, WORD);
    } else if (left > 0) {
        memcpy(&walk->word, walk->key.data + walk->at, left);
    }
    walk->word = le64toh(walk->word);
}

static struct walk walk_begin(const struct bans_secret *secret, struct slice key)
{
    struct walk walk = {.secret = secret, .key = key, .state = secret->word[3]};
    walk_look(&walk);
    return walk;
}

/* The hash of its first `size` bytes, which are not fewer than the last time. */
static uint64_t walk_to(struct walk *walk, size_t size)
{
    while (size - walk->at >= WORD) {
        walk->state = fold(walk->state ^ walk->word, walk->secret->word[4] | 1);
        walk->at += WORD;
        walk_look(walk);
    }
    const uint64_t rest = walk->word & ((UINT64_C(1) << 8 * (size - walk->at)) - 1);
    return fold(walk->state ^ rest ^ (size + 1) * (walk->secret->word[5] | 1),
                walk->secret->word[1] | 1);
}

static uint64_t slot_of_prefix(const struct bans_secret *secret, uint64_t ns, uint64_t hash)
{
    const uint64_t slot = ns == 0 ? hash : fold(hash ^ ns, secret->word[2] | 1);
    return slot != 0 ? slot : 1;
}

/* --- the table --------------------------------------------------------------------------------------------------- */

struct bans_table *bans_table_new(const struct bans_secret *secret, size_t rows)
{
    size_t slots = SLOTS_MIN;
    while (slots / 2 < rows) {
        slots *= 2;
    }
    struct bans_table *table = calloc(1, sizeof(*table));
    if (table == NULL) {
        return NULL;
    }
    table->block.is_table = true;
    table->secret = *secret;
    table->mask = slots - 1;
    table->hashes = calloc(slots, sizeof(*table->hashes));
    table->seqs = calloc(slots, sizeof(*table->seqs));
    table->filter = calloc(slots, 1);
    if (table->hashes == NULL || table->seqs == NULL || table->filter == NULL) {
        bans_table_free(table);
        return NULL;
    }
    return table;
}

void bans_table_free(struct bans_table *table)
{
    if (table != NULL) {
        free((void *)table->hashes);
        free((void *)table->filter);
        free(table->seqs);
        free(table);
    }
}

size_t bans_table_bytes(const struct bans_table *table)
{
    return sizeof(*table) + (table->mask + 1) * (1 + sizeof(*table->hashes) + sizeof(*table->seqs));
}

/* Its bit in the filter: by the upper half of the hash, for the lower half says where the slot is. */
static _Atomic uint64_t *filter_word(const struct bans_table *table, uint64_t slot)
{
    return &table->filter[(slot >> 38) & (table->mask >> 3)];
}

static uint64_t filter_bit(uint64_t slot)
{
    return UINT64_C(1) << (slot >> 32 & 63);
}

static const struct bans_seqs *find(const struct bans_table *table, uint64_t slot)
{
    if ((atomic_load_explicit(filter_word(table, slot), memory_order_relaxed) & filter_bit(slot)) ==
        0) {
        return NULL;
    }
    for (size_t i = slot & table->mask;; i = (i + 1) & table->mask) {
        const uint64_t at = atomic_load_explicit(&table->hashes[i], memory_order_acquire);
        if (at == slot) {
            return &table->seqs[i];
        }
        if (at == 0) {
            return NULL;
        }
    }
}

static void rise(_Atomic uint64_t *seq, uint64_t to)
{
    if (atomic_load_explicit(seq, memory_order_relaxed) < to) {
        atomic_store_explicit(seq, to, memory_order_release);
    }
}

static bool raise_slot(struct bans_table *table, uint64_t slot, const struct frame_ban *ban)
{
    size_t i = slot & table->mask;
    uint64_t at = 0;
    while ((at = atomic_load_explicit(&table->hashes[i], memory_order_relaxed)) != slot) {
        if (at == 0) {
            break;
        }
        i = (i + 1) & table->mask;
    }
    if (at == 0 && table->used > table->mask / 2) {
        return false;
    }
    rise(&table->seqs[i].hard, ban->hard);
    rise(&table->seqs[i].soft, ban->soft);
    if (at == 0) {
        table->used++;
        atomic_fetch_or_explicit(filter_word(table, slot), filter_bit(slot), memory_order_relaxed);
        atomic_store_explicit(&table->hashes[i], slot, memory_order_release);
    }
    return true;
}

void bans_table_copy(struct bans_table *table, const struct bans_table *from)
{
    for (size_t i = 0; i <= from->mask; i++) {
        const uint64_t slot = atomic_load_explicit(&from->hashes[i], memory_order_relaxed);
        const struct frame_ban ban = {
            .hard = atomic_load_explicit(&from->seqs[i].hard, memory_order_relaxed),
            .soft = atomic_load_explicit(&from->seqs[i].soft, memory_order_relaxed),
        };
        CHECK(slot == 0 || raise_slot(table, slot, &ban));
    }
    for (unsigned i = 0; i < BANS_LENGTH_WORDS; i++) {
        const uint64_t bits = atomic_load_explicit(&from->lengths[i], memory_order_relaxed);
        atomic_store_explicit(&table->lengths[i], bits, memory_order_relaxed);
    }
    const bool scoped = atomic_load_explicit(&from->scoped, memory_order_relaxed);
    atomic_store_explicit(&table->scoped, scoped, memory_order_relaxed);
}

bool bans_table_raise(struct bans_table *table, const struct frame_ban *ban)
{
    const struct bans_secret *secret = &table->secret;
    const uint64_t ns = bans_ns_id(ban->ns);
    if (ns != 0) {
        atomic_store_explicit(&table->scoped, true, memory_order_relaxed);
    }
    switch (ban->kind) {
    case FRAME_BAN_TAG:
        return raise_slot(table, slot_of_tag(secret, ns, ANY_TAG), ban) &&
               raise_slot(table, slot_of_tag(secret, ns, bans_tag_id(ban->text)), ban);
    case FRAME_BAN_ALL_TAGS: return raise_slot(table, slot_of_tag(secret, ns, ANY_TAG), ban);
    case FRAME_BAN_PREFIX: {
        struct walk walk = walk_begin(secret, ban->text);
        const uint64_t slot = slot_of_prefix(secret, ns, walk_to(&walk, ban->text.size));
        atomic_fetch_or_explicit(&table->lengths[ban->text.size / 64],
                                 UINT64_C(1) << ban->text.size % 64, memory_order_relaxed);
        return raise_slot(table, slot, ban);
    }
    case FRAME_BAN_GLOB:
    case FRAME_BAN_LOST: return true;
    }
    return true;
}

/* True: nothing more can come of it. */
static bool judge(const struct bans_table *table, uint64_t slot, uint64_t version,
                  struct bans_found *found)
{
    const struct bans_seqs *seqs = find(table, slot);
    if (seqs != NULL) {
        found->hard = version < atomic_load_explicit(&seqs->hard, memory_order_acquire);
        found->soft |= version < atomic_load_explicit(&seqs->soft, memory_order_acquire);
    }
    return found->hard;
}

static bool judge_tag(const struct bans_table *table, const struct bans_case *of, uint64_t tag,
                      struct bans_found *found)
{
    return judge(table, slot_of_tag(&table->secret, 0, tag), of->version, found) ||
           (of->ns != 0 &&
            judge(table, slot_of_tag(&table->secret, of->ns, tag), of->version, found));
}

static void match_prefixes(const struct bans_table *table, const struct bans_case *of,
                           struct bans_found *found)
{
    struct walk walk = walk_begin(&table->secret, of->key);
    for (unsigned i = 0; i < BANS_LENGTH_WORDS && i * 64 <= of->key.size; i++) {
        uint64_t bits = atomic_load_explicit(&table->lengths[i], memory_order_relaxed);
        for (; bits != 0; bits &= bits - 1) {
            const size_t size = i * 64 + (unsigned)__builtin_ctzll(bits);
            if (size > of->key.size) {
                return;
            }
            const uint64_t hash = walk_to(&walk, size);
            if (judge(table, slot_of_prefix(&table->secret, 0, hash), of->version, found) ||
                (of->ns != 0 &&
                 judge(table, slot_of_prefix(&table->secret, of->ns, hash), of->version, found))) {
                return;
            }
        }
    }
}

void bans_table_match(const struct bans_table *table, const struct bans_case *of,
                      struct bans_found *found)
{
    if (of->version == 0 && judge_tag(table, of, ANY_TAG, found)) {
        return;
    }
    for (unsigned i = 0; i < of->tag_count; i++) {
        if (judge_tag(table, of, get_u64le(of->tags + i * sizeof(uint64_t)), found)) {
            return;
        }
    }
    match_prefixes(table, of, found);
}

uint64_t bans_table_all(const struct bans_table *table, uint64_t ns)
{
    struct walk walk = walk_begin(&table->secret, (struct slice){.data = "", .size = 0});
    const struct bans_seqs *seqs =
        find(table, slot_of_prefix(&table->secret, ns, walk_to(&walk, 0)));
    return seqs != NULL ? atomic_load_explicit(&seqs->hard, memory_order_relaxed) : 0;
}

/* --- the list ---------------------------------------------------------------------------------------------------- */

static uint64_t newest(const struct bans_listed *listed)
{
    return listed->hard > listed->soft ? listed->hard : listed->soft;
}

static int by_newest(const void *a, const void *b)
{
    const uint64_t left = newest(a);
    const uint64_t right = newest(b);
    return left < right ? 1 : -(left > right);
}

static size_t text_size(const struct frame_ban *ban)
{
    if (ban->kind == FRAME_BAN_GLOB) {
        return ban->text.size;
    }
    size_t position = 0;
    size_t count = 0;
    struct slice tag;
    while (frame_ban_next_tag(ban->text, &position, &tag) == OK) {
        count++;
    }
    return count * sizeof(uint64_t);
}

static void put_text(char *dst, const struct frame_ban *ban)
{
    if (ban->kind == FRAME_BAN_GLOB) {
        memcpy(dst, ban->text.data, ban->text.size);
        return;
    }
    size_t position = 0;
    struct slice tag;
    while (frame_ban_next_tag(ban->text, &position, &tag) == OK) {
        put_u64le(dst, bans_tag_id(tag));
        dst += sizeof(uint64_t);
    }
}

struct bans_list *bans_list_new(const struct frame_ban *bans, unsigned count)
{
    size_t bytes = sizeof(struct bans_list) + count * sizeof(struct bans_listed);
    for (unsigned i = 0; i < count; i++) {
        bytes += text_size(&bans[i]);
    }
    struct bans_list *list = malloc(bytes);
    if (list == NULL) {
        return NULL;
    }
    *list = (struct bans_list){.count = count, .bytes = bytes};
    char *text = (char *)&list->at[count];
    for (unsigned i = 0; i < count; i++) {
        const struct frame_ban *ban = &bans[i];
        const size_t size = text_size(ban);
        if (size > 0) {
            put_text(text, ban);
        }
        list->at[i] = (struct bans_listed){
            .hard = ban->hard,
            .soft = ban->soft,
            .ns = bans_ns_id(ban->ns),
            .is_glob = ban->kind == FRAME_BAN_GLOB,
            .tag_count = (unsigned)(size / sizeof(uint64_t)),
            .text = {.data = text, .size = size},
        };
        text += size;
    }
    qsort(list->at, count, sizeof list->at[0], by_newest);
    return list;
}

static bool has_tag(const struct bans_case *of, const char *tag)
{
    for (unsigned i = 0; i < of->tag_count; i++) {
        if (memcmp(of->tags + i * sizeof(uint64_t), tag, sizeof(uint64_t)) == 0) {
            return true;
        }
    }
    return false;
}

static bool fits(const struct bans_listed *listed, const struct bans_case *of)
{
    if (listed->ns != 0 && listed->ns != of->ns) {
        return false;
    }
    if (listed->is_glob) {
        return glob_match(listed->text, of->key, false);
    }
    for (unsigned i = 0; i < listed->tag_count; i++) {
        if (!has_tag(of, listed->text.data + i * sizeof(uint64_t))) {
            return false;
        }
    }
    return true;
}

void bans_list_match(const struct bans_list *list, const struct bans_case *of,
                     struct bans_found *found)
{
    for (unsigned i = 0; i < list->count && newest(&list->at[i]) > of->version; i++) {
        const struct bans_listed *listed = &list->at[i];
        if (fits(listed, of)) {
            found->soft |= of->version < listed->soft;
            found->hard = of->version < listed->hard;
            if (found->hard) {
                return;
            }
        }
    }
}
