/* SPDX-License-Identifier: BSD-3-Clause */
/* fields_ops.h -- changes of the fields of a hash, as bytes say, beside a naive list.
 *
 * For random bytes (test_fields.c) and for those that a fuzzer finds (fuzz_fields.c); there is no input that means nothing.
 * Aborts where the two differ. */
#ifndef TERRACE_TESTS_UNIT_FIELDS_OPS_H
#define TERRACE_TESTS_UNIT_FIELDS_OPS_H

#include "protocol/check.h"
#include "protocol/fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIELDS_OPS_NAMES = 1024
};

struct fields_ops {
    const uint8_t *at;
    size_t left;
    struct hash_secret secret;
    struct fields_draft draft;
    uint32_t known[FIELDS_OPS_NAMES]; /* size of the value, plus one; 0: there is no such field */
    uint8_t fill[FIELDS_OPS_NAMES];
    size_t count;
};

static inline struct hash_secret ops_secret(void)
{
    unsigned char random[HASH_SECRET_SIZE];
    for (size_t i = 0; i < sizeof random; i++) {
        random[i] = (unsigned char)(i * 37 + 11);
    }
    struct hash_secret secret;
    hash_secret_init(&secret, random);
    return secret;
}

static inline uint8_t fields_ops_byte(struct fields_ops *ops)
{
    if (ops->left == 0) {
        return 0;
    }
    ops->left--;
    return *ops->at++;
}

/* Some names are long. */
static inline struct slice fields_ops_name(unsigned n, char room[300])
{
    const size_t size = (size_t)snprintf(room, 300, "%u", n);
    if (n % 16 != 0) {
        return (struct slice){room, size};
    }
    memset(room + size, '.', 260);
    return (struct slice){room, size + 250 + n % 8};
}

/* Every field that a walk in order meets is found, and so many are counted. */
static inline void ops_check_whole(const struct fields_draft *draft)
{
    const struct slice bytes = fields_bytes(draft);
    size_t count = 0;
    struct fields_pair pair;
    for (size_t at = 0; fields_next(bytes, &at, &pair); count++) {
        struct slice value;
        CHECK(fields_find(bytes, draft->secret, pair.field, &value) == OK);
        CHECK(value.data == pair.value.data && value.size == pair.value.size);
    }
    CHECK(count == fields_count(bytes));
}

static inline void fields_ops_count_visit(void *arg, const struct fields_pair *pair)
{
    CHECK(pair->field.data != NULL);
    ++*(size_t *)arg;
}

static inline void fields_ops_check(const struct fields_ops *ops)
{
    const struct slice bytes = fields_bytes(&ops->draft);
    CHECK(fields_count(bytes) == ops->count);
    ops_check_whole(&ops->draft);
    for (unsigned n = 0; n < FIELDS_OPS_NAMES; n++) {
        char room[300];
        struct slice value = {0};
        const enum status status =
            fields_find(bytes, &ops->secret, fields_ops_name(n, room), &value);
        CHECK((status == OK) == (ops->known[n] != 0));
        if (status == OK) {
            CHECK(value.size == ops->known[n] - 1);
            CHECK(value.size == 0 || ((uint8_t)value.data[0] == ops->fill[n] &&
                                      (uint8_t)value.data[value.size - 1] == ops->fill[n]));
        }
    }
    size_t visited = 0;
    uint64_t cursor = 0;
    do {
        cursor = fields_scan(bytes, &ops->secret, cursor, 7, fields_ops_count_visit, &visited);
    } while (cursor != 0);
    CHECK(visited == ops->count);
}

static inline void fields_ops_set(struct fields_ops *ops, unsigned n)
{
    static char value[16 * 1024];
    char room[300];
    bool is_new = false;
    const uint8_t kind = fields_ops_byte(ops);
    const size_t size = kind < 200   ? kind % 8u
                        : kind < 250 ? kind + fields_ops_byte(ops)
                                     : (size_t)fields_ops_byte(ops) * 64;
    ops->fill[n] = fields_ops_byte(ops);
    memset(value, ops->fill[n], size);
    CHECK(fields_set(&ops->draft, fields_ops_name(n, room), (struct slice){value, size}, &is_new) ==
          OK);
    CHECK(is_new == (ops->known[n] == 0));
    ops->count += is_new;
    ops->known[n] = (uint32_t)size + 1;
}

static inline void fields_ops_remove(struct fields_ops *ops, unsigned n)
{
    char room[300];
    CHECK(fields_remove(&ops->draft, fields_ops_name(n, room)) == (ops->known[n] != 0));
    ops->count -= ops->known[n] != 0;
    ops->known[n] = 0;
}

/* The same bytes in a draft of their own, as the next command finds them. */
static inline void fields_ops_reopen(struct fields_ops *ops)
{
    struct fields_draft old = ops->draft;
    CHECK(fields_open(&ops->draft, &ops->secret, fields_bytes(&old), fields_ops_byte(ops)) == OK);
    fields_close(&old);
}

static inline void fields_ops_run(const uint8_t *data, size_t size)
{
    struct fields_ops ops = {.at = data, .left = size, .secret = ops_secret()};
    CHECK(fields_open(&ops.draft, &ops.secret, (struct slice){0}, 0) == OK);
    while (ops.left > 0) {
        const uint8_t kind = fields_ops_byte(&ops);
        const unsigned n = fields_ops_byte(&ops) | (kind & 3u) << 8;
        if (kind < 140) {
            fields_ops_set(&ops, n);
        } else if (kind < 240) {
            fields_ops_remove(&ops, n);
        } else if (kind < 245) {
            for (unsigned i = 0; i < n; i++) { /* enough for an index to come, or go */
                if (kind < 243) {
                    fields_ops_set(&ops, i);
                } else {
                    fields_ops_remove(&ops, i);
                }
            }
        } else if (kind < 252) {
            fields_ops_reopen(&ops);
        } else {
            fields_ops_check(&ops);
        }
    }
    fields_ops_check(&ops);
    fields_close(&ops.draft);
}

#endif
