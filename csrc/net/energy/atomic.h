/* A standard atomic model: descriptor, fitting net, bias per type
 * (deepmd/dpmodel/atomic_model/dp_atomic_model.py). */
#ifndef DGNN_NET_ATOMIC_H
#define DGNN_NET_ATOMIC_H

#include "net/parts/descriptor.h"
#include "net/energy/fitting.h"

struct dgnn_atomic;

/* value: an object of class Model and type standard. context->ntypes and type_map are the model's. */
int dgnn_atomic_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_atomic **atomic, struct dgnn_error *error);
void dgnn_atomic_free(struct dgnn_atomic *atomic); /* NULL is allowed */

struct dgnn_atomic_properties {
    struct dgnn_descriptor_properties descriptor;
    struct dgnn_fitting_properties fitting;
    const char *descriptor_type;
    const uint8_t *dropped;      /* ntypes: 1 for the types in atom_exclude_types */
    const uint8_t *pair_exclude; /* ntypes x ntypes, centre by neighbour, or NULL where no pair is excluded */
    const uint8_t *pair_exclude_own; /* as that, without pairs left out for centres that have no energy */
};
void dgnn_atomic_properties(const struct dgnn_atomic *atomic, struct dgnn_atomic_properties *properties);
/* For tests, which put other functions in the place of a kind's. */
struct dgnn_descriptor *dgnn_atomic_descriptor(const struct dgnn_atomic *atomic);
int dgnn_atomic_describe(const struct dgnn_atomic *atomic, struct dgnn_text *text, struct dgnn_error *error);

/* As of the descriptor, with the fitting net's. */
double dgnn_atomic_cost(const struct dgnn_atomic *atomic, int64_t n, const double *distance);

/* A part of a Model object that sums of models have too. bias, spread: ntypes x width, out_bias and out_std
 * (zeros, and ones, where there is none). Both are allocated (dgnn_alloc_free), also after an error. */
int dgnn_atomic_load_statistics(const struct dgnn_value *model, int32_t ntypes, int64_t width, double **bias,
                                double **spread, struct dgnn_error *error);
/* Where no messages pass, a centre without energy needs no edges: its pairs are excluded too. Is there one?
 */
int dgnn_atomic_exclude_idle(const struct dgnn_descriptor_properties *descriptor, int32_t ntypes,
                             const uint8_t *dropped, uint8_t *pair_exclude);

struct dgnn_atomic_input {
    const double *fparam; /* dim_fparam; NULL: the default */
    const double *aparam; /* nowned x dim_aparam */
    /* For a part of a sum of models, which has a bias and excluded types of its own: */
    int32_t without_bias;   /* 1: out_bias is not added */
    const uint8_t *dropped; /* ntypes, 1: atoms of this type have no energy either; or NULL */
    const double *weight;   /* nowned: factors of the atoms' energies in what is differentiated; NULL: 1 */
    int32_t seed;           /* which number of the whole is differentiated */
};

/* What evaluations write. The model outlives its workspaces. Errors: MEMORY. */
struct dgnn_atomic_workspace;
int dgnn_atomic_workspace_create(const struct dgnn_atomic *atomic, struct dgnn_atomic_workspace **workspace,
                                 struct dgnn_error *error);
void dgnn_atomic_workspace_free(struct dgnn_atomic_workspace *workspace); /* NULL is allowed */

/* All of an evaluation that can fail on this rank alone, memory above all; without messages. Ranks that
 * compute together agree on its status and then evaluate. Errors: INPUT, MEMORY. */
int dgnn_atomic_prepare(struct dgnn_atomic_workspace *workspace, const struct dgnn_evaluation *evaluation,
                        struct dgnn_error *error);

/* After prepare, with the same evaluation. output: nowned x the fitting's width; evaluation->edge_gradient
 * gets the gradient of number seed of their sum added. Collective with an exchange. May be called again,
 * for the next seed, in their order: the descriptor goes forward for seed 0 only. */
int dgnn_atomic_evaluate(struct dgnn_atomic_workspace *workspace, const struct dgnn_evaluation *evaluation,
                         const struct dgnn_atomic_input *input, double *output, struct dgnn_error *error);

#endif
