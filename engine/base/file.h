/* A whole file in memory. Any thread. */
#ifndef CT_BASE_FILE_H
#define CT_BASE_FILE_H

#include "engine/base/status.h"

#include <stddef.h>

/* A whole file, NUL-terminated, to be freed. CT_IO. */
CT_MUST_CHECK enum ct_status ct_file_read(const char *path, char **out, size_t *n_bytes,
                                          struct ct_error *err);

#endif
