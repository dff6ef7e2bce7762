#include "engine/base/path.h"

#include <string.h>

size_t ct_path_last(const char *path, size_t *n_bytes)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    *n_bytes = end - begin;
    return begin;
}
