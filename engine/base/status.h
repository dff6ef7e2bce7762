/* Statuses and errors.
 *
 * A fallible function returns enum ct_status: CT_OK is 0, an error is negative. Paths that load,
 * parse or plan also fill a struct ct_error whose message names the file, tensor, offset or field,
 * what was expected and what was found. status.def is the one list. Any thread. */
#ifndef CT_BASE_STATUS_H
#define CT_BASE_STATUS_H

enum ct_status {
#define CT_STATUS(name, number, text, http, grpc) CT_##name = number,
#include "engine/base/status.def"
#undef CT_STATUS
};

/* message: one line of at most 511 bytes; longer text ends in "...", control characters become
 * '?'. */
struct ct_error {
    enum ct_status status;
    char message[512];
};

#if defined(__GNUC__)
#define CT_MUST_CHECK        __attribute__((warn_unused_result))
#define CT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CT_MUST_CHECK
#define CT_PRINTF(fmt, args)
#endif

/* Name ("INVALID"), text ("invalid argument") and codes of a status; never NULL. */
const char *ct_status_name(enum ct_status status);
const char *ct_status_text(enum ct_status status);
int ct_status_http(enum ct_status status);
int ct_status_grpc(enum ct_status status);

/* Fills err (NULL is allowed) and returns status, so that `return ct_error_set(...)` reads well. */
enum ct_status ct_error_set(struct ct_error *err, enum ct_status status, const char *fmt, ...)
    CT_PRINTF(3, 4);

/* Puts "prefix: " before err's message; returns err's status. */
enum ct_status ct_error_prefix(struct ct_error *err, const char *fmt, ...) CT_PRINTF(2, 3);

#endif
