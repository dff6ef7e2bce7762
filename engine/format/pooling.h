/* How an encoder's rows become one vector, as sentence-transformers writes it down: the mode in
 * 1_Pooling/config.json, and whether modules.json has a Normalize at the end. A compressed
 * directory has both in config.json, as pooling_mode and normalize_embeddings. */
#ifndef CT_FORMAT_POOLING_H
#define CT_FORMAT_POOLING_H

#include "engine/format/hf_config.h"

#include <jansson.h>

/* Reads them into hparams->pooling: from config where it has pooling_mode, else from the files of
 * the directory; the mean, as it is, where nothing says so. CT_UNSUPPORTED names a mode that is not
 * built here, CT_FORMAT the file and key. */
CT_MUST_CHECK enum ct_status ct_pooling_read(const char *dir, const json_t *config,
                                             struct ct_hparams *hparams, struct ct_error *err);

/* Puts both keys into a config.json. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_pooling_write(const struct ct_hparams *hparams, json_t *config);

#endif
