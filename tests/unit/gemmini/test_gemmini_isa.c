/* The functional machine: programs whose results another implementation worked out
 * (tests/golden/make_gemmini.py), and programs that it must refuse. */
#include "engine/backend/gemmini/isa.h"
#include "engine/backend/gemmini/trace.h"
#include "engine/base/rng.h"
#include "tests/support/unit.h"
#include "tests/support/whole_file.h"

#include <stdlib.h>
#include <string.h>

static struct ct_gem_config configure(const char *text)
{
    struct ct_gem_config config;
    struct ct_error err;
    assert_int_equal(ct_gem_config_preset("default", &config, &err), CT_OK);
    if (ct_gem_config_parse("test", text, strlen(text), &config, &err) != CT_OK)
        fail_msg("%s", err.message);
    return config;
}

static struct ct_gem_trace read_trace(const char *name, const char *text)
{
    struct ct_gem_trace trace;
    struct ct_error err;
    if (ct_gem_trace_read(name, text, strlen(text), &trace, &err) != CT_OK)
        fail_msg("%s", err.message);
    return trace;
}

/* Runs a trace; what its .print lines print is to be freed, and *macs is what it multiplied. */
static char *run(const struct ct_gem_trace *trace, const struct ct_gem_config *config,
                 uint64_t *macs)
{
    struct ct_gem_segment memory;
    struct ct_gem_machine *machine;
    struct ct_error err;
    char *printed = NULL;
    size_t n_bytes = 0;
    assert_int_equal(ct_gem_trace_memory(trace, &memory, &err), CT_OK);
    assert_int_equal(ct_gem_machine_open(config, &memory, 1, &machine, &err), CT_OK);
    if (ct_gem_machine_run(machine, trace->commands, trace->n_commands, &err) != CT_OK)
        fail_msg("%s", err.message);
    FILE *file = open_memstream(&printed, &n_bytes);
    for (size_t i = 0; i < trace->n_prints; i++)
        ct_gem_print_write(&trace->prints[i], &memory, file);
    fclose(file);
    *macs = ct_gem_machine_macs(machine);
    ct_gem_machine_close(machine);
    free(memory.bytes);
    return printed;
}

static void check_golden(const char *name, const char *config_text, uint64_t expected_macs)
{
    char path[512];
    uint64_t macs;
    size_t n_bytes;
    const struct ct_gem_config config = configure(config_text);
    snprintf(path, sizeof path, CT_TEST_DIR "/golden/gemmini/%s.txt", name);
    char *text = read_whole_file(path, &n_bytes);
    snprintf(path, sizeof path, CT_TEST_DIR "/golden/gemmini/%s.out", name);
    char *expected = read_whole_file(path, &n_bytes);
    assert_non_null(text);
    assert_non_null(expected);
    struct ct_gem_trace trace = read_trace(name, text);
    char *printed = run(&trace, &config, &macs);
    assert_string_equal(printed, expected);
    assert_int_equal(macs, expected_macs);
    ct_gem_trace_deinit(&trace);
    free(printed);
    free(expected);
    free(text);
}

static void programs_give_what_the_arithmetic_says(void **state)
{
    (void)state;
    static const char twice[] = "[norm]\nrounding = libgemmini\n";
    check_golden("moves", "", 0);
    check_golden("weight_stationary", "", 4 * 4096 + 2 * 9 * 5 * 16 + 4 * 16 * 16);
    check_golden("output_stationary", "", 3 * 4096);
    check_golden("residual_add", "", 0);
    check_golden("loop_relu", "", 31 * 80 * 66);
    check_golden("loop_full_c", "", 17 * 48 * 40);
    check_golden("loop_igelu", "", 20 * 48 * 24);
    check_golden("loop_layernorm_rtl", "", 19 * 80 * 33);
    check_golden("loop_softmax_rtl", "", 19 * 80 * 33);
    check_golden("loop_layernorm_libgemmini", twice, 19 * 80 * 33);
    check_golden("loop_softmax_libgemmini", twice, 19 * 80 * 33);
}

/* A machine that is smaller, or unrolls one loop at a time, tiles nothing differently. */
static void the_configuration_does_not_change_results(void **state)
{
    (void)state;
    check_golden("loop_relu", "[spad]\nkb = 64\nbanks = 2\n[acc]\nkb = 256\n", 31 * 80 * 66);
    check_golden("loop_relu", "[rob]\nloops_in_flight = 1\n[dma]\nmax_bytes = 16\n", 31 * 80 * 66);
    check_golden("loop_softmax_rtl", "[norm]\nstat_ids = 5\n", 19 * 80 * 33);
    check_golden("loop_full_c", "[dma]\nmax_bytes = 128\n", 17 * 48 * 40);
}

static void fails(const char *config_text, const char *text, const char *message)
{
    const struct ct_gem_config config = configure(config_text);
    struct ct_gem_trace trace = read_trace("test", text);
    struct ct_gem_segment memory;
    struct ct_gem_machine *machine;
    struct ct_error err;
    assert_int_equal(ct_gem_trace_memory(&trace, &memory, &err), CT_OK);
    assert_int_equal(ct_gem_machine_open(&config, &memory, 1, &machine, &err), CT_OK);
    assert_int_not_equal(ct_gem_machine_run(machine, trace.commands, trace.n_commands, &err),
                         CT_OK);
    assert_string_equal(err.message, message);
    ct_gem_machine_close(machine);
    free(memory.bytes);
    ct_gem_trace_deinit(&trace);
}

#define MEMORY ".fill at=0x1000 n=256\n"
#define WS     "config_ex ws=1 a_stride=1 c_stride=1\n"

static void errors_name_command_address_and_limit(void **state)
{
    (void)state;
    fails("", MEMORY "fence\nmvin dram=0x10f1 local=spad+0 cols=16 rows=1\n",
          "command 1 (mvin): 16 bytes at 0x10f1 are outside memory, 0x1000 to 0x1100");
    fails("", MEMORY "mvout dram=0xffffffffffffffff local=spad+0 cols=16 rows=1\n",
          "command 0 (mvout): 16 bytes at 0xffffffffffffffff are outside memory, 0x1000 to 0x1100");
    fails("", MEMORY "mvin dram=0x1000 local=spad+16380 cols=16 rows=5\n",
          "command 0 (mvin): rows 16380 to 16384 of the scratchpad, which has 16384");
    fails("", MEMORY "mvin dram=0x1000 local=acc+1024 cols=4 rows=1\n",
          "command 0 (mvin): rows 1024 to 1024 of the accumulator, which has 1024");
    fails("", MEMORY "mvin dram=0x1000 local=acc+0 cols=17 rows=1\n",
          "command 0 (mvin): 1 rows and 17 columns of at most 16 and 16");
    fails("", MEMORY "mvin dram=0x1000 local=none cols=1 rows=1\n",
          "command 0 (mvin): moves a block without a local address");
    fails("", WS "compute.preloaded a=spad+0 a_rows=17 a_cols=1 bd=none\n",
          "command 1 (compute.preloaded): 17 rows and 1 columns of at most 16");
    fails("", WS "compute.preloaded a=acc+7 a_rows=1 a_cols=1 bd=none\n",
          "command 1 (compute.preloaded): an operand in the accumulator (row 7) is not modelled");
    fails("", "config_ex ws=1 a_transpose=1 b_transpose=1\n",
          "command 0 (config_ex): both A and B transposed, weight stationary");
    fails("", "config_ex b_transpose=1\n",
          "command 0 (config_ex): B but not A transposed, output stationary");
    fails("", "config_ex shift=32\n", "command 0 (config_ex): shift 32 of at most 31");
    fails("[array]\ndataflow = ws\n", "config_ex\n",
          "command 0 (config_ex): this array is not output stationary");
    fails("", "config_norm stat=2\n", "command 0 (config_norm): statistics 2 of at most 1");
    fails("", "config_ld id=3\n", "command 0 (config_ld): id 3 of at most 2");
    fails("", "config_st pool_stride=1\nmvout\n", "command 1 (mvout): pooling is not modelled");
    fails("[norm]\nenabled = 0\n", "mvout local=acc+0,max rows=1 cols=1\n",
          "command 0 (mvout): normalises, but norm.enabled is 0");
    fails("", "flush\nraw 15 0x0 0x0\n", "command 1 (funct 15): no instruction that is modelled");
}

static void loops_that_cannot_run_are_refused(void **state)
{
    (void)state;
    fails("", WS "loop_ws\n", "command 1 (loop_ws): LOOP_WS over 0 x 0 x 0 blocks: none may be 0");
    fails("", WS "loop_bounds i=1 j=1 k=1 pad_i=16\nloop_ws\n",
          "command 2 (loop_ws): LOOP_WS pads blocks by 16, 0 and 0 of at most 15");
    fails("", WS "loop_bounds i=16 j=3 k=1\nloop_ws\n",
          "command 2 (loop_ws): LOOP_WS over 16 x 3 x 1 blocks needs 304 rows of the scratchpad "
          "and 768 of the accumulator, but has 8192 and 512");
    fails("", WS "loop_bounds i=65535 j=65535 k=65535\nloop_ws\n",
          "command 2 (loop_ws): LOOP_WS over 65535 x 65535 x 65535 blocks needs 137434759200 rows "
          "of the scratchpad and 68717379600 of the accumulator, but has 8192 and 512");
    fails("", "config_ex\nloop_bounds i=1 j=1 k=1\nloop_ws\n",
          "command 2 (loop_ws): config_ex chose the output stationary dataflow");
    fails("", MEMORY WS "loop_bounds i=1 j=1 k=1\nloop_addrs_ab a=0x2000 b=0x1000\nloop_ws\n",
          "command 3 (loop_ws): its mvin: 16 bytes at 0x2000 are outside memory, 0x1000 to 0x1100");
}

/* Whatever its fields: an error or an end, never a crash. */
static void any_command_ends(void **state)
{
    (void)state;
    const struct ct_gem_config config = configure("[spad]\nkb = 8\n[acc]\nkb = 8\n");
    const uint64_t seed = 20260;
    uint8_t bytes[4096];
    memset(bytes, 7, sizeof bytes);
    const struct ct_gem_segment memory = {4096, sizeof bytes, bytes};
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 300; round++) {
        struct ct_gem_machine *machine;
        struct ct_error err;
        assert_int_equal(ct_gem_machine_open(&config, &memory, 1, &machine, &err), CT_OK);
        for (int i = 0; i < 40; i++) {
            struct ct_gem_command command = {(uint8_t)ct_rng_below(&rng, 24), ct_rng_next(&rng),
                                             ct_rng_next(&rng)};
            /* Most bits zero, so that many go through. */
            if (ct_rng_below(&rng, 4) != 0) {
                command.rs1 &= ct_rng_next(&rng) & ct_rng_next(&rng) & UINT64_C(0x000f000700001f1f);
                command.rs2 &= ct_rng_next(&rng) & UINT64_C(0x000f000fe000007f);
            }
            (void)!ct_gem_machine_run(machine, &command, 1, &err);
        }
        ct_gem_machine_close(machine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_give_what_the_arithmetic_says),
        cmocka_unit_test(the_configuration_does_not_change_results),
        cmocka_unit_test(errors_name_command_address_and_limit),
        cmocka_unit_test(loops_that_cannot_run_are_refused),
        cmocka_unit_test(any_command_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
