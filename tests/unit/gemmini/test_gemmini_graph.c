/* A graph as operators: which there are, in what order and shape, and which are the same. */
#include "engine/backend/gemmini/gem_graph.h"
#include "tests/support/unit.h"

enum { E = 24, F = 96, H = 6, HKV = 2, D = 4, ROWS = 5, KEYS = 9 };

static void add(struct ct_graph *g, enum ct_op op, int in, int out, int slot)
{
    ct_graph_node(
        g, (struct ct_node){.op = op, .in = in, .out = out, .weights = {slot}, .n_weights = 1});
}

/* norm, three products, rotation, attention, a product that is added, norm, feed-forward, answer. */
static void build(struct ct_graph *g)
{
    ct_graph_init(g);
    g->heads = (struct ct_heads){H, HKV, D, 10000};
    const int h = ct_graph_value(g, E, CT_ROWS_TOKENS), a = ct_graph_value(g, E, CT_ROWS_TOKENS),
              qkv = ct_graph_value(g, (H + 2 * HKV) * D, CT_ROWS_TOKENS),
              out = ct_graph_value(g, H * D, CT_ROWS_TOKENS),
              f = ct_graph_value(g, F, CT_ROWS_TOKENS), last = ct_graph_value(g, E, CT_ROWS_LOGITS);
    const int norm = ct_graph_slot(g, 0, E, "norm"), q = ct_graph_slot(g, H * D, E, "q"),
              k = ct_graph_slot(g, HKV * D, E, "k"), v = ct_graph_slot(g, HKV * D, E, "v"),
              o = ct_graph_slot(g, E, H * D, "o"), up = ct_graph_slot(g, F, E, "up"),
              down = ct_graph_slot(g, E, F, "down");
    add(g, CT_OP_EMBED, -1, h, q);
    add(g, CT_OP_RMSNORM, h, a, norm);
    ct_graph_node(g, (struct ct_node){.op = CT_OP_LINEAR,
                                      .in = a,
                                      .out = qkv,
                                      .weights = {q, k, v},
                                      .n_weights = 3,
                                      .has_bias = true});
    add(g, CT_OP_ROTATE, qkv, qkv, q);
    add(g, CT_OP_ATTEND, qkv, out, q);
    ct_graph_node(g, (struct ct_node){.op = CT_OP_LINEAR,
                                      .in = out,
                                      .out = h,
                                      .weights = {o},
                                      .n_weights = 1,
                                      .is_added = true});
    add(g, CT_OP_LINEAR, h, f, up);
    ct_graph_node(g,
                  (struct ct_node){
                      .op = CT_OP_ACTIVATE, .in = f, .out = f, .activation = CT_ACTIVATION_RELU});
    ct_graph_node(g,
                  (struct ct_node){
                      .op = CT_OP_ACTIVATE, .in = f, .out = f, .activation = CT_ACTIVATION_GELU});
    add(g, CT_OP_SELECT, h, last, q);
    add(g, CT_OP_LINEAR, last, last, down);
}

static void a_graph_becomes_operators(void **state)
{
    (void)state;
    struct ct_graph g;
    struct ct_gem_op ops[64];
    const int bits[] = {0, 6, 6, 6, 4, 0, 0};
    static const struct {
        enum ct_gem_op_kind kind;
        size_t count, m, n, k;
        int bits;
    } expected[] = {
        {CT_GEM_OP_RMSNORM, 1, ROWS, E, 0, 0},
        {CT_GEM_OP_MATMUL, 1, ROWS, H * D, E, 6},
        {CT_GEM_OP_MATMUL, 1, ROWS, HKV * D, E, 6},
        {CT_GEM_OP_MATMUL, 1, ROWS, HKV * D, E, 6},
        {CT_GEM_OP_ROTARY, 1, ROWS, (H + HKV) * D, 0, 0},
        {CT_GEM_OP_MATMUL, H, ROWS, KEYS, D, 0},
        {CT_GEM_OP_SOFTMAX, H, ROWS, KEYS, 0, 0},
        {CT_GEM_OP_MATMUL, H, ROWS, D, KEYS, 0},
        {CT_GEM_OP_MATMUL, 1, ROWS, E, H * D, 4},
        {CT_GEM_OP_RESADD, 1, ROWS, E, 0, 0},
        {CT_GEM_OP_MATMUL, 1, ROWS, F, E, 0},
        {CT_GEM_OP_GELU, 1, ROWS, F, 0, 0},
        {CT_GEM_OP_MATMUL, 1, 2, E, F, 0},
    };
    enum { N = sizeof expected / sizeof expected[0] };
    build(&g);
    assert_in_range(ct_gem_max_ops(&g), N, 64);
    assert_int_equal(ct_gem_list_ops(&g, &(struct ct_gem_step){ROWS, KEYS, 2, false}, bits, ops),
                     N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(ops[i].kind, expected[i].kind);
        assert_int_equal(ops[i].count, expected[i].count);
        assert_int_equal(ops[i].m, expected[i].m);
        assert_int_equal(ops[i].n, expected[i].n);
        assert_int_equal(ops[i].k, expected[i].k);
        assert_int_equal(ops[i].index_bits, expected[i].bits);
    }
    assert_true(ops[1].has_bias && !ops[8].has_bias);
    assert_true(ops[5].b_transpose && ops[5].role == CT_GEM_ROLE_QK);

    assert_int_equal(ct_gem_merge_ops(ops, N), N - 1); /* k and v */
    assert_int_equal(ops[2].count, 2);
    assert_int_equal(ops[3].kind, CT_GEM_OP_ROTARY);
    ct_graph_deinit(&g);
}

/* 24 columns are two blocks of 16. */
static void integers_become_products_by_column(void **state)
{
    (void)state;
    struct ct_gem_config config;
    struct ct_error err;
    struct ct_graph g;
    struct ct_gem_op ops[16];
    const int bits[] = {0, 0};
    ct_graph_init(&g);
    const int h = ct_graph_value(&g, E, CT_ROWS_TOKENS), f = ct_graph_value(&g, E, CT_ROWS_TOKENS);
    const int weight = ct_graph_slot(&g, 0, E, "weight"), bias = ct_graph_slot(&g, 0, E, "bias");
    struct ct_node node = {.op = CT_OP_ACTIVATE,
                           .in = f,
                           .out = f,
                           .activation = CT_ACTIVATION_GELU,
                           .integer = {.is_on = true}};
    ct_graph_node(&g, node);
    node = (struct ct_node){.op = CT_OP_JOIN, .in = f, .out = h, .integer = {.is_on = true}};
    ct_graph_node(&g, node);
    node.weights[0] = weight;
    node.weights[1] = bias;
    node.n_weights = 2;
    ct_graph_node(&g, node);
    assert_in_range(ct_gem_max_ops(&g), 5, 16);
    assert_int_equal(ct_gem_list_ops(&g, &(struct ct_gem_step){ROWS, KEYS, 2, false}, bits, ops),
                     5);
    assert_int_equal(ct_gem_config_preset("ibert", &config, &err), CT_OK);
    assert_int_equal(ct_gem_schedule(&config, ops, 5), 4);
    assert_int_equal(ops[0].act, CT_GEM_ACT_IGELU);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ops[i].kind, CT_GEM_OP_MATMUL);
        assert_int_equal(ops[i].count, 2);
        assert_int_equal(ops[i].m, ROWS);
        assert_int_equal(ops[i].n, 16);
        assert_int_equal(ops[i].k, 16);
        assert_int_equal(ops[i].is_full_c, i > 0);
        assert_int_equal(ops[i].has_addend, i == 1 || i == 3);
        assert_int_equal(ops[i].has_bias, i == 2);
    }
    ct_graph_deinit(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_graph_becomes_operators),
        cmocka_unit_test(integers_become_products_by_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
