#include "base/real.h"

/* D[c][k] = sum_a gr[a][c] gr[a][k]. output is D, n x axis; gr is 4 x stride. */
void REAL(dgnn_moment_output)(const struct dgnn_moment_shape *shape, const real *gr, double *output);

/* rotation: n x 3, rotation[c][k] = gr[k + 1][c]: the equivariant rows. */
void REAL(dgnn_moment_rotation)(const struct dgnn_moment_shape *shape, const real *gr, double *rotation);
/* d_gr += scale times the gradient that comes through the rotation matrix. d_rotation: n x 3. */
void REAL(dgnn_moment_rotation_backward)(const struct dgnn_moment_shape *shape, const double *d_rotation,
                                         double scale, real *d_gr);

/* Writes d_gr, 4 x stride: the gradient by gr, with zeros in the padding. scratch is dgnn_moment_scratch
 * reals, and begins with the gradient of the output, n x axis in rows of whole lines. */
void REAL(dgnn_moment_backward)(const struct REAL(dgnn_ops) * ops, const struct dgnn_moment_shape *shape,
                                const real *gr, real *d_gr, real *scratch);
int64_t REAL(dgnn_moment_scratch)(const struct dgnn_moment_shape *shape);

/* Puts scale times d_output, which is n x axis, where dgnn_moment_backward wants it. */
void REAL(dgnn_moment_set_gradient)(const struct dgnn_moment_shape *shape, const double *d_output,
                                    double scale, real *scratch);

/* gr += sum over the rows of row g, where the row's numbers are row_step = 1 apart; of moment nrow, row,
 * row_stride, stride and g are read. g is aligned, with zeros in the padding. */
void REAL(dgnn_moment_add)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_moment) * moment,
                           real *gr);
