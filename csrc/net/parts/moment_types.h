#include "base/real.h"

/* output: n x axis, D[c][k] = sum_a gr[a][c] gr[a][k]. gr: 4 x stride. */
void REAL(dgnn_moment_output)(const struct dgnn_moment_shape *shape, const real *gr, double *output);

/* rotation: n x 3, rotation[c][k] = gr[k + 1][c]: the equivariant rows. */
void REAL(dgnn_moment_rotation)(const struct dgnn_moment_shape *shape, const real *gr, double *rotation);
/* d_gr += scale times the gradient that comes through the rotation matrix. d_rotation: n x 3. */
void REAL(dgnn_moment_rotation_backward)(const struct dgnn_moment_shape *shape, const double *d_rotation,
                                         double scale, real *d_gr);

/* d_gr: 4 x stride, scale times the gradient by gr, zeros in the pads. d_output: n x axis. room:
 * dgnn_moment_room reals. */
void REAL(dgnn_moment_backward)(const struct REAL(dgnn_ops) * ops, const struct dgnn_moment_shape *shape,
                                const real *gr, const double *d_output, double scale, real *d_gr, real *room);
int64_t REAL(dgnn_moment_room)(const struct dgnn_moment_shape *shape);

/* The same where room begins with the output's gradient, scaled already, in rows of whole lines. */
void REAL(dgnn_moment_backward_of)(const struct REAL(dgnn_ops) * ops, const struct dgnn_moment_shape *shape,
                                   const real *gr, real *d_gr, real *room);

/* gr += the sum over nrow rows of (row) (g): rows 4 x row_stride, one after another; g: nrow x stride,
 * aligned, zeros in the pads. */
void REAL(dgnn_moment_add)(const struct REAL(dgnn_ops) * ops, int64_t nrow, const real *rows,
                           int64_t row_stride, const real *g, int64_t stride, real *gr);
