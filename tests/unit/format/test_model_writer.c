/* Model directories are replaced whole or not at all: also when the writer is killed between any
 * two of its system calls. */
#include "engine/format/model_writer.h"
#include "tests/support/temp_dir.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

/* The first byte of dir/model/config.json, 0 without one; checks that weights.bin says the same. */
static char version_of(const struct temp_dir *dir)
{
    char path[TEMP_PATH], config = 0, weights = 0;
    FILE *file = fopen(temp_path(dir, "model/config.json", path), "r");
    if (file == NULL)
        return 0;
    config = (char)fgetc(file);
    fclose(file);
    file = fopen(temp_path(dir, "model/weights.bin", path), "r");
    assert_non_null(file);
    weights = (char)fgetc(file);
    fclose(file);
    assert_int_equal(config, weights);
    return config;
}

/* Entries of the temporary directory but the model itself: what was left behind. */
static int n_leftovers(const struct temp_dir *dir)
{
    int n = 0;
    DIR *stream = opendir(dir->path);
    assert_non_null(stream);
    for (struct dirent *e = readdir(stream); e != NULL; e = readdir(stream))
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
             strcmp(e->d_name, "model") != 0;
    closedir(stream);
    return n;
}

static enum ct_status write_model(const struct temp_dir *dir, char version, struct ct_error *err)
{
    char path[TEMP_PATH];
    struct ct_model_dir *out = NULL;
    enum ct_status status = ct_model_dir_begin(temp_path(dir, "model", path), &out, err);
    if (status != CT_OK)
        return status;
    status = ct_model_dir_write(out, "config.json", &version, 1, err);
    if (status == CT_OK)
        status = ct_model_dir_write(out, "weights.bin", &version, 1, err);
    if (status == CT_OK)
        return ct_model_dir_commit(out, err);
    ct_model_dir_abort(out);
    return status;
}

static void test_new_then_replaced(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_error err;
    char path[TEMP_PATH];
    assert_int_equal(write_model(dir, '1', &err), CT_OK);
    assert_int_equal(version_of(dir), '1');
    assert_int_equal(temp_write_text(dir, "model/old-shard.bin", "x"), 0);
    assert_int_equal(write_model(dir, '2', &err), CT_OK);
    assert_int_equal(version_of(dir), '2');
    assert_int_not_equal(access(temp_path(dir, "model/old-shard.bin", path), F_OK), 0);
    assert_int_equal(n_leftovers(dir), 0);
}

static void test_empty_directory_is_replaced(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_error err;
    char path[TEMP_PATH];
    assert_int_equal(mkdir(temp_path(dir, "model", path), 0755), 0);
    assert_int_equal(write_model(dir, '1', &err), CT_OK);
    assert_int_equal(version_of(dir), '1');
    assert_int_equal(n_leftovers(dir), 0);
}

static void test_abort_leaves_the_old(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_error err;
    char path[TEMP_PATH];
    struct ct_model_dir *out = NULL;
    assert_int_equal(write_model(dir, '1', &err), CT_OK);
    assert_int_equal(ct_model_dir_begin(temp_path(dir, "model/", path), &out, &err), CT_OK);
    assert_int_equal(ct_model_dir_write(out, "config.json", "2", 1, &err), CT_OK);
    assert_int_equal(n_leftovers(dir), 1);
    ct_model_dir_abort(out);
    ct_model_dir_abort(NULL);
    assert_int_equal(version_of(dir), '1');
    assert_int_equal(n_leftovers(dir), 0);
}

static void test_what_is_no_model_is_kept(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_error err;
    struct ct_model_dir *out = NULL;
    char path[TEMP_PATH];
    assert_int_equal(mkdir(temp_path(dir, "model", path), 0755), 0);
    assert_int_equal(temp_write_text(dir, "model/thesis.tex", "x"), 0);
    assert_int_equal(write_model(dir, '1', &err), CT_INVALID);
    assert_non_null(strstr(err.message, "no config.json"));
    assert_int_equal(temp_write_text(dir, "model/config.json", "{}"), 0);
    assert_int_equal(mkdir(temp_path(dir, "model/photos", path), 0755), 0);
    assert_int_equal(write_model(dir, '1', &err), CT_INVALID);
    assert_non_null(strstr(err.message, "photos"));
    assert_int_equal(access(temp_path(dir, "model/thesis.tex", path), F_OK), 0);
    assert_int_equal(temp_write_text(dir, "plain", "x"), 0);
    assert_int_equal(ct_model_dir_begin(temp_path(dir, "plain", path), &out, &err), CT_INVALID);
    assert_int_equal(ct_model_dir_begin(temp_path(dir, "no/model", path), &out, &err),
                     CT_NOT_FOUND);
    assert_int_equal(ct_model_dir_begin(temp_path(dir, "..", path), &out, &err), CT_INVALID);
    assert_int_equal(ct_model_dir_begin("/", &out, &err), CT_INVALID);
    assert_int_equal(ct_model_dir_begin("", &out, &err), CT_INVALID);
    assert_null(out);
}

/* What appears in the target while the new one is being written is looked at again before the swap.
 */
static void test_target_is_checked_again_at_commit(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_error err;
    struct ct_model_dir *out = NULL;
    char path[TEMP_PATH];
    assert_int_equal(ct_model_dir_begin(temp_path(dir, "model", path), &out, &err), CT_OK);
    assert_int_equal(mkdir(temp_path(dir, "model", path), 0755), 0);
    assert_int_equal(temp_write_text(dir, "model/thesis.tex", "x"), 0);
    assert_int_equal(ct_model_dir_commit(out, &err), CT_INVALID);
    assert_int_equal(access(temp_path(dir, "model/thesis.tex", path), F_OK), 0);
    assert_int_equal(n_leftovers(dir), 0);
}

static void test_living_writer_is_left_alone(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_error err;
    int ready[2], done[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char path[TEMP_PATH];
        struct ct_model_dir *out = NULL;
        enum ct_status status = ct_model_dir_begin(temp_path(dir, "model", path), &out, &err);
        bool is_fine = status == CT_OK && write(ready[1], &byte, 1) == 1 &&
                       read(done[0], &byte, 1) == 1 &&
                       ct_model_dir_write(out, "config.json", "c", 1, &err) == CT_OK &&
                       ct_model_dir_write(out, "weights.bin", "c", 1, &err) == CT_OK &&
                       ct_model_dir_commit(out, &err) == CT_OK;
        _exit(is_fine ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(write_model(dir, 'p', &err), CT_OK);
    assert_int_equal(version_of(dir), 'p');
    assert_int_equal(n_leftovers(dir), 1); /* the child's */
    assert_int_equal(write(done[1], &byte, 1), 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(version_of(dir), 'c');
    assert_int_equal(n_leftovers(dir), 0);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(done[i]);
    }
}

/* Runs write_model in a child that is killed before its n-th stop at a system call; false when it
 * finished before that. */
static bool run_killed_at(const struct temp_dir *dir, char version, int n_stops)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct ct_error err;
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        raise(SIGSTOP);
        _exit(write_model(dir, version, &err) == CT_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* tracing is not allowed here */
    for (int i = 0; i < n_stops && WIFSTOPPED(status); i++) {
        ptrace(PTRACE_SYSCALL, child, NULL, NULL);
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    return true;
}

static void test_kill_at_every_system_call(void **state)
{
    const struct temp_dir *dir = *state;
    struct ct_error err;
    int n_old = 0, n_new = 0;
    bool is_killed = true;
    for (int n_stops = 1; is_killed; n_stops++) {
        assert_int_equal(write_model(dir, 'o', &err), CT_OK);
        is_killed = run_killed_at(dir, 'n', n_stops);
        char version = version_of(dir); /* never half, never missing */
        assert_true(version == 'o' || version == 'n');
        n_old += version == 'o';
        n_new += version == 'n';
    }
    assert_true(n_old > 10 && n_new > 3);
    assert_int_equal(write_model(dir, 'l', &err), CT_OK);
    assert_int_equal(n_leftovers(dir), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_dir_setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new_then_replaced),
        TEST(test_empty_directory_is_replaced),
        TEST(test_abort_leaves_the_old),
        TEST(test_what_is_no_model_is_kept),
        TEST(test_target_is_checked_again_at_commit),
        TEST(test_living_writer_is_left_alone),
        TEST(test_kill_at_every_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
