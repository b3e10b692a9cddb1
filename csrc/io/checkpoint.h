/* What torch.save and torch.jit.save leave: a ZIP archive of a pickle (X/data.pkl) and the storages that it
 * names (X/data/NAME). Storages are read when a tensor needs them, whole, so that their CRC is compared; the
 * others, as an optimizer's, are not touched. Code in the archive (X/code/) is neither read nor run. */
#ifndef DGNN_IO_CHECKPOINT_H
#define DGNN_IO_CHECKPOINT_H

#include "pickle/pickle.h"
#include "io/zip.h"

struct dgnn_checkpoint {
    const char *name;     /* of the file, for messages; borrowed */
    struct dgnn_zip *zip; /* borrowed */
    struct dgnn_pickle *pickle;
    struct dgnn_buffer bytes;                 /* of the pickle */
    struct dgnn_checkpoint_storage *storages; /* sorted by name */
    int64_t nstorage;
    struct dgnn_buffer copies; /* blocks of tensors that are no whole storage */
    int64_t ncopy;
    int64_t nread;   /* bytes of members read */
    int64_t nspread; /* bytes of tensors beyond those of their storages */
    int32_t is_torchscript;
};

/* prefix: of the members, with its slash. Errors: as dgnn_zip_read and dgnn_pickle_read; UNSUPPORTED for
 * big-endian numbers. On failure nothing stays. */
int dgnn_checkpoint_open(const char *name, struct dgnn_zip *zip, const char *prefix,
                         struct dgnn_checkpoint *checkpoint, struct dgnn_error *error);
void dgnn_checkpoint_close(struct dgnn_checkpoint *checkpoint);

/* A tensor of the pickle, contiguous; its data belongs to the checkpoint. name is used in messages. Errors:
 * FORMAT (a storage that is missing, damaged or of another length; numbers that are not finite), UNSUPPORTED
 * (an element type), SYSTEM, MEMORY. */
int dgnn_checkpoint_tensor(struct dgnn_checkpoint *checkpoint, struct dgnn_pickled value, const char *name,
                           struct dgnn_tensor *tensor, struct dgnn_error *error);

#endif
