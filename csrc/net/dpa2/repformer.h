/* The repformer block of DPA2 (deepmd/dpmodel/descriptor/repformers.py). Its layers update features of nodes
 * (g1), features of pairs (g2) and vectors of pairs (h2), forward and backward.
 *
 * It computes the same values as the source in another way:
 *
 *   - Matrices that always follow each other are multiplied at load. Queries and keys of an attention become
 * one matrix, values and the map of heads another. So a layer reads g1 of neighbours only, and their gradient
 * is one row of g1's width for each pair.
 *   - Rows of features are padded with zeros to whole vectors.
 *   - Empty slots are only a number in the denominators of smooth attention.
 *   - The last layer leaves out nodes whose output is not used (nwithout_energy of dgnn_evaluation), by whole
 * chunks. */
#ifndef DGNN_NET_REPFORMER_H
#define DGNN_NET_REPFORMER_H

#include "net/dpa2/dpa2_stages.h"
#include "net/parts/environment.h"
#include "net/parts/layer.h"
#include "net/params/params.h"
#include "net/parts/capacity_softmax.h"
#include "net/parts/pair_list.h"

struct dgnn_repformer_params {
#include "net/params/params_fields.h"
#include "net/params/repformer.def"
#include "net/params/params_end.h"
};

/* Settings of the block, which were checked. */
struct dgnn_repformer_shape {
    const struct dgnn_repformer_params *params; /* the settings that layers repeat; used during loading */
    double cutoff, switch_start;
    int64_t slots; /* slots for neighbours: the width of dense sums and attention */
    int64_t nlayer;
    int64_t ng1, ng2; /* widths of a node's features and of a pair's */
    int32_t direct;   /* 1: features of pairs begin as distance and vector */
    int32_t centred;  /* 1: the means of the statistics were fixed at 0 */
    const char *activation;
};

/* Errors: FORMAT, UNSUPPORTED. */
int dgnn_repformer_params_load(const struct dgnn_value *args, struct dgnn_repformer_params *params,
                               struct dgnn_repformer_shape *shape, struct dgnn_error *error);
int dgnn_repformer_params_describe(const struct dgnn_repformer_params *params, struct dgnn_text *text,
                                   struct dgnn_error *error);

/* Settings of a layer. */
struct dgnn_repformer_switches {
    int32_t has_pair;                               /* 1: pairs are updated */
    int32_t has_conv, has_drrd, has_grrg, has_attn; /* updates of nodes */
    int32_t has_product, has_pair_attn, has_vector; /* updates of pairs */
    int32_t has_gate, smooth;
    int32_t conv_out; /* 1: the convolution is an update of its own */
    int32_t self_out; /* 1: a node's own features are an update of their own */
    int32_t root;     /* 1: moments are divided by the square root of the number of slots */
    int64_t node_heads, pair_heads;
    int64_t axis;
    double node_shift, pair_shift; /* of smooth attention's logits */
    const char *style;             /* how updates are combined */
};

/* Does a layer read other nodes' features? */
static inline int dgnn_repformer_sees_nodes(const struct dgnn_repformer_switches *s)
{
    return s->has_drrd || s->has_conv || s->has_attn || s->has_product;
}

/* What the block needs beside its weights. */
struct dgnn_repformer_context {
    double protection;
    int32_t smooth;
    int32_t ntypes;
    int32_t threads;
    int32_t keep;           /* 1: keep intermediates; 0: compute them again */
    int32_t wants_rotation; /* then all chunks are used, whatever nwithout_energy says */
    enum dgnn_cpu cpu;
    const uint8_t *excluded; /* ntypes x ntypes or NULL; outlives the block */
};

/* Of a layer: its members, and what they mean. */
struct dgnn_repformer_layer_params {
#include "net/params/params_fields.h"
#include "net/params/repformer_layer.def"
#include "net/params/params_end.h"
};
struct dgnn_repformer_layer_settings {
    struct dgnn_repformer_layer_params params;
    struct dgnn_repformer_switches switches;
};

/* Loads an object of class RepformerLayer but for its weights; what it repeats must be what the block says.
 * last: it is the block's last one. Errors: FORMAT, UNSUPPORTED. */
int dgnn_repformer_layer_settings(const struct dgnn_value *value, const struct dgnn_repformer_shape *shape,
                                  const struct dgnn_repformer_context *context, int last,
                                  struct dgnn_repformer_layer_settings *settings, struct dgnn_error *error);

#define DGNN_REAL_BITS 32
#include "net/dpa2/repformer_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repformer_types.h"
#undef DGNN_REAL_BITS

#endif
