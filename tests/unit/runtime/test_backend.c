/* A backend of docs/add-a-backend.md: it counts operations, and computes one of them. */
#include "engine/backend/backend.h"
#include "engine/engine.h"
#include "tests/support/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    struct ct_backend base;
    struct ct_backend *host;
    const struct ct_graph *graph;
    int n_runs[CT_N_OPS];
    bool is_refusing;
};

static struct tally *opened; /* the test's view into it */

static const char *tally_name(const struct ct_backend *backend)
{
    (void)backend;
    return "tally";
}

static float *tally_value(const struct ct_backend *backend, int value, int64_t *ld)
{
    const struct ct_backend *host = ((const struct tally *)backend)->host;
    return host->ops->value(host, value, ld);
}

/* out = silu(gate) * up */
static void run_gate(struct tally *t, const struct ct_node *node, const struct ct_batch *batch)
{
    int64_t ld_in, ld_out;
    const float *in = tally_value(&t->base, node->in, &ld_in);
    float *out = tally_value(&t->base, node->out, &ld_out);
    const int64_t width = t->graph->values[node->out].width;
    for (int row = 0; row < batch->n_rows; row++)
        for (int64_t j = 0; j < width; j++) {
            const float gate = in[row * ld_in + j], up = in[row * ld_in + width + j];
            out[row * ld_out + j] = gate / (1 + expf(-gate)) * up;
        }
}

static void tally_run(struct ct_backend *backend, const struct ct_batch *batch, int begin, int end)
{
    struct tally *t = (struct tally *)backend;
    for (int i = begin; i < end; i++) {
        t->n_runs[t->graph->nodes[i].op]++;
        if (t->graph->nodes[i].op == CT_OP_SWIGLU)
            run_gate(t, &t->graph->nodes[i], batch);
        else
            t->host->ops->run(t->host, batch, i, i + 1);
    }
}

static enum ct_status tally_cost(struct ct_backend *backend, const struct ct_part *parts, int n,
                                 struct ct_cost *costs, struct ct_error *err)
{
    struct tally *t = (struct tally *)backend;
    if (t->is_refusing)
        return ct_error_set(err, CT_UNSUPPORTED, "no more of it");
    return t->host->ops->cost(t->host, parts, n, costs, err);
}

static void tally_close(struct ct_backend *backend)
{
    free(backend);
}

static const struct ct_backend_ops tally_ops = {
    .name = tally_name,
    .run = tally_run,
    .value = tally_value,
    .cost = tally_cost,
    .close = tally_close,
};

static enum ct_status open_tally(const struct ct_backend_setup *setup, struct ct_backend **out,
                                 struct ct_error *err)
{
    struct tally *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the tally");
    t->base.ops = &tally_ops;
    t->host = setup->host;
    t->graph = setup->graph;
    opened = t;
    *out = &t->base;
    return CT_OK;
}

static const struct ct_backend_type tally_type = {.name = "tally", .open = open_tally};

/* ---- */

static struct ct_engine *open_model(const struct ct_backend_type *backend)
{
    const struct ct_engine_options options = {.n_threads = 2, .backend = backend};
    struct ct_engine *engine = NULL;
    struct ct_error err = {0};
    if (ct_engine_open(CT_TEST_DIR "/support/fixture", &options, &engine, &err) != CT_OK)
        fail_msg("%s", err.message);
    return engine;
}

static enum ct_status step(struct ct_engine *engine, struct ct_session *session, int n,
                           struct ct_slice *slice, struct ct_error *err)
{
    static const int32_t tokens[] = {5, 6, 7, 8, 9, 10, 11, 12};
    *slice = (struct ct_slice){.session = session, .tokens = tokens, .n_tokens = n, .n_logits = 1};
    return ct_engine_step(engine, slice, 1, err);
}

static void a_backend_counts_and_takes_part(void **state)
{
    (void)state;
    struct ct_error err = {0};
    struct ct_engine *engines[2] = {open_model(&tally_type), open_model(NULL)};
    struct ct_session *sessions[2];
    struct ct_slice slices[2];
    assert_string_equal(ct_engine_info(engines[0])->backend, "tally");
    assert_null(ct_engine_info(engines[0])->simulated);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ct_session_open(engines[i], 64, &sessions[i]), CT_OK);
    for (int n = 8; n >= 1; n -= 7) { /* a prompt, and a token after it */
        for (int i = 0; i < 2; i++)
            assert_int_equal(step(engines[i], sessions[i], n, &slices[i], &err), CT_OK);
        for (int v = 0; v < ct_engine_info(engines[0])->n_vocab; v++)
            assert_true(fabsf(slices[0].logits[v] - slices[1].logits[v]) < 1e-2f);
        assert_true(slices[0].cost.macs_i8 == slices[1].cost.macs_i8);
    }
    enum { LAYERS = 3 };
    assert_int_equal(opened->n_runs[CT_OP_ATTEND], 2 * LAYERS);
    assert_int_equal(opened->n_runs[CT_OP_SWIGLU], 2 * LAYERS);
    assert_int_equal(opened->n_runs[CT_OP_EMBED], 2);

    opened->is_refusing = true;
    assert_int_equal(step(engines[0], sessions[0], 1, &slices[0], &err), CT_UNSUPPORTED);
    assert_string_equal(err.message, "no more of it");
    assert_int_equal(ct_session_n_tok(sessions[0]), 9);
    assert_int_equal(opened->n_runs[CT_OP_EMBED], 2);
    for (int i = 0; i < 2; i++) {
        ct_session_close(sessions[i]);
        ct_engine_close(engines[i]);
    }
}

static void backends_are_found_by_name(void **state)
{
    (void)state;
    struct ct_error err = {0};
    assert_non_null(ct_backend_find("cpu", &err));
    assert_non_null(ct_backend_find("gemmini", &err));
    assert_null(ct_backend_find("tally", &err));
    assert_non_null(strstr(err.message, "cpu, gemmini"));

    struct ct_engine *engine = NULL;
    const struct ct_engine_options options = {.backend = ct_backend_find("cpu", &err),
                                              .machine_preset = "ibert"};
    assert_int_equal(ct_engine_open(CT_TEST_DIR "/support/fixture", &options, &engine, &err),
                     CT_INVALID);
    assert_null(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backend_counts_and_takes_part),
        cmocka_unit_test(backends_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
