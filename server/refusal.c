#include "server/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum ct_status ct_refuse(struct ct_refusal *refusal, int http, const char *code, const char *param,
                         const char *fmt, ...)
{
    refusal->http = http;
    refusal->code = code;
    refusal->retry_after_s = 0;
    snprintf(refusal->param, sizeof refusal->param, "%s", param ? param : "");
    va_list args;
    va_start(args, fmt);
    vsnprintf(refusal->message, sizeof refusal->message, fmt, args);
    va_end(args);
    return CT_INVALID;
}

void ct_refusal_write(const struct ct_refusal *refusal, struct ct_buffer *out)
{
    const char *type = refusal->http == 429   ? "rate_limit_error"
                       : refusal->http >= 500 ? "server_error"
                                              : "invalid_request_error";
    ct_buffer_text(out, "{\"error\":{\"message\":");
    ct_buffer_json(out, refusal->message, strlen(refusal->message));
    ct_buffer_printf(out, ",\"type\":\"%s\",\"param\":", type);
    if (refusal->param[0] != '\0')
        ct_buffer_json(out, refusal->param, strlen(refusal->param));
    else
        ct_buffer_text(out, "null");
    if (refusal->code != NULL)
        ct_buffer_printf(out, ",\"code\":\"%s\"}}", refusal->code);
    else
        ct_buffer_text(out, ",\"code\":null}}");
}
