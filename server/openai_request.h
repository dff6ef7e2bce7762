/* The body of an OpenAI completions, chat completions or embeddings request, or of one that
 * classifies or ranks in the same manner -> struct ct_request.
 *
 * Every field of openai_fields.def is honoured or refused by name. A pure function of the body and
 * the models: no sockets, no clock; any thread, so that a long prompt need not hold up the loop. */
#ifndef CT_SERVER_OPENAI_REQUEST_H
#define CT_SERVER_OPENAI_REQUEST_H

#include "server/body.h"
#include "server/form.h"
#include "server/refusal.h"
#include "server/request.h"

#include <jansson.h>

/* request is fresh from ct_request_open; of an estimate the body decides the kind. After CT_OK its
 * sequences are ready to be submitted. On any other status refusal says what to answer. */
CT_MUST_CHECK enum ct_status ct_openai_request_read(struct ct_request *request,
                                                    const struct ct_body *body,
                                                    const struct ct_models *models,
                                                    struct ct_refusal *refusal);

/* What the fields' readers share. */
struct ct_openai_reader {
    struct ct_request *request;
    const struct ct_models *models;
    const struct ct_model *model; /* once its field, the first, is read */
    const json_t *query;          /* once it is read: a string */
    bool is_form;                 /* all values are strings */
    struct ct_refusal *refusal;
};

/* "FIELD: VALUE is not EXPECTED". */
enum ct_status ct_openai_refuse(struct ct_openai_reader *reader, const char *field,
                                const json_t *value, const char *expected);

/* How many texts one request may have. */
int ct_openai_max_texts(const struct ct_openai_reader *reader);

/* Room for n prompts, from the field of that name. */
enum ct_status ct_openai_open_prompts(struct ct_openai_reader *reader, const char *name, size_t n,
                                      bool is_images);

/* openai_image.c: the fields that hold images, and the files of a form. */
enum ct_status ct_openai_read_image(struct ct_openai_reader *reader, const json_t *value);
enum ct_status ct_openai_read_images(struct ct_openai_reader *reader, const json_t *value);
enum ct_status ct_openai_add_files(struct ct_openai_reader *reader,
                                   const struct ct_form_file *files, int n_files);

/* openai_prompt.c: the fields that hold the text. */
enum ct_status ct_openai_read_prompt(struct ct_openai_reader *reader, const char *name,
                                     const json_t *value);
enum ct_status ct_openai_read_documents(struct ct_openai_reader *reader, const json_t *value);
enum ct_status ct_openai_read_messages(struct ct_openai_reader *reader, const json_t *value);

#endif
