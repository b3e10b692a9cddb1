/* Sizes of DPA4C's arrays (deepmd/dpmodel/descriptor/dpa4c.py), shared by net and the blocks of
 * ops/dpa4c_types.h. */
#ifndef DGNN_OPS_DPA4C_H
#define DGNN_OPS_DPA4C_H

#include <stdint.h>

enum {
    DGNN_DPA4C_DEGREES = 5,       /* l = 0..4 */
    DGNN_DPA4C_MOST_ANGULAR = 24, /* harmonics of degrees 1 to 4 */
    DGNN_DPA4C_SPIN_ROWS = 13     /* M, W, V (3), P (3), N (5), in this order */
};

/* Widths without padding, and strides that are whole lines. */
struct dgnn_dpa4c_shape {
    int64_t channels, lmax, modes;
    int64_t width[DGNN_DPA4C_DEGREES]; /* C_l: channels of degree l */
    int64_t rank[DGNN_DPA4C_DEGREES];  /* K_l: probes of degree l; of 0 none */
    int64_t nangular;                  /* harmonics of degrees 1 to lmax */
    int64_t nspin;                     /* 0, or DGNN_DPA4C_SPIN_ROWS */
    int64_t dim_out;
    int64_t channel_stride;
    int64_t line;       /* of a moment of degree 1 or more: C_1 padded */
    int64_t spin_begin; /* coefficients of spins begin here */
    int64_t coefficient_stride;
    int64_t radial_stride; /* channels, then modes */
    int64_t pair_stride; /* gamma, beta, U of each mode, and with spins gamma and beta of spins (line each) */
    int64_t moment_stride; /* degree 0, then a line for each harmonic, then for each spin row */
};

/* chi(r) = y^4 (1 + 4 x + 10 x^2 + 20 x^3 + 35 x^4), x = r / cutoff held to at most 1, y = 1 - x. */
static inline double dgnn_dpa4c_envelope(double r, double cutoff, double *slope)
{
    double x = r < cutoff ? r / cutoff : 1, y = 1 - x, cube = y * y * y, square = x * x;
    *slope = -280 * square * square * cube / cutoff;
    return cube * y * (1 + x * (4 + x * (10 + x * (20 + x * 35))));
}

/* The polynomial of degree 5 in t, 0 to 1 over an interval, with these values, slopes and curvatures at its
 * two ends. */
static inline void dgnn_dpa4c_quintic(const double begin[3], const double end[3], double *c)
{
    double value = end[0] - begin[0] - begin[1] - 0.5 * begin[2], slope = end[1] - begin[1] - begin[2];
    double curvature = end[2] - begin[2];
    c[0] = begin[0];
    c[1] = begin[1];
    c[2] = 0.5 * begin[2];
    c[3] = 10 * value - 4 * slope + 0.5 * curvature;
    c[4] = -15 * value + 7 * slope - curvature;
    c[5] = 6 * value - 3 * slope + 0.5 * curvature;
}

/* B_2 of a vector as a homogeneous polynomial; and the gradient of sum_k w_k B_2k, which is added to d. */
static inline void dgnn_dpa4c_quadrupole(const double *s, double *b)
{
    const double r3 = 1.7320508075688772;
    b[0] = r3 * s[0] * s[1];
    b[1] = r3 * s[1] * s[2];
    b[2] = 0.5 * (2 * s[2] * s[2] - s[0] * s[0] - s[1] * s[1]);
    b[3] = r3 * s[0] * s[2];
    b[4] = 0.5 * r3 * (s[0] * s[0] - s[1] * s[1]);
}

static inline void dgnn_dpa4c_quadrupole_gradient(const double *s, const double *w, double *d)
{
    const double r3 = 1.7320508075688772;
    d[0] += r3 * (s[1] * w[0] + s[2] * w[3] + s[0] * w[4]) - s[0] * w[2];
    d[1] += r3 * (s[0] * w[0] + s[2] * w[1] - s[1] * w[4]) - s[1] * w[2];
    d[2] += r3 * (s[1] * w[1] + s[0] * w[3]) + 2 * s[2] * w[2];
}

static inline int64_t dgnn_dpa4c_moment_row(const struct dgnn_dpa4c_shape *shape, int64_t row)
{
    return shape->channel_stride + row * shape->line;
}

#endif
