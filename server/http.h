/* HTTP/1.1 by libmicrohttpd, driven by the loop: bytes in, exchanges out.
 *
 *   exchange:  head --> body --> handler --+--> reply                           (whole, at once)
 *                                          +--> wait ... reply                  (suspended between)
 *                                          +--> wait ... stream: pull, pull ...
 *                                               (suspended when dry)
 *
 * While an exchange receives its body, waits or streams, its descriptor is watched, so that a
 * client that leaves is noticed; libmicrohttpd itself would not. Heads and bodies have total
 * deadlines; writes have an idle one. All of this belongs to the loop thread. (RFC 9110, RFC
 * 9112.) */
#ifndef CT_SERVER_HTTP_H
#define CT_SERVER_HTTP_H

#include "server/body.h"
#include "server/refusal.h"
#include "server/router.h"

#include <microhttpd.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

struct ct_server;
struct ct_exchange;
struct ct_peer;
struct ct_watch;

enum {
    CT_MAX_TARGET_BYTES = 4096,
    CT_MAX_HEAD_BYTES = 16384,
    CT_MAX_HEADERS = 100,
    CT_MAX_BODY_BYTES = 8 << 20,
    CT_MAX_ALL_BODIES_BYTES = 128 << 20, /* bodies being received or parsed, all together */
};

struct ct_http_limits {
    int max_connections;
    int head_seconds;  /* from accept, or the last answer, to the end of a request's head */
    int body_seconds;  /* from there to the end of its body */
    int write_seconds; /* without progress while an answer is written */
};

/* A list of connections by deadline, the earliest first: all have the same time. */
struct ct_peer_list {
    struct ct_peer *first, *last;
    uint64_t limit_ms;
};

struct ct_http {
    struct ct_server *server;
    uv_loop_t *loop;
    const char *local_name; /* bound to loopback: the host that was asked for; NULL otherwise */
    struct MHD_Daemon *daemon;
    uv_poll_t poll;   /* on the daemon's epoll descriptor */
    uv_timer_t timer; /* the daemon's timeouts */
    uv_timer_t deadline_timer;
    struct ct_peer_list heads, bodies;
    struct ct_exchange *exchanges; /* all, newest first */
    int n_exchanges, n_connections;
    size_t n_body_bytes;
    bool is_running, is_run_needed;
};

CT_MUST_CHECK enum ct_status ct_http_open(struct ct_http *http, struct ct_server *server,
                                          uv_loop_t *loop, const struct ct_http_limits *limits,
                                          struct ct_error *err);
/* Closes every connection, finished or not; its handles are closed by the loop's next rounds. */
void ct_http_close(struct ct_http *http);

/* Takes over an accepted socket. */
void ct_http_add(struct ct_http *http, int fd, const struct sockaddr *address, socklen_t n_address);

/* Lets the daemon act on what was resumed. Call after ct_exchange_* outside of a handler. */
void ct_http_run(struct ct_http *http);

/* Copies at most max bytes of the answer: a count, 0 when there is nothing now (ct_exchange_wake
 * follows), or one of these. */
enum { CT_PULL_END = -1, CT_PULL_BROKEN = -2 };
typedef long ct_pull_fn(struct ct_exchange *exchange, char *out, size_t max);

struct ct_header {
    char name[24];
    char value[48];
};
enum { CT_MAX_REPLY_HEADERS = 6 };

struct ct_exchange {
    struct ct_http *http;
    struct MHD_Connection *connection;
    struct ct_peer *peer;
    struct ct_exchange *prev, *next;
    int route;        /* in ct_routes, or -1 */
    int status;       /* of the answer; 0: none yet */
    char target[512]; /* the front of the raw target */
    size_t n_target;  /* its whole length */
    const char *target_end;
    char id[132]; /* x-request-id */
    enum ct_media media;
    char boundary[CT_MAX_BOUNDARY + 1]; /* of a form */
    struct ct_buffer body;
    size_t n_received;
    uint64_t began_ns;
    struct ct_refusal refusal; /* http 0: none; answered once the body is over */
    struct ct_header headers[CT_MAX_REPLY_HEADERS];
    int n_headers;
    bool has_head, is_suspended, is_gone;
    struct ct_watch *watch;

    /* the handler's: what it made of the request, and how it learns that the exchange is over, with
     * or without its answer */
    void *answer;
    void (*on_close)(struct ct_exchange *exchange);
    ct_pull_fn *pull;
};

/* The body's bytes change hands; they count as being received until they are given back. */
void ct_exchange_take_body(struct ct_exchange *exchange, struct ct_body *body);
void ct_http_free_body(struct ct_http *http, struct ct_buffer *bytes);

/* Whose request this is: a number that stands for the key of its Authorization header or, without
 * one, for the address that it comes from (of IPv6, the network). */
uint64_t ct_exchange_client(const struct ct_exchange *exchange);

/* A header of the reply to come. */
void ct_exchange_header(struct ct_exchange *exchange, const char *name, const char *fmt, ...)
    CT_PRINTF(3, 4);

/* The whole answer; the buffer's data changes hands. */
void ct_exchange_reply(struct ct_exchange *exchange, int status, const char *content_type,
                       struct ct_buffer *body);
void ct_exchange_refuse(struct ct_exchange *exchange, const struct ct_refusal *refusal);

/* An answer that was made once and for all. */
void ct_exchange_reply_canned(struct ct_exchange *exchange, int status,
                              struct MHD_Response *response);

/* The handler returns without an answer; ct_exchange_reply, _refuse or _stream follows. */
void ct_exchange_wait(struct ct_exchange *exchange);

/* An answer in parts, as text/event-stream; pull is called whenever the socket takes more. */
void ct_exchange_stream(struct ct_exchange *exchange, ct_pull_fn *pull);
void ct_exchange_wake(struct ct_exchange *exchange);

/* Ends the exchange without any more words. */
void ct_exchange_abort(struct ct_exchange *exchange);

#endif
