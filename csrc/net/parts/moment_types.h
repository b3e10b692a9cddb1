#include "base/real.h"

/* D[c][k] = sum_a gr[a][c] gr[a][k]. output is D, n x axis; gr is 4 x stride. */
void REAL(dgnn_moment_output)(const struct dgnn_moment_shape *shape, const real *gr, double *output);

/* rotation: n x 3, rotation[c][k] = gr[k + 1][c]: the equivariant rows. */
void REAL(dgnn_moment_rotation)(const struct dgnn_moment_shape *shape, const real *gr, double *rotation);
/* d_gr += scale times the gradient that comes through the rotation matrix. d_rotation: n x 3. */
void REAL(dgnn_moment_rotation_backward)(const struct dgnn_moment_shape *shape, const double *d_rotation,
                                         double scale, real *d_gr);

/* Writes d_gr, 4 x stride: scale times the gradient by gr, with zeros in the padding. d_output is n x axis,
 * and scratch is dgnn_moment_scratch reals. */
void REAL(dgnn_moment_backward)(const struct REAL(dgnn_ops) * ops, const struct dgnn_moment_shape *shape,
                                const real *gr, const double *d_output, double scale, real *d_gr,
                                real *scratch);
int64_t REAL(dgnn_moment_scratch)(const struct dgnn_moment_shape *shape);

/* As dgnn_moment_backward, where scratch begins with the scaled gradient of the output, in rows of whole
 * lines. */
void REAL(dgnn_moment_backward_of)(const struct REAL(dgnn_ops) * ops, const struct dgnn_moment_shape *shape,
                                   const real *gr, real *d_gr, real *scratch);

/* gr += sum over nrow rows of row g. Component a of all rows begins at rows[a * row_stride]. g is nrow x
 * stride, aligned, with zeros in the padding. */
void REAL(dgnn_moment_add)(const struct REAL(dgnn_ops) * ops, int64_t nrow, const real *rows,
                           int64_t row_stride, const real *g, int64_t stride, real *gr);
