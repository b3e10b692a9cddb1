/* DPA3 (Zhang et al., arXiv:2506.01686; deepmd/dpmodel/descriptor/{dpa3,repflows}.py): its settings and its
 * kind. */
#ifndef DGNN_NET_DPA3_H
#define DGNN_NET_DPA3_H

#include "net/parts/descriptor.h"
#include "net/dpa3/recompute_trial.h"
#include "net/dpa3/stages.h"
#include "net/parts/layer.h"
#include "net/params/params.h"

struct dgnn_repflow_params {
#include "net/params/params_fields.h"
#include "net/params/repflow.def"
#include "net/params/params_end.h"
};

struct dgnn_repflow_layer_params {
#include "net/params/params_fields.h"
#include "net/params/objects/repflow_layer.def"
#include "net/params/params_end.h"
};

struct dgnn_dpa3_params {
#include "net/params/params_fields.h"
#include "net/params/dpa3.def"
#include "net/params/params_end.h"
};

enum dgnn_dpa3_style { DGNN_DPA3_AVERAGE, DGNN_DPA3_INCREMENT, DGNN_DPA3_RESIDUAL };

/* What both element types share. */
struct dgnn_dpa3_settings {
    struct dgnn_dpa3_params own;
    struct dgnn_repflow_params repflow;
    struct dgnn_activation activation;
    enum dgnn_dpa3_style style;
    int32_t dtype;
    int32_t memory;
    int32_t threads;
    enum dgnn_cpu cpu;
    struct dgnn_cuda_device *device; /* NULL: the CPU */
    int32_t ntypes;
    int64_t sel[1];
    int32_t has_default_charge_spin;
    double default_charge_spin[2];
    int64_t node_width, edge_width; /* without padding */
    int64_t angle_sel;              /* how many of the nearest neighbours may form angles */
    struct dgnn_angle_limit angle;  /* the same within a_rcut */
    int32_t has_angles, is_sequential;
    int32_t wants_rotation; /* then the last layer's edges are needed, and nobody is a layer ahead */
    uint8_t *excluded;      /* ntypes x ntypes */
    double *average;        /* ntypes x 4: of the environment matrix */
    double *deviation;      /* ntypes x 4 */
    double *type_table;     /* (ntypes + 1) x n_dim */
    double *charge_table;   /* 201 x n_dim, for charges from -100 on; NULL without charge and spin */
    double *spin_table;     /* 101 x n_dim */
    int64_t parameters;
};

/* Loads an object of class RepFlowLayer, whose settings must repeat those of the block and the descriptor. */
int dgnn_dpa3_layer(const struct dgnn_value *value, const struct dgnn_dpa3_settings *settings,
                    struct dgnn_repflow_layer_params *layer, struct dgnn_error *error);

#define DGNN_REAL_BITS 32
#include "net/dpa3/repflow_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa3/repflow_types.h"
#undef DGNN_REAL_BITS

extern const struct dgnn_descriptor_kind dgnn_dpa3;

#endif
