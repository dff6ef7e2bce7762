#include "engine/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static enum ct_log_level max_level = CT_LOG_INFO;

void ct_log_set_level(enum ct_log_level level)
{
    max_level = level;
}

void ct_log(enum ct_log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > max_level)
        return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);

    char line[4 * sizeof text + 32];
    int n = snprintf(line, 16, "%s: ", names[level]);
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f)
            n += snprintf(line + n, 5, "\\x%02x", *p);
        else
            line[n++] = (char)*p;
    }
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    (void)written; /* nowhere left to say that stderr is gone */
}
