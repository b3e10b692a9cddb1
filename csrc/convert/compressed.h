/* What compression left in a checkpoint: from its tensors to the member of the tree. */
#ifndef DGNN_CONVERT_COMPRESSED_H
#define DGNN_CONVERT_COMPRESSED_H

#include "convert/emit.h"

/* The member "compress" with its comma, where the model is compressed (net/parts/compression.h). pt has its
 * tensors below a name, as "sea.", and empty ones in other models; pt_expt has them in the descriptor. typed:
 * the family says in the member whether there are tables. *found: 0 of a model that is not compressed, 1 of
 * types alone, 2 of tables. Errors: as dgnn_emit_template. */
int dgnn_compressed_emit(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *below,
                         int typed, int *found);

#endif
