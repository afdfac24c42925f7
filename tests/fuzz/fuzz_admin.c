/* SPDX-License-Identifier: BSD-3-Clause */
/* What the admin listener reads and writes by itself: headers of who asks, and answers of commands as JSON, which must be JSON
 * that reads back, whatever bytes are in them. */
#include "protocol/check.h"
#include "server/admin_guard.h"
#include "server/answer_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(json_t *json)
{
    struct buf text = {0};
    CHECK(answer_json_write(json, &text) == OK);
    json_t *again = json_loadb(text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    CHECK(again != NULL && json_typeof(again) == json_typeof(json));
    json_decref(again);
    json_decref(json);
    buf_done(&text);
}

static void check_guard(struct slice text)
{
    const char *why = NULL;
    struct slice rest = text;
    struct admin_ask ask = {.host = slice_next_word(&rest, "\n"),
                            .authorization = slice_next_word(&rest, "\n"),
                            .token = slice_next_word(&rest, "\n")};
    CHECK(admin_guard(&ask, &why) == 0 || why != NULL);
    CHECK(why != NULL || ask.token.size > 0); /* from elsewhere: never without a token */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice text = {(const char *)data, size};
    json_t *json = NULL;
    if (answer_json(text, &json) == OK) {
        check_json(json);
    }
    if (answer_json_info(text, &json) == OK) {
        check_json(json);
    }
    check_json(answer_json_text(text));
    check_guard(text);
    return 0;
}
