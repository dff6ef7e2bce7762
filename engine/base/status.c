#include "engine/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct status_row {
    int number;
    const char *name;
    const char *text;
    int http;
    int grpc;
};

static const struct status_row rows[] = {
#define CT_STATUS(name, number, text, http, grpc) {number, #name, text, http, grpc},
#include "engine/base/status.def"
#undef CT_STATUS
};

static const struct status_row *find_row(enum ct_status status)
{
    const int n_rows = (int)(sizeof rows / sizeof rows[0]);
    int i = -(int)status;
    return i >= 0 && i < n_rows ? &rows[i] : &rows[n_rows - 1];
}

const char *ct_status_name(enum ct_status status)
{
    return find_row(status)->name;
}

const char *ct_status_text(enum ct_status status)
{
    return find_row(status)->text;
}

int ct_status_http(enum ct_status status)
{
    return find_row(status)->http;
}

int ct_status_grpc(enum ct_status status)
{
    return find_row(status)->grpc;
}

/* Marks a message that was cut, and makes what a file or a request put into it harmless to a
 * terminal and to a line of a log: control characters become '?'. */
static void finish_message(struct ct_error *err, int n_wanted)
{
    if (n_wanted >= (int)sizeof err->message)
        memcpy(err->message + sizeof err->message - 4, "...", 4);
    for (char *p = err->message; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

enum ct_status ct_error_set(struct ct_error *err, enum ct_status status, const char *fmt, ...)
{
    if (err == NULL)
        return status;
    err->status = status;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    finish_message(err, n);
    return status;
}

enum ct_status ct_error_prefix(struct ct_error *err, const char *fmt, ...)
{
    if (err == NULL)
        return CT_INTERNAL;
    char prefix[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, args);
    va_end(args);
    char whole[2 * sizeof err->message + 4];
    int n = snprintf(whole, sizeof whole, "%s: %s", prefix, err->message);
    memcpy(err->message, whole, sizeof err->message - 1);
    err->message[sizeof err->message - 1] = '\0';
    finish_message(err, n);
    return err->status;
}
