/* Unicode's normalization form C (Unicode Standard Annex #15), by libunistring. Any thread. */
#ifndef CT_TOKENIZER_NORMALIZER_H
#define CT_TOKENIZER_NORMALIZER_H

#include "engine/base/status.h"

#include <stddef.h>

/* text, valid UTF-8, in NFC: at most three times as long. *out is to be freed, or NULL where text
 * is in NFC already. The order of marks that are newer than Unicode 14 is left as it is.
 * CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_nfc(const char *text, size_t n_bytes, char **out, size_t *n_out);

#endif
