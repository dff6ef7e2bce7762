#include "server/http_peer.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void on_deadline(uv_timer_t *timer)
{
    ct_peer_expire(timer->data);
}

void ct_peer_move(struct ct_http *http, struct ct_peer *peer, struct ct_peer_list *list)
{
    struct ct_peer_list *old = peer->list;
    if (old != NULL) {
        *(peer->prev ? &peer->prev->next : &old->first) = peer->next;
        *(peer->next ? &peer->next->prev : &old->last) = peer->prev;
    }
    peer->list = list;
    if (list == NULL)
        return;
    peer->deadline_ms = uv_now(http->loop) + list->limit_ms;
    peer->next = NULL;
    peer->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = peer;
    list->last = peer;
    /* An earlier deadline than the timer's can only be that of a list that was empty. */
    if (list->first == peer && (!uv_is_active((uv_handle_t *)&http->deadline_timer) ||
                                uv_timer_get_due_in(&http->deadline_timer) > list->limit_ms))
        uv_timer_start(&http->deadline_timer, on_deadline, list->limit_ms, 0);
}

void ct_peer_expire(struct ct_http *http)
{
    struct ct_peer_list *lists[] = {&http->heads, &http->bodies};
    uint64_t now_ms = uv_now(http->loop), next_ms = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        while (lists[i]->first != NULL && lists[i]->first->deadline_ms <= now_ms) {
            struct ct_peer *peer = lists[i]->first;
            ct_peer_move(http, peer, NULL);
            /* The daemon sees the end of the stream and closes. */
            shutdown(peer->fd, SHUT_RDWR);
        }
        if (lists[i]->first != NULL && lists[i]->first->deadline_ms < next_ms)
            next_ms = lists[i]->first->deadline_ms;
    }
    if (next_ms != UINT64_MAX)
        uv_timer_start(&http->deadline_timer, on_deadline, next_ms - now_ms, 0);
}

/* ---- whose it is ---- */

/* FNV-1a from a seed of this process, so that nobody can choose to be taken for another. */
static uint64_t hash(const void *bytes, size_t n_bytes)
{
    static uint64_t seed;
    if (seed == 0 && getrandom(&seed, sizeof seed, 0) < 0)
        seed = 14695981039346656037u;
    uint64_t sum = seed;
    for (size_t i = 0; i < n_bytes; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return sum ^ sum >> 32;
}

uint64_t ct_exchange_client(const struct ct_exchange *x)
{
    const char *key = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Authorization");
    if (key != NULL && key[0] != '\0')
        return hash(key, strlen(key));
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
    if (address != NULL && address->sa_family == AF_INET)
        return hash(&((const struct sockaddr_in *)address)->sin_addr, sizeof(struct in_addr));
    if (address != NULL && address->sa_family == AF_INET6)
        return hash(&((const struct sockaddr_in6 *)address)->sin6_addr, 8);
    return 0;
}

/* ---- watch ---- */

/* Lives until libuv has closed the handle, which may be after the exchange. */
struct ct_watch {
    uv_poll_t poll;
    struct ct_exchange *exchange;
};

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* UV_DISCONNECT is the peer's FIN, also behind requests that it has pipelined; a negative status
 * its RST. */
static void on_watch(uv_poll_t *poll, int status, int events)
{
    struct ct_watch *watch = poll->data;
    if (status >= 0 && (events & UV_DISCONNECT) == 0)
        return;
    struct ct_exchange *x = watch->exchange;
    struct ct_http *http = x->http;
    if (x->peer->list == &http->bodies) {
        /* The rest of the body may still be in the socket, and only the daemon can tell. It is
         * edge-triggered: where body and FIN came together, it must be told to look again. */
        MHD_suspend_connection(x->connection);
        MHD_resume_connection(x->connection);
    } else {
        ct_exchange_abort(x);
    }
    ct_http_run(http);
}

enum ct_status ct_watch_start(struct ct_exchange *exchange)
{
    struct ct_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return CT_MEMORY;
    if (uv_poll_init(exchange->http->loop, &watch->poll, exchange->peer->fd) != 0) {
        free(watch);
        return CT_IO;
    }
    watch->poll.data = watch;
    watch->exchange = exchange;
    exchange->watch = watch;
    return uv_poll_start(&watch->poll, UV_DISCONNECT, on_watch) == 0 ? CT_OK : CT_IO;
}

void ct_watch_stop(struct ct_exchange *exchange)
{
    if (exchange->watch == NULL)
        return;
    uv_poll_stop(&exchange->watch->poll);
    uv_close((uv_handle_t *)&exchange->watch->poll, on_watch_closed);
    exchange->watch = NULL;
}
