/* The first features of DPA2's nodes: the pair block, which is DPA1 without attention
 * (deepmd/dpmodel/descriptor/dpa1.py), and the three-body block, which is se_e3_tebd
 * (deepmd/dpmodel/descriptor/se_t_tebd.py). Forward also computes each network's derivative by the one input
 * that depends on positions, so there is no backward pass through the networks.
 *
 * In dense semantics one further row stands for all empty slots of a centre, and counts as often as there are
 * such slots. Its environment is that of no neighbour, and its type is that of the frame's first atom. An
 * excluded pair keeps its slot, with a row of zeros. */
#ifndef DGNN_NET_REPINIT_H
#define DGNN_NET_REPINIT_H

#include "net/parts/backend.h"
#include "net/parts/embedding.h"
#include "net/parts/environment.h"
#include "net/params/params.h"
#include "net/parts/pair_list.h"

struct dgnn_repinit_params {
#include "net/params/params_fields.h"
#include "net/params/repinit.def"
#include "net/params/params_end.h"
};

/* What a block needs beside its weights. */
struct dgnn_repinit_context {
    double cutoff, switch_start, protection;
    const struct dgnn_value *args; /* repinit_args, used during loading; neuron: its member with the networks'
                                      widths */
    const char *neuron;
    int64_t nsel;
    int64_t axis; /* of the pair block */
    int64_t tebd_width;
    const double *tebd; /* (ntypes + 1) x tebd_width; used during loading */
    int32_t strip;      /* 1: type embeddings have a network of their own */
    int32_t one_side;   /* 1: the pair block uses the neighbour's type only */
    int32_t smooth;
    int32_t ntypes;
    int32_t threads;
    int32_t keep; /* 1: keep intermediates; 0: compute them again */
    enum dgnn_cpu cpu;
    const uint8_t *excluded;              /* ntypes x ntypes or NULL; outlives the block */
    int32_t compressed;                   /* enum dgnn_compressed */
    struct dgnn_compression *compression; /* written during loading */
};

#define DGNN_REAL_BITS 32
#include "net/dpa2/repinit_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repinit_types.h"
#undef DGNN_REAL_BITS

#endif
