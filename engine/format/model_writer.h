/* Writing a model directory so that a kill at any time leaves the old one or the new one, never
 * half.
 *
 *   begin   PARENT/.NAME.tmp-PID/   a locked directory beside the target, into which files are
 * written commit  sync files and directory -> swap by rename -> sync PARENT -> delete the old one
 *   abort   delete the temporary
 *
 * What a killed writer left behind (its lock is gone with it) is deleted by the next begin for the
 * same target. An existing target is replaced only if it is an empty directory or a model directory
 * (config.json and plain files alone), so that a mistyped path costs nobody their data. The
 * caller's thread. */
#ifndef CT_FORMAT_MODEL_WRITER_H
#define CT_FORMAT_MODEL_WRITER_H

#include "engine/base/status.h"

#include <stddef.h>

struct ct_model_dir;

/* CT_INVALID (the target may not be replaced, or is no name for a directory), CT_NOT_FOUND (its
 * parent is missing), CT_IO, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_model_dir_begin(const char *path, struct ct_model_dir **out,
                                                struct ct_error *err);

/* The directory to write into, until commit or abort. */
const char *ct_model_dir_path(const struct ct_model_dir *dir);

/* A small file of it, from memory. CT_IO. */
CT_MUST_CHECK enum ct_status ct_model_dir_write(const struct ct_model_dir *dir, const char *name,
                                                const void *data, size_t n_bytes,
                                                struct ct_error *err);

/* Puts the new directory in the target's place; frees dir in any case, and on failure leaves the
 * target as it was. CT_INVALID, CT_IO. */
CT_MUST_CHECK enum ct_status ct_model_dir_commit(struct ct_model_dir *dir, struct ct_error *err);
void ct_model_dir_abort(struct ct_model_dir *dir); /* NULL is fine */

#endif
