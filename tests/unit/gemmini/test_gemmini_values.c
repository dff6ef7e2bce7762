/* The same integers from the machine's commands and from the kernels that serve: products in W8A8. */
#include "engine/base/f16.h"
#include "engine/base/rng.h"
#include "engine/kernels/kernels.h"
#include "engine/runtime/w8a8.h"
#include "tests/support/gem_machine.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

struct size {
    int64_t m, n, k;
};

/* A weight [n, k], bound as the engine binds it. */
struct bound {
    struct ct_graph graph;
    struct ct_matrix matrix;
    void *owned[4];
    struct ct_binding binding;
    float *dense;
};

static void bind(struct bound *b, struct size size, struct ct_rng *rng)
{
    struct ct_pool *pool;
    struct ct_error err = {0};
    *b = (struct bound){0};
    b->dense = malloc((size_t)(size.n * size.k) * sizeof *b->dense);
    assert_non_null(b->dense);
    for (int64_t i = 0; i < size.n * size.k; i++)
        b->dense[i] = (float)ct_rng_uniform(rng) - 0.5f;
    ct_graph_init(&b->graph);
    const int in = ct_graph_value(&b->graph, size.k, CT_ROWS_TOKENS),
              out = ct_graph_value(&b->graph, size.n, CT_ROWS_TOKENS);
    ct_graph_node(&b->graph,
                  (struct ct_node){.op = CT_OP_LINEAR,
                                   .in = in,
                                   .out = out,
                                   .weights = {ct_graph_slot(&b->graph, size.n, size.k, "w")},
                                   .n_weights = 1});
    b->matrix = (struct ct_matrix){.kind = CT_MATRIX_DENSE,
                                   .n = size.n,
                                   .k = size.k,
                                   .dense = b->dense,
                                   .dense_type = CT_DTYPE_F32};
    b->binding = (struct ct_binding){.matrices = &b->matrix, .owned = b->owned};
    assert_int_equal(ct_pool_open(1, &pool), CT_OK);
    assert_int_equal(ct_w8a8_bind(&b->binding, &b->graph, pool, &err), CT_OK);
    ct_pool_close(pool);
}

static void unbind(struct bound *b)
{
    for (int i = 0; i < b->binding.n_owned; i++)
        free(b->owned[i]);
    free(b->dense);
    ct_graph_deinit(&b->graph);
}

/* c [m, n] int32 = q [m, k] w [n, k] transposed, by the machine: weight stationary, as its accumulator has
 * 32 bits and an output-stationary array 20. */
static void multiply_on_machine(const char *preset, struct size size, const int8_t *q,
                                const int8_t *w, int32_t *c)
{
    const struct ct_gem_config config = gem_preset(preset);
    const struct ct_gem_matmul op = {.m = (size_t)size.m,
                                     .n = (size_t)size.n,
                                     .k = (size_t)size.k,
                                     .b_transpose = true,
                                     .is_full_c = true,
                                     .scale = 1,
                                     .act_scale = 1};
    gem_multiply(&config, op, q, w, NULL, false, c);
}

static void check(struct size size, struct ct_rng *rng)
{
    struct bound b;
    bind(&b, size, rng);
    const struct ct_clustered *bound = &b.matrix.clustered;
    const int64_t ldq = (size.k + 63) & ~(int64_t)63, n_groups = (size.k + 31) / 32;
    int8_t *q = malloc((size_t)(size.m * size.k)), *padded = calloc((size_t)(size.m * ldq), 1),
           *w = malloc((size_t)(size.n * size.k));
    float *ones = malloc((size_t)(size.m * n_groups) * sizeof *ones),
          *y = malloc((size_t)(size.m * size.n) * sizeof *y),
          *token = malloc((size_t)size.m * sizeof *token);
    int32_t *sum = calloc((size_t)(size.m * n_groups), sizeof *sum),
            *c = malloc((size_t)(size.m * size.n) * sizeof *c);
    assert_true(q && padded && w && ones && y && token && sum && c);
    for (int64_t i = 0; i < size.m * n_groups; i++)
        ones[i] = 1;
    for (int64_t t = 0; t < size.m; t++) {
        token[t] = (float)ct_rng_uniform(rng) * 0.01f;
        for (int64_t j = 0; j < size.k; j++) {
            padded[t * ldq + j] = q[t * size.k + j] = (int8_t)((int)ct_rng_below(rng, 255) - 127);
            sum[t * n_groups + j / 32] += q[t * size.k + j];
        }
    }
    for (int64_t r = 0; r < size.n; r++)
        for (int64_t j = 0; j < size.k; j++)
            w[r * size.k + j] =
                (int8_t)(ct_tile_index(bound->index +
                                           (r / 16 * ((size.k + 3) / 4) + j / 4) * CT_TILE_INDICES,
                                       8, (int)(r % 16 * 4 + j % 4)) -
                         128);
    const struct ct_linear job = {.n = size.n,
                                  .k = size.k,
                                  .bits = 8,
                                  .group = bound->group,
                                  .index = bound->index,
                                  .codebook_i8 = bound->codebook_i8,
                                  .n_codebooks = 1,
                                  .scale = bound->scale,
                                  .m = size.m,
                                  .x_i8 = {padded, ones, sum, ldq, n_groups, false},
                                  .token_scale = token,
                                  .y = y,
                                  .ldy = size.n};
    ct_kernels()->linear_i8(&job, 0, (size.n + 15) / 16);
    for (int i = 0; i < 2; i++) {
        multiply_on_machine(i == 0 ? "default" : "ibert", size, q, w, c);
        for (int64_t at = 0; at < size.m * size.n; at++) {
            const float scaled = (float)c[at] * ct_f16_to_f32(bound->scale[at % size.n]);
            assert_true(y[at] == scaled * token[at / size.n]);
        }
    }
    unbind(&b);
    free(q);
    free(padded);
    free(w);
    free(ones);
    free(y);
    free(token);
    free(sum);
    free(c);
}

static void products_have_the_bits_of_the_machine(void **state)
{
    (void)state;
    struct ct_rng rng;
    ct_rng_init(&rng, 8);
    print_message("seed 8\n");
    check((struct size){1, 1, 1}, &rng);
    check((struct size){1, 192, 64}, &rng);
    check((struct size){17, 33, 31}, &rng);
    check((struct size){40, 100, 700}, &rng);
    check((struct size){128, 64, 1536}, &rng);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_have_the_bits_of_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
