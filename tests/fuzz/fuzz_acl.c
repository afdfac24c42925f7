/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes as a file of users, and any line of it as a command line: no crash, errors name the file, and what was taken is
 * described so that it loads again as the same. */
#include "protocol/check.h"
#include "server/acl.h"
#include "server/acl_check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool knows_modules(void *arg, struct slice name)
{
    (void)arg;
    return name.size > 2 && name.data[0] == 'm' && name.data[1] == '.';
}

static const struct acl_rule_context context = {.knows = knows_modules};

static void describe_all(const struct acl_parsed *parsed, struct buf *text)
{
    for (unsigned i = 0; i < parsed->count; i++) {
        const struct slice name = parsed->users[i]->name;
        CHECK(buf_append(text, "user ", 5) == OK && buf_append_slice(text, name) == OK &&
              buf_append(text, " ", 1) == OK);
        CHECK(acl_describe_user(parsed->users[i], text) == OK && buf_append(text, "\n", 1) == OK);
    }
}

/* The words of the input, asked of every user. */
static void check_words(const struct acl_parsed *parsed, struct slice text)
{
    struct slice argv[16] = {{"", 0}};
    struct acl_line line = {.argv = argv};
    size_t begin = 0;
    for (size_t i = 0; i <= text.size && line.argc < 16; i++) {
        if (i == text.size || text.data[i] == ' ' || text.data[i] == '\n') {
            argv[line.argc++] = (struct slice){text.data + begin, i - begin};
            begin = i + 1;
        }
    }
    line.name = argv[0];
    line.id = acl_command_of(argv[0], line.argc > 1 ? argv[1] : (struct slice){"", 0});
    for (unsigned i = 0; i < parsed->count; i++) {
        const struct acl_denial denial = acl_check(parsed->users[i], &line);
        CHECK(denial.at < line.argc);
        CHECK(denial.verdict == ACL_OK || !acl_user_is_free(parsed->users[i]));
        (void)acl_check_reads_all(parsed->users[i], &line);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char own[] = "user default on nopass ~app:* %R~ro &c +@all -@dangerous\n";
    struct acl_parsed parsed;
    struct acl_parsed again;
    struct buf errors = {0};
    struct buf text = {0};
    struct buf twice = {0};
    const struct slice input = {(const char *)data, size};
    CHECK(acl_parse(slice_of(own), "own", &context, &parsed, &errors) == OK);
    check_words(&parsed, input);
    acl_parsed_done(&parsed);
    if (acl_parse(input, "file", &context, &parsed, &errors) != OK) {
        CHECK(errors.size > 0);
        buf_done(&errors);
        return 0;
    }
    describe_all(&parsed, &text);
    CHECK(acl_parse(buf_slice(&text), "again", &context, &again, &errors) == OK);
    describe_all(&again, &twice);
    CHECK(slice_equal(buf_slice(&text), buf_slice(&twice)));
    acl_parsed_done(&parsed);
    acl_parsed_done(&again);
    buf_done(&errors);
    buf_done(&text);
    buf_done(&twice);
    return 0;
}
