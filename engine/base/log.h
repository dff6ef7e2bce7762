/* Log lines on stderr: "level: message", one write each. CR, LF, ESC and other control bytes in a
 * message are escaped, so that input cannot forge a line or a terminal command. Any thread. */
#ifndef CT_BASE_LOG_H
#define CT_BASE_LOG_H

#include "engine/base/status.h"

enum ct_log_level { CT_LOG_ERROR, CT_LOG_WARN, CT_LOG_INFO, CT_LOG_DEBUG };

/* Lines above this level are dropped; the default is CT_LOG_INFO. Set once, at start. */
void ct_log_set_level(enum ct_log_level level);
void ct_log(enum ct_log_level level, const char *fmt, ...) CT_PRINTF(2, 3);

#endif
