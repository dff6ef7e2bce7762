/* safetensors files: reading by mmap without a copy, and writing.
 *
 *   u64 header length | JSON header | data
 *
 * Reading checks the header's size, JSON depth, types, shapes, products, and that the data offsets
 * are sorted, without holes or overlap, and end exactly at the file's end. An open file is
 * immutable and may be read by any thread. */
#ifndef CT_FORMAT_SAFETENSORS_H
#define CT_FORMAT_SAFETENSORS_H

#include "engine/base/status.h"
#include "engine/base/tensor.h"

struct ct_safetensors;

/* CT_FORMAT, CT_UNSUPPORTED (dtype), CT_IO, CT_NOT_FOUND, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_safetensors_open(const char *path, struct ct_safetensors **out,
                                                 struct ct_error *err);
/* The same over bytes that the caller keeps until close. */
CT_MUST_CHECK enum ct_status ct_safetensors_open_memory(const void *data, size_t n_bytes,
                                                        struct ct_safetensors **out,
                                                        struct ct_error *err);
void ct_safetensors_close(struct ct_safetensors *file);
int ct_safetensors_n_tensors(const struct ct_safetensors *file);
const struct ct_tensor *ct_safetensors_tensor(const struct ct_safetensors *file, int i);
const struct ct_tensor *ct_safetensors_find(const struct ct_safetensors *file, const char *name);

/* Bytes of the file's data that follow a tensor's: what a kernel may read past its end. */
size_t ct_safetensors_n_bytes_after(const struct ct_safetensors *file,
                                    const struct ct_tensor *tensor);

/* Writing. The list of tensors (name, dtype, shape) is declared first, so that the header is known;
 * then data is appended tensor by tensor in the declared order. The header is padded so that the
 * data starts 64-byte aligned; declare tensors so that each starts aligned as its reader needs (the
 * writer orders nothing). The caller's thread. */
struct ct_safetensors_writer;
CT_MUST_CHECK enum ct_status
ct_safetensors_writer_open(const char *path, const struct ct_tensor *tensors, int n_tensors,
                           struct ct_safetensors_writer **out, struct ct_error *err);
/* Appends n_bytes of the declared data; CT_INVALID past the declared end; CT_IO. */
CT_MUST_CHECK enum ct_status ct_safetensors_write(struct ct_safetensors_writer *writer,
                                                  const void *data, size_t n_bytes,
                                                  struct ct_error *err);
/* Checks that all was written, syncs and closes; frees the writer in any case. */
CT_MUST_CHECK enum ct_status ct_safetensors_writer_close(struct ct_safetensors_writer *writer,
                                                         struct ct_error *err);

#endif
