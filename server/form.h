/* What is not JSON as though it were: the query of a target and a multipart/form-data body (RFC
 * 7578) become an object of strings; files stay bytes. Any thread. */
#ifndef CT_SERVER_FORM_H
#define CT_SERVER_FORM_H

#include "server/refusal.h"

#include <jansson.h>
#include <stddef.h>

enum { CT_MAX_FORM_FILES = 32 };

struct ct_form_file {
    const char *data; /* within the body */
    size_t n_bytes;
};

struct ct_form {
    json_t *fields; /* to be json_decref'ed */
    struct ct_form_file files[CT_MAX_FORM_FILES];
    int n_files;
};

/* Adds name=value&name=value, percent-encoded, to form->fields. CT_INVALID (refusal: a 400),
 * CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_form_read_query(struct ct_form *form, const char *query,
                                                struct ct_refusal *refusal);

/* The parts of body [n_bytes]: those named image or file are files, the others fields. The same. */
CT_MUST_CHECK enum ct_status ct_form_read_parts(struct ct_form *form, const char *body,
                                                size_t n_bytes, const char *boundary,
                                                struct ct_refusal *refusal);

#endif
