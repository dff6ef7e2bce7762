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

bool ct_path_ends_with(const char *text, size_t n_bytes, const char *ending)
{
    const size_t n = strlen(ending);
    return n_bytes > n && memcmp(text + n_bytes - n, ending, n) == 0;
}

size_t ct_path_model_name(const char *path, size_t *n_bytes)
{
    static const char ending[] = ".gguf";
    const size_t begin = ct_path_last(path, n_bytes);
    if (ct_path_ends_with(path + begin, *n_bytes, ending))
        *n_bytes -= sizeof ending - 1;
    return begin;
}
