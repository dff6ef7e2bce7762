/* Connections and their deadlines, whose they are, and the watch over a client that waits. Loop
 * thread. */
#ifndef CT_SERVER_HTTP_PEER_H
#define CT_SERVER_HTTP_PEER_H

#include "server/http.h"

/* One connection. It is in at most one of the two lists. */
struct ct_peer {
    struct ct_peer *prev, *next;
    struct ct_peer_list *list; /* NULL: no deadline now */
    uint64_t deadline_ms;      /* of uv_now */
    int fd;
};

/* Moves the peer to the end of list, with that list's time from now on; NULL: takes it out. */
void ct_peer_move(struct ct_http *http, struct ct_peer *peer, struct ct_peer_list *list);

/* Shuts down the connections whose time is over, and sets the timer for the next. */
void ct_peer_expire(struct ct_http *http);

/* Calls ct_exchange_abort when the exchange's client has gone; while its body is being received,
 * only when no more of it is left in the socket. CT_MEMORY, CT_IO. */
CT_MUST_CHECK enum ct_status ct_watch_start(struct ct_exchange *exchange);
void ct_watch_stop(struct ct_exchange *exchange);

#endif
