/* Bytes as the JSON body of a request, for ct_openai_request_read. */
#ifndef CT_TESTS_SUPPORT_JSON_BODY_H
#define CT_TESTS_SUPPORT_JSON_BODY_H

#include "server/body.h"

static inline struct ct_body json_body(const char *bytes, size_t n_bytes)
{
    return (struct ct_body){.bytes = {.data = (char *)bytes, .n_bytes = n_bytes}};
}

#endif
