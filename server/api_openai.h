/* POST /v1/completions and /v1/chat/completions: from an exchange to a request, and from what the
 * batcher brings back to the answer. Loop thread. */
#ifndef CT_SERVER_API_OPENAI_H
#define CT_SERVER_API_OPENAI_H

#include "server/server.h"

/* The batcher has news: writes, wakes, and ends what is finished. */
void ct_openai_collect(struct ct_server *server);

/* Ends all that is at work with CT_SHUTDOWN; the answers say so. */
void ct_openai_cut(struct ct_server *server);

#endif
