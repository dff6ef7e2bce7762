/* What a server says of itself: health, models, metrics. The answers of /health are made once: they
 * are asked for more often than anything else. Loop thread. */
#include "server/server.h"

#include <stdio.h>
#include <string.h>

/* A step that takes longer than this has hung, as far as readiness is concerned. */
#define STUCK_NS 30000000000u

struct canned {
    int status;
    const char *body;
    struct MHD_Response *response; /* made at the first use, kept to the end */
};

static void reply_canned(struct ct_exchange *x, struct canned *canned)
{
    if (canned->response == NULL) {
        canned->response = MHD_create_response_from_buffer(
            strlen(canned->body), (void *)canned->body, MHD_RESPMEM_PERSISTENT);
        if (canned->response == NULL) {
            ct_exchange_abort(x);
            return;
        }
        MHD_add_response_header(canned->response, "Content-Type", "application/json");
        MHD_add_response_header(canned->response, "Cache-Control", "no-store");
    }
    ct_exchange_reply_canned(x, canned->status, canned->response);
}

/* What it takes to be sent requests: all models, no drain, and engines that move. */
static int readiness(struct ct_server *server)
{
    if (server->state != CT_SERVER_READY)
        return server->state == CT_SERVER_LOADING ? 1 : 2;
    for (int i = 0; i < server->models.n; i++) {
        struct ct_batcher_stats stats;
        ct_batcher_stats(server->models.all[i].batcher, &stats);
        if (stats.stuck_ns > STUCK_NS)
            return 3;
    }
    return 0;
}

static struct canned health[] = {{200, "{\"status\":\"ok\"}", NULL},
                                 {503, "{\"status\":\"loading\"}", NULL},
                                 {503, "{\"status\":\"draining\"}", NULL},
                                 {503, "{\"status\":\"stuck\"}", NULL}};
static struct canned live = {200, "{\"live\":true}", NULL};
static struct canned ready[] = {{200, "{\"ready\":true}", NULL}, {503, "{\"ready\":false}", NULL}};

void ct_status_forget(void)
{
    struct canned *all[] = {&health[0], &health[1], &health[2], &health[3],
                            &live,      &ready[0],  &ready[1]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i]->response != NULL)
            MHD_destroy_response(all[i]->response);
        all[i]->response = NULL;
    }
}

void ct_handle_health(struct ct_exchange *x)
{
    reply_canned(x, &health[readiness(x->http->server)]);
}

void ct_handle_live(struct ct_exchange *x)
{
    reply_canned(x, &live);
}

void ct_handle_ready(struct ct_exchange *x)
{
    reply_canned(x, &ready[readiness(x->http->server) != 0]);
}

static void write_tasks(const struct ct_model *model, struct ct_buffer *out)
{
    static const char *const names[CT_N_REQUEST_KINDS] = {"completions", "chat.completions",
                                                          "embeddings", "classify", "rerank"};
    const char *comma = "";
    for (int kind = 0; kind < CT_N_REQUEST_KINDS; kind++) {
        if (!ct_model_answers(model, (enum ct_request_kind)kind) ||
            (kind == CT_REQUEST_CHAT && !model->info->has_chat_template))
            continue;
        ct_buffer_printf(out, "%s\"%s\"", comma, names[kind]);
        comma = ",";
    }
}

static void write_model(const struct ct_model *model, struct ct_buffer *out)
{
    const struct ct_engine_info *info = model->info;
    ct_buffer_text(out, "{\"id\":");
    ct_buffer_json(out, model->name, strlen(model->name));
    ct_buffer_printf(out,
                     ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"centroid\","
                     "\"centroid\":{\"tasks\":[",
                     (long long)model->created_s);
    write_tasks(model, out);
    const char *quote = info->simulated != NULL ? "\"" : "";
    ct_buffer_printf(
        out,
        "],\"family\":\"%s\",\"backend\":\"%s\",\"simulated\":%s%s%s,\"n_parameters\":%lld,"
        "\"n_weight_bytes\":%lld,\"context_tok\":%d,\"n_vocab\":%d,\"n_labels\":%d,\"input\":\"%"
        "s\","
        "\"has_chat_template\":%s,\"sampling\":{\"temperature\":%.7g,\"top_p\":%.7g,\"top_k\":%d,"
        "\"min_p\":%.7g}}}",
        info->family, info->backend, quote, info->simulated != NULL ? info->simulated : "null",
        quote, (long long)info->n_parameters, (long long)info->n_weight_bytes, info->context_tok,
        info->n_vocab, info->n_labels, info->image.n_channels > 0 ? "image" : "text",
        info->has_chat_template ? "true" : "false", info->sampling.temperature,
        info->sampling.top_p, info->sampling.top_k, info->sampling.min_p);
}

void ct_handle_models(struct ct_exchange *x)
{
    const struct ct_server *server = x->http->server;
    struct ct_buffer body;
    ct_buffer_init(&body);
    ct_buffer_text(&body, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < server->models.n; i++) {
        ct_buffer_text(&body, i ? "," : "");
        write_model(&server->models.all[i], &body);
    }
    ct_buffer_text(&body, "]}");
    ct_exchange_reply(x, 200, "application/json", &body);
}

void ct_handle_model(struct ct_exchange *x)
{
    const struct ct_model *model = ct_models_find(&x->http->server->models, x->target);
    if (model == NULL) {
        struct ct_refusal refusal;
        ct_refuse(&refusal, 404, "model_not_found", "model", "there is no such model");
        ct_exchange_refuse(x, &refusal);
        return;
    }
    struct ct_buffer body;
    ct_buffer_init(&body);
    write_model(model, &body);
    ct_exchange_reply(x, 200, "application/json", &body);
}

void ct_handle_metrics(struct ct_exchange *x)
{
    const struct ct_server *server = x->http->server;
    struct ct_buffer body;
    ct_buffer_init(&body);
    ct_metrics_write(&server->metrics, &server->models, server->http.n_connections, &body);
    ct_exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}
