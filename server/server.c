#include "server/server.h"

#include "engine/base/log.h"
#include "server/api_openai.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Between cutting off what still runs and closing everything: for the last words to be sent. */
enum { LAST_WORDS_MS = 500 };

/* ---- listening ---- */

static enum ct_status listen_on(struct ct_server *server, struct ct_error *err)
{
    const struct ct_config *config = server->config;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    char port[16];
    int on = 1, rc;
    snprintf(port, sizeof port, "%lld", (long long)config->port);
    if ((rc = getaddrinfo(config->host, port, &hints, &addresses)) != 0)
        return ct_error_set(err, CT_IO, "--host %s: %s", config->host, gai_strerror(rc));
    int fd = -1;
    for (struct addrinfo *a = addresses; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, 1024) != 0) {
            ct_error_set(err, CT_IO, "cannot listen on %s port %s: %s", config->host, port,
                         strerror(errno));
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(addresses);
    if (fd < 0)
        return CT_IO;
    struct sockaddr_storage bound;
    socklen_t n_bound = sizeof bound;
    getsockname(fd, (struct sockaddr *)&bound, &n_bound);
    server->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                     : ((struct sockaddr_in *)&bound)->sin_port);
    server->listen_fd = fd;
    return CT_OK;
}

/* Without a free descriptor, accept fails and the listener stays readable, round after round.
 * Giving up the spare one for a moment lets the connection be refused. */
static void refuse_connection(struct ct_server *server)
{
    close(server->spare_fd);
    int fd = accept(server->listen_fd, NULL, NULL);
    if (fd >= 0)
        close(fd);
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_listen(uv_poll_t *poll, int status, int events)
{
    struct ct_server *server = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < 64; i++) { /* then others get their turn */
        struct sockaddr_storage address;
        socklen_t n_address = sizeof address;
        int fd = accept4(server->listen_fd, (struct sockaddr *)&address, &n_address,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            ct_http_add(&server->http, fd, (struct sockaddr *)&address, n_address);
        else if (errno == EMFILE || errno == ENFILE)
            refuse_connection(server);
        else if (errno != EINTR && errno != ECONNABORTED)
            break;
    }
    ct_http_run(&server->http);
}

/* ---- loading ---- */

static void on_engine_news(void *context)
{
    struct ct_server *server = context;
    uv_async_send(&server->wake);
}

static void on_wake(uv_async_t *async)
{
    struct ct_server *server = async->data;
    ct_openai_collect(server);
}

static void load(uv_work_t *work)
{
    struct ct_server *server = work->data;
    server->load_status = ct_models_open(&server->models, server->config, &server->load_error);
}

static void say_ready(const struct ct_server *server)
{
    const bool is_ipv6 = strchr(server->config->host, ':') != NULL;
    printf("centroid: serving ");
    for (int i = 0; i < server->models.n; i++)
        printf(i ? ", %s" : "%s", server->models.all[i].name);
    printf(is_ipv6 ? " at http://[%s]:%d\n" : " at http://%s:%d\n", server->config->host,
           server->port);
    fflush(stdout);
}

static void on_loaded(uv_work_t *work, int status)
{
    struct ct_server *server = work->data;
    (void)status;
    if (server->load_status == CT_OK)
        server->load_status = ct_models_start(&server->models, server->config, on_engine_news,
                                              server, &server->load_error);
    if (server->load_status != CT_OK) {
        ct_log(CT_LOG_ERROR, "%s", server->load_error.message);
        server->is_failed = true;
        server->state = CT_SERVER_DRAINING;
        uv_async_send(&server->over);
        return;
    }
    server->state = CT_SERVER_READY;
    say_ready(server);
}

/* ---- the end ---- */

bool ct_server_is_draining(const struct ct_server *server)
{
    return server->state == CT_SERVER_DRAINING;
}

enum ct_status ct_server_admits(const struct ct_server *server, struct ct_refusal *refusal)
{
    if (server->state == CT_SERVER_READY)
        return CT_OK;
    bool is_loading = server->state == CT_SERVER_LOADING;
    ct_refuse(refusal, 503, is_loading ? "loading" : "shutting_down", NULL,
              is_loading ? "the models are being loaded" : "the server is shutting down");
    refusal->retry_after_s = 1;
    return CT_SHUTDOWN;
}

void ct_server_count(struct ct_server *server, const struct ct_exchange *x)
{
    if (x->status > 0 && x->status < CT_N_STATUS_CODES)
        server->metrics.n_answers[x->route >= 0 ? x->route : CT_N_ROUTES][x->status]++;
    if (x->has_head)
        ct_log(CT_LOG_DEBUG, "%s %s %d", x->id, x->target, x->status);
}

void ct_server_check_drained(struct ct_server *server)
{
    if (server->state == CT_SERVER_DRAINING && server->http.n_exchanges == 0 &&
        server->n_answers == 0)
        uv_async_send(&server->over);
}

/* Closes all handles; the loop then runs dry. */
static void on_over(uv_async_t *async)
{
    struct ct_server *server = async->data;
    if (server->is_over)
        return;
    server->is_over = true;
    uv_poll_stop(&server->listen_poll);
    uv_close((uv_handle_t *)&server->listen_poll, NULL);
    close(server->listen_fd);
    ct_http_close(&server->http);
    ct_models_stop(&server->models);
    ct_openai_collect(server);
    uv_close((uv_handle_t *)&server->drain_timer, NULL);
    uv_close((uv_handle_t *)&server->sigterm, NULL);
    uv_close((uv_handle_t *)&server->sigint, NULL);
    uv_close((uv_handle_t *)&server->wake, NULL);
    uv_close((uv_handle_t *)&server->over, NULL);
}

static void on_drain_timer(uv_timer_t *timer)
{
    struct ct_server *server = timer->data;
    if (server->is_cut) {
        uv_async_send(&server->over);
        return;
    }
    server->is_cut = true;
    ct_log(CT_LOG_WARN, "%d requests were not finished in time and are cut off", server->n_answers);
    ct_openai_cut(server);
    uv_timer_start(&server->drain_timer, on_drain_timer, LAST_WORDS_MS, 0);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct ct_server *server = signal->data;
    (void)number;
    if (server->state == CT_SERVER_DRAINING)
        _exit(1);
    if (server->state == CT_SERVER_LOADING)
        _exit(0); /* nothing was accepted yet, and a load cannot be called back */
    server->state = CT_SERVER_DRAINING;
    ct_log(CT_LOG_INFO, "shutting down: %d requests to finish", server->n_answers);
    int64_t wait_ms = server->config->drain_seconds * 1000 - LAST_WORDS_MS;
    uv_timer_start(&server->drain_timer, on_drain_timer, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
    ct_server_check_drained(server);
}

/* ---- all of it ---- */

static void prepare_process(const struct ct_config *config)
{
    struct rlimit limit;
    ct_log_set_level((enum ct_log_level)config->log_level);
    signal(SIGPIPE, SIG_IGN);
    setenv("UV_THREADPOOL_SIZE", "2", 0); /* for loading, and for parsing long bodies */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        rlim_t wanted = (rlim_t)config->n_connections + 64;
        if (limit.rlim_cur < wanted) {
            limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
            setrlimit(RLIMIT_NOFILE, &limit);
        }
    }
}

static void init_handles(struct ct_server *server)
{
    uv_loop_t *loop = &server->loop;
    uv_async_init(loop, &server->wake, on_wake);
    uv_async_init(loop, &server->over, on_over);
    uv_timer_init(loop, &server->drain_timer);
    uv_signal_init(loop, &server->sigterm);
    uv_signal_init(loop, &server->sigint);
    uv_poll_init(loop, &server->listen_poll, server->listen_fd);
    server->wake.data = server->over.data = server->drain_timer.data = server->sigterm.data =
        server->sigint.data = server->listen_poll.data = server->load.data = server;
    uv_signal_start(&server->sigterm, on_signal, SIGTERM);
    uv_signal_start(&server->sigint, on_signal, SIGINT);
    uv_poll_start(&server->listen_poll, UV_READABLE, on_listen);
}

int ct_server_run(const struct ct_config *config)
{
    static struct ct_server server; /* too large for a stack */
    struct ct_error err = {0};
    memset(&server, 0, sizeof server);
    server.config = config;
    prepare_process(config);
    ct_metrics_init(&server.metrics);
    server.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (listen_on(&server, &err) != CT_OK || uv_loop_init(&server.loop) != 0) {
        ct_log(CT_LOG_ERROR, "%s", err.message);
        return 1;
    }
    struct ct_http_limits limits = {(int)config->n_connections, (int)config->head_seconds,
                                    (int)config->body_seconds, (int)config->write_seconds};
    if (ct_http_open(&server.http, &server, &server.loop, &limits, &err) != CT_OK) {
        ct_log(CT_LOG_ERROR, "%s", err.message);
        return 1;
    }
    server.http.local_name = config->is_loopback ? config->host : NULL;
    init_handles(&server);
    uv_queue_work(&server.loop, &server.load, load, on_loaded);
    uv_run(&server.loop, UV_RUN_DEFAULT);

    uv_loop_close(&server.loop);
    uv_library_shutdown();
    ct_models_close(&server.models);
    ct_status_forget();
    close(server.spare_fd);
    return server.is_failed ? 1 : 0;
}
