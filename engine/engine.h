/* The engine: what everything above it may use.
 *
 * An engine is a loaded model: weights mapped, graph planned, tokenizer and chat template ready. A
 * session is one timeline of tokens that owns its keys and values. A step advances a batch of
 * sessions at once. Code above this line never sees a tensor.
 *
 * Threads: text functions (tokenize, chat, token bytes) may be called from any thread. Sessions and
 * steps of an engine belong to one thread at a time, its engine thread. */
#ifndef CT_ENGINE_H
#define CT_ENGINE_H

#include "engine/base/status.h"
#include "engine/base/task.h"
#include "engine/energy/cost.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/template.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ct_engine;
struct ct_pool; /* engine/base/pool.h */
struct ct_session;
struct ct_backend_type; /* see ct_backend_find */

/* How activations meet the weights: in int8 with a scale for each 32 columns; as floats; or, W8A8, in
 * int8 with one scale a token, the weights in int8 with one a row (engine/runtime/w8a8.h); or, IBERT, in
 * integers throughout with the scales of activation_scales.json, keys and values in int8 too
 * (engine/runtime/ibert.h). */
enum ct_activations {
    CT_ACTIVATIONS_INT8,
    CT_ACTIVATIONS_FLOAT,
    CT_ACTIVATIONS_W8A8,
    CT_ACTIVATIONS_IBERT
};
enum ct_kv_type { CT_KV_F16, CT_KV_INT8 };

struct ct_engine_options {
    struct ct_pool *pool; /* the caller's threads, which other engines may share: their steps take
                                        turns. NULL: n_threads of its own */
    int n_threads;        /* 0: the processors this process may use */
    int context_tok;      /* 0: the model's own, at most; an image's tokens are never fewer */
    int64_t memory_bytes; /* ceiling for KV pages; 0: enough for max_sessions full contexts or
                                        half of the machine's memory, whichever is less */
    int max_sessions;     /* 0: 64 */
    int max_step_tok;    /* tokens in one step, all sessions together; 0: 512; at least one image */
    int max_step_logits; /* rows of logits in one step; 0: max_sessions */
    bool has_prefix_cache; /* keep what sessions leave, for ct_session_reuse */
    enum ct_activations activations;
    enum ct_kv_type kv; /* how keys and values are kept */
    /* NULL: the CPU. One for int8 accelerators brings its activations and keys and values in int8 with it;
     * float activations are CT_INVALID then. */
    const struct ct_backend_type *backend;
    const char *machine_preset, *machine_file; /* of a simulated backend: gem_config.h; or NULL */
};

struct ct_sampling {
    double temperature;       /* 0: greedy */
    int top_k;                /* 0: all */
    double top_p;             /* 1: all */
    double min_p;             /* 0: all */
    double presence_penalty;  /* -2..2, subtracted once for a token that was generated */
    double frequency_penalty; /* -2..2, subtracted for each time */
    uint64_t seed;
    int n_bias;
    const int32_t *bias_ids; /* [n_bias], kept by the caller */
    const float *bias;       /* [n_bias] -100..100, added to the logit */
};

/* What the model is; owned by the engine, never changes. */
struct ct_engine_info {
    const char *name;          /* the model's own name, or the directory's */
    const char *family;        /* "llama" */
    const char *backend;       /* that gives the values: "cpu-avx2" and so on */
    const char *simulated;     /* "gemmini": the machine whose costs a slice may ask for; or NULL */
    double simulated_ghz;      /* its clock */
    const char *energy_source; /* "rapl" or "estimate:<platform>" */
    /* Of a vision model: its input is one image a sequence, planes [n_channels, height, width], and
     * the sequence has context_tok tokens. n_channels 0: it reads tokens. */
    struct ct_image_shape {
        int n_channels, height, width;
    } image;
    bool is_encoder; /* each sequence goes through one step whole, and gives one row */
    enum ct_task task;
    int n_outputs; /* floats in a row of logits: n_vocab, an encoder's vector, or n_labels */
    int n_labels;  /* of a classifier, else 0 */
    /* The labels do not exclude each other: a sigmoid each, not one softmax. So it is with one label, a
     * cross-encoder's score. */
    bool is_multi_label;
    int n_vocab;
    int bos_id;      /* the token the model wants in front of a text, or -1 */
    int context_tok; /* limit of a session: prompt and answer together */
    int max_sessions;
    int max_step_tok;
    int max_step_logits;
    int n_threads;
    int64_t n_parameters;
    int64_t n_weight_bytes; /* as stored */
    int64_t n_kv_bytes_tok; /* KV bytes a token */
    int page_tok;           /* tokens in a page of KV */
    int n_kv_pages;         /* pages there are in all */
    bool has_prefix_cache;
    bool has_chat_template;
    struct ct_sampling sampling; /* what the model asks for where a request says nothing */
};

/* By name: "cpu", "gemmini", "gemmini:ibert". NULL: there is none, and err lists them. */
const struct ct_backend_type *ct_backend_find(const char *name, struct ct_error *err);

/* path: a GGUF file or a model directory. CT_NOT_FOUND, CT_FORMAT, CT_UNSUPPORTED, CT_INVALID,
 * CT_MEMORY, CT_IO. */
CT_MUST_CHECK enum ct_status ct_engine_open(const char *path,
                                            const struct ct_engine_options *options,
                                            struct ct_engine **out, struct ct_error *err);
void ct_engine_close(struct ct_engine *engine); /* after its sessions */
const struct ct_engine_info *ct_engine_info(const struct ct_engine *engine);

/* What a classifier calls the class whose number is in place i of its row, 0 <= i < n_labels. Owned
 * by the engine. */
const char *ct_engine_label(const struct ct_engine *engine, int i);

/* ---- text ---- */

/* See ct_bpe_encode and ct_wordpiece_encode. Where has_special, a model that wants a bos token gets
 * it in front, unless the text starts with it already, and a model of the BERT family [CLS] and
 * [SEP] around: at most 3 * n_bytes + CT_AROUND_TOK ids. CT_UNSUPPORTED: a vision model. */
enum { CT_AROUND_TOK = 16 };
CT_MUST_CHECK enum ct_status ct_engine_tokenize(const struct ct_engine *engine, const char *text,
                                                size_t n_bytes, bool has_special, int32_t *ids,
                                                size_t capacity, size_t *n_ids);
/* Two texts as one sequence, as a cross-encoder or another classifier of pairs reads them. types
 * [capacity] gets each token's type, for ct_slice: 0 first text, 1 second. Ids: at most
 * 3 * (n_first_bytes + n_second_bytes) + CT_AROUND_TOK; else as above with has_special.
 * CT_UNSUPPORTED: the model's tokenizer, of byte-level BPE, makes no pairs. */
CT_MUST_CHECK enum ct_status ct_engine_tokenize_pair(const struct ct_engine *engine,
                                                     const char *first, size_t n_first_bytes,
                                                     const char *second, size_t n_second_bytes,
                                                     int32_t *ids, int32_t *types, size_t capacity,
                                                     size_t *n_ids);
/* See ct_bpe_token_bytes. */
const char *ct_engine_token_bytes(const struct ct_engine *engine, int id, size_t *n_bytes);
bool ct_engine_is_eos(const struct ct_engine *engine, int id);

/* Messages through the model's chat template, with the prompt for an answer; *out is malloc'ed.
 * CT_UNSUPPORTED when the model has no template; otherwise as ct_template_render. */
CT_MUST_CHECK enum ct_status ct_engine_chat(const struct ct_engine *engine,
                                            const struct ct_message *messages, size_t n_messages,
                                            char **out, size_t *n_out, struct ct_error *err);

/* ---- images ---- */

/* The floats of one input, planes [n_channels, height, width]. */
static inline size_t ct_image_floats(const struct ct_image_shape *shape)
{
    return (size_t)shape->n_channels * (size_t)shape->height * (size_t)shape->width;
}

/* Decodes a JPEG or PNG and makes it the input of a vision model, planes [n_channels, height, width]
 * of info.image, the caller's, as the model's preprocessor_config.json asks. CT_TOO_LARGE, CT_INVALID
 * and CT_UNSUPPORTED as ct_image_decode and ct_image_preprocess; CT_MEMORY. Any thread. */
CT_MUST_CHECK enum ct_status ct_engine_read_image(const struct ct_engine *engine,
                                                  const uint8_t *data, size_t n_bytes,
                                                  float *planes, struct ct_error *err);

/* ---- sessions and steps ---- */

/* Pages for n_tok tokens are set aside, so that these can be evaluated whatever else goes on; n_tok
 * 0 leaves that to ct_session_reserve. CT_BUSY: no session or not enough pages now. CT_CONTEXT:
 * n_tok is above context_tok. */
CT_MUST_CHECK enum ct_status ct_session_open(struct ct_engine *engine, int n_tok,
                                             struct ct_session **out);
void ct_session_close(struct ct_session *session); /* NULL is fine; at any time between steps */
int ct_session_n_tok(const struct ct_session *session); /* tokens evaluated so far */

/* Sees to it that the session has pages for n_tok tokens in all. CT_BUSY (nothing was changed) and
 * CT_CONTEXT as above. Pages that are kept for reuse give way. */
CT_MUST_CHECK enum ct_status ct_session_reserve(struct ct_session *session, int n_tok);

/* For a session that was opened with n_tok 0 and has done nothing yet: takes over the keys and
 * values of as many of tokens [n] as the engine still has, all but the last at most, as though they
 * had been evaluated: the bits are the same. Whole pages are shared, of a page that fits in part a
 * copy is made. Returns how many tokens these are; 0 without has_prefix_cache. */
int ct_session_reuse(struct ct_session *session, const int32_t *tokens, int n);

/* How many tokens ct_session_reuse would give now. */
int ct_engine_n_reusable(const struct ct_engine *engine, const int32_t *tokens, int n);

/* The pages of keys and values: held by sessions, kept for reuse, and free. */
struct ct_page_counts {
    int n_held, n_kept, n_free;
};
struct ct_page_counts ct_engine_count_pages(const struct ct_engine *engine);

/* One session's part of a step. */
struct ct_slice {
    struct ct_session *session;
    const int32_t *tokens; /* [n_tokens], each within the vocabulary; a vision model has none */
    const int32_t *types; /* [n_tokens], see ct_engine_tokenize_pair; NULL: all 0. A model that does
                            * not tell them apart takes no notice */
    const float *pixels;  /* of a vision model: planes as ct_engine_read_image makes them */
    int n_tokens;         /* >= 1; the session's tokens stay within what it was opened for */
    int n_logits;         /* logits wanted for this many of the last tokens: 0, 1, or more; of an
                            * encoder 1, for the sequence, or 0 */
    const float *logits; /* out: [n_logits] rows of n_outputs, valid until the next step; or NULL */
    int64_t ld_logits;   /* out: floats from one row of logits to the next */
    bool
        is_simulated; /* cost.simulated is wanted, which an engine without such a backend has not */
    struct ct_cost cost; /* out: this slice's share of the step */
};

/* Evaluates all slices together. The sum of n_tokens is at most max_step_tok, the sum of n_logits
 * at most max_step_logits, each session appears once. A row's result does not depend on the batch.
 * Allocates nothing. CT_INVALID names what was wrong; then nothing was changed. */
CT_MUST_CHECK enum ct_status ct_engine_step(struct ct_engine *engine, struct ct_slice *slices,
                                            int n_slices, struct ct_error *err);

/* A step that nobody asked for, to learn what steps cost: n_tok tokens after depth others whose keys
 * and values are whatever is there, with logits for the last n_logits. CT_BUSY, CT_CONTEXT;
 * CT_INVALID as above. */
CT_MUST_CHECK enum ct_status ct_engine_measure(struct ct_engine *engine, int n_tok, int n_logits,
                                               int depth, struct ct_cost *cost);

/* What one kind of operation took of a step, all its places in the graph together. */
struct ct_op_cost {
    const char *name; /* "LINEAR": see engine/graph/ops.def */
    uint64_t ns;
    int64_t n_weights; /* parameters that it reads */
    int64_t n_values;  /* floats that it writes */
    int64_t n_scores;  /* attention: products of queries and keys, of which it keeps none */
};
enum { CT_MAX_OP_COSTS = 64 };

/* As ct_engine_measure with nothing before and one row of logits, operation by operation with a clock
 * around each, which costs some time: ops [CT_MAX_OP_COSTS] receives *n of them. The same statuses. */
CT_MUST_CHECK enum ct_status ct_engine_profile(struct ct_engine *engine, int n_tok,
                                               struct ct_op_cost *ops, int *n);

/* ---- sampling ---- */

struct ct_sampler;
/* CT_INVALID (names the field), CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_sampler_open(const struct ct_engine *engine,
                                             const struct ct_sampling *sampling,
                                             struct ct_sampler **out, struct ct_error *err);
void ct_sampler_close(struct ct_sampler *sampler);

/* The next token for logits [n_vocab]; the sampler counts it for the penalties. Where logprobs are
 * wanted, *logprob (or NULL) receives the natural log of the token's probability before sampling
 * cuts. Allocates nothing. */
int ct_sampler_next(struct ct_sampler *sampler, const float *logits, float *logprob);

#endif
