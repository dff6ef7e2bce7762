/* Planning: values that live at the same time never share memory, others do; misfits are refused.
 */
#include "tests/support/unit.h"

#include "engine/graph/graph.h"
#include "models/families.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first and last node that touch a value. */
static void find_life(const struct ct_graph *g, int value, int *first, int *last)
{
    *first = g->n_nodes;
    *last = -1;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].in == value || g->nodes[i].out == value) {
            *first = i < *first ? i : *first;
            *last = i;
        }
}

static void assert_places_are_apart(const struct ct_graph *g, int64_t max_tokens,
                                    int64_t max_logits)
{
    for (int a = 0; a < g->n_values; a++) {
        for (int b = 0; b < a; b++) {
            const struct ct_value *x = &g->values[a], *y = &g->values[b];
            int first_a, last_a, first_b, last_b;
            find_life(g, a, &first_a, &last_a);
            find_life(g, b, &first_b, &last_b);
            if (last_a < first_b || last_b < first_a)
                continue;
            int64_t rows_a = x->rows == CT_ROWS_TOKENS ? max_tokens : max_logits;
            int64_t rows_b = y->rows == CT_ROWS_TOKENS ? max_tokens : max_logits;
            int64_t end_a = (int64_t)x->offset + rows_a * x->ld;
            int64_t end_b = (int64_t)y->offset + rows_b * y->ld;
            assert_true(end_a <= (int64_t)y->offset || end_b <= (int64_t)x->offset);
            assert_true(end_a <= g->arena_floats && end_b <= g->arena_floats);
        }
    }
}

static struct ct_hparams small_llama(void)
{
    return (struct ct_hparams){.n_layers = 3,
                               .d_model = 64,
                               .n_heads = 4,
                               .n_kv_heads = 2,
                               .head_dim = 16,
                               .d_ff = 172,
                               .n_vocab = 500,
                               .context_tok = 128,
                               .rope_theta = 1e4,
                               .norm_eps = 1e-5,
                               .has_tied_embeddings = true};
}

static void llama_is_planned_without_overlap(void **state)
{
    (void)state;
    const struct ct_hparams hparams = small_llama();
    struct ct_graph g;
    struct ct_error err;
    ct_graph_init(&g);
    assert_int_equal(ct_family_llama.build(&hparams, &g, &err), CT_OK);
    assert_int_equal(g.n_slots, 1 + 3 * 9 + 1); /* the embedding is the output matrix too */
    static const int64_t sizes[][2] = {{1, 1}, {512, 64}, {8, 512}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ct_graph_plan(&g, sizes[i][0], sizes[i][1]), CT_OK);
        assert_places_are_apart(&g, sizes[i][0], sizes[i][1]);
    }
    int64_t sum = 0;
    for (int v = 0; v < g.n_values; v++)
        sum += g.values[v].ld * 8;
    assert_int_equal(ct_graph_plan(&g, 8, 8), CT_OK);
    assert_true(g.arena_floats < sum / 2);
    ct_graph_deinit(&g);
}

static void qwen2_has_a_bias_beside_each_of_q_k_and_v(void **state)
{
    (void)state;
    struct ct_hparams hparams = small_llama();
    struct ct_graph g;
    struct ct_error err;
    hparams.has_tied_embeddings = false;
    ct_graph_init(&g);
    assert_int_equal(ct_family_qwen2.build(&hparams, &g, &err), CT_OK);
    assert_int_equal(g.n_slots, 1 + 3 * (9 + 3) + 1 + 1);
    int n_biases = 0;
    for (int i = 0; i < g.n_nodes; i++)
        for (int j = 0; g.nodes[i].has_bias && j < g.nodes[i].n_weights; j++, n_biases++) {
            const struct ct_slot *weight = &g.slots[g.nodes[i].weights[j]];
            const struct ct_slot *bias = &g.slots[g.nodes[i].biases[j]];
            const size_t n_stem = strlen(bias->name) - strlen("bias");
            assert_string_equal(bias->name + n_stem, "bias");
            assert_memory_equal(bias->name, weight->name, n_stem);
        }
    assert_int_equal(n_biases, 3 * 3);
    ct_graph_deinit(&g);
}

static void random_chains_are_planned_without_overlap(void **state)
{
    (void)state;
    const unsigned seed = 12345;
    printf("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 200; round++) {
        struct ct_graph g;
        ct_graph_init(&g);
        int n = 2 + rand() % 20;
        for (int i = 0; i < n; i++)
            ct_graph_value(&g, 1 + rand() % 300, rand() % 4 ? CT_ROWS_TOKENS : CT_ROWS_LOGITS);
        for (int i = 1; i < n; i++)
            ct_graph_node(&g, (struct ct_node){.op = CT_OP_SELECT, .in = rand() % i, .out = i});
        assert_int_equal(ct_graph_plan(&g, 7, 3), CT_OK);
        assert_places_are_apart(&g, 7, 3);
        ct_graph_deinit(&g);
    }
}

static void a_misfit_names_its_node(void **state)
{
    (void)state;
    struct ct_graph g;
    struct ct_error err;
    ct_graph_init(&g);
    int in = ct_graph_value(&g, 64, CT_ROWS_TOKENS), out = ct_graph_value(&g, 32, CT_ROWS_TOKENS);
    int w = ct_graph_slot(&g, 33, 64, "w%d", 1);
    ct_graph_node(
        &g,
        (struct ct_node){.op = CT_OP_LINEAR, .in = in, .out = out, .weights = {w}, .n_weights = 1});
    assert_int_equal(ct_graph_check(&g, &err), CT_INTERNAL);
    assert_string_equal(err.message, "graph node 0 (LINEAR): sizes do not fit");
    ct_graph_deinit(&g);
}

static void a_bias_of_another_length_is_a_misfit(void **state)
{
    (void)state;
    for (int k = 31; k <= 33; k++) {
        struct ct_graph g;
        struct ct_error err;
        ct_graph_init(&g);
        struct ct_node node = {.op = CT_OP_LINEAR, .n_weights = 1, .has_bias = true};
        node.in = ct_graph_value(&g, 64, CT_ROWS_TOKENS);
        node.out = ct_graph_value(&g, 32, CT_ROWS_TOKENS);
        node.weights[0] = ct_graph_slot(&g, 32, 64, "w");
        node.biases[0] = ct_graph_slot(&g, 0, k, "b");
        ct_graph_node(&g, node);
        assert_int_equal(ct_graph_check(&g, &err), k == 32 ? CT_OK : CT_INTERNAL);
        ct_graph_deinit(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_is_planned_without_overlap),
        cmocka_unit_test(qwen2_has_a_bias_beside_each_of_q_k_and_v),
        cmocka_unit_test(random_chains_are_planned_without_overlap),
        cmocka_unit_test(a_misfit_names_its_node),
        cmocka_unit_test(a_bias_of_another_length_is_a_misfit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
