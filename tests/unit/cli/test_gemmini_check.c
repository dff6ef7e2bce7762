/* Golden files: their reader against what may be wrong with them; and, where CENTROID_GEMMINI_DATA
 * names a folder of them, a replay of all its programs. */
#include "cli/gemmini_check.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unit.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void write_gz(const char *path, const char *text)
{
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzputs(file, text), strlen(text));
    assert_int_equal(gzclose(file), Z_OK);
}

static void families_have_no_numbers(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"isa_move_000", "isa_move"},
        {"mm_os_16x16x16", "mm_os"},
        {"mm_ws_512x64x64_attnv", "mm_ws_attnv"},
        {"mm_ws_igelu_bs0.02", "mm_ws_igelu_bs"},
        {"micro_mvin_sp_c16_n1", "micro_mvin_sp_c_n"},
        {"nofuse_w2_fullC_512", "nofuse_w_fullC"},
        {"12", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char family[64];
        ct_gemmini_family(names[i][0], family);
        assert_string_equal(family, names[i][1]);
    }
}

static const char program[] =
    "[{\"name\": \"move_1\","
    " \"mem\": [{\"addr\": \"0x100\", \"type\": \"i8\", \"count\": 4, \"fill\": \"splitmix\","
    "            \"seed\": 1, \"lo\": 5, \"hi\": 5}],"
    " \"cmds\": [[0, \"0x3f80000000100001\", \"0x4\"], [0, \"0x2\", \"0x3f80000000000004\"],"
    "            [2, \"0x100\", \"0x1000400000000\"], [3, \"0x104\", \"0x1000400000000\"],"
    "            [\"fence\"]],"
    " \"expect\": [{\"addr\": \"0x104\", \"rows\": 1, \"cols\": 4, \"elem_bytes\": 1,"
    "               \"row_stride_bytes\": 4, \"fnv1a64\": \"%016llx\"}]}]";

static void programs_are_replayed(void **state)
{
    char path[TEMP_PATH], text[2048];
    const struct temp_dir *dir = *state;
    temp_path(dir, "cases.json.gz", path);
    uint64_t hash = UINT64_C(1469598103934665603);
    for (int i = 0; i < 4; i++)
        hash = (hash ^ 5) * UINT64_C(0x100000001b3);
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        struct ct_gemmini_check check = {.n_files = 1};
        struct ct_error err;
        snprintf(text, sizeof text, program, (unsigned long long)(hash + wrong));
        write_gz(path, text);
        assert_int_equal(ct_gemmini_file_open(path, &check.files[0], &err), CT_OK);
        assert_int_equal(ct_gemmini_check_results(&check, &err), CT_OK);
        assert_int_equal(check.n_families, 1);
        assert_string_equal(check.families[0].name, "move");
        assert_int_equal(check.families[0].cases, 1);
        assert_int_equal(check.families[0].exact, 1 - wrong);
        ct_gemmini_file_close(&check.files[0]);
        free(check.families[0].name);
        free(check.families);
    }
}

static void fails(const struct temp_dir *dir, const char *text, const char *message)
{
    char path[TEMP_PATH];
    struct ct_gemmini_file file;
    struct ct_gemmini_case c;
    struct ct_error err;
    assert_int_equal(temp_write_text(dir, "bad.json", text), 0);
    enum ct_status status = ct_gemmini_file_open(temp_path(dir, "bad.json", path), &file, &err);
    if (status == CT_OK) {
        status = ct_gemmini_case_init(json_array_get(file.rows, 0), &c, &err);
        ct_gemmini_case_deinit(&c);
        ct_gemmini_file_close(&file);
    }
    assert_int_equal(status, CT_FORMAT);
    if (strstr(err.message, message) == NULL)
        fail_msg("'%s' has no '%s'", err.message, message);
}

static void errors_name_case_and_field(void **state)
{
    const struct temp_dir *dir = *state;
    fails(dir, "", "bad.json");
    fails(dir, "{}", "neither cases nor scalars nor rows of results");
    fails(dir, "{\"rows\": 7}", "neither cases nor scalars nor rows of results");
    fails(dir, "[7]", "a case without a name");
    fails(dir, "[{\"name\": \"n\", \"cmds\": 1}]", "n: 'cmds' is no list");
    fails(dir, "[{\"name\": \"n\", \"cmds\": [[1, 2]]}]",
          "n: command 0: is neither [funct, rs1, rs2] nor [\"fence\"]");
    fails(dir, "[{\"name\": \"n\", \"cmds\": [[256, 0, 0]]}]", "n: command 0: is neither");
    fails(dir, "[{\"name\": \"n\", \"cmds\": [[1, \"0x1g\", 0]]}]", "n: command 0: is neither");
    fails(dir, "[{\"name\": \"n\", \"cmds\": [[1, -1, 0]]}]", "n: command 0: is neither");
    fails(dir, "[{\"name\": \"n\", \"mem\": [{}]}]", "n: mem 0: 'addr' is missing");
    fails(dir, "[{\"name\": \"n\", \"mem\": [{\"addr\": 0, \"count\": 1e9}]}]",
          "n: mem 0: 'count' is no whole number up to");
    fails(dir, "[{\"name\": \"n\", \"expect\": [{\"addr\": 0, \"rows\": 99999999}]}]",
          "n: expect 0: 'rows' is no whole number up to");
}

static void a_file_cut_short_is_refused(void **state)
{
    char path[TEMP_PATH], text[2048];
    const struct temp_dir *dir = *state;
    temp_path(dir, "short.json.gz", path);
    snprintf(text, sizeof text, program, 0ULL);
    write_gz(path, text);
    FILE *file = fopen(path, "rb");
    const size_t n_bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    for (size_t n = 0; n < n_bytes; n += 13) {
        struct ct_gemmini_file golden;
        struct ct_error err;
        assert_int_equal(temp_write(dir, "short.json.gz", text, n), 0);
        assert_int_not_equal(ct_gemmini_file_open(path, &golden, &err), CT_OK);
    }
}

/* Every program exact, but for those of the family that follows another model. */
static void the_folder_is_replayed(void **state)
{
    (void)state;
    const char *folder = getenv("CENTROID_GEMMINI_DATA");
    if (folder == NULL)
        skip();
    static struct ct_gemmini_check check;
    struct ct_error err;
    static char paths[CT_GEMMINI_MAX_FILES][TEMP_PATH];
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strncmp(entry->d_name, "functional-", 11) != 0 || check.n_files == CT_GEMMINI_MAX_FILES)
            continue;
        char *path = paths[check.n_files];
        snprintf(path, TEMP_PATH, "%s/%s", folder, entry->d_name);
        if (ct_gemmini_file_open(path, &check.files[check.n_files], &err) != CT_OK)
            fail_msg("%s", err.message);
        check.n_files++;
    }
    closedir(dir);
    if (ct_gemmini_check_results(&check, &err) != CT_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < check.n_families; i++) {
        const struct ct_gemmini_family *f = &check.families[i];
        print_message("%s: %ld of %ld\n", f->name, f->exact, f->cases);
        if (strcmp(f->name, "isa_osshiftacc") != 0)
            assert_int_equal(f->exact, f->cases);
        free(f->name);
    }
    assert_true(check.n_families > 0);
    free(check.families);
    for (int i = 0; i < check.n_files; i++)
        ct_gemmini_file_close(&check.files[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_have_no_numbers),   cmocka_unit_test(programs_are_replayed),
        cmocka_unit_test(errors_name_case_and_field), cmocka_unit_test(a_file_cut_short_is_refused),
        cmocka_unit_test(the_folder_is_replayed),
    };
    return cmocka_run_group_tests(tests, temp_dir_setup, temp_dir_teardown);
}
