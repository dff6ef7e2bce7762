/* Why a request is not answered, in the words of the OpenAI API: what every error body is made
 * of. */
#ifndef CT_SERVER_REFUSAL_H
#define CT_SERVER_REFUSAL_H

#include "engine/base/status.h"
#include "server/buffer.h"

struct ct_refusal {
    int http;         /* the status code, 400..599 */
    const char *code; /* "model_not_found" and so on; static; NULL for null */
    char param[96];   /* the field to blame, e.g. "messages[2].role"; "" for null */
    char message[512];
    int retry_after_s; /* 0: no Retry-After */
};

/* Fills all but retry_after_s, and returns CT_INVALID, so that `return ct_refuse(...)` reads well.
 * param is cut to fit; NULL for none. */
enum ct_status ct_refuse(struct ct_refusal *refusal, int http, const char *code, const char *param,
                         const char *fmt, ...) CT_PRINTF(5, 6);

/* {"error":{"message","type","param","code"}}; the type follows from the status code. */
void ct_refusal_write(const struct ct_refusal *refusal, struct ct_buffer *out);

#endif
