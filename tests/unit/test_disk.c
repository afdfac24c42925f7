/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/disk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    LARGE = (1 << 20) + 7 /* more than one read(2) asks for */
};

/* A file without a name that has so many bytes, each another than the next; read from its begin. */
static int file_of(size_t size)
{
    const int fd = memfd_create("disk", MFD_CLOEXEC);
    char *data = malloc(size + 1);
    assert_true(fd >= 0);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        data[i] = (char)(i % 251);
    }
    assert_int_equal(disk_write(fd, (struct slice){data, size}), OK);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    free(data);
    return fd;
}

static void all_of_a_file_is_read_behind_what_is_there(void **state)
{
    (void)state;
    const int fd = file_of(LARGE);
    struct buf bytes = {0};
    assert_int_equal(buf_append(&bytes, "before", 6), OK);
    assert_int_equal(disk_read_all(fd, SIZE_MAX, &bytes), OK);
    assert_int_equal(bytes.size, 6 + LARGE);
    assert_memory_equal(bytes.data, "before", 6);
    for (size_t i = 0; i < LARGE; i++) {
        assert_int_equal((unsigned char)bytes.data[6 + i], i % 251);
    }
    buf_done(&bytes);
    assert_int_equal(close(fd), 0);
}

static void a_file_as_large_as_the_limit_is_read_and_one_byte_more_is_refused(void **state)
{
    (void)state;
    const int fd = file_of(LARGE);
    struct buf bytes = {0};
    assert_int_equal(disk_read_all(fd, LARGE, &bytes), OK);
    bytes.size = 0;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(disk_read_all(fd, LARGE - 1, &bytes), INVALID);
    assert_int_equal(errno, EFBIG);
    buf_done(&bytes);
    assert_int_equal(close(fd), 0);
}

static void what_the_system_refuses_is_invalid_with_its_errno(void **state)
{
    (void)state;
    struct buf bytes = {0};
    assert_int_equal(disk_read_all(-1, SIZE_MAX, &bytes), INVALID);
    assert_int_equal(errno, EBADF);
    buf_done(&bytes);
}

static void exactly_so_many_bytes_are_there_or_it_is_invalid(void **state)
{
    (void)state;
    const int fd = file_of(100);
    char got[100];
    assert_int_equal(disk_read_at(fd, 90, got, 10), OK);
    assert_int_equal(got[0], 90);
    assert_int_equal(disk_read_at(fd, 90, got, 11), INVALID);
    assert_int_equal(errno, EIO);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_a_file_is_read_behind_what_is_there),
        cmocka_unit_test(a_file_as_large_as_the_limit_is_read_and_one_byte_more_is_refused),
        cmocka_unit_test(what_the_system_refuses_is_invalid_with_its_errno),
        cmocka_unit_test(exactly_so_many_bytes_are_there_or_it_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
