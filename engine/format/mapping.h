/* A file mapped read-only (PROT_READ, MAP_PRIVATE). The caller owns the struct.
 *
 * The mapping is valid for the file as it was when mapped. A file that is truncated afterwards
 * makes reads of the lost pages raise SIGBUS, which nothing here can prevent: model files are
 * replaced by rename (see model_writer.h), never rewritten in place. */
#ifndef CT_FORMAT_MAPPING_H
#define CT_FORMAT_MAPPING_H

#include "engine/base/status.h"

#include <stddef.h>

struct ct_mapping {
    const unsigned char *data;
    size_t n_bytes;
};

/* Maps a regular file. CT_NOT_FOUND, CT_IO, CT_FORMAT (empty, or not a regular file). The message
 * does not name the path: callers prefix it once. */
CT_MUST_CHECK enum ct_status ct_mapping_init(struct ct_mapping *mapping, const char *path,
                                             struct ct_error *err);
/* Maps dir/name, one of the files beside a model's weights: at most CT_SIDECAR_BYTES. Also
 * CT_TOO_LARGE and CT_INVALID (the path is too long); the message names the path. */
enum { CT_SIDECAR_BYTES = 256 << 20 };
CT_MUST_CHECK enum ct_status ct_mapping_init_in(struct ct_mapping *mapping, const char *dir,
                                                const char *name, struct ct_error *err);

void ct_mapping_deinit(struct ct_mapping *mapping); /* a zeroed struct is fine */

#endif
