/* From a method and the raw path of a request to its handler: one static table, routes.def. Any
 * thread. */
#ifndef CT_SERVER_ROUTER_H
#define CT_SERVER_ROUTER_H

#include <stddef.h>

struct ct_exchange;

typedef void ct_handler_fn(struct ct_exchange *exchange);

#define CT_ROUTE(method, path, handler, input) ct_handler_fn ct_handle_##handler;
#include "server/routes.def"
#undef CT_ROUTE

enum ct_method { CT_METHOD_GET, CT_METHOD_POST, CT_METHOD_OPTIONS, CT_METHOD_OTHER };

enum ct_route_input { CT_INPUT_NONE, CT_INPUT_JSON, CT_INPUT_IMAGES };

struct ct_route {
    enum ct_method method;
    const char *path;
    ct_handler_fn *handler;
    enum ct_route_input input;
};

enum {
#define CT_ROUTE(method, path, handler, input) CT_ROUTE_##handler,
#include "server/routes.def"
#undef CT_ROUTE
    CT_N_ROUTES
};
extern const struct ct_route ct_routes[CT_N_ROUTES];

/* "GET" and "HEAD" are CT_METHOD_GET. */
enum ct_method ct_method_parse(const char *name);

/* The place in ct_routes of method and path [n_path] (raw, without its query), or -1. *allow: NULL
 * when no route has that path at all, otherwise the methods it has, as for an Allow header. *tail:
 * where the name begins for a path with {id}, otherwise NULL. */
int ct_route_find(enum ct_method method, const char *path, size_t n_path, const char **allow,
                  const char **tail);

#endif
