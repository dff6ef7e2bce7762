/* One request for text or rows of numbers, whatever the protocol it came by, and the sequences that
 * answer it.
 *
 *   api_*.c builds it -> batcher.c admits it and runs its sequences
 *                     -> reply.c writes what comes out
 *
 *   sequence:  WAITING <-> RUNNING -> DONE       back to WAITING: it gave its memory up, and is
 *                                                read again; a cancel leads to DONE from everywhere
 *
 * Owners: the loop thread owns a request until it submits it and again once the batcher has handed
 * it back as finished. In between the engine thread owns the part of each sequence that is marked
 * so, the ring carries records from it to the loop thread, and `stop_status` is how the loop thread
 * says: no more. */
#ifndef CT_SERVER_REQUEST_H
#define CT_SERVER_REQUEST_H

#include "engine/base/arena.h"
#include "engine/engine.h"
#include "server/models.h"
#include "server/ring.h"
#include "server/schedule.h"
#include "server/stop.h"

#include <stdatomic.h>

enum {
    CT_MAX_STOPS = 16,
    CT_MAX_STOP_BYTES = 1024,
    CT_MAX_CHOICES = 8, /* n */
    CT_MAX_TEXTS = 64,  /* prompts x n, where text is made */
    CT_MAX_SEQUENCES = 1024,
    CT_MAX_TOP_LOGPROBS = 20,
    CT_MAX_IMAGES = 32,
    CT_MAX_QUERY_BYTES = 65536,
};

/* The first two make text; of the others, each sequence makes one row of numbers. */
enum ct_request_kind {
    CT_REQUEST_COMPLETION,
    CT_REQUEST_CHAT,
    CT_REQUEST_EMBEDDING,
    CT_REQUEST_CLASSIFY,
    CT_REQUEST_RERANK,
    CT_N_REQUEST_KINDS
};
enum ct_phase { CT_PHASE_WAITING, CT_PHASE_RUNNING, CT_PHASE_DONE };
enum ct_finish { CT_FINISH_NONE, CT_FINISH_STOP, CT_FINISH_LENGTH };

/* A token and the natural log of its probability. */
struct ct_logprob {
    int32_t token;
    float logprob;
};

/* What stands in a sequence's ring in front of n_top struct ct_logprob and n_text bytes of text. */
struct ct_record {
    uint32_t n_text;
    int32_t n_top;
    struct ct_logprob chosen; /* token -1: text only */
};

/* What is read: a text, a pair of texts, another list of tokens, or an image, whose tokens are all
 * 0. */
struct ct_prompt {
    const int32_t *tokens; /* [n_tok] */
    const int32_t *types;  /* [n_tok], of a pair; or NULL */
    const float *pixels;   /* of an image, as ct_engine_read_image makes them; or NULL */
    int n_tok;
    bool is_truncated; /* it was longer */
};

struct ct_sequence {
    /* set before the request is submitted */
    struct ct_request *request;
    const struct ct_prompt *prompt;
    int max_tokens; /* to generate, at least 1; 0 where a row is wanted */
    uint64_t seed;
    struct ct_sequence *leader; /* the first choice of the same prompt, or NULL for that one */

    /* the engine thread's until the request is finished */
    struct ct_turn turn; /* as the policy sees it */
    enum ct_phase phase;
    struct ct_session *session; /* while it runs */
    struct ct_sampler *sampler; /* from when it first ran on */
    int32_t *tokens; /* from then on: [prompt->n_tok + max_tokens], turn.n_tok are known */
    int n_cached;    /* of the prompt, known to the engine when it first ran */
    int n_reusable;  /* the same, as expected when it came */
    int n_generated;
    struct ct_detokenizer detokenizer;
    struct ct_stop stop;
    float *row; /* [n_outputs], of an encoder; or NULL */
    enum ct_finish finish;
    struct ct_error error; /* status CT_OK: it ended by itself */
    struct ct_cost prefill, decode;
    uint64_t admitted_ns, first_ns, done_ns; /* 0: never */

    /* between the two */
    struct ct_ring ring;
    size_t reserve;         /* ring bytes that one step can need at most */
    atomic_bool is_stalled; /* the ring had no room: whoever reads from it kicks the batcher */
};

/* What a whole request cost. Times in nanoseconds: until the first sequence
 * was admitted, until the last first token, and until the end. */
struct ct_ledger {
    uint64_t queue_ns, prefill_ns, decode_ns;
    struct ct_cost prefill, decode;
    int64_t n_prompt_tok, n_cached_tok, n_generated_tok;
};

struct ct_request {
    struct ct_arena arena;        /* everything that the request points to */
    const struct ct_model *model; /* that it asks; once it is read */
    enum ct_request_kind kind;
    char id[40]; /* "chatcmpl-..." */
    int64_t created_s;

    bool is_stream;
    bool has_usage; /* stream_options.include_usage */
    bool has_logprobs;
    int n_top_logprobs;
    int n_choices;             /* for each prompt */
    int max_tokens;            /* 0: not said */
    int max_completion_tokens; /* its other name; 0: not said */
    int n_dimensions;          /* of a vector, from the front; 0: all */
    bool can_truncate;      /* what is longer than the model takes is cut, and the answer says so */
    bool is_base64;         /* vectors as bytes of f32, little-endian */
    int n_top;              /* the likeliest labels, or the most relevant documents; 0: not said */
    bool has_documents;     /* the answer repeats them: */
    const char **documents; /* in their order; or NULL */
    bool is_simulated;      /* the costs of the model's simulated machine are wanted */
    int priority;           /* lower is earlier */
    double timeout_s;       /* 0: none */
    uint64_t client;        /* whose it is, for fairness */
    struct ct_sampling sampling;
    struct ct_stop_text stops[CT_MAX_STOPS];
    int n_stops;

    int n_prompts;
    struct ct_prompt *prompts;     /* [n_prompts]; of a rerank by vectors, the query first */
    struct ct_sequence *sequences; /* [n_sequences], prompt p's choice c at p * n_choices + c */
    int n_sequences;

    bool is_estimate;          /* nothing is to be made, only said what it would cost: */
    struct ct_ledger estimate; /* with all the tokens that it may generate */

    uint64_t received_ns;
    uint64_t deadline_ns;   /* 0: none */
    atomic_int stop_status; /* an enum ct_status other than CT_OK ends it within one step */
    void *owner;            /* the loop thread's; NULL once nobody waits for the answer */

    /* the batcher's, under its lock */
    struct ct_request *next_submitted, *next_ready;
    bool is_ready;
    int n_running; /* sequences not yet handed back */
};

static inline bool ct_request_is_text(const struct ct_request *request)
{
    return request->kind <= CT_REQUEST_CHAT;
}

/* Whether such requests are what the model is for. */
bool ct_model_answers(const struct ct_model *model, enum ct_request_kind kind);

/* Whether a rerank compares the vectors of the query and the documents; if not, the model reads
 * them in pairs and gives each a number. */
static inline bool ct_request_is_by_vectors(const struct ct_request *request)
{
    return request->model->info->task == CT_TASK_EMBED;
}

/* NULL when memory is short. */
struct ct_request *ct_request_open(enum ct_request_kind kind);
void ct_request_close(struct ct_request *request);

/* Makes the sequences once the model, prompts, n_choices, stops and sampling are known.
 * CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_request_arm(struct ct_request *request);

/* Once it is finished. */
void ct_request_ledger(const struct ct_request *request, struct ct_ledger *ledger);

/* n_hex random hexadecimal digits and a NUL. Loop thread. */
void ct_random_hex(char *out, int n_hex);

#endif
