/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/glob.h"

#include "protocol/limits.h"

struct glob {
    struct slice pattern;
    size_t at; /* in the pattern */
    bool nocase;
    uint32_t steps_left;
};

/* Signed on purpose: Redis compares ranges as plain char, which is signed where it usually runs. */
static int byte_at(struct slice bytes, size_t i)
{
    return (signed char)bytes.data[i];
}

static int lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static int fold(const struct glob *glob, int c)
{
    return glob->nocase ? lower(c) : c;
}

static size_t left(const struct glob *glob)
{
    return glob->pattern.size - glob->at;
}

static bool spend(struct glob *glob)
{
    if (glob->steps_left == 0) {
        return false;
    }
    glob->steps_left--;
    return true;
}

static bool range_has(const struct glob *glob, int first, int last, int c)
{
    /* Put in order before folding, as Redis does: [a-Z] without case is z..a, which nothing fits. */
    const int low = first < last ? first : last;
    const int high = first < last ? last : first;
    const int folded = fold(glob, c);
    return folded >= fold(glob, low) && folded <= fold(glob, high);
}

/* One member of a set, `at` on its first byte; moves behind it. */
static bool member_has(struct glob *glob, int c)
{
    const struct slice pattern = glob->pattern;
    const int first = byte_at(pattern, glob->at);
    if (first == '\\' && left(glob) >= 2) {
        glob->at += 2;
        return byte_at(pattern, glob->at - 1) == c;
    }
    if (left(glob) >= 3 && pattern.data[glob->at + 1] == '-') {
        glob->at += 3;
        return range_has(glob, first, byte_at(pattern, glob->at - 1), c);
    }
    glob->at++;
    return fold(glob, first) == fold(glob, c);
}

/* `at` behind the '['; moves behind the ']' or to the end of the pattern. */
static bool set_has(struct glob *glob, int c)
{
    const bool negated = left(glob) > 0 && glob->pattern.data[glob->at] == '^';
    glob->at += negated ? 1 : 0;
    bool found = false;
    while (left(glob) > 0 && glob->pattern.data[glob->at] != ']') {
        if (!spend(glob)) {
            return false;
        }
        found = member_has(glob, c) || found;
    }
    glob->at += left(glob) > 0 ? 1 : 0;
    return found != negated;
}

/* Any item but '*': whether it takes the byte `c`. Moves behind the item. */
static bool item_takes(struct glob *glob, int c)
{
    const int first = byte_at(glob->pattern, glob->at++);
    if (first == '?') {
        return true;
    }
    if (first == '[') {
        return set_has(glob, c);
    }
    if (first == '\\' && left(glob) > 0) {
        return fold(glob, byte_at(glob->pattern, glob->at++)) == fold(glob, c);
    }
    return fold(glob, first) == fold(glob, c);
}

static void skip_stars(struct glob *glob)
{
    while (left(glob) > 0 && glob->pattern.data[glob->at] == '*') {
        glob->at++;
    }
}

bool glob_match(struct slice pattern, struct slice name, bool nocase)
{
    struct glob glob = {.pattern = pattern, .nocase = nocase, .steps_left = LIMIT_PATTERN_STEPS};
    if (name.size == 0) {
        return pattern.size == 0;
    }
    unsigned stars = 0;
    size_t star_at = 0;   /* in the pattern, behind the last star */
    size_t star_name = 0; /* the first byte of the name that this star does not eat */
    size_t i = 0;
    while (i < name.size) {
        if (!spend(&glob)) {
            return false;
        }
        if (left(&glob) > 0 && pattern.data[glob.at] == '*') {
            skip_stars(&glob);
            if (left(&glob) == 0) {
                return true;
            }
            if (++stars > LIMIT_PATTERN_STARS) {
                return false;
            }
            star_at = glob.at;
            star_name = i;
        } else if (left(&glob) > 0 && item_takes(&glob, byte_at(name, i))) {
            i++;
        } else if (stars > 0) {
            glob.at = star_at;
            i = ++star_name;
        } else {
            return false;
        }
    }
    skip_stars(&glob);
    return left(&glob) == 0;
}
