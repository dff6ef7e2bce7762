#include "server/router.h"

#include <stdbool.h>
#include <string.h>

const struct ct_route ct_routes[CT_N_ROUTES] = {
#define CT_ROUTE(method, path, handler, input)                                                     \
    {CT_METHOD_##method, path, ct_handle_##handler, CT_INPUT_##input},
#include "server/routes.def"
#undef CT_ROUTE
};

enum ct_method ct_method_parse(const char *name)
{
    if (strcmp(name, "GET") == 0 || strcmp(name, "HEAD") == 0)
        return CT_METHOD_GET;
    if (strcmp(name, "POST") == 0)
        return CT_METHOD_POST;
    return strcmp(name, "OPTIONS") == 0 ? CT_METHOD_OPTIONS : CT_METHOD_OTHER;
}

int ct_route_find(enum ct_method method, const char *path, size_t n_path, const char **allow,
                  const char **tail)
{
    static const char *const allows[] = {
        [CT_METHOD_GET] = "GET, HEAD, OPTIONS", [CT_METHOD_POST] = "POST, OPTIONS"};
    *allow = NULL;
    *tail = NULL;
    for (int i = 0; i < CT_N_ROUTES; i++) {
        const struct ct_route *route = &ct_routes[i];
        size_t n = strcspn(route->path, "{");
        bool has_tail = route->path[n] == '{';
        if (n_path < n || (n_path > n) != has_tail || memcmp(route->path, path, n) != 0)
            continue;
        *allow = allows[route->method];
        *tail = has_tail ? path + n : NULL;
        if (route->method == method)
            return i;
    }
    return -1;
}
