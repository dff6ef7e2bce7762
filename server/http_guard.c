#include "server/http_guard.h"

#include "server/http.h"
#include "server/span.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_token_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_value_char(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

/* The next header of the raw head: *at moves behind it. False at a line that is not exactly
 * name, colon, value, CRLF. */
static bool next_header(const char **at, const char *end, struct ct_span *name,
                        struct ct_span *value)
{
    const char *p = *at;
    name->at = p;
    while (p < end && is_token_char((unsigned char)*p))
        p++;
    name->n = (size_t)(p - name->at);
    if (name->n == 0 || p >= end || *p != '\0')
        return false;
    for (p++; p < end && (*p == ' ' || *p == '\t');)
        p++;
    value->at = p;
    while (p < end && *p != '\0' && is_value_char((unsigned char)*p))
        p++;
    value->n = (size_t)(p - value->at);
    while (value->n > 0 && (value->at[value->n - 1] == ' ' || value->at[value->n - 1] == '\t'))
        value->n--;
    if (end - p < 2 || p[0] != '\0' || p[1] != '\0')
        return false;
    *at = p + 2;
    return true;
}

/* "host", "host:port", "[::1]:port": whether the host is this machine by a name that no stranger's
 * DNS can give to it. */
static bool is_local_host(struct ct_span host, const char *local_name)
{
    const char *colon = host.n > 0 && host.at[0] == '[' ? memchr(host.at, ']', host.n)
                                                        : memchr(host.at, ':', host.n);
    if (colon != NULL && *colon == ']')
        colon++;
    if (colon != NULL && colon < host.at + host.n) {
        for (const char *p = colon + 1; p < host.at + host.n; p++)
            if (*p < '0' || *p > '9')
                return false;
        if (*colon != ':')
            return false;
        host.n = (size_t)(colon - host.at);
    }
    return ct_span_is(&host, "localhost") || ct_span_is(&host, "127.0.0.1") ||
           ct_span_is(&host, "[::1]") || ct_span_is(&host, local_name);
}

/* A page of another site that has its visitor's browser call this server. "null" is a foreign page,
 * too. */
static bool is_local_origin(struct ct_span origin, const char *local_name)
{
    const char *scheme = ct_span_begins(&origin, "http://")    ? "http://"
                         : ct_span_begins(&origin, "https://") ? "https://"
                                                               : NULL;
    if (scheme == NULL)
        return false;
    origin.at += strlen(scheme);
    origin.n -= strlen(scheme);
    return is_local_host(origin, local_name);
}

/* The boundary=... behind the media type; nothing where it is missing or too long. */
static void take_boundary(struct ct_span rest, struct ct_head_facts *facts)
{
    static const char key[] = "boundary=";
    const char *at = rest.at, *end = rest.at + rest.n;
    while (at < end && (*at == ';' || *at == ' ' || *at == '\t'))
        at++;
    struct ct_span value = {at, (size_t)(end - at)};
    if (!ct_span_begins(&value, key)) /* other parameters are not in use */
        return;
    value = (struct ct_span){at + sizeof key - 1, value.n - (sizeof key - 1)};
    if (value.n >= 2 && value.at[0] == '"' && value.at[value.n - 1] == '"')
        value = (struct ct_span){value.at + 1, value.n - 2};
    if (value.n > CT_MAX_BOUNDARY || memchr(value.at, '"', value.n) ||
        memchr(value.at, ';', value.n))
        return;
    memcpy(facts->boundary, value.at, value.n);
    facts->boundary[value.n] = '\0';
}

static void take_media(const struct ct_span *type, struct ct_head_facts *facts)
{
    const char *semicolon = memchr(type->at, ';', type->n);
    struct ct_span media = {type->at, semicolon ? (size_t)(semicolon - type->at) : type->n};
    const struct ct_span rest = {media.at + media.n, type->n - media.n};
    while (media.n > 0 && media.at[media.n - 1] == ' ')
        media.n--;
    bool is_suffixed = media.n > 5 && strncasecmp(media.at + media.n - 5, "+json", 5) == 0;
    facts->media = CT_MEDIA_OTHER;
    if (ct_span_is(&media, "application/json") || ct_span_is(&media, "text/json") || is_suffixed)
        facts->media = CT_MEDIA_JSON;
    else if (ct_span_is(&media, "application/octet-stream") || ct_span_begins(&media, "image/"))
        facts->media = CT_MEDIA_FILE;
    else if (ct_span_is(&media, "multipart/form-data"))
        facts->media = CT_MEDIA_FORM;
    if (facts->media == CT_MEDIA_FORM)
        take_boundary(rest, facts);
}

static void take_id(const struct ct_span *value, struct ct_head_facts *facts)
{
    if (value->n == 0 || value->n >= sizeof facts->id)
        return;
    for (size_t i = 0; i < value->n; i++)
        if (!is_token_char((unsigned char)value->at[i]))
            return;
    memcpy(facts->id, value->at, value->n);
    facts->id[value->n] = '\0';
}

static enum ct_status check_target(const struct ct_head *head, struct ct_refusal *refusal)
{
    if (head->n_target > CT_MAX_TARGET_BYTES)
        return ct_refuse(refusal, 414, NULL, NULL, "the target of %zu bytes is longer than %d",
                         head->n_target, CT_MAX_TARGET_BYTES);
    bool is_clean = head->version == head->target_end + 1 &&
                    (head->target[0] == '/' || strcmp(head->target, "*") == 0) &&
                    strstr(head->target, "%00") == NULL;
    for (const char *p = head->target; *p != '\0' && is_clean; p++)
        is_clean = (unsigned char)*p > 0x20 && (unsigned char)*p < 0x7f;
    if (!is_clean)
        return ct_refuse(refusal, 400, NULL, NULL, "the target is malformed");
    return CT_OK;
}

enum ct_status ct_head_check(const struct ct_head *head, struct ct_head_facts *facts,
                             struct ct_refusal *refusal)
{
    int n_headers = 0, n_hosts = 0, n_lengths = 0, n_encodings = 0;
    *facts = (struct ct_head_facts){.media = CT_MEDIA_JSON};
    if (check_target(head, refusal) != CT_OK)
        return CT_INVALID;
    if (head->end - head->method > CT_MAX_HEAD_BYTES)
        return ct_refuse(refusal, 431, NULL, NULL, "the head of %td bytes is longer than %d",
                         head->end - head->method, CT_MAX_HEAD_BYTES);

    const char *at = head->version + strlen("HTTP/1.1");
    bool is_clean = head->end - at >= 4 && at[0] == '\0' && at[1] == '\0';
    for (at += 2; is_clean && !(head->end - at == 2 && at[0] == '\0' && at[1] == '\0');) {
        struct ct_span name, value;
        is_clean = next_header(&at, head->end, &name, &value);
        if (!is_clean)
            break;
        if (++n_headers > CT_MAX_HEADERS)
            return ct_refuse(refusal, 431, NULL, NULL, "there are more than %d headers",
                             CT_MAX_HEADERS);
        if (ct_span_is(&name, "host")) {
            n_hosts++;
            if (head->local_name != NULL && !is_local_host(value, head->local_name))
                return ct_refuse(refusal, 403, "host_not_allowed", NULL,
                                 "this server answers to localhost only, not to Host: %.*s",
                                 (int)(value.n < 80 ? value.n : 80), value.at);
        } else if (ct_span_is(&name, "origin")) {
            if (head->local_name != NULL && !is_local_origin(value, head->local_name))
                return ct_refuse(refusal, 403, "origin_not_allowed", NULL,
                                 "this server answers to pages of this machine only, not of %.*s",
                                 (int)(value.n < 80 ? value.n : 80), value.at);
        } else if (ct_span_is(&name, "content-length")) {
            n_lengths++;
            facts->has_length = true;
            facts->n_body_bytes = strtoull(value.at, NULL, 10);
        } else if (ct_span_is(&name, "transfer-encoding")) {
            n_encodings++;
            facts->is_chunked = true;
            is_clean = ct_span_is(&value, "chunked");
        } else if (ct_span_is(&name, "content-type")) {
            take_media(&value, facts);
        } else if (ct_span_is(&name, "x-request-id")) {
            take_id(&value, facts);
        }
    }
    bool is_http10 = strncmp(head->version, "HTTP/1.0", 8) == 0;
    if (!is_clean || n_hosts > 1 || (n_hosts == 0 && !is_http10) || n_lengths + n_encodings > 1 ||
        (n_encodings > 0 && is_http10))
        return ct_refuse(refusal, 400, NULL, NULL, "the request's head is malformed");
    return CT_OK;
}
