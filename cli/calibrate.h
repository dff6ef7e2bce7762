/* Calibration: which input features of each matrix a text uses, so that compression can spend its
 * precision on them. The model runs over the text with float activations, and the mean square of
 * each input feature is kept. (Survey, section on quantisation: sensitivity of weights.) */
#ifndef CT_CLI_CALIBRATE_H
#define CT_CLI_CALIBRATE_H

#include "cli/progress.h"
#include "engine/base/status.h"

#include <signal.h>
#include <stdint.h>

struct ct_calibration;

/* At most this many tokens of the text are run. */
enum { CT_CALIBRATION_TOK = 8192 };

/* Runs the model at `path` over the text file. What ct_engine_open says; CT_IO; CT_INVALID when the
 * text is empty; CT_CANCELLED when *is_cancelled turned true. */
CT_MUST_CHECK enum ct_status ct_calibration_open(const char *path, const char *text, int n_threads,
                                                 struct ct_progress *progress,
                                                 const volatile sig_atomic_t *is_cancelled,
                                                 struct ct_calibration **out, struct ct_error *err);
void ct_calibration_close(struct ct_calibration *calibration);

/* A ct_importance_fn; context is the calibration. */
const float *ct_calibration_importance(void *context, const char *name, int64_t k);

#endif
