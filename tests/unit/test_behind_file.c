/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of write-behind on the disk: what is safe is there after a crash, and what is not good is refused. */
#include "protocol/envelope.h"
#include "server/behind_file.h"
#include "tests/unit/l1_help.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_SIZE = 400
};

/* A folder, and what a node has of it. */
struct stage {
    char folder[64];
    struct l1 *kin;
    struct behind *behind;
    struct behind_file *file;
    struct log log;
    char error[BEHIND_FILE_ERROR_MAX];
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool hangs; /* under the lock: the disk; and it was asked */
    bool asked;
    unsigned syncs;
};

static void stage_on_safe(void *arg)
{
    struct stage *stage = arg;
    (void)pthread_mutex_lock(&stage->lock);
    (void)pthread_cond_broadcast(&stage->cond);
    (void)pthread_mutex_unlock(&stage->lock);
}

static int stage_sync(void *arg, int fd)
{
    struct stage *stage = arg;
    (void)pthread_mutex_lock(&stage->lock);
    stage->asked = true;
    stage->syncs++;
    (void)pthread_cond_broadcast(&stage->cond);
    while (stage->hangs) {
        (void)pthread_cond_wait(&stage->cond, &stage->lock);
    }
    (void)pthread_mutex_unlock(&stage->lock);
    return fdatasync(fd);
}

static enum status stage_start(struct stage *stage)
{
    stage->behind = behind_new(
        &(struct behind_options){.kin = stage->kin, .entries_max = 1000, .bytes_max = 64 << 20});
    assert_non_null(stage->behind);
    return behind_file_open(&(struct behind_file_options){.folder = stage->folder,
                                                          .behind = stage->behind,
                                                          .log = &stage->log,
                                                          .on_safe = stage_on_safe,
                                                          .sync = stage_sync,
                                                          .arg = stage},
                            &stage->file, stage->error);
}

static void flush_all(struct stage *stage)
{
    struct behind_flush *flush = NULL;
    while ((flush = behind_next(stage->behind, 1)) != NULL) {
        behind_done(stage->behind, flush, BEHIND_SENT, 1, 1);
    }
}

/* The disk hears nothing of what becomes of the table, as in a crash. */
static void stage_stop(struct stage *stage)
{
    behind_file_close(stage->file);
    stage->file = NULL;
    flush_all(stage);
    behind_free(stage->behind);
}

static void stage_open(struct stage *stage)
{
    *stage = (struct stage){.folder = "/tmp/terrace-behind-XXXXXX"};
    assert_non_null(mkdtemp(stage->folder));
    log_open(&stage->log, open("/dev/null", O_WRONLY), false, LOG_NOTICE);
    stage->kin = l1_new(&(struct l1_options){.bytes_max = 1 << 20, .seed = 1});
    (void)pthread_mutex_init(&stage->lock, NULL);
    (void)pthread_cond_init(&stage->cond, NULL);
}

/* The path of the one log; fails if there are more. */
static void log_path(const struct stage *stage, char path[PATH_SIZE])
{
    DIR *entries = opendir(stage->folder);
    const struct dirent *entry = NULL;
    unsigned count = 0;
    while ((entry = readdir(entries)) != NULL) {
        if (strstr(entry->d_name, ".log") != NULL) {
            (void)snprintf(path, PATH_SIZE, "%s/%s", stage->folder, entry->d_name);
            count++;
        }
    }
    (void)closedir(entries);
    assert_int_equal(count, 1);
}

static void stage_close(struct stage *stage)
{
    char path[PATH_SIZE];
    log_path(stage, path);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/behind.lock", stage->folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/behind.new", stage->folder);
    (void)unlink(path);
    assert_int_equal(rmdir(stage->folder), 0);
    (void)close(stage->log.fd);
    l1_free(stage->kin);
}

static uint64_t take(struct stage *stage, const char *key, size_t size)
{
    char *envelope = calloc(1, ENVELOPE_HEAD_SIZE + size);
    uint64_t number = 0;
    const struct l1_key name = l1_key(stage->kin, 0, slice_of(key));
    const struct slice bytes = {envelope, ENVELOPE_HEAD_SIZE + size};
    assert_int_equal(behind_take(stage->behind, &name, 1, 1, 0, bytes, &number), OK);
    free(envelope);
    behind_file_wake(stage->file);
    return number;
}

static void wait_safe(struct stage *stage, uint64_t number)
{
    (void)pthread_mutex_lock(&stage->lock);
    while (behind_safe(stage->behind) < number) {
        (void)pthread_cond_wait(&stage->cond, &stage->lock);
    }
    (void)pthread_mutex_unlock(&stage->lock);
}

static bool has(struct stage *stage, const char *key)
{
    const struct l1_key name = l1_key(stage->kin, 0, slice_of(key));
    return behind_has(stage->behind, &name);
}

static void cut(const char *path, off_t by)
{
    struct stat seen;
    assert_int_equal(stat(path, &seen), 0);
    assert_int_equal(truncate(path, seen.st_size + by), 0);
}

static void flip(const char *path, off_t at)
{
    const int fd = open(path, O_RDWR);
    char byte = 0;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

/* Leaves two writes in the log, and no word of their end. */
static void leave_two(struct stage *stage, char path[PATH_SIZE])
{
    char command[2 * PATH_SIZE];
    assert_int_equal(stage_start(stage), OK);
    wait_safe(stage, take(stage, "first", 1000));
    wait_safe(stage, take(stage, "second", 1000));
    log_path(stage, path);
    (void)snprintf(command, sizeof command, "cp -p %s %s/kept", path, stage->folder);
    assert_int_equal(system(command), 0);
    stage_stop(stage);
    log_path(stage, path);
    (void)snprintf(command, sizeof command, "mv %s/kept %s", stage->folder, path);
    assert_int_equal(system(command), 0);
}

static void what_is_safe_is_there_after_a_restart(void **state)
{
    (void)state;
    struct stage stage;
    struct stat seen;
    char path[PATH_SIZE];
    stage_open(&stage);
    leave_two(&stage, path);
    assert_int_equal(stat(path, &seen), 0);
    assert_int_equal(seen.st_mode & 0777, 0600);
    assert_int_equal(stage_start(&stage), OK);
    assert_true(has(&stage, "first") && has(&stage, "second"));
    flush_all(&stage);
    stage_stop(&stage);
    assert_int_equal(stage_start(&stage), OK);
    assert_true(behind_is_empty(stage.behind)); /* L2 had got them */
    stage_stop(&stage);
    stage_close(&stage);
}

static void a_torn_end_is_cut(void **state)
{
    (void)state;
    struct stage stage;
    char path[PATH_SIZE];
    stage_open(&stage);
    leave_two(&stage, path);
    cut(path, -5);
    assert_int_equal(stage_start(&stage), OK);
    assert_true(has(&stage, "first"));
    assert_false(has(&stage, "second"));
    stage_stop(&stage);
    stage_close(&stage);
}

static void a_record_that_is_not_good_is_refused_with_its_offset(void **state)
{
    (void)state;
    struct stage stage;
    char path[PATH_SIZE];
    stage_open(&stage);
    leave_two(&stage, path);
    flip(path, 100);
    assert_int_equal(stage_start(&stage), INVALID);
    assert_non_null(strstr(stage.error, "no good record at offset 8 of "));
    behind_free(stage.behind);
    flip(path, 100); /* nothing was changed */
    assert_int_equal(stage_start(&stage), OK);
    assert_true(has(&stage, "first") && has(&stage, "second"));
    stage_stop(&stage);
    stage_close(&stage);
}

static void a_folder_is_one_nodes(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    assert_int_equal(stage_start(&stage), OK);
    struct stage other = stage;
    assert_int_equal(stage_start(&other), INVALID);
    assert_non_null(strstr(other.error, "cannot be locked"));
    behind_free(other.behind);
    stage_stop(&stage);
    stage_close(&stage);
}

static void a_file_that_grows_is_written_anew(void **state)
{
    (void)state;
    struct stage stage;
    struct stat seen;
    char path[PATH_SIZE];
    char command[4 * PATH_SIZE];
    char key[16];
    stage_open(&stage);
    assert_int_equal(stage_start(&stage), OK);
    for (int i = 0; i < 40; i++) { /* in some turns both files are written */
        (void)snprintf(key, sizeof key, "k%d", i);
        (void)take(&stage, key, 100);
        wait_safe(&stage, take(&stage, "key", 1000000));
    }
    log_path(&stage, path);
    assert_int_equal(stat(path, &seen), 0);
    assert_in_range(seen.st_size, 1000000, 20 << 20);
    (void)snprintf(command, sizeof command, "cp -p %s %s/kept", path, stage.folder);
    assert_int_equal(system(command), 0);
    stage_stop(&stage);
    log_path(&stage, path);
    (void)snprintf(command, sizeof command, "mv %s/kept %s", stage.folder, path);
    assert_int_equal(system(command), 0);
    assert_int_equal(stage_start(&stage), OK);
    for (int i = 0; i < 40; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_true(has(&stage, key));
    }
    assert_true(has(&stage, "key"));
    stage_stop(&stage);
    stage_close(&stage);
}

static void wait_failed(struct stage *stage, bool failed)
{
    struct behind_counts counts = {0};
    (void)pthread_mutex_lock(&stage->lock);
    while (behind_counts(stage->behind, &counts), counts.failed != failed) {
        (void)pthread_cond_wait(&stage->cond, &stage->lock);
    }
    (void)pthread_mutex_unlock(&stage->lock);
}

/* The next start must not send it over what was written through meanwhile. */
static void a_log_that_failed_is_gone_when_l2_has_all(void **state)
{
    (void)state;
    struct stage stage;
    struct rlimit limit;
    stage_open(&stage);
    assert_int_equal(stage_start(&stage), OK);
    wait_safe(&stage, take(&stage, "a", 10));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 1, .rlim_max = limit.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    (void)take(&stage, "b", 10);
    wait_failed(&stage, true);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    flush_all(&stage);
    stage_stop(&stage);
    assert_int_equal(stage_start(&stage), OK);
    assert_false(has(&stage, "a"));
    stage_stop(&stage);
    stage_close(&stage);
}

static void a_disk_that_refused_is_used_again(void **state)
{
    (void)state;
    struct stage stage;
    struct rlimit limit;
    stage_open(&stage);
    assert_int_equal(stage_start(&stage), OK);
    wait_safe(&stage, take(&stage, "a", 10));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 1, .rlim_max = limit.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    (void)take(&stage, "b", 10);
    wait_failed(&stage, true);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    flush_all(&stage);
    wait_failed(&stage, false);
    wait_safe(&stage, take(&stage, "c", 10));
    stage_stop(&stage);
    stage_close(&stage);
}

static void make_hang(struct stage *stage, bool hangs)
{
    (void)pthread_mutex_lock(&stage->lock);
    stage->hangs = hangs;
    stage->asked = false;
    (void)pthread_cond_broadcast(&stage->cond);
    (void)pthread_mutex_unlock(&stage->lock);
}

/* How often the disk was asked by then. */
static unsigned wait_asked(struct stage *stage)
{
    (void)pthread_mutex_lock(&stage->lock);
    while (!stage->asked) {
        (void)pthread_cond_wait(&stage->cond, &stage->lock);
    }
    const unsigned syncs = stage->syncs;
    (void)pthread_mutex_unlock(&stage->lock);
    return syncs;
}

static void all_who_write_while_the_disk_is_asked_share_its_next_answer(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    assert_int_equal(stage_start(&stage), OK);
    make_hang(&stage, true);
    const uint64_t first = take(&stage, "first", 10);
    const unsigned syncs = wait_asked(&stage);
    uint64_t last = first;
    for (unsigned i = 0; i < 500; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key %u", i);
        last = take(&stage, key, 10);
    }
    assert_true(behind_safe(stage.behind) < first);
    make_hang(&stage, false);
    wait_safe(&stage, last);
    assert_int_equal(wait_asked(&stage), syncs + 1);
    stage_stop(&stage);
    stage_close(&stage);
}

/* Until the disk answers nothing is safe, the table says so, and all goes on afterwards. */
static void a_disk_that_hangs_is_noticed_and_forgiven(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    assert_int_equal(stage_start(&stage), OK);
    make_hang(&stage, true);
    const uint64_t number = take(&stage, "a", 10);
    (void)wait_asked(&stage);
    behind_tick(stage.behind, 1002, 1000);
    assert_false(behind_is_well(stage.behind));
    assert_true(behind_safe(stage.behind) < number);
    flush_all(&stage); /* it goes to L2 as it is */
    assert_false(has(&stage, "a"));
    make_hang(&stage, false);
    wait_safe(&stage, number);
    behind_file_wake(stage.file);
    while (!behind_is_well(stage.behind)) { /* the end of it is to be written, too */
        behind_tick(stage.behind, 1003, 1000);
    }
    wait_safe(&stage, take(&stage, "b", 10));
    stage_stop(&stage);
    stage_close(&stage);
}

static void a_log_that_was_deleted_acknowledges_nothing(void **state)
{
    (void)state;
    struct stage stage;
    char path[PATH_SIZE];
    char command[5 * PATH_SIZE];
    stage_open(&stage);
    assert_int_equal(stage_start(&stage), OK);
    wait_safe(&stage, take(&stage, "a", 10));
    log_path(&stage, path);
    (void)snprintf(command, sizeof command, "cp %s %s.copy && mv %s.copy %s", path, path, path,
                   path);
    assert_int_equal(system(command), 0); /* another file of that name */
    const uint64_t number = take(&stage, "b", 10);
    wait_failed(&stage, true);
    assert_true(behind_safe(stage.behind) < number);
    flush_all(&stage);
    stage_stop(&stage);
    assert_int_equal(stage_start(&stage), OK);
    assert_true(behind_is_empty(stage.behind));
    stage_stop(&stage);
    stage_close(&stage);
}

static void a_folder_that_was_replaced_acknowledges_nothing(void **state)
{
    (void)state;
    struct stage stage;
    char command[2 * PATH_SIZE];
    stage_open(&stage);
    assert_int_equal(stage_start(&stage), OK);
    wait_safe(&stage, take(&stage, "a", 10));
    (void)snprintf(command, sizeof command, "cp -r %s %s.2 && rm -r %s && mv %s.2 %s", stage.folder,
                   stage.folder, stage.folder, stage.folder, stage.folder);
    assert_int_equal(system(command), 0);
    const uint64_t number = take(&stage, "b", 10);
    wait_failed(&stage, true);
    assert_true(behind_safe(stage.behind) < number);
    flush_all(&stage);
    stage_stop(&stage);
    stage_close(&stage);
}

/* What has no room for the new file goes on with the former one. */
static void a_file_that_cannot_be_written_anew_goes_on(void **state)
{
    (void)state;
    struct stage stage;
    char path[PATH_SIZE];
    char fresh[2 * PATH_SIZE];
    struct stat seen;
    stage_open(&stage);
    assert_int_equal(stage_start(&stage), OK);
    (void)snprintf(fresh, sizeof fresh, "%s/behind.new", stage.folder);
    assert_int_equal(mkdir(fresh, 0700), 0);
    for (int i = 0; i < 20; i++) {
        wait_safe(&stage, take(&stage, "key", 1000000));
    }
    log_path(&stage, path);
    assert_int_equal(stat(path, &seen), 0);
    assert_true(seen.st_size > 18 << 20);
    assert_int_equal(rmdir(fresh), 0);
    for (int i = 0; i < 20; i++) {
        wait_safe(&stage, take(&stage, "key", 1000000));
    }
    log_path(&stage, path);
    assert_int_equal(stat(path, &seen), 0);
    assert_true(seen.st_size < 30 << 20);
    stage_stop(&stage);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_safe_is_there_after_a_restart),
        cmocka_unit_test(a_torn_end_is_cut),
        cmocka_unit_test(a_record_that_is_not_good_is_refused_with_its_offset),
        cmocka_unit_test(a_folder_is_one_nodes),
        cmocka_unit_test(a_file_that_grows_is_written_anew),
        cmocka_unit_test(a_log_that_failed_is_gone_when_l2_has_all),
        cmocka_unit_test(a_disk_that_refused_is_used_again),
        cmocka_unit_test(all_who_write_while_the_disk_is_asked_share_its_next_answer),
        cmocka_unit_test(a_disk_that_hangs_is_noticed_and_forgiven),
        cmocka_unit_test(a_log_that_was_deleted_acknowledges_nothing),
        cmocka_unit_test(a_folder_that_was_replaced_acknowledges_nothing),
        cmocka_unit_test(a_file_that_cannot_be_written_anew_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
