/* Statuses, arena, half floats, random numbers, tiles and option tables. */
#include "tests/support/unit.h"

#include "engine/base/arena.h"
#include "engine/base/f16.h"
#include "engine/base/options.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/base/tile.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void status_rows_agree_with_their_numbers(void **state)
{
    (void)state;
    assert_string_equal(ct_status_name(CT_OK), "OK");
    assert_string_equal(ct_status_name(CT_DEADLINE), "DEADLINE");
    assert_int_equal(ct_status_http(CT_BUSY), 429);
    assert_int_equal(ct_status_grpc(CT_INVALID), 3);
    assert_string_equal(ct_status_name((enum ct_status) - 999), "INTERNAL");
}

static void long_error_is_cut_visibly(void **state)
{
    (void)state;
    struct ct_error err;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(ct_error_set(&err, CT_FORMAT, "%s", text), CT_FORMAT);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_string_equal(err.message + sizeof err.message - 4, "...");
    ct_error_set(&err, CT_FORMAT, "dtype %s", "a\r\n\033[2J\x7f");
    assert_string_equal(err.message, "dtype a???[2J?");
    ct_error_set(&err, CT_FORMAT, "tensor missing");
    assert_int_equal(ct_error_prefix(&err, "%s", "a.gguf"), CT_FORMAT);
    assert_string_equal(err.message, "a.gguf: tensor missing");
}

static void arena_blocks_are_zero_and_apart(void **state)
{
    (void)state;
    struct ct_arena arena;
    ct_arena_init(&arena);
    unsigned char *blocks[200];
    for (int i = 0; i < 200; i++) {
        size_t n = (size_t)(i * 37 % 500);
        blocks[i] = ct_arena_alloc(&arena, n);
        assert_non_null(blocks[i]);
        for (size_t j = 0; j < n; j++)
            assert_int_equal(blocks[i][j], 0);
        memset(blocks[i], i, n);
    }
    for (int i = 0; i < 200; i++)
        for (size_t j = 0; j < (size_t)(i * 37 % 500); j++)
            assert_int_equal(blocks[i][j], i);
    assert_non_null(ct_arena_alloc(&arena, 1 << 20));
    assert_null(ct_arena_alloc(&arena, SIZE_MAX));
    assert_string_equal(ct_arena_text(&arena, "abc", 2), "ab");
    ct_arena_deinit(&arena);
}

static void every_half_survives_the_way_through_f32(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = ct_f16_to_f32((uint16_t)h);
        uint16_t back = ct_f16_from_f32(f);
        if (isnan(f))
            assert_int_equal(back & 0x7e00, 0x7e00);
        else
            assert_int_equal(back, h);
    }
    assert_float_equal(ct_f16_to_f32(0x3c00), 1.0f, 0);
    assert_float_equal(ct_f16_to_f32(0x0001), 0x1p-24f, 0);
    assert_float_equal(ct_f16_to_f32(0x7bff), 65504.0f, 0);
}

static void halves_round_to_nearest_even(void **state)
{
    (void)state;
    /* Between each two neighbours: the middle goes to the even one, a hair off the middle to the
     * nearer. */
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float low = ct_f16_to_f32((uint16_t)h), high = ct_f16_to_f32((uint16_t)(h + 1));
        float middle = (float)(((double)low + high) / 2);
        assert_int_equal(ct_f16_from_f32(middle), h % 2 == 0 ? h : h + 1);
        assert_int_equal(ct_f16_from_f32(nextafterf(middle, 0)), h);
        assert_int_equal(ct_f16_from_f32(nextafterf(middle, INFINITY)), h + 1);
    }
    assert_int_equal(ct_f16_from_f32(65519.99f), 0x7bff);
    assert_int_equal(ct_f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(ct_f16_from_f32(-INFINITY), 0xfc00);
}

static void rng_repeats_for_a_seed_and_stays_in_range(void **state)
{
    (void)state;
    struct ct_rng a, b, c;
    ct_rng_init(&a, 7);
    ct_rng_init(&b, 7);
    ct_rng_init(&c, 8);
    int n_same = 0;
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t x = ct_rng_next(&a);
        assert_int_equal(x, ct_rng_next(&b));
        n_same += x == ct_rng_next(&c);
        double u = ct_rng_uniform(&a);
        (void)ct_rng_uniform(&b);
        assert_true(u >= 0 && u < 1);
        sum += u;
    }
    assert_int_equal(n_same, 0);
    assert_true(fabs(sum / 10000 - 0.5) < 0.02);
    for (int i = 0; i < 1000; i++)
        assert_true(ct_rng_below(&a, 3) < 3);
}

static void tiles_unpack_to_what_was_packed(void **state)
{
    (void)state;
    struct ct_rng rng;
    ct_rng_init(&rng, 1);
    for (int bits = 2; bits <= 8; bits++) {
        for (int round = 0; round < 100; round++) {
            uint8_t in[CT_TILE_INDICES], out[CT_TILE_INDICES], packed[8 * 8 + 1];
            for (int t = 0; t < CT_TILE_INDICES; t++)
                in[t] = (uint8_t)ct_rng_below(&rng, 1u << bits);
            memset(packed, 0xa5, sizeof packed);
            ct_tile_pack(in, bits, packed);
            assert_int_equal(packed[8 * bits], 0xa5);
            ct_tile_unpack(packed, bits, out);
            assert_memory_equal(in, out, sizeof in);
        }
    }
    /* The planes themselves: index 33 of 7 bits lies in the high half of byte 1, in bits 5:4 of
     * byte 32 + 1 and in bit 4 of byte 48 + 1. */
    uint8_t in[CT_TILE_INDICES] = {0}, packed[56], expected[56] = {0};
    in[33] = 0x55;
    expected[1] = 0x50;
    expected[33] = 0x10;
    expected[49] = 0x10;
    ct_tile_pack(in, 7, packed);
    assert_memory_equal(packed, expected, sizeof expected);
}

static enum ct_status parse(const char *line, struct ct_error *err, int64_t *count, int64_t *size,
                            int *mode, bool *flag, struct ct_option_list *list, int *n_positional)
{
    const struct ct_option options[] = {
        {"count", "N", "", CT_OPTION_INT, count, 1, 8, NULL},
        {"size", "SIZE", "", CT_OPTION_SIZE, size, 0, 0, NULL},
        {"mode", "MODE", "", CT_OPTION_CHOICE, mode, 0, 0, "int8|float"},
        {"flag", NULL, "", CT_OPTION_FLAG, flag, 0, 0, NULL},
        {"model", "DIR", "", CT_OPTION_LIST, list, 0, 0, NULL},
        {0},
    };
    char text[256], *words[16];
    int n = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        words[n++] = word;
    static const char *positional[2];
    return ct_options_parse(options, n, words, positional, 2, n_positional, err);
}

static void options_parse_and_refuse(void **state)
{
    (void)state;
    int64_t count = 3, size = 0;
    int mode = 0, n = 0;
    bool flag = false;
    struct ct_option_list list = {0};
    struct ct_error err;
    assert_int_equal(parse("x --count=5 --size 1.5G --mode float --flag --model a --model b -- --y",
                           &err, &count, &size, &mode, &flag, &list, &n),
                     CT_OK);
    assert_int_equal(count, 5);
    assert_int_equal(size, 1610612736);
    assert_int_equal(mode, 1);
    assert_true(flag);
    assert_int_equal(list.n, 2);
    assert_int_equal(n, 2);
    static const struct {
        const char *line, *message;
    } wrong[] = {
        {"--count 9", "--count: 9 is outside 1..8"},
        {"--count x", "--count: 'x' is not a whole number"},
        {"--count", "--count needs a value: N"},
        {"--size 3Q", "--size: '3Q' is not a size such as 512M or 2G"},
        {"--mode half", "--mode: 'half' is none of int8|float"},
        {"--flag=1", "--flag takes no value"},
        {"--other", "unknown option '--other'"},
        {"-c 3", "unknown option '-c'"},
        {"a b c", "unexpected argument 'c'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(parse(wrong[i].line, &err, &count, &size, &mode, &flag, &list, &n),
                         CT_INVALID);
        assert_string_equal(err.message, wrong[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_rows_agree_with_their_numbers),
        cmocka_unit_test(long_error_is_cut_visibly),
        cmocka_unit_test(arena_blocks_are_zero_and_apart),
        cmocka_unit_test(every_half_survives_the_way_through_f32),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(rng_repeats_for_a_seed_and_stays_in_range),
        cmocka_unit_test(tiles_unpack_to_what_was_packed),
        cmocka_unit_test(options_parse_and_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
