/* What gives a system its energy: one atomic model, or a weighted sum of several
 * (deepmd/dpmodel/atomic_model/ linear_atomic_model.py). The parts of a sum share one neighbour list, at the
 * largest cutoff and the largest sel; each gets the first sel of it within its own cutoff, and its own
 * numbers for the types. A part may be a pair table (net/energy/pairtab.h); of a model of type zbl, distances
 * say how much a net and a table count (net/energy/zbl.h). */
#ifndef DGNN_NET_MODEL_SUM_H
#define DGNN_NET_MODEL_SUM_H

#include "net/energy/atomic.h"

struct dgnn_model_sum;

/* value: an object of class Model and type standard, zbl, linear or linear_ener (sums of sums, and pair
 * tables in a sum, too). context->ntypes and type_map are the model's. UNSUPPORTED for other types, naming
 * them, and for parts that tell the types of neighbours apart, which deepmd-kit doesn't sum either. */
int dgnn_model_sum_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                        struct dgnn_model_sum **sum, struct dgnn_error *error);
void dgnn_model_sum_free(struct dgnn_model_sum *sum); /* NULL is allowed */

/* As of one atomic model. */
void dgnn_model_sum_properties(const struct dgnn_model_sum *sum, struct dgnn_atomic_properties *properties);
int dgnn_model_sum_describe(const struct dgnn_model_sum *sum, struct dgnn_text *text,
                            struct dgnn_error *error);

/* As work of dgnn_descriptor_kind, of the whole. */
double dgnn_model_sum_cost(const struct dgnn_model_sum *sum, int64_t n, const double *distance);

/* As of dgnn_atomic. */
struct dgnn_model_sum_workspace;
int dgnn_model_sum_workspace_create(const struct dgnn_model_sum *sum,
                                    struct dgnn_model_sum_workspace **workspace, struct dgnn_error *error);
void dgnn_model_sum_workspace_free(struct dgnn_model_sum_workspace *workspace); /* NULL is allowed */
int dgnn_model_sum_prepare(struct dgnn_model_sum_workspace *workspace,
                           const struct dgnn_evaluation *evaluation, struct dgnn_error *error);
int dgnn_model_sum_evaluate(struct dgnn_model_sum_workspace *workspace,
                            const struct dgnn_evaluation *evaluation, const struct dgnn_atomic_input *input,
                            double *output, struct dgnn_error *error);

#endif
