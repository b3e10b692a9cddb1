/* DPA4's fitting network (deepmd/dpmodel/fitting/dpa4_ener.py): hidden layers (v | g) = x w + b, x = v
 * act(g), then a linear one. Where the case modulates inputs (deepmd/pt/model/task/sezm_ener.py, case FiLM),
 * x (1 + e^a tanh gamma) + e^b tanh beta is linear in x, and the case is fixed: it is in the weights from
 * load on. */
#ifndef DGNN_NET_GLU_H
#define DGNN_NET_GLU_H

#include "net/parts/layer.h"

struct dgnn_glu {
    int64_t nhidden;
    struct dgnn_matrix_f64 *w, *w_transposed; /* nhidden + 1: nin x 2 n, the last nin x 1 */
    double **bias;                            /* nhidden + 1: 2 n, or NULL */
    struct dgnn_activation activation;
    int64_t nin;
    int64_t width_max;  /* of any row that goes through a layer */
    int64_t width_kept; /* numbers per row that forward keeps for backward */
    int64_t parameters;
};

/* The case of the data that a fitting is for. */
struct dgnn_glu_case {
    int64_t n;               /* numbers */
    const double *embedding; /* NULL with n 0 */
    int32_t modulates;       /* 0: they are inputs, or there are none */
};

/* value: an object of class GLUFittingNet with nin inputs. Whether the case modulates must be as the network
 * says. Nothing is left to free after an error. Errors: FORMAT, UNSUPPORTED, MEMORY. */
int dgnn_glu_load(const struct dgnn_value *value, int64_t nin, const struct dgnn_glu_case *of,
                  struct dgnn_glu *glu, struct dgnn_error *error);
void dgnn_glu_free(struct dgnn_glu *glu); /* a zeroed one is allowed */

void dgnn_glu_forward(const struct dgnn_ops_f64 *ops, const struct dgnn_glu *glu,
                      const struct dgnn_network_rows_f64 *rows);
void dgnn_glu_backward(const struct dgnn_ops_f64 *ops, const struct dgnn_glu *glu,
                       const struct dgnn_network_rows_f64 *rows);
/* After forward with this scratch, until that is used again: what went into the last layer, rows of width
 * dgnn_glu_hidden_width; 0: there is no hidden layer. */
const double *dgnn_glu_hidden(const struct dgnn_glu *glu, int64_t nrow, const double *scratch);
int64_t dgnn_glu_hidden_width(const struct dgnn_glu *glu);

#endif
