#include "cli/calibrate.h"

#include "cli/cli.h"
#include "engine/base/arena.h"
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW_TOK = 512 };

struct ct_calibration {
    struct ct_engine *engine;
    struct ct_arena arena; /* what was asked for */
};

/* Each window is a session of its own. Logits are asked for too: the vocabulary's matrix has
 * inputs. */
static enum ct_status run_window(struct ct_engine *engine, const int32_t *ids, int n,
                                 struct ct_error *err)
{
    struct ct_session *session = NULL;
    enum ct_status status = ct_session_open(engine, n, &session);
    if (status != CT_OK)
        return ct_error_set(err, status, "a session of %d tokens: %s", n, ct_status_text(status));
    const int max_logits = ct_engine_info(engine)->max_step_logits;
    struct ct_slice slice = {.session = session,
                             .tokens = ids,
                             .n_tokens = n,
                             .n_logits = n < max_logits ? n : max_logits};
    status = ct_engine_step(engine, &slice, 1, err);
    ct_session_close(session);
    return status;
}

static enum ct_status run(struct ct_calibration *calibration, const char *text,
                          struct ct_progress *progress, const volatile sig_atomic_t *is_cancelled,
                          struct ct_error *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    enum ct_status status = ct_cli_read_tokens(calibration->engine, text, &ids, &n_ids, err);
    if (status == CT_OK && n_ids == 0)
        status = ct_error_set(err, CT_INVALID, "--calibrate %s: the text is empty", text);
    if (status == CT_OK && (status = ct_engine_observe(calibration->engine)) != CT_OK)
        ct_error_set(err, status, "no memory to calibrate");
    if (n_ids > CT_CALIBRATION_TOK)
        n_ids = CT_CALIBRATION_TOK;
    const int context = ct_engine_info(calibration->engine)->context_tok;
    for (size_t i = 0; status == CT_OK && i < n_ids;) {
        const size_t left = n_ids - i;
        const int n = left < (size_t)context ? (int)left : context;
        if (*is_cancelled)
            status = ct_error_set(err, CT_CANCELLED, "cancelled while calibrating");
        else
            status = run_window(calibration->engine, ids + i, n, err);
        i += (size_t)n;
        ct_progress_update(progress, "calibration", (double)i / (double)n_ids);
    }
    free(ids);
    return status;
}

enum ct_status ct_calibration_open(const char *path, const char *text, int n_threads,
                                   struct ct_progress *progress,
                                   const volatile sig_atomic_t *is_cancelled,
                                   struct ct_calibration **out, struct ct_error *err)
{
    *out = NULL;
    struct ct_calibration *calibration = calloc(1, sizeof *calibration);
    if (calibration == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory to calibrate");
    ct_arena_init(&calibration->arena);
    const struct ct_engine_options options = {.n_threads = n_threads,
                                              .context_tok = WINDOW_TOK,
                                              .max_sessions = 1,
                                              .max_step_tok = WINDOW_TOK,
                                              .max_step_logits = WINDOW_TOK / 4,
                                              .activations = CT_ACTIVATIONS_FLOAT};
    enum ct_status status = ct_engine_open(path, &options, &calibration->engine, err);
    if (status == CT_OK)
        status = run(calibration, text, progress, is_cancelled, err);
    if (status != CT_OK) {
        ct_calibration_close(calibration);
        return status;
    }
    *out = calibration;
    return CT_OK;
}

void ct_calibration_close(struct ct_calibration *calibration)
{
    if (calibration == NULL)
        return;
    ct_engine_close(calibration->engine);
    ct_arena_deinit(&calibration->arena);
    free(calibration);
}

const float *ct_calibration_importance(void *context, const char *name, int64_t k)
{
    struct ct_calibration *calibration = context;
    float *squares = ct_arena_alloc(&calibration->arena, (size_t)k * sizeof *squares);
    if (squares == NULL || ct_engine_input_squares(calibration->engine, name, squares, k) != CT_OK)
        return NULL;
    return squares;
}
