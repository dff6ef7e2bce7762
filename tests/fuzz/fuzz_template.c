/* Chat templates: any bytes parse or are refused, and what parsed renders or fails within its
 * limits. */
#include "engine/tokenizer/template.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n_bytes)
{
    static const struct ct_message messages[] = {
        {"system", " Be brief. ", 11},
        {"user", "Hi \xC3\xA9\xF0\x9F\x98\x80 \"<|im_end|>\"\n", 23},
        {"assistant", "a\0b\xFF", 4},
        {"user", "", 0},
    };
    struct ct_template *tmpl = NULL;
    struct ct_error err;
    if (ct_template_parse((const char *)data, n_bytes, &tmpl, &err) != CT_OK)
        return 0;
    for (size_t n_messages = 0; n_messages <= 4; n_messages += 2) {
        char *text = NULL;
        size_t n_text = 0;
        if (ct_template_render(tmpl, messages, n_messages, n_messages > 0, "<s>", "</s>", &text,
                               &n_text, &err) == CT_OK &&
            text[n_text] != '\0')
            abort();
        free(text);
    }
    ct_template_free(tmpl);
    return 0;
}
