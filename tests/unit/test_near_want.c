/* SPDX-License-Identifier: BSD-3-Clause */
/* Want of memory in L0 at every moment there is: one story is told again and again, and each time another allocation fails.
 * Nothing wrong is served then, and all comes back in the end. The linker puts the functions below in the place of the
 * system's and an arena's (see the Makefile). */
#include "tests/unit/near_help.h"
#include "tiers/arena_inner.h"

#include <stdlib.h>
#include <sys/mman.h>

enum {
    KEYS = 40,
};

static uint64_t asked;    /* allocations of this telling so far */
static uint64_t fails_at; /* the one that fails; 0: none */
static bool fails_on;     /* and all later ones */

static bool fails(void)
{
    asked++;
    return fails_at != 0 && (fails_on ? asked >= fails_at : asked == fails_at);
}

#define REFUSABLE(type, name, parameters, arguments)     \
    __typeof__(name) __real_##name, __wrap_##name;       \
    type __wrap_##name parameters                        \
    {                                                    \
        return fails() ? NULL : __real_##name arguments; \
    }
REFUSABLE(void *, malloc, (size_t size), (size))
REFUSABLE(void *, calloc, (size_t count, size_t size), (count, size))
REFUSABLE(void *, aligned_alloc, (size_t to, size_t size), (to, size))
REFUSABLE(void *, arena_alloc, (struct arena * arena, size_t size), (arena, size))
REFUSABLE(void *, arena_alloc_line, (struct arena * arena), (arena))
REFUSABLE(void *, arena_alloc_pages, (struct arena * arena, size_t size), (arena, size))

void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, size, protection, flags, file, offset);
}

static const size_t sizes[] = {0, 30, 300, 5000, 60000};

/* Returns whether it could begin. */
static bool tell(void)
{
    static char value[60000];
    struct near *near = near_new(&(struct near_options){.bytes_max = 1 << 20});
    if (near == NULL) {
        return false;
    }
    struct near_stream stream = help_open(near, T0);
    help_beat(near, &stream, T0 + 10, 0);
    for (unsigned i = 0; i < 4 * KEYS; i++) {
        char key[32];
        snprintf(key, sizeof key, "key:%u", i % KEYS);
        const struct near_ticket ticket = help_begin(near, &stream, key, T0 + 20);
        const size_t size = sizes[i % (sizeof sizes / sizeof sizes[0])];
        memset(value, 'a' + (int)(i % 26), sizeof value);
        if (i % 7 == 0) {
            help_event(near, &stream, key, T0 + 20);
        }
        const struct near_answer answer = {.value = {value, size}, .ttl_ms = -1, .near_ms = T};
        near_land(near, slice_of(key), &ticket, &answer, T0 + 20);
        struct near_value got;
        if (near_get(near, slice_of(key), T0 + 20, INT64_MAX, 0, &got) == OK) {
            assert_true(i % 7 != 0 && slice_equal(got.bytes, (struct slice){value, size}));
            near_value_done(&got);
        }
    }
    fails_at = 0;
    help_read(near, &stream, "last", "v", T0 + 30);
    assert_true(help_serves(near, "last", "v", T0 + 30));
    near_free(near);
    return true;
}

static void whatever_allocation_fails_nothing_wrong_is_served(void **state)
{
    (void)state;
    asked = 0;
    assert_true(tell());
    const uint64_t all = asked;
    assert_true(all > 5);
    unsigned begun = 0;
    for (unsigned on = 0; on < 2; on++) {
        fails_on = on == 1;
        for (uint64_t at = 1; at <= all; at++) {
            asked = 0;
            fails_at = at;
            begun += tell();
            fails_at = 0;
        }
    }
    assert_true(begun > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_allocation_fails_nothing_wrong_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
