/* Chat templates: the model's own Jinja text, run by a small interpreter with limits on steps,
 * depth and output. A template comes from the model's files only, never from a request. Immutable
 * once parsed; any thread may render. */
#ifndef CT_TOKENIZER_TEMPLATE_H
#define CT_TOKENIZER_TEMPLATE_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct ct_template;

struct ct_message {
    const char *role;    /* "system", "user", "assistant", ... NUL-terminated */
    const char *content; /* n_bytes, may hold NUL */
    size_t n_bytes;
};

/* CT_FORMAT (with line and column), CT_UNSUPPORTED (names the construct), CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_template_parse(const char *text, size_t n_bytes,
                                               struct ct_template **out, struct ct_error *err);
void ct_template_free(struct ct_template *tmpl);

/* Renders; *out is malloc'ed, NUL-terminated, *n_out bytes long. bos and eos are the token texts
 * ("" for none). CT_TOO_LARGE past a limit (1,000,000 steps, depth 100, output of 4 x input + 1
 * MiB), CT_INVALID when the template itself raises an exception (its text is the message) or an
 * operation fails, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_template_render(const struct ct_template *tmpl,
                                                const struct ct_message *messages,
                                                size_t n_messages, bool has_generation_prompt,
                                                const char *bos, const char *eos, char **out,
                                                size_t *n_out, struct ct_error *err);

#endif
