/* A piece of text that somebody else owns. */
#ifndef CT_SERVER_SPAN_H
#define CT_SERVER_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct ct_span {
    const char *at;
    size_t n;
};

/* Without regard to the case of ASCII letters. */
static inline bool ct_span_begins(const struct ct_span *span, const char *text)
{
    return span->n >= strlen(text) && strncasecmp(span->at, text, strlen(text)) == 0;
}

static inline bool ct_span_is(const struct ct_span *span, const char *text)
{
    return span->n == strlen(text) && ct_span_begins(span, text);
}

#endif
