/* Chat templates are not read yet: every one is refused, and a model serves completions alone. */
#include "engine/tokenizer/template.h"

enum ct_status ct_template_parse(const char *text, size_t n_bytes, struct ct_template **out,
                                 struct ct_error *err)
{
    (void)text;
    *out = NULL;
    return ct_error_set(err, CT_UNSUPPORTED, "a template of %zu bytes; none are read", n_bytes);
}

void ct_template_free(struct ct_template *tmpl)
{
    (void)tmpl;
}

enum ct_status ct_template_render(const struct ct_template *tmpl, const struct ct_message *messages,
                                  size_t n_messages, bool has_generation_prompt, const char *bos,
                                  const char *eos, char **out, size_t *n_out, struct ct_error *err)
{
    (void)tmpl, (void)messages, (void)has_generation_prompt, (void)bos, (void)eos;
    *out = NULL;
    *n_out = 0;
    return ct_error_set(err, CT_UNSUPPORTED, "%zu messages; no template is read", n_messages);
}
