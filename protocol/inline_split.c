/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/inline_split.h"

#include "protocol/check.h"

/* The line being read; 0 stands for its end, since no NUL is in it. */
struct words {
    const char *at;
    const char *end;
    struct buf *unquoted;
};

static char peek(const struct words *words, size_t ahead)
{
    if ((size_t)(words->end - words->at) <= ahead) {
        return '\0';
    }
    return words->at[ahead];
}

static void put(struct words *words, char c)
{
    words->unquoted->data[words->unquoted->size++] = c;
}

/* isspace() of the C locale. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_space_or_end(char c)
{
    return c == '\0' || is_space(c);
}

static char escaped(char c)
{
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* Behind the backslash. */
static void escape_read(struct words *words)
{
    const int high = peek(words, 0) == 'x' ? hex_digit(peek(words, 1)) : -1;
    const int low = high >= 0 ? hex_digit(peek(words, 2)) : -1;
    if (low >= 0) {
        put(words, (char)(unsigned char)(high * 16 + low));
        words->at += 3;
        return;
    }
    put(words, escaped(peek(words, 0)));
    words->at++;
}

/* Behind the opening quote, to behind the closing one. */
static enum status quoted_read(struct words *words, char quote)
{
    for (;;) {
        const char c = peek(words, 0);
        if (c == '\0') {
            return MALFORMED;
        }
        words->at++;
        if (c == quote) {
            return is_space_or_end(peek(words, 0)) ? OK : MALFORMED;
        }
        if (c == '\\' && quote == '"' && peek(words, 0) != '\0') {
            escape_read(words);
        } else if (c == '\\' && quote == '\'' && peek(words, 0) == '\'') {
            put(words, '\'');
            words->at++;
        } else {
            put(words, c);
        }
    }
}

static enum status word_read(struct words *words)
{
    for (;;) {
        const char c = peek(words, 0);
        /* Inside a word Redis takes \v and \f for letters, though between words it skips them. */
        if (c == '\0' || (is_space(c) && c != '\v' && c != '\f')) {
            return OK;
        }
        words->at++;
        if (c == '"' || c == '\'') {
            return quoted_read(words, c);
        }
        put(words, c);
    }
}

enum status inline_next(struct slice line, size_t *position, struct buf *unquoted,
                        struct span *ret_word)
{
    CHECK(*position <= line.size && unquoted->size <= *position);
    CHECK(unquoted->capacity >= line.size);
    struct words words = {
        .at = line.data + *position,
        .end = line.data + line.size,
        .unquoted = unquoted,
    };
    while (words.at < words.end && is_space(*words.at)) {
        words.at++;
    }
    if (words.at == words.end) {
        *position = line.size;
        return AGAIN;
    }
    const size_t offset = unquoted->size;
    const enum status status = word_read(&words);
    if (status != OK) {
        return status;
    }
    *position = (size_t)(words.at - line.data);
    *ret_word = (struct span){.offset = offset, .size = unquoted->size - offset};
    return OK;
}
