/* What the files of sums share. */
#ifndef DGNN_NET_LINEAR_PARTS_H
#define DGNN_NET_LINEAR_PARTS_H

#include "net/energy/model_sum.h"
#include "net/energy/pairtab.h"
#include "net/energy/zbl.h"

enum { DGNN_MODEL_SUM_MAX_PARTS = 64 };

struct dgnn_model_sum_part {
    struct dgnn_atomic *atomic; /* of the two one: */
    struct dgnn_pairtab *table;
    struct dgnn_atomic_properties properties;
    double weight;
    int32_t *type_of; /* ntypes of the sum: the part's type; NULL: the same */
    uint8_t *dropped; /* types of the part */
};

struct dgnn_model_sum {
    int32_t is_sum; /* 0: the one part is the model itself */
    int32_t is_zbl; /* of the two parts, a net and a table, distances say how much each counts */
    int32_t ntypes;
    int64_t npart;
    struct dgnn_model_sum_part part[DGNN_MODEL_SUM_MAX_PARTS];
    struct dgnn_zbl zbl;
    double *bias, *spread; /* ntypes */
    uint8_t *dropped;      /* ntypes */
    uint8_t *pair_exclude; /* ntypes x ntypes */
    int32_t any_pair;
    int64_t sel[1];
    struct dgnn_angle_limit *angle; /* all parts' */
    struct dgnn_atomic_properties properties;
};

/* The parts of a model's object, and what a sum has of its own. Errors: as of dgnn_model_sum_load. */
int dgnn_model_sum_load_parts(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              struct dgnn_model_sum *sum, struct dgnn_error *error);

#endif
