/* Any bytes as a query, and as a multipart body whose boundary is X: refused with words, or fields
 * and files that lie within the body. */
#include "server/form.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void check(const struct ct_form *form, enum ct_status status,
                  const struct ct_refusal *refusal)
{
    if (status != CT_OK && (refusal->http != 400 || refusal->message[0] == '\0'))
        abort();
    json_decref(form->fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_refusal refusal = {0};
    struct ct_form form = {0};
    char *text = malloc(n_bytes + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data, n_bytes);
    text[n_bytes] = '\0';
    check(&form, ct_form_read_query(&form, text, &refusal), &refusal);
    form = (struct ct_form){0};
    const enum ct_status status = ct_form_read_parts(&form, text, n_bytes, "X", &refusal);
    for (int i = 0; i < form.n_files; i++)
        if (form.files[i].data < text || form.files[i].n_bytes > n_bytes ||
            form.files[i].data + form.files[i].n_bytes > text + n_bytes)
            abort();
    check(&form, status, &refusal);
    free(text);
    return 0;
}
