#include "server/api_openai.h"

#include "engine/base/clock.h"
#include "server/openai_request.h"
#include "server/reply.h"
#include "server/reply_rows.h"

#include <stdlib.h>
#include <string.h>

/* Bodies beyond this, and whatever may hold an image, are read by a worker, so that the loop goes
 * on. */
enum { MAX_INLINE_BYTES = 16384 };

/* One request at work.
 *
 *   read (here or in a worker) -> submitted -> finished -> answered
 *
 * It lives until neither the exchange nor a worker nor the batcher needs it any more. */
struct answer {
    struct ct_server *server;
    struct ct_exchange *exchange; /* NULL once the client has its answer or has left */
    struct ct_request *request;
    struct ct_body body;
    struct ct_refusal refusal;
    enum ct_status read_status;
    uv_work_t work;
    struct ct_reply reply;
    bool is_reading, is_submitted, is_finished, is_streaming;
};

static void close_if_over(struct answer *answer)
{
    if (answer->exchange != NULL || answer->is_reading ||
        (answer->is_submitted && !answer->is_finished))
        return;
    struct ct_server *server = answer->server;
    if (answer->reply.request != NULL)
        ct_reply_deinit(&answer->reply);
    ct_request_close(answer->request);
    free(answer);
    server->n_answers--;
    ct_server_check_drained(server);
}

/* The exchange is over, with or without its answer. */
static void on_close(struct ct_exchange *x)
{
    struct answer *answer = x->answer;
    answer->exchange = NULL;
    if (answer->is_submitted && !answer->is_finished)
        ct_batcher_cancel(answer->request->model->batcher, answer->request, CT_CANCELLED);
    close_if_over(answer);
}

static void refuse(struct answer *answer, const struct ct_refusal *refusal)
{
    ct_exchange_refuse(answer->exchange, refusal);
}

/* ---- the way in ---- */

/* The sooner of the request's own and the server's. */
static void set_deadline(struct answer *answer)
{
    struct ct_request *request = answer->request;
    double limit_s = (double)answer->server->config->request_seconds;
    if (request->timeout_s > 0 && (limit_s == 0 || request->timeout_s < limit_s))
        limit_s = request->timeout_s;
    if (limit_s > 0)
        request->deadline_ns = request->received_ns + (uint64_t)(limit_s * 1e9);
}

static void submit(struct answer *answer)
{
    struct ct_refusal refusal = {0};
    if (answer->exchange == NULL)
        return;
    if (answer->read_status != CT_OK) {
        refuse(answer, &answer->refusal);
        return;
    }
    const struct ct_model *model = answer->request->model;
    enum ct_status status = CT_OK;
    set_deadline(answer);
    if (!answer->request->is_estimate)
        status = ct_reply_init(&answer->reply, answer->request);
    if (status == CT_OK)
        status = ct_batcher_submit(model->batcher, answer->request);
    if (status == CT_OK) {
        answer->is_submitted = true;
        if (!answer->exchange->is_suspended)
            ct_exchange_wait(answer->exchange);
        return;
    }
    if (status == CT_BUSY) {
        ct_refuse(&refusal, 429, "queue_full", NULL,
                  "%d answers are being made or wait already; try again later",
                  model->max_in_flight);
        refusal.retry_after_s = ct_batcher_retry_after_s(model->batcher);
    } else {
        ct_refuse(&refusal, ct_status_http(status), NULL, NULL, "%s", ct_status_text(status));
    }
    refuse(answer, &refusal);
}

static void read_body(struct answer *answer)
{
    answer->read_status = ct_openai_request_read(answer->request, &answer->body,
                                                 &answer->server->models, &answer->refusal);
}

static void on_work(uv_work_t *work)
{
    read_body(work->data);
}

static void on_work_done(uv_work_t *work, int status)
{
    struct answer *answer = work->data;
    struct ct_http *http = &answer->server->http;
    (void)status;
    answer->is_reading = false;
    ct_http_free_body(http, &answer->body.bytes);
    submit(answer);
    close_if_over(answer);
    ct_http_run(http);
}

static bool is_light(const struct answer *answer)
{
    const bool may_have_image =
        ct_routes[answer->exchange->route].input == CT_INPUT_IMAGES || answer->request->is_estimate;
    return answer->body.bytes.n_bytes <= MAX_INLINE_BYTES &&
           !(may_have_image && ct_models_see_images(&answer->server->models));
}

static void begin(struct ct_exchange *x, enum ct_request_kind kind, bool is_estimate)
{
    struct ct_server *server = x->http->server;
    struct ct_refusal refusal;
    if (ct_server_admits(server, &refusal) != CT_OK) {
        ct_exchange_refuse(x, &refusal);
        return;
    }
    struct answer *answer = calloc(1, sizeof *answer);
    struct ct_request *request = ct_request_open(kind);
    if (answer == NULL || request == NULL) {
        free(answer);
        ct_request_close(request);
        ct_refuse(&refusal, 503, NULL, NULL, "out of memory");
        ct_exchange_refuse(x, &refusal);
        return;
    }
    answer->server = server;
    answer->exchange = x;
    answer->request = request;
    ct_exchange_take_body(x, &answer->body);
    request->owner = answer;
    request->is_estimate = is_estimate;
    request->client = ct_exchange_client(x);
    server->n_answers++;
    x->answer = answer;
    x->on_close = on_close;
    if (is_light(answer)) {
        read_body(answer);
        ct_http_free_body(x->http, &answer->body.bytes);
        submit(answer);
        return;
    }
    answer->is_reading = true;
    answer->work.data = answer;
    ct_exchange_wait(x);
    uv_queue_work(&server->loop, &answer->work, on_work, on_work_done);
}

void ct_handle_completions(struct ct_exchange *x)
{
    begin(x, CT_REQUEST_COMPLETION, false);
}

void ct_handle_chat_completions(struct ct_exchange *x)
{
    begin(x, CT_REQUEST_CHAT, false);
}

void ct_handle_embeddings(struct ct_exchange *x)
{
    begin(x, CT_REQUEST_EMBEDDING, false);
}

void ct_handle_classify(struct ct_exchange *x)
{
    begin(x, CT_REQUEST_CLASSIFY, false);
}

void ct_handle_rerank(struct ct_exchange *x)
{
    begin(x, CT_REQUEST_RERANK, false);
}

void ct_handle_estimate(struct ct_exchange *x)
{
    begin(x, CT_REQUEST_COMPLETION, true);
}

/* ---- the way out ---- */

static long pull(struct ct_exchange *x, char *out, size_t max)
{
    struct answer *answer = x->answer;
    size_t n = ct_reply_pull(&answer->reply, answer->is_finished, out, max);
    if (n > 0 || !answer->reply.is_over)
        return (long)n;
    return answer->reply.is_broken ? CT_PULL_BROKEN : CT_PULL_END;
}

static void write_whole(struct answer *answer)
{
    struct ct_ledger ledger;
    struct ct_buffer body;
    struct ct_exchange *x = answer->exchange;
    ct_request_ledger(answer->request, &ledger);
    ct_exchange_header(x, "x-queue-time", "%.3f", (double)ledger.queue_ns * 1e-6);
    ct_exchange_header(x, "x-inference-time", "%.3f",
                       (double)(ledger.prefill_ns + ledger.decode_ns) * 1e-6);
    ct_exchange_header(x, "x-energy-mj", "%.6g", (ledger.prefill.pj + ledger.decode.pj) * 1e-9);
    ct_buffer_init(&body);
    if (ct_request_is_text(answer->request))
        ct_reply_write(&answer->reply, &body);
    else
        ct_reply_write_rows(answer->request, &body);
    ct_exchange_reply(x, 200, "application/json", &body);
}

/* When the first sequence got its session; a request that has records has one. */
static uint64_t queue_ns(const struct ct_request *request)
{
    uint64_t admitted_ns = UINT64_MAX;
    for (int i = 0; i < request->n_sequences; i++)
        if (ct_ring_filled(&request->sequences[i].ring) > 0 &&
            request->sequences[i].admitted_ns < admitted_ns)
            admitted_ns = request->sequences[i].admitted_ns;
    return admitted_ns == UINT64_MAX ? 0 : admitted_ns - request->received_ns;
}

static void write_estimate(struct answer *answer)
{
    struct ct_buffer body;
    if (answer->exchange == NULL)
        return;
    ct_buffer_init(&body);
    ct_reply_write_estimate(answer->request, &body);
    ct_exchange_reply(answer->exchange, 200, "application/json", &body);
}

static void on_news(struct answer *answer)
{
    struct ct_exchange *x = answer->exchange;
    struct ct_refusal refusal;
    if (answer->request->is_estimate) {
        write_estimate(answer);
        return;
    }
    if (answer->is_finished)
        ct_metrics_add(&answer->server->metrics, answer->request,
                       x == NULL || ct_reply_check(&answer->reply, &refusal) != CT_OK);
    if (x == NULL)
        return;
    bool has_records = ct_reply_has_records(&answer->reply);
    if (answer->is_streaming) {
        ct_exchange_wake(x);
    } else if (answer->is_finished && ct_reply_check(&answer->reply, &refusal) != CT_OK &&
               !(answer->request->is_stream && has_records)) {
        refuse(answer, &refusal);
    } else if (!answer->request->is_stream) {
        ct_reply_collect(&answer->reply);
        if (answer->is_finished)
            write_whole(answer);
    } else if (has_records || answer->is_finished) {
        answer->is_streaming = true;
        ct_exchange_header(x, "x-queue-time", "%.3f", (double)queue_ns(answer->request) * 1e-6);
        ct_exchange_stream(x, pull);
    }
}

static void collect_from(struct ct_batcher *batcher)
{
    bool is_finished = false;
    struct ct_request *request;
    while ((request = ct_batcher_next_ready(batcher, &is_finished)) != NULL) {
        struct answer *answer = request->owner;
        answer->is_finished = is_finished;
        on_news(answer);
        close_if_over(answer);
    }
}

void ct_openai_collect(struct ct_server *server)
{
    for (int i = 0; i < server->models.n; i++)
        collect_from(server->models.all[i].batcher);
    ct_http_run(&server->http);
}

void ct_openai_cut(struct ct_server *server)
{
    for (struct ct_exchange *x = server->http.exchanges; x != NULL; x = x->next) {
        struct answer *answer = x->answer;
        if (answer != NULL && answer->is_submitted && !answer->is_finished)
            ct_batcher_cancel(answer->request->model->batcher, answer->request, CT_SHUTDOWN);
    }
}
