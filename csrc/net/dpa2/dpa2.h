/* DPA2 (Zhang et al., npj Comput Mater 10, 293; deepmd/dpmodel/descriptor/dpa2.py): its settings, and the
 * composition of its two blocks for each element type. */
#ifndef DGNN_NET_DPA2_H
#define DGNN_NET_DPA2_H

#include "net/dpa2/repformer.h"
#include "net/dpa2/repinit.h"

struct dgnn_dpa2_params {
#include "net/params/params_fields.h"
#include "net/params/dpa2.def"
#include "net/params/params_end.h"
};

/* What both element types share. */
struct dgnn_dpa2_settings {
    struct dgnn_dpa2_params own;
    struct dgnn_repinit_params repinit;
    struct dgnn_repformer_params repformer;
    struct dgnn_repformer_shape shape; /* of the repformer */
    int32_t dtype;
    int32_t keep;
    int32_t wants_rotation;
    int32_t strip;
    int32_t compressed;                  /* enum dgnn_compressed */
    struct dgnn_compression compression; /* of the pair block's network */
    int32_t threads;
    int32_t ntypes;
    enum dgnn_cpu cpu;
    uint8_t *excluded;                     /* ntypes x ntypes; NULL: no pair is excluded */
    double *tebd;                          /* (ntypes + 1) x tebd_dim */
    struct dgnn_repformer_switches *layer; /* shape.nlayer */
    int64_t pair_parameters, three_parameters,
        parameters;    /* numbers in the weights: of the first blocks, of all */
    int32_t has_empty; /* can an empty slot add anything to the first features? */
};

extern const struct dgnn_descriptor_kind dgnn_dpa2;

#endif
