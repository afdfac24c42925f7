/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_shown.c -- any bytes as what a node answers to `terrace`: as a reply, as the text of INFO, as a key to show.
 *
 * What must hold: what is read as a tree becomes JSON that can be printed; JSON of INFO can be printed; and what is shown on a
 * terminal has no byte that the terminal would take for a command. */
#include "client/cli/json.h"
#include "client/cli/sample.h"
#include "client/cli/text.h"
#include "client/cli/tree.h"
#include "protocol/check.h"
#include "protocol/info_text.h"
#include "protocol/utf8.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(json_t *value)
{
    CHECK(value != NULL);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    CHECK(text != NULL);
    free(text);
    json_decref(value);
}

static void check_tree(struct slice bytes)
{
    struct tree tree;
    if (tree_read(bytes, &tree) == OK) {
        struct sample sample;
        check_json(tree_json(&tree));
        (void)tree_number(tree_find(&tree, "a"), 0);
        CHECK(sample_read(&sample, tree_text(&tree), &tree, &tree) == OK);
        sample_read_hot(&sample, &tree);
        for (size_t i = 0; i < sample.hot_count; i++) {
            CHECK(utf8_is(slice_of(sample.hot[i].key)));
        }
        sample_done(&sample);
        tree_done(&tree);
    }
}

static void check_shown(struct slice bytes)
{
    struct buf shown = {0};
    CHECK(text_append_shown(&shown, bytes) == OK);
    CHECK(utf8_is(buf_slice(&shown)));
    for (size_t i = 0; i < shown.size; i++) {
        const unsigned char byte = (unsigned char)shown.data[i];
        CHECK(byte >= 0x20 && byte != 0x7f);
        CHECK(byte != 0xc2 || (unsigned char)shown.data[i + 1] >= 0xa0); /* a C1 control sign */
    }
    buf_done(&shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice bytes = {(const char *)data, size};
    char name[16];
    if (size == 0) {
        return 0;
    }
    check_tree(bytes);
    check_json(json_info(bytes));
    check_shown(bytes);
    json_name(bytes, name, sizeof name);
    CHECK(utf8_is(slice_of(name)));
    return 0;
}
