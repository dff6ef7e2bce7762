#include "engine/tokenizer/normalizer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uninorm.h>

/* Characters below U+0300 neither combine with what is in front of them nor decompose for good. */
static bool is_plain(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        if ((unsigned char)text[i] >= 0xCC) /* the first byte of U+0300 */
            return false;
    return true;
}

enum ct_status ct_nfc(const char *text, size_t n_bytes, char **out, size_t *n_out)
{
    *out = NULL;
    *n_out = n_bytes;
    if (is_plain(text, n_bytes))
        return CT_OK;
    char *normal = (char *)u8_normalize(UNINORM_NFC, (const uint8_t *)text, n_bytes, NULL, n_out);
    if (normal == NULL)
        return CT_MEMORY;
    if (*n_out == n_bytes && memcmp(normal, text, n_bytes) == 0)
        free(normal);
    else
        *out = normal;
    return CT_OK;
}
