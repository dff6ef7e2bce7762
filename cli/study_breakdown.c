/* Time and memory by function: the engine's clock around each operation, and what its weights and results
 * take as f32. Attention never keeps its scores here; they are counted as if it did, because the
 * published figures are of implementations that do. */
#include "cli/study.h"

#include <string.h>

/* In the order of the tables; the last takes what is left. */
static const struct {
    const char *name;
    const char *ops; /* each between spaces */
} functions[] = {
    {"matrix products", " LINEAR "},
    {"attention and softmax", " ATTEND ROTATE "},
    {"normalisation", " LAYERNORM RMSNORM ADDSCALED "},
    {"activation", " ACTIVATE SWIGLU "},
    {"embedding", " EMBED PLACE PATCH PREFIX "},
    {"other", ""},
};

_Static_assert(sizeof functions / sizeof functions[0] == CT_STUDY_N_FUNCTIONS, "a row each");

static int function_of(const char *op)
{
    char key[64];
    snprintf(key, sizeof key, " %s ", op);
    int i = 0;
    while (i < CT_STUDY_N_FUNCTIONS - 1 && strstr(functions[i].ops, key) == NULL)
        i++;
    return i;
}

/* ms [n_rounds] of each function, and from the last round, which is as all others, what it holds. */
static enum ct_status profile(const struct ct_study *study, struct ct_engine *engine,
                              double (*ms)[CT_STUDY_MAX_ROUNDS], struct ct_study_function *out,
                              struct ct_error *err)
{
    struct ct_op_cost ops[CT_MAX_OP_COSTS];
    for (int round = -1; round < study->n_rounds; round++) { /* the first warms caches up */
        int n_ops;
        const int at = round < 0 ? 0 : round;
        enum ct_status status = ct_engine_profile(engine, (int)study->n_tok, ops, &n_ops);
        if (status != CT_OK)
            return ct_error_set(err, status, "a request of %lld tokens: %s",
                                (long long)study->n_tok, ct_status_text(status));
        for (int f = 0; f < CT_STUDY_N_FUNCTIONS; f++) {
            ms[f][at] = 0;
            out[f].parameter_bytes = out[f].activation_bytes = 0;
        }
        for (int i = 0; i < n_ops; i++) {
            const int f = function_of(ops[i].name);
            ms[f][at] += (double)ops[i].ns * 1e-6;
            out[f].parameter_bytes += sizeof(float) * (double)ops[i].n_weights;
            out[f].activation_bytes += sizeof(float) * (double)(ops[i].n_values + ops[i].n_scores);
        }
    }
    return CT_OK;
}

enum ct_status ct_study_break_down(struct ct_study *study, struct ct_error *err)
{
    double ms[CT_STUDY_N_FUNCTIONS][CT_STUDY_MAX_ROUNDS];
    struct ct_study_point point = {.series = CT_STUDY_N_SERIES - 1, .n_clusters = 64};
    struct ct_engine *clustered = NULL;
    struct ct_cost cost;
    const int n = (int)study->n_rounds;
    enum ct_status status = ct_study_open_point(study, &point, &clustered, err);
    if (status == CT_OK)
        status = profile(study, clustered, ms, study->functions, err);
    for (int f = 0; f < CT_STUDY_N_FUNCTIONS && status == CT_OK; f++)
        study->functions[f].clustered_ms = ct_cli_median(ms[f], n);
    if (status == CT_OK)
        status = profile(study, study->engine, ms, study->functions, err);
    for (int f = 0; f < CT_STUDY_N_FUNCTIONS && status == CT_OK; f++) {
        study->functions[f].name = functions[f].name;
        study->functions[f].float_ms = ct_cli_median(ms[f], n);
    }
    if (status == CT_OK)
        status = ct_study_measure(study, study->engine, &cost, err);
    if (status == CT_OK)
        study->request = (struct ct_study_request){
            .macs = (double)(cost.macs_i8 + cost.macs_f32),
            .n_weights = study->functions[0].parameter_bytes / sizeof(float),
        };
    ct_study_close_point(study, clustered);
    return status;
}
