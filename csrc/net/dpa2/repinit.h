/* The first features of DPA2's nodes: the pair block (DPA1 without attention,
 * deepmd/dpmodel/descriptor/dpa1.py) and the three-body block (se_e3_tebd,
 * deepmd/dpmodel/descriptor/se_t_tebd.py). Networks run forward together with their derivative by the one
 * input that depends on positions, so there is no backward pass through them.
 *
 * An empty slot of dense semantics is one further row, counted as often as there are such slots: its
 * environment is that of no neighbour, its type that of the frame's first atom. An excluded pair keeps its
 * slot, with a row of zeros. */
#ifndef DGNN_NET_REPINIT_H
#define DGNN_NET_REPINIT_H

#include "net/parts/backend.h"
#include "net/parts/embedding.h"
#include "net/parts/environment.h"
#include "net/params/params.h"
#include "net/parts/sublist.h"

struct dgnn_repinit_params {
#include "net/params/params_fields.h"
#include "net/params/repinit.def"
#include "net/params/params_end.h"
};

/* What a block needs beside its own members. */
struct dgnn_repinit_context {
    double cutoff, switch_start, protection;
    const struct dgnn_value *args; /* repinit_args, used during loading; and its member that has the networks'
                                      widths */
    const char *neuron;
    int64_t nsel;
    int64_t axis; /* of the pair block */
    int64_t tebd_width;
    const double *tebd; /* (ntypes + 1) x tebd_width; used during loading */
    int32_t strip;      /* type embeddings have a network of their own */
    int32_t one_side;   /* the pair block sees the neighbour's type only */
    int32_t smooth;
    int32_t ntypes;
    int32_t threads;
    int32_t keep; /* 1: keep intermediates; 0: compute them again */
    enum dgnn_cpu cpu;
    const uint8_t *excluded; /* ntypes x ntypes or NULL; outlives the block */
};

#define DGNN_REAL_BITS 32
#include "net/dpa2/repinit_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repinit_types.h"
#undef DGNN_REAL_BITS

#endif
