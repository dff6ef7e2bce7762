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
    fails("[product]\nx = 1\n", "x.ini:2: [product] has no key 'x'");
    fails("[product]\nm = 0\n",
          "x.ini:2: product.m is a number from 1 to 16777216, LOW..HIGH or *, not '0'");
    fails("[product]\nm = 1\nk = 9..8\n",
          "x.ini:3: product.k is a number from 1 to 16777216, LOW..HIGH or *, not '9..8'");
    fails("[product]\ntile = 1x2\n",
          "x.ini:2: product.tile is IxJxK blocks of 16, each from 1 to 65535, not '1x2'");
    fails("[product]\ntile = 1x2x3x4\n",
          "x.ini:2: product.tile is IxJxK blocks of 16, each from 1 to 65535, not '1x2x3x4'");
    fails("[product]\norder = kij\n", "x.ini:2: product.order is one of auto|ijk|jik, not 'kij'");
    fails("[product]\nm = *\nm = 2\n", "x.ini:3: product.m is given twice");
    fails("[product]\n\n[product]\ntile = 8x8x8\n",
          "x.ini: [product] of line 3: a tile of 8x8x8 blocks takes 64 blocks of the accumulator, "
          "and has 32");
    fails("[product]\ntile = 4x8x64\n",
          "x.ini: [product] of line 1: a tile of 4x8x64 blocks takes 768 blocks of the scratchpad, "
          "and has 512");
    fails("[product]\ndataflow = os\n[array]\ndataflow = ws\n",
          "x.ini: [product] of line 1: dataflow is os, but array.dataflow is ws");
    fails("[dma]\nmax_bytes = 48\n", "x.ini: dma.max_bytes is 48, which is no power of 2");
}

static const struct ct_gem_rule *find(const struct ct_gem_config *config, enum ct_gem_role role,
                                      size_t m, size_t n, size_t k)
{
    return ct_gem_rule_find(config, role, m, n, k);
}

static void the_last_section_about_a_product_decides(void **state)
{
    (void)state;
    static const char text[] = "[product]\nn = 768\ntile = 2x3x4\n[product]\nrole = qk\nfuse = 0\n"
                               "[product]\nm = 1..16\nk = 768\ndataflow = os\norder = jik\n";
    struct ct_gem_config config = preset("default"), back = preset("default");
    struct ct_error err;
    assert_int_equal(ct_gem_config_parse("x", text, strlen(text), &config, &err), CT_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(config.n_rules, 3);
        const struct ct_gem_rule *rules = config.rules;
        assert_null(find(&config, CT_GEM_ROLE_NONE, 17, 767, 768));
        assert_ptr_equal(find(&config, CT_GEM_ROLE_NONE, 17, 768, 768), &rules[0]);
        assert_ptr_equal(find(&config, CT_GEM_ROLE_QK, 17, 768, 768), &rules[1]);
        assert_ptr_equal(find(&config, CT_GEM_ROLE_QK, 16, 768, 768), &rules[2]);
        assert_ptr_equal(find(&config, CT_GEM_ROLE_AV, 1, 1, 768), &rules[2]);
        assert_true(rules[0].tile.i == 2 && rules[0].tile.j == 3 && rules[0].tile.k == 4);
        assert_int_equal(rules[1].fuse, CT_GEM_FUSE_NO);
        assert_int_equal(rules[2].order, CT_GEM_ORDER_JIK);
        assert_false(ct_gem_rule_is_os(&config, &rules[0]));
        assert_true(ct_gem_rule_is_os(&config, &rules[2]));
        char *printed = print(&config);
        assert_int_equal(ct_gem_config_parse("p", printed, strlen(printed), &back, &err), CT_OK);
        free(printed);
        config = back;
    }
    char *many = calloc(1, 65 * 10 + 1);
    for (int i = 0; i < 65; i++)
        strcat(many, "[product]\n");
    fails(many, "x.ini:65: more than 64 [product] sections");
    free(many);
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

static void choices_have_words(void **state)
{
    (void)state;
    struct ct_gem_config config = preset("default");
    char words[32] = "";
    FILE *file = fmemopen(words, sizeof words, "w");
    ct_gem_config_print_choice(&config, "energy", "dram", file);
    config.energy_dram = 3; /* the last one */
    ct_gem_config_print_choice(&config, "energy", "dram", file);
    fclose(file);
    assert_string_equal(words, "lpddr4dosa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_differ_as_documented),
        cmocka_unit_test(what_is_printed_reads_back),
        cmocka_unit_test(errors_name_file_line_limit_and_value),
        cmocka_unit_test(the_last_section_about_a_product_decides),
        cmocka_unit_test(comments_and_blanks_are_left_out),
        cmocka_unit_test(choices_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
