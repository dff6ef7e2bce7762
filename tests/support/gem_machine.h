/* Operators on the simulated Gemmini, command by command, for cmocka programs: memory is laid out, the
 * operator mapped as the reference software maps it, run, and read. Any failure ends the test. */
#ifndef CT_TESTS_GEM_MACHINE_H
#define CT_TESTS_GEM_MACHINE_H

#include "engine/backend/gemmini/gem_mapping.h"
#include "engine/backend/gemmini/isa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GEM_BASE = 0x1000 };

struct gem_program {
    struct ct_gem_command *commands;
    size_t n, capacity;
};

static inline void gem_keep(void *context, const struct ct_gem_command *command)
{
    struct gem_program *program = context;
    if (program->n == program->capacity) {
        program->capacity = 2 * program->capacity + 64;
        program->commands =
            realloc(program->commands, program->capacity * sizeof *program->commands);
        assert_non_null(program->commands);
    }
    program->commands[program->n++] = *command;
}

/* Runs program over memory [n_bytes] at GEM_BASE, and frees it. */
static inline void gem_run(const struct ct_gem_config *config, struct gem_program *program,
                           uint8_t *memory, size_t n_bytes)
{
    struct ct_error err = {0};
    const struct ct_gem_segment segment = {GEM_BASE, n_bytes, memory};
    struct ct_gem_machine *machine;
    assert_int_equal(ct_gem_machine_open(config, &segment, 1, &machine, &err), CT_OK);
    if (ct_gem_machine_run(machine, program->commands, program->n, &err) != CT_OK)
        fail_msg("%s", err.message);
    ct_gem_machine_close(machine);
    free(program->commands);
}

static inline struct ct_gem_config gem_preset(const char *name)
{
    struct ct_gem_config config;
    struct ct_error err = {0};
    assert_int_equal(ct_gem_config_preset(name, &config, &err), CT_OK);
    return config;
}

static inline size_t gem_aligned(size_t n_bytes)
{
    return (n_bytes + 63) / 64 * 64;
}

/* c [m, n] = act(a [m, k] b + d) * scale; int32 where op->is_full_c, else int8. op has sizes, b_transpose,
 * act and scales; d is NULL, or int32 [n] or, with d_rows, [m, n]. Rows are packed. */
static inline void gem_multiply(const struct ct_gem_config *config, struct ct_gem_matmul op,
                                const int8_t *a, const int8_t *b, const int32_t *d, bool d_rows,
                                void *c)
{
    const size_t a_bytes = op.m * op.k, b_bytes = op.k * op.n,
                 d_bytes = d == NULL ? 0 : (d_rows ? op.m : 1) * op.n * 4,
                 c_bytes = op.m * op.n * (op.is_full_c ? 4 : 1);
    const size_t b_at = gem_aligned(a_bytes), d_at = b_at + gem_aligned(b_bytes),
                 c_at = d_at + gem_aligned(d_bytes);
    struct ct_error err = {0};
    struct gem_program program = {0};
    uint8_t *memory = calloc(1, c_at + c_bytes);
    assert_non_null(memory);
    memcpy(memory, a, a_bytes);
    memcpy(memory + b_at, b, b_bytes);
    if (d != NULL)
        memcpy(memory + d_at, d, d_bytes);
    op.a = (struct ct_gem_matrix){GEM_BASE, op.k};
    op.b = (struct ct_gem_matrix){GEM_BASE + b_at, op.b_transpose ? op.k : op.n};
    if (d != NULL)
        op.d = (struct ct_gem_matrix){GEM_BASE + d_at, d_rows ? op.n : 0};
    op.c = (struct ct_gem_matrix){GEM_BASE + c_at, op.n};
    if (ct_gem_map_matmul(config, &op, gem_keep, &program, &err) != CT_OK)
        fail_msg("%s", err.message);
    gem_run(config, &program, memory, c_at + c_bytes);
    memcpy(c, memory + c_at, c_bytes);
    free(memory);
}

/* out [rows, cols] int8 = softmax or LayerNorm of in, int32. */
static inline void gem_normalise(const struct ct_gem_config *config, struct ct_gem_normalise op,
                                 const int32_t *in, int8_t *out)
{
    const size_t n = op.rows * op.cols, out_at = gem_aligned(n * 4);
    struct ct_error err = {0};
    struct gem_program program = {0};
    uint8_t *memory = calloc(1, out_at + n);
    assert_non_null(memory);
    memcpy(memory, in, n * 4);
    op.in = (struct ct_gem_matrix){GEM_BASE, op.cols};
    op.out = (struct ct_gem_matrix){GEM_BASE + out_at, op.cols};
    if (ct_gem_map_normalise(config, &op, gem_keep, &program, &err) != CT_OK)
        fail_msg("%s", err.message);
    gem_run(config, &program, memory, out_at + n);
    memcpy(out, memory + out_at, n);
    free(memory);
}

/* c [m, n] = act(a [m, n] with column j times gains[j], + d) * scale: products of 16 columns with diagonal
 * blocks, as an array multiplies by columns. op: m, n, act, scales, is_full_c. */
static inline void gem_multiply_columns(const struct ct_gem_config *config, struct ct_gem_matmul op,
                                        const int8_t *a, const int8_t *gains, const int32_t *d,
                                        bool d_rows, void *c)
{
    enum { DIM = 16 };
    const size_t n = op.n, m = op.m, size = op.is_full_c ? 4 : 1;
    int8_t *block = malloc(m * DIM);
    int32_t *added = malloc(m * DIM * sizeof *added);
    uint8_t *out = malloc(m * DIM * 4);
    assert_true(block != NULL && added != NULL && out != NULL);
    for (size_t first = 0; first < n; first += DIM) {
        const size_t width = n - first < DIM ? n - first : DIM, d_m = d_rows ? m : 1;
        int8_t diagonal[DIM * DIM] = {0};
        for (size_t j = 0; j < width; j++)
            diagonal[j * width + j] = gains[first + j];
        for (size_t t = 0; t < m; t++)
            memcpy(block + t * width, a + t * n + first, width);
        for (size_t t = 0; t < d_m && d != NULL; t++)
            memcpy(added + t * width, d + t * n + first, width * sizeof *d);
        op.n = op.k = width;
        gem_multiply(config, op, block, diagonal, d != NULL ? added : NULL, d_rows, out);
        for (size_t t = 0; t < m; t++)
            memcpy((uint8_t *)c + (t * n + first) * size, out + t * width * size, width * size);
    }
    free(block);
    free(added);
    free(out);
}

#endif
