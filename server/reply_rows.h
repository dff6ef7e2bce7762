/* What a request's sequences produced as rows of numbers, as JSON: vectors, probabilities of
 * labels, or documents by relevance. Loop thread. */
#ifndef CT_SERVER_REPLY_ROWS_H
#define CT_SERVER_REPLY_ROWS_H

#include "server/buffer.h"
#include "server/request.h"

/* The whole body of a finished request, without an error, that is not one for text. */
void ct_reply_write_rows(struct ct_request *request, struct ct_buffer *out);

#endif
