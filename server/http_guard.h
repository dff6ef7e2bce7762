/* What must hold of a request's head before anybody looks at the rest of it.
 *
 * libmicrohttpd is lenient where leniency lets requests be smuggled past a proxy (RFC 9112,
 * sections 5.2, 6.3 and 11.2): it takes bare LF, folds lines, takes spaces before the colon,
 * several lengths, and a Transfer-Encoding beside a Content-Length. So the raw head is walked again
 * here. Loop thread. */
#ifndef CT_SERVER_HTTP_GUARD_H
#define CT_SERVER_HTTP_GUARD_H

#include "server/body.h"
#include "server/refusal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The head as libmicrohttpd 0.9 leaves it in its buffer: line ends, the first colon of each line
 * and the spaces of the request line are overwritten with NUL, in place.
 *
 *   GET\0/path\0HTTP/1.1\0\0Host\0 localhost\0\0 ... \0\0
 *   ^method    ^version                              ^end */
struct ct_head {
    const char *method, *version, *end;
    const char *target;     /* its front, NUL-terminated copy */
    size_t n_target;        /* length in the request */
    const char *target_end; /* in the buffer, when it was first seen */
    const char *local_name; /* not NULL: only this host and loopback names are welcome */
};

/* What the rest of the server wants to know of it. */
struct ct_head_facts {
    bool has_length, is_chunked;
    uint64_t n_body_bytes; /* where has_length */
    enum ct_media media;
    char boundary[CT_MAX_BOUNDARY + 1]; /* of a form; or "" */
    char id[129];                       /* x-request-id, when it is sane; or "" */
};

/* CT_INVALID: refusal says why; the connection must be closed after it. */
CT_MUST_CHECK enum ct_status ct_head_check(const struct ct_head *head, struct ct_head_facts *facts,
                                           struct ct_refusal *refusal);

#endif
