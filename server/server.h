/* The server as a whole: loop, listener, signals, drain.
 *
 *   LOADING --(models open)--> READY --(SIGTERM)--> DRAINING --(nothing in flight, or time over)-->
 * gone
 *
 * One loop thread owns everything here; the engine threads are the batchers'. A second signal ends
 * the process at once. */
#ifndef CT_SERVER_SERVER_H
#define CT_SERVER_SERVER_H

#include "server/batcher.h"
#include "server/config.h"
#include "server/http.h"
#include "server/metrics.h"

enum ct_server_state { CT_SERVER_LOADING, CT_SERVER_READY, CT_SERVER_DRAINING };

struct ct_server {
    const struct ct_config *config;
    enum ct_server_state state;
    uv_loop_t loop;
    int listen_fd, spare_fd; /* the spare lets a connection be refused when descriptors run out */
    int port;
    uv_poll_t listen_poll;
    uv_async_t wake; /* from the engine threads */
    uv_async_t over; /* the drain is complete */
    uv_timer_t drain_timer;
    uv_signal_t sigterm, sigint;
    uv_work_t load;
    enum ct_status load_status;
    struct ct_error load_error;
    struct ct_http http;
    struct ct_models models;
    struct ct_metrics metrics;
    int n_answers; /* requests that the api is at work on, also those whose client has left */
    bool is_cut;   /* the drain's time was over */
    bool is_over;  /* the handles are closed or being closed */
    bool is_failed;
};

/* Runs until a signal ends it. Returns the process's exit code. */
int ct_server_run(const struct ct_config *config);

bool ct_server_is_draining(const struct ct_server *server);

/* Called when an exchange ends, for the metrics; and whenever something in flight has ended. */
void ct_server_count(struct ct_server *server, const struct ct_exchange *exchange);
void ct_server_check_drained(struct ct_server *server);

/* api_status.c: releases the answers that were made once. */
void ct_status_forget(void);

/* Why work cannot be taken on now; CT_OK when it can. */
enum ct_status ct_server_admits(const struct ct_server *server, struct ct_refusal *refusal);

#endif
