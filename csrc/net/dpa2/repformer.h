/* The repformer block of DPA2 (deepmd/dpmodel/descriptor/repformers.py): layers that update features of nodes
 * (g1), of pairs (g2) and vectors of pairs (h2), forward and backward.
 *
 * What is done differently from the source, with the same value:
 *  - Products of weights that always follow each other are multiplied at load: queries and keys of an
 * attention become one form, values and the map of heads another. So neighbours are seen through g1 alone,
 * and what goes back to them is one row of g1's width for each pair.
 *  - Rows of features are padded to whole vectors, with zeros.
 *  - Empty slots exist only as a number in the denominators of smooth attention.
 *  - Nodes whose output is not used (dgnn_evaluation.nidle) are left out of the last layer, by whole chunks.
 */
#ifndef DGNN_NET_REPFORMER_H
#define DGNN_NET_REPFORMER_H

#include "net/dpa2/dpa2_stages.h"
#include "net/parts/environment.h"
#include "net/parts/layer.h"
#include "net/params/params.h"
#include "net/parts/slots.h"
#include "net/parts/sublist.h"

struct dgnn_repformer_params {
#include "net/params/params_fields.h"
#include "net/params/repformer.def"
#include "net/params/params_end.h"
};

/* What the arguments say, checked. */
struct dgnn_repformer_shape {
    const struct dgnn_repformer_params *params; /* what layers repeat; used during loading */
    double cutoff, switch_start;
    int64_t slots; /* for neighbours: the width of dense sums and attention */
    int64_t nlayer;
    int64_t ng1, ng2; /* widths of a node's and of a pair's features */
    int32_t direct;   /* pairs start from distance and vector */
    int32_t centred;  /* was the mean of the statistics fixed at 0? */
    const char *activation;
};

/* Errors: FORMAT, UNSUPPORTED. */
int dgnn_repformer_params_load(const struct dgnn_value *args, struct dgnn_repformer_params *params,
                               struct dgnn_repformer_shape *shape, struct dgnn_error *error);
int dgnn_repformer_params_describe(const struct dgnn_repformer_params *params, struct dgnn_text *text,
                                   struct dgnn_error *error);

/* Settings of a layer. */
struct dgnn_repformer_switches {
    int32_t has_pair;                               /* are pairs updated? */
    int32_t has_conv, has_drrd, has_grrg, has_attn; /* of nodes */
    int32_t has_product, has_pair_attn, has_vector; /* of pairs */
    int32_t has_gate, smooth;
    int32_t conv_out; /* the convolution is an update of its own */
    int32_t self_out; /* so are a node's own features */
    int32_t root;     /* moments are divided by the root of the number of slots */
    int64_t node_heads, pair_heads;
    int64_t axis;
    double node_shift, pair_shift; /* of smooth attention's logits */
    const char *style;             /* how updates join */
};

/* Does a layer read other nodes' features? */
static inline int dgnn_repformer_sees_nodes(const struct dgnn_repformer_switches *s)
{
    return s->has_drrd || s->has_conv || s->has_attn || s->has_product;
}

/* What the block needs beside its own members. */
struct dgnn_repformer_context {
    double protection;
    int32_t smooth;
    int32_t ntypes;
    int32_t threads;
    int32_t keep; /* 1: keep intermediates; 0: compute them again */
    enum dgnn_cpu cpu;
    const uint8_t *excluded; /* ntypes x ntypes or NULL; outlives the block */
};

#define DGNN_REAL_BITS 32
#include "net/dpa2/repformer_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repformer_types.h"
#undef DGNN_REAL_BITS

#endif
