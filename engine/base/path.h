/* Paths, cut where '/' stands. Any thread. */
#ifndef CT_BASE_PATH_H
#define CT_BASE_PATH_H

#include <stddef.h>

/* Where the last part of path begins; *n_bytes is its length without the slashes behind it. */
size_t ct_path_last(const char *path, size_t *n_bytes);

#endif
