/* The simulated machine's configuration: presets, limits, and files that are read back. */
#include "engine/backend/gemmini/gem_config.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

static struct ct_gem_config preset(const char *name)
{
    struct ct_gem_config config;
    struct ct_error err;
    assert_int_equal(ct_gem_config_preset(name, &config, &err), CT_OK);
    return config;
}

static void presets_differ_as_documented(void **state)
{
    (void)state;
    const struct ct_gem_config config = preset("default");
    assert_int_equal(config.spad_kb, 256);
    assert_int_equal(config.acc_kb, 64);
    assert_int_equal(config.mem_latency, 40);
    assert_true(config.mem_bytes_per_cycle == 16);
    assert_int_equal(preset("ibert").acc_kb, 128);
    assert_int_equal(preset("survey_nas").spad_kb, 64);
    assert_int_equal(preset("survey_nas").acc_kb, 256);
    assert_int_equal(preset("survey_fusion_128").acc_kb, 128);
    assert_int_equal(preset("lpddr4").mem_latency, 100);
    assert_int_equal(preset("survey_fusion_256").acc_kb, 256);
    struct ct_gem_config unknown;
    struct ct_error err;
    assert_int_equal(ct_gem_config_preset("tpu", &unknown, &err), CT_NOT_FOUND);
    assert_string_equal(err.message,
                        "no preset is called 'tpu'; there are default, ibert, survey_nas, "
                        "survey_fusion_128, survey_fusion_256, lpddr4");
}

static char *print(const struct ct_gem_config *config)
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *file = open_memstream(&text, &n_bytes);
    ct_gem_config_print(config, file);
    fclose(file);
    return text;
}

static void what_is_printed_reads_back(void **state)
{
    (void)state;
    struct ct_error err;
    struct ct_gem_config config = preset("survey_nas"), back = preset("default");
    config.mem_bytes_per_cycle = 6.25;
    config.norm_rounding = 1;
    char *text = print(&config);
    assert_int_equal(ct_gem_config_parse("printed", text, strlen(text), &back, &err), CT_OK);
    char *again = print(&back);
    assert_string_equal(again, text);
    assert_true(back.mem_bytes_per_cycle == 6.25);
    assert_int_equal(back.norm_rounding, 1);
    free(again);
    free(text);
}

static void fails(const char *text, const char *message)
{
    struct ct_gem_config config = preset("default");
    struct ct_error err;
    assert_int_equal(ct_gem_config_parse("x.ini", text, strlen(text), &config, &err), CT_INVALID);
    assert_string_equal(err.message, message);
}

static void errors_name_file_line_limit_and_value(void **state)
{
    (void)state;
    fails("# one\n[mem]\nlatency = 0\n", "x.ini:3: mem.latency is from 1 to 10000, not 0");
    fails("[mem]\nlatency = 4o\n", "x.ini:2: mem.latency takes a whole number, not '4o'");
    fails("[mem]\nlatency = 1.5\n", "x.ini:2: mem.latency takes a whole number, not '1.5'");
    fails("[mem]\nbytes_per_cycle = nan\n",
          "x.ini:2: mem.bytes_per_cycle takes a number, not 'nan'");
    fails("[mem]\nlatancy = 1\n", "x.ini:2: [mem] has no key 'latancy'");
    fails("[memory]\n", "x.ini:1: no section is called [memory]");
    fails("latency = 1\n", "x.ini:1: 'latency' stands before the first [section]");
    fails("[mem]\nlatency\n", "x.ini:2: 'latency' is neither [section] nor key = value");
    fails("[mem]\nlatency = 1\nlatency = 1\n", "x.ini:3: mem.latency is given twice");
    fails("[norm]\nrounding = up\n", "x.ini:2: norm.rounding is one of rtl|libgemmini, not 'up'");
    fails("[spad]\nbanks = 7\n", "x.ini: spad.banks is 7, which does not divide 16384 rows");
    fails("[dma]\nmax_bytes = 48\n", "x.ini: dma.max_bytes is 48, which is no power of 2");
}

static void comments_and_blanks_are_left_out(void **state)
{
    (void)state;
    static const char text[] = "; head\r\n\n [ mem ] # here\n  latency=7;so\n[acc]\nkb =\t128";
    struct ct_gem_config config = preset("default");
    struct ct_error err;
    assert_int_equal(ct_gem_config_parse("x", text, sizeof text - 1, &config, &err), CT_OK);
    assert_int_equal(config.mem_latency, 7);
    assert_int_equal(config.acc_kb, 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_differ_as_documented),
        cmocka_unit_test(what_is_printed_reads_back),
        cmocka_unit_test(errors_name_file_line_limit_and_value),
        cmocka_unit_test(comments_and_blanks_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
