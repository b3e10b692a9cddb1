/* A standard atomic model: descriptor, fitting net, bias per type (deepmd/dpmodel/atomic_model/dp_atomic_model.py). */
#ifndef DGNN_NET_ATOMIC_H
#define DGNN_NET_ATOMIC_H

#include "net/descr.h"
#include "net/fitting.h"

struct dgnn_atomic;

/* value: an object of class Model and type standard. context->ntypes and type_map are the model's. */
int dgnn_atomic_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_atomic **atomic, struct dgnn_error *error);
void dgnn_atomic_free(struct dgnn_atomic *atomic); /* NULL is allowed */

struct dgnn_atomic_properties {
    struct dgnn_descriptor_properties descriptor;
    struct dgnn_fitting_properties fitting;
    const char *descriptor_type;
    const uint8_t *pair_exclude; /* ntypes x ntypes, or NULL where no pair is excluded */
};
void dgnn_atomic_properties(const struct dgnn_atomic *atomic, struct dgnn_atomic_properties *properties);
int dgnn_atomic_describe(const struct dgnn_atomic *atomic, struct dgnn_text *text, struct dgnn_error *error);

struct dgnn_atomic_input {
    const double *fparam; /* dim_fparam; NULL: the default */
    const double *aparam; /* nowned x dim_aparam */
};

/* All of an evaluation that can fail on this rank alone, memory above all; without messages. Ranks that compute together
 * agree on its status and then evaluate. Errors: INPUT, MEMORY. */
int dgnn_atomic_prepare(struct dgnn_atomic *atomic, const struct dgnn_evaluation *evaluation,
                        struct dgnn_error *error);

/* After prepare, with the same evaluation. energy: nowned; evaluation->edge_gradient gets the gradient of their sum added. Collective with an exchange. */
int dgnn_atomic_evaluate(struct dgnn_atomic *atomic, const struct dgnn_evaluation *evaluation,
                         const struct dgnn_atomic_input *input, double *energy, struct dgnn_error *error);

#endif
