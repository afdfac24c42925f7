/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l1_shard.h"

static void look_at_value(const struct item *item, int64_t now_ms, struct l1_look *ret)
{
    if (item == NULL || item_expired(item, now_ms)) {
        return;
    }
    ret->has_value = true;
    ret->is_hash = item_is_hash(item);
    ret->stamped_at_ms = item_stamped_at_ms(item);
    ret->expire_at_ms = item_expire_at_ms(item);
}

void l1_look(struct l1 *l1, const struct l1_key *key, int64_t now_ms, struct l1_look *ret)
{
    struct l1_place place;
    *ret = (struct l1_look){0};
    struct l1_shard *shard = l1_lock(l1, key->hash);
    if (l1_find(l1, shard, key, &place)) {
        const struct item *entry = l1_place_item(&place);
        ret->has_claim = l1_is_claim(entry);
        if (ret->has_claim) {
            const struct l1_claim_body body = l1_claim_read(entry);
            ret->claimed_at_ms = body.issued_at_ms;
            look_at_value(body.suspect, now_ms, ret);
        } else {
            look_at_value(entry, now_ms, ret);
        }
    }
    l1_unlock(l1, shard);
}
