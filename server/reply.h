/* What a request's sequences produced, as the JSON that the OpenAI API promises: a whole body, or
 * server-sent events.
 *
 *   rings --> choices (text and logprobs, already JSON) --> body
 *                                                       --> one event a record --> out --> socket
 *
 * Loop thread. */
#ifndef CT_SERVER_REPLY_H
#define CT_SERVER_REPLY_H

#include "server/batcher.h"
#include "server/buffer.h"
#include "server/refusal.h"

/* Completions list log probabilities in four arrays, chats in one. */
enum {
    CT_LOGPROB_TOKENS,
    CT_LOGPROB_VALUES,
    CT_LOGPROB_TOP,
    CT_LOGPROB_OFFSETS,
    CT_N_LOGPROB_ARRAYS
};

struct ct_choice {
    struct ct_buffer text; /* inside of a JSON string */
    struct ct_buffer logprobs[CT_N_LOGPROB_ARRAYS];
    int64_t n_chars; /* of the tokens so far, for text_offset */
    bool has_begun;  /* a chat's first event names the role */
};

struct ct_reply {
    struct ct_request *request;
    struct ct_choice *choices; /* [n_sequences], in the request's arena */
    struct ct_buffer out;      /* events not yet sent */
    size_t n_sent;             /* of out */
    bool is_over, is_broken;   /* the last event is in out; it is an error */
};

CT_MUST_CHECK enum ct_status ct_reply_init(struct ct_reply *reply, struct ct_request *request);
void ct_reply_deinit(struct ct_reply *reply);

/* Takes all records out of the rings, for a whole body. */
void ct_reply_collect(struct ct_reply *reply);

/* Whether a ring holds a record. */
bool ct_reply_has_records(const struct ct_reply *reply);

/* CT_OK, or why a finished request failed. */
enum ct_status ct_reply_check(const struct ct_reply *reply, struct ct_refusal *refusal);

/* The whole body of a finished request, without an error, all of it collected. */
void ct_reply_write(struct ct_reply *reply, struct ct_buffer *out);

/* The answer to a request for an estimate. */
void ct_reply_write_estimate(const struct ct_request *request, struct ct_buffer *out);

/* The member "centroid" of every answer, with the comma in front of it. */
void ct_reply_write_cost(const struct ct_request *request, const struct ct_ledger *ledger,
                         struct ct_buffer *out);

/* At most max bytes of the next events; 0 when there are none yet, or, where is_over, no more. */
size_t ct_reply_pull(struct ct_reply *reply, bool is_finished, char *out, size_t max);

#endif
