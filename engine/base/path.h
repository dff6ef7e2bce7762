/* Paths, cut where '/' stands. Any thread. */
#ifndef CT_BASE_PATH_H
#define CT_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Where the last part of path begins; *n_bytes is its length without the slashes behind it. */
size_t ct_path_last(const char *path, size_t *n_bytes);

/* Whether text [n_bytes] ends with ending and has something in front of it. */
bool ct_path_ends_with(const char *text, size_t n_bytes, const char *ending);

/* What a model at path is called by itself: the last part, without a .gguf ending; as
 * ct_path_last. */
size_t ct_path_model_name(const char *path, size_t *n_bytes);

#endif
