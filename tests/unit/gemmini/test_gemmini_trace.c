/* The text form: what is written reads back as the same bits, and what cannot be read is named. */
#include "engine/backend/gemmini/trace.h"
#include "engine/base/rng.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

static char *write(const struct ct_gem_trace *trace)
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *file = open_memstream(&text, &n_bytes);
    ct_gem_trace_write(trace, file);
    fclose(file);
    return text;
}

static void any_command_reads_back(void **state)
{
    (void)state;
    enum { N = 20000 };
    const uint64_t seed = 7301;
    static struct ct_gem_command commands[N];
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < N; i++) {
        commands[i] = (struct ct_gem_command){(uint8_t)ct_rng_below(&rng, 24), ct_rng_next(&rng),
                                              ct_rng_next(&rng)};
        if (i % 2 == 0) { /* bits that have fields, mostly */
            commands[i].rs1 &= ct_rng_next(&rng) & ct_rng_next(&rng);
            commands[i].rs2 = i % 4 == 0 ? ct_rng_next(&rng) & 7 : commands[i].rs2;
        }
    }
    const struct ct_gem_trace trace = {.commands = commands, .n_commands = N};
    char *text = write(&trace);
    struct ct_gem_trace back;
    struct ct_error err;
    if (ct_gem_trace_read("back", text, strlen(text), &back, &err) != CT_OK)
        fail_msg("%s", err.message);
    assert_int_equal(back.n_commands, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(back.commands[i].funct, commands[i].funct);
        assert_int_equal(back.commands[i].rs1, commands[i].rs1);
        assert_int_equal(back.commands[i].rs2, commands[i].rs2);
    }
    ct_gem_trace_deinit(&back);
    free(text);
}

static void text_is_written_as_it_was_read(void **state)
{
    (void)state;
    static const char text[] = ".fill at=0x80000000 type=i32 n=3 seed=66 low=-128 high=127\n"
                               "config_ex ws=1 act=1 a_stride=1 acc_scale=1 shift=3 c_stride=2\n"
                               "config_ld id=2 block_stride=16 scale=0.1 stride=64\n"
                               "config_st stride=64 acc_scale=0xffc00000\n"
                               "config_norm stat=1 only_stat=1\n"
                               "mvin dram=0x80000000 local=acc+7,add cols=16 rows=2\n"
                               "mvout dram=0x80000000 local=acc+7,full,inv_sum_exp cols=16 rows=2\n"
                               "preload bd=none bd_cols=16 bd_rows=16 c=spad+3 c_cols=4 c_rows=5\n"
                               "mvin2 local=0x20000001\n"
                               "raw 15 0x1 0x0\n"
                               "fence\n"
                               ".print at=0x80000000 type=i32 rows=1 cols=3 stride=12\n";
    struct ct_gem_trace trace;
    struct ct_error err;
    if (ct_gem_trace_read("text", text, sizeof text - 1, &trace, &err) != CT_OK)
        fail_msg("%s", err.message);
    char *again = write(&trace);
    assert_string_equal(again, text);
    free(again);
    ct_gem_trace_deinit(&trace);
}

static void fails(const char *text, const char *message)
{
    struct ct_gem_trace trace;
    struct ct_error err;
    assert_int_equal(ct_gem_trace_read("x", text, strlen(text), &trace, &err), CT_INVALID);
    assert_string_equal(err.message, message);
}

static void errors_name_the_line(void **state)
{
    (void)state;
    fails("# \nmove a=1\n", "x:2: no command is called 'move'");
    fails("mvin\nmvin dam=1\n", "x:2: mvin has no field 'dam'");
    fails("mvin rows\n", "x:1: mvin has no field 'rows'");
    fails("mvin rows=65536\n", "x:1: rows is 65536 of at most 65535");
    fails("mvin rows=-1\n", "x:1: rows is no whole number: '-1'");
    fails("mvin rows=1 rows=1\n", "x:1: rows is given twice");
    fails("mvin local=spad+1,add\n", "x:1: local: 'add' is no part of a scratchpad address");
    fails("mvin local=acc+1,sub\n", "x:1: local: 'sub' is no part of an accumulator address");
    fails("mvin local=acc+67108864\n", "x:1: local is 67108864 of at most 67108863");
    fails("config_st acc_scale=one\n", "x:1: acc_scale is no number: 'one'");
    fails("raw 1 2\n", "x:1: raw takes a function and two registers");
    fails(".fill at=0 n=1 low=2\n", "x:1: low is 2, above high, 0");
    fails(".fill rows=1\n", "x:1: .fill has no 'rows'");
    fails(".fill type=i16\n", "x:1: type is i8 or i32, not 'i16'");
    fails(".print at=0 rows=1\n", "x:1: .print needs rows and cols of at least 1");
}

static void memory_spans_what_is_filled_and_printed(void **state)
{
    (void)state;
    static const char text[] = ".fill at=0x110 type=i32 n=1 low=-2 high=-2\n.print at=0x100 rows=2 "
                               "cols=4 stride=20\n.fill at=0 n=0\n";
    struct ct_gem_trace trace;
    struct ct_gem_segment memory;
    struct ct_error err;
    assert_int_equal(ct_gem_trace_read("x", text, sizeof text - 1, &trace, &err), CT_OK);
    assert_int_equal(ct_gem_trace_memory(&trace, &memory, &err), CT_OK);
    assert_int_equal(memory.address, 0x100);
    assert_int_equal(memory.n_bytes, 24);
    assert_memory_equal(memory.bytes + 16, "\xfe\xff\xff\xff\0\0\0\0", 8);
    free(memory.bytes);
    trace.fills[1] = (struct ct_gem_fill){UINT64_C(1) << 40, 1, 0, 1, 0, 0};
    assert_int_equal(ct_gem_trace_memory(&trace, &memory, &err), CT_TOO_LARGE);
    ct_gem_trace_deinit(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_command_reads_back),
        cmocka_unit_test(text_is_written_as_it_was_read),
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(memory_spans_what_is_filled_and_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
