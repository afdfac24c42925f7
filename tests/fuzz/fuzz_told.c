/* SPDX-License-Identifier: BSD-3-Clause */
/* What Redis answers when it is asked for rights, and to a write that announces itself: whole replies, of any kind. */
#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "tiers/announce.h"
#include "tiers/rights.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_own(const struct announce_refusal *refusal, struct slice reply)
{
    struct slice own;
    struct reply_framer framer = {0};
    size_t whole = 0;
    if (announce_reply(refusal, reply, &own) == OK) {
        CHECK(reply_frame(&framer, own, &whole) == OK && whole == own.size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data, size};
    struct rights rights = {.maxmemory = -1};
    struct announce_refusal refusal = {0};
    const struct announce_refusal none = {0};
    struct reply_framer framer = {0};
    size_t whole = 0;
    while (reply_frame(&framer, rest, &whole) == OK) {
        const struct slice reply = {rest.data, whole};
        char missing[RIGHTS_TEXT_MAX];
        check_own(&none, reply);
        announce_take(&refusal, reply);
        check_own(&refusal, reply);
        (void)!rights_take(&rights, reply);
        rights_missing(&rights, missing);
        CHECK(strlen(missing) < sizeof missing && strlen(rights.why) < sizeof rights.why);
        rest = (struct slice){rest.data + whole, rest.size - whole};
    }
    return 0;
}
