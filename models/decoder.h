/* What decoders with rotary positions, grouped-query attention and SwiGLU are put together from:
 * llama and its kin. Each call adds a part to the graph. In shapes T is the step's tokens, T' those
 * whose logits are wanted; E, H, Hkv, D, F and V are sizes of ct_hparams; weights go by their
 * Hugging Face names. */
#ifndef CT_MODELS_DECODER_H
#define CT_MODELS_DECODER_H

#include "engine/graph/family.h"
#include "engine/graph/graph.h"

struct ct_decoder {
    const struct ct_hparams *p;
    struct ct_graph *g;
    int embed; /* slot of the embedding [V, E] */
    int h;     /* value that runs through all layers, [T, E] */
};

/* h = embed[token]; also sets the sizes that the graph holds once. */
struct ct_decoder ct_decoder_begin(const struct ct_hparams *p, struct ct_graph *g);

/* norm(h), its weight model.layers.<layer>.<name>.weight; returns the value, [T, E]. */
int ct_decoder_norm(const struct ct_decoder *d, int layer, const char *name);

/* x [Wq | Wk | Wv] (+ [bq | bk | bv]); returns the value, [T, (H + 2 Hkv) D]. */
int ct_decoder_qkv(const struct ct_decoder *d, int layer, int x, bool has_bias);

/* h += attention(rotate(qkv)) Wo, [T, H D] -> [T, E]. */
void ct_decoder_attend(const struct ct_decoder *d, int layer, int qkv);

/* h += (silu(x Wgate) * (x Wup)) Wdown, [T, 2 F] -> [T, F] -> [T, E]. */
void ct_decoder_swiglu(const struct ct_decoder *d, int layer, int x);

/* logits = norm(select(h)) Wvocab, [T', E] -> [T', V], where Wvocab is the embedding if the two are
 * tied; then ct_graph_check and its statuses. */
CT_MUST_CHECK enum ct_status ct_decoder_end(const struct ct_decoder *d, struct ct_error *err);

#endif
