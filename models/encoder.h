/* What the families of encoders share: bert and its relatives, and the vision families. Each call adds a
 * part to the graph. Weights go by their Hugging Face names: PREFIX of all of them, the part's own prefix
 * ("encoder.layer.3."), the name, and .weight or .bias. */
#ifndef CT_MODELS_ENCODER_H
#define CT_MODELS_ENCODER_H

#include "engine/graph/family.h"
#include "engine/graph/graph.h"

struct ct_encoder {
    const struct ct_hparams *p;
    struct ct_graph *g;
    const char *prefix; /* of all names but the heads' */
};

/* The rows that go on together: of all tokens, or those that an answer comes from. */
struct ct_stream {
    int h; /* value that runs through all layers, [rows, E] */
    enum ct_rows rows;
};

/* Sets the sizes that the graph holds once. CT_UNSUPPORTED: heads that do not make up the model's
 * width. */
CT_MUST_CHECK enum ct_status ct_encoder_begin(const struct ct_encoder *e, struct ct_error *err);

/* out = norm(in), [rows, E]; may be in place. */
void ct_encoder_norm(const struct ct_encoder *e, int in, int out, const char *prefix,
                     const char *name);

/* out (+)= in [W1 | ...]^T (+ [b1 | ...]) of n names, each [width, k]. */
struct ct_encoder_linear {
    int in, out;
    int64_t width, k;
    const char *prefix;
    const char *const *names;
    int n;
    bool has_no_bias, is_added;
};
void ct_encoder_linear(const struct ct_encoder *e, const struct ct_encoder_linear *linear);

/* activation(in); returns the value, [rows, width]. */
int ct_encoder_activate(const struct ct_encoder *e, int in, int64_t width, enum ct_rows rows,
                        enum ct_activation activation);

/* A row for each sequence, [sequences, E]: by SELECT its token `row`, by MEAN that of all. */
int ct_encoder_pool(const struct ct_encoder *e, enum ct_op op, int in, int row);

/* The sequences' vectors, of length 1 where the model says so. */
void ct_encoder_end_vectors(const struct ct_encoder *e, int vectors);

#endif
