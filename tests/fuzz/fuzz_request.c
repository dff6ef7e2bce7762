/* Any bytes as the body of each kind of request, to models of each task: refused with words, or
 * ready to run. */
#include "server/openai_request.h"
#include "tests/support/fake_engine.h"
#include "tests/support/json_body.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void read_body(enum ct_request_kind kind, const struct ct_body *body,
                      const struct ct_models *models)
{
    struct ct_refusal refusal = {0};
    struct ct_request *request = ct_request_open(kind);
    enum ct_status status = ct_openai_request_read(request, body, models, &refusal);
    if (status == CT_OK ? request->n_sequences < 1
                        : refusal.http < 400 || refusal.message[0] == '\0')
        abort();
    struct ct_buffer text;
    ct_buffer_init(&text);
    ct_refusal_write(&refusal, &text);
    ct_buffer_deinit(&text);
    ct_request_close(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const enum ct_task tasks[CT_N_REQUEST_KINDS] = {
        CT_TASK_GENERATE, CT_TASK_GENERATE, CT_TASK_EMBED, CT_TASK_CLASSIFY, CT_TASK_CLASSIFY};
    static struct ct_models models = {.n = 1};
    static struct ct_model *const model = &models.all[0];
    if (model->engine == NULL) {
        struct ct_error err;
        if (ct_engine_open("fake", &(struct ct_engine_options){.context_tok = 512}, &model->engine,
                           &err) != CT_OK)
            abort();
        model->name = "m";
        model->max_token_bytes = 4;
        model->max_in_flight = 64;
    }
    const struct ct_body body = json_body((const char *)data, n_bytes);
    for (int kind = 0; kind < CT_N_REQUEST_KINDS; kind++) {
        static struct ct_engine_info info;
        info = *ct_engine_info(model->engine);
        info.task = tasks[kind];
        info.n_labels = info.task == CT_TASK_CLASSIFY;
        model->info = &info;
        read_body((enum ct_request_kind)kind, &body, &models);
        info.image = (struct ct_image_shape){1, 2, 2};
        read_body((enum ct_request_kind)kind, &body, &models);
    }
    return 0;
}
