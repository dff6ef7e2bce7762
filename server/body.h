/* A request's body, and what its head says of it. */
#ifndef CT_SERVER_BODY_H
#define CT_SERVER_BODY_H

#include "server/buffer.h"

enum ct_media {
    CT_MEDIA_JSON, /* or nothing is said */
    CT_MEDIA_FORM, /* multipart/form-data */
    CT_MEDIA_FILE, /* image/..., application/octet-stream */
    CT_MEDIA_OTHER
};

enum { CT_MAX_BOUNDARY = 70 }; /* RFC 2046, section 5.1.1 */

struct ct_body {
    struct ct_buffer bytes;
    enum ct_media media;
    char boundary[CT_MAX_BOUNDARY + 1]; /* of a form */
    char query[512];                    /* of the target, behind its ? */
};

#endif
