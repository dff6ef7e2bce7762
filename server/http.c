#include "server/http.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "server/http_guard.h"
#include "server/http_peer.h"
#include "server/request.h"
#include "server/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ct_exchange_take_body(struct ct_exchange *x, struct ct_body *body)
{
    const char *query = strchr(x->target, '?');
    *body = (struct ct_body){.bytes = x->body, .media = x->media};
    memcpy(body->boundary, x->boundary, sizeof body->boundary);
    snprintf(body->query, sizeof body->query, "%s", query != NULL ? query + 1 : "");
    ct_buffer_init(&x->body);
}

void ct_http_free_body(struct ct_http *http, struct ct_buffer *bytes)
{
    http->n_body_bytes -= bytes->capacity;
    ct_buffer_deinit(bytes);
}

/* ---- replies ---- */

void ct_exchange_header(struct ct_exchange *x, const char *name, const char *fmt, ...)
{
    if (x->n_headers == CT_MAX_REPLY_HEADERS)
        return;
    struct ct_header *header = &x->headers[x->n_headers++];
    snprintf(header->name, sizeof header->name, "%s", name);
    va_list args;
    va_start(args, fmt);
    vsnprintf(header->value, sizeof header->value, fmt, args);
    va_end(args);
}

/* Hands the response to the daemon, which takes it up at once inside a handler, and otherwise when
 * the exchange goes on. */
static void queue(struct ct_exchange *x, int status, struct MHD_Response *response)
{
    x->status = status;
    if (MHD_queue_response(x->connection, (unsigned)status, response) != MHD_YES)
        x->is_gone = true;
    ct_exchange_wake(x);
}

static void add_headers(struct ct_exchange *x, struct MHD_Response *response,
                        const char *content_type)
{
    MHD_add_response_header(response, "Content-Type", content_type);
    MHD_add_response_header(response, "x-request-id", x->id);
    for (int i = 0; i < x->n_headers; i++)
        MHD_add_response_header(response, x->headers[i].name, x->headers[i].value);
    if (ct_server_is_draining(x->http->server))
        MHD_add_response_header(response, "Connection", "close");
}

void ct_exchange_reply(struct ct_exchange *x, int status, const char *content_type,
                       struct ct_buffer *body)
{
    size_t n_bytes = body->n_bytes;
    bool is_short = body->is_short;
    char *data = ct_buffer_take(body);
    struct MHD_Response *response =
        is_short ? NULL : MHD_create_response_from_buffer(n_bytes, data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(data);
        ct_exchange_abort(x);
        return;
    }
    add_headers(x, response, content_type);
    queue(x, status, response);
    MHD_destroy_response(response);
}

void ct_exchange_refuse(struct ct_exchange *x, const struct ct_refusal *refusal)
{
    struct ct_buffer body;
    ct_buffer_init(&body);
    ct_refusal_write(refusal, &body);
    if (refusal->retry_after_s > 0)
        ct_exchange_header(x, "Retry-After", "%d", refusal->retry_after_s);
    ct_exchange_reply(x, refusal->http, "application/json", &body);
}

void ct_exchange_reply_canned(struct ct_exchange *x, int status, struct MHD_Response *response)
{
    queue(x, status, response);
}

void ct_exchange_wait(struct ct_exchange *x)
{
    if (x->watch == NULL && ct_watch_start(x) != CT_OK) {
        ct_exchange_abort(x);
        return;
    }
    MHD_suspend_connection(x->connection);
    x->is_suspended = true;
}

void ct_exchange_wake(struct ct_exchange *x)
{
    if (!x->is_suspended)
        return;
    x->is_suspended = false;
    MHD_resume_connection(x->connection);
    x->http->is_run_needed = true;
}

void ct_exchange_abort(struct ct_exchange *x)
{
    x->is_gone = true;
    ct_exchange_wake(x);
}

static ssize_t on_pull(void *context, uint64_t position, char *out, size_t max)
{
    struct ct_exchange *x = context;
    (void)position;
    if (x->is_gone)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    long n = x->pull(x, out, max);
    if (n == CT_PULL_END)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == CT_PULL_BROKEN)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == 0) /* without suspending, the daemon would ask again and again */
        ct_exchange_wait(x);
    return n;
}

void ct_exchange_stream(struct ct_exchange *x, ct_pull_fn *pull)
{
    x->pull = pull;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, on_pull, x, NULL);
    if (response == NULL) {
        ct_exchange_abort(x);
        return;
    }
    ct_exchange_header(x, "Cache-Control", "no-cache");
    add_headers(x, response, "text/event-stream");
    queue(x, 200, response);
    MHD_destroy_response(response);
}

/* ---- the daemon's callbacks ---- */

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct ct_http *http = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct ct_peer *peer = calloc(1, sizeof *peer);
        *socket_context = peer;
        http->n_connections++;
        if (peer == NULL)
            return;
        peer->fd = info->connect_fd;
        ct_peer_move(http, peer, &http->heads);
        return;
    }
    http->n_connections--;
    if (*socket_context != NULL)
        ct_peer_move(http, *socket_context, NULL);
    free(*socket_context);
    *socket_context = NULL;
}

/* The request line has arrived: this is the only time that its target is whole. */
static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    struct ct_http *http = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct ct_exchange *x = calloc(1, sizeof *x);
    if (x == NULL || target == NULL || info->socket_context == NULL) {
        free(x);
        return NULL;
    }
    x->http = http;
    x->connection = connection;
    x->peer = info->socket_context;
    x->route = -1;
    x->began_ns = ct_clock_ns();
    x->n_target = strlen(target);
    x->target_end = target + x->n_target;
    snprintf(x->target, sizeof x->target, "%s", target);
    x->next = http->exchanges;
    if (x->next != NULL)
        x->next->prev = x;
    http->exchanges = x;
    http->n_exchanges++;
    return x;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **exchange,
                         enum MHD_RequestTerminationCode code)
{
    struct ct_http *http = context;
    struct ct_exchange *x = *exchange;
    (void)connection;
    (void)code;
    *exchange = NULL;
    if (x == NULL)
        return;
    ct_watch_stop(x);
    if (x->on_close != NULL)
        x->on_close(x);
    ct_server_count(http->server, x);
    ct_http_free_body(http, &x->body);
    *(x->prev ? &x->prev->next : &http->exchanges) = x->next;
    if (x->next != NULL)
        x->next->prev = x->prev;
    http->n_exchanges--;
    ct_peer_move(http, x->peer, &http->heads);
    free(x);
    ct_server_check_drained(http->server);
}

/* A path with {id}: the name, with its percent-encoding undone. False: there can be no such
 * name. */
static bool decode_name(const char *raw, char *out, size_t capacity)
{
    size_t n = 0;
    for (const char *p = raw; *p != '\0' && *p != '?'; p++) {
        char c = *p;
        if (c == '%') {
            char hex[3] = {p[1], p[1] ? p[2] : '\0', '\0'}, *end = NULL;
            c = (char)strtoul(hex, &end, 16);
            if (end != hex + 2 || c == '\0' || hex[0] == '+' || hex[0] == '-')
                return false;
            p += 2;
        }
        if (n + 1 == capacity)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return n > 0;
}

/* Finds the route, or says in x->refusal why there is none. */
static void find_route(struct ct_exchange *x, const char *method)
{
    const char *allow = NULL, *tail = NULL;
    size_t n_path = strcspn(x->target, "?");
    enum ct_method m = ct_method_parse(method);
    if (x->n_target < sizeof x->target)
        x->route = ct_route_find(m, x->target, n_path, &allow, &tail);
    if (m == CT_METHOD_OPTIONS && (allow != NULL || strcmp(x->target, "*") == 0)) {
        x->refusal.http = 204;
        ct_exchange_header(x, "Allow", "%s", allow ? allow : "GET, HEAD, POST, OPTIONS");
    } else if (allow == NULL) {
        ct_refuse(&x->refusal, 404, "unknown_url", NULL, "there is no %.80s here", x->target);
    } else if (x->route < 0) {
        ct_refuse(&x->refusal, 405, "method_not_allowed", NULL, "%.16s is not allowed for %.80s",
                  method, x->target);
        ct_exchange_header(x, "Allow", "%s", allow);
    } else if (tail != NULL) {
        char name[sizeof x->target];
        if (decode_name(tail, name, sizeof name))
            memcpy(x->target, name, strlen(name) + 1);
        else
            x->target[0] = '\0';
    }
}

static void check_media(struct ct_exchange *x)
{
    const enum ct_route_input input = ct_routes[x->route].input;
    if (input == CT_INPUT_IMAGES && x->media == CT_MEDIA_OTHER)
        ct_refuse(&x->refusal, 415, "unsupported_media_type", NULL,
                  "the Content-Type must be application/json, multipart/form-data or an image's");
    else if (input == CT_INPUT_JSON && x->media != CT_MEDIA_JSON)
        ct_refuse(&x->refusal, 415, "unsupported_media_type", NULL,
                  "the Content-Type must be application/json");
}

/* The head is complete. */
static enum MHD_Result on_head(struct ct_exchange *x, const char *method, const char *version)
{
    struct ct_http *http = x->http;
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct ct_head head = {method,          version,     method + (size ? size->header_size : 0),
                           x->target,       x->n_target, x->target_end,
                           http->local_name};
    struct ct_head_facts facts;
    bool is_sound = ct_head_check(&head, &facts, &x->refusal) == CT_OK;
    if (facts.id[0] != '\0')
        snprintf(x->id, sizeof x->id, "%s", facts.id);
    else {
        memcpy(x->id, "req_", 4);
        ct_random_hex(x->id + 4, 24);
    }
    if (!is_sound) { /* answered before the body, which closes the connection */
        ct_exchange_refuse(x, &x->refusal);
        return MHD_YES;
    }
    find_route(x, method);
    x->media = facts.media;
    memcpy(x->boundary, facts.boundary, sizeof x->boundary);
    if (x->refusal.http == 0)
        check_media(x);
    if (facts.has_length && facts.n_body_bytes > CT_MAX_BODY_BYTES)
        ct_refuse(&x->refusal, 413, "body_too_large", NULL,
                  "the body of %llu bytes is longer than %d",
                  (unsigned long long)facts.n_body_bytes, CT_MAX_BODY_BYTES);
    if (facts.has_length && facts.n_body_bytes > 2 * CT_MAX_BODY_BYTES)
        ct_exchange_refuse(x, &x->refusal);
    ct_peer_move(http, x->peer, &http->bodies);
    bool has_body = facts.is_chunked || (facts.has_length && facts.n_body_bytes > 0);
    return has_body && ct_watch_start(x) != CT_OK ? MHD_NO : MHD_YES;
}

/* More of the body. What belongs to a refused request is read and dropped, so that the client,
 * which still writes, gets to read the answer. */
static enum MHD_Result on_body(struct ct_exchange *x, const char *bytes, size_t n_bytes)
{
    struct ct_http *http = x->http;
    x->n_received += n_bytes;
    if (x->n_received > 2 * CT_MAX_BODY_BYTES)
        return MHD_NO;
    if (x->refusal.http == 0 && x->n_received > CT_MAX_BODY_BYTES)
        ct_refuse(&x->refusal, 413, "body_too_large", NULL, "the body is longer than %d bytes",
                  CT_MAX_BODY_BYTES);
    if (x->refusal.http == 0 && http->n_body_bytes > CT_MAX_ALL_BODIES_BYTES) {
        ct_refuse(&x->refusal, 503, "overloaded", NULL, "too many requests are being received");
        x->refusal.retry_after_s = 1;
    }
    if (x->refusal.http != 0) {
        ct_http_free_body(http, &x->body);
        return MHD_YES;
    }
    http->n_body_bytes -= x->body.capacity;
    ct_buffer_append(&x->body, bytes, n_bytes);
    http->n_body_bytes += x->body.capacity;
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *n_upload, void **exchange)
{
    struct ct_exchange *x = *exchange;
    (void)context;
    (void)connection;
    (void)url;
    if (x == NULL || x->is_gone)
        return MHD_NO;
    if (!x->has_head) {
        x->has_head = true;
        return on_head(x, method, version);
    }
    if (*n_upload > 0) {
        size_t n = *n_upload;
        *n_upload = 0;
        return on_body(x, upload, n);
    }
    ct_peer_move(x->http, x->peer, NULL);
    if (x->refusal.http == 204) {
        struct ct_buffer nothing;
        ct_buffer_init(&nothing);
        ct_exchange_reply(x, 204, "text/plain", &nothing);
    } else if (x->refusal.http != 0) {
        ct_exchange_refuse(x, &x->refusal);
    } else if (x->body.is_short) {
        return MHD_NO;
    } else {
        ct_routes[x->route].handler(x);
    }
    return x->is_gone ? MHD_NO : MHD_YES;
}

static void on_log(void *context, const char *fmt, va_list args)
{
    char line[512];
    (void)context;
    int n = vsnprintf(line, sizeof line, fmt, args);
    if (n > 0 && n < (int)sizeof line && line[n - 1] == '\n')
        line[n - 1] = '\0';
    ct_log(CT_LOG_DEBUG, "http: %s", line);
}

/* ---- the loop ---- */

static void on_timer(uv_timer_t *timer)
{
    ct_http_run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    ct_http_run(poll->data);
}

void ct_http_run(struct ct_http *http)
{
    if (http->is_running ||
        http->daemon == NULL) /* inside a callback: the loop below goes round again */
        return;
    http->is_running = true;
    do {
        http->is_run_needed = false;
        MHD_run(http->daemon);
    } while (http->is_run_needed);
    http->is_running = false;
    MHD_UNSIGNED_LONG_LONG wait_ms;
    if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&http->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&http->timer);
}

enum ct_status ct_http_open(struct ct_http *http, struct ct_server *server, uv_loop_t *loop,
                            const struct ct_http_limits *limits, struct ct_error *err)
{
    enum { CONNECTION_MEMORY_BYTES = 32768 };
    *http = (struct ct_http){.server = server, .loop = loop};
    http->heads.limit_ms = (uint64_t)limits->head_seconds * 1000;
    http->bodies.limit_ms = (uint64_t)limits->body_seconds * 1000;
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET, 0,
        NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, http, MHD_OPTION_URI_LOG_CALLBACK, on_target, http,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)limits->max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)limits->write_seconds,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (http->daemon == NULL)
        return ct_error_set(err, CT_INTERNAL, "cannot start libmicrohttpd");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_timer_init(loop, &http->timer);
    uv_timer_init(loop, &http->deadline_timer);
    http->timer.data = http;
    http->deadline_timer.data = http;
    http->poll.data = http;
    int rc = uv_poll_init(loop, &http->poll, info->epoll_fd);
    if (rc == 0)
        rc = uv_poll_start(&http->poll, UV_READABLE, on_poll);
    if (rc != 0)
        return ct_error_set(err, CT_IO, "cannot watch libmicrohttpd: %s", uv_strerror(rc));
    return CT_OK;
}

void ct_http_close(struct ct_http *http)
{
    if (http->daemon == NULL)
        return;
    /* The daemon must not be stopped while a connection is suspended. */
    for (struct ct_exchange *x = http->exchanges; x != NULL; x = x->next)
        ct_exchange_abort(x);
    ct_http_run(http);
    uv_poll_stop(&http->poll);
    uv_close((uv_handle_t *)&http->poll, NULL);
    uv_close((uv_handle_t *)&http->timer, NULL);
    MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
    uv_close((uv_handle_t *)&http->deadline_timer, NULL);
}

void ct_http_add(struct ct_http *http, int fd, const struct sockaddr *address, socklen_t n_address)
{
    /* A fixed send buffer bounds what a client that does not read can hold; the kernel would let it
     * grow to megabytes. */
    int send_bytes = 65536, on = 1;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (MHD_add_connection(http->daemon, fd, address, n_address) != MHD_YES)
        ct_log(CT_LOG_DEBUG, "http: a connection was refused");
}
