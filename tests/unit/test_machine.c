/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A folder in the place of /sys/fs/cgroup, and in it a file in the place of /proc/self/cgroup. */
struct place {
    char folder[64];
    char self[80];
    struct machine_files files;
};

static void put(const struct place *place, const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", place->folder, name);
    for (char *slash = strchr(path + strlen(place->folder) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int place_open(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    (void)snprintf(place->folder, sizeof(place->folder), "/tmp/terrace-machine-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->self, sizeof(place->self), "%s/self", place->folder);
    place->files = (struct machine_files){.self = place->self, .root = place->folder};
    *state = place;
    return 0;
}

static int place_close(void **state)
{
    struct place *place = *state;
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -r '%s'", place->folder);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static size_t all_memory(void)
{
    return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
}

static void without_limits_all_of_the_machine_is_ours(void **state)
{
    struct place *place = *state;
    assert_int_equal(machine_memory_by(&place->files), all_memory());
    put(place, "self", "0::/\n");
    put(place, "memory.max", "max\n");
    put(place, "cpu.max", "max 100000\n");
    assert_int_equal(machine_memory_by(&place->files), all_memory());
    assert_true(machine_cpus_by(&place->files) >= 1);
}

static void a_container_is_limited_by_the_root_that_it_sees(void **state)
{
    struct place *place = *state;
    put(place, "self", "0::/\n");
    put(place, "memory.max", "4194304\n");
    put(place, "cpu.max", "50000 100000\n");
    assert_int_equal(machine_memory_by(&place->files), 4194304);
    assert_int_equal(machine_cpus_by(&place->files), 1); /* half a core, rounded up */
}

static void a_unit_is_limited_by_its_own_group_and_by_the_one_around_it(void **state)
{
    struct place *place = *state;
    put(place, "self", "1:name=systemd:/x\n0::/system.slice/terraced.service\n");
    put(place, "system.slice/memory.max", "max\n");
    put(place, "system.slice/terraced.service/memory.max", "8388608\n");
    assert_int_equal(machine_memory_by(&place->files), 8388608);
    put(place, "system.slice/memory.max", "4194304\n");
    assert_int_equal(machine_memory_by(&place->files), 4194304);
    put(place, "system.slice/terraced.service/cpu.max", "100000 100000\n");
    assert_int_equal(machine_cpus_by(&place->files), 1);
}

static void the_limits_of_v1_hold_as_well(void **state)
{
    struct place *place = *state;
    put(place, "self", "4:memory:/\n");
    put(place, "memory/memory.limit_in_bytes", "2097152\n");
    put(place, "cpu/cpu.cfs_quota_us", "100000\n");
    put(place, "cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(machine_memory_by(&place->files), 2097152);
    assert_int_equal(machine_cpus_by(&place->files), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_limits_all_of_the_machine_is_ours, place_open,
                                        place_close),
        cmocka_unit_test_setup_teardown(a_container_is_limited_by_the_root_that_it_sees, place_open,
                                        place_close),
        cmocka_unit_test_setup_teardown(a_unit_is_limited_by_its_own_group_and_by_the_one_around_it,
                                        place_open, place_close),
        cmocka_unit_test_setup_teardown(the_limits_of_v1_hold_as_well, place_open, place_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
