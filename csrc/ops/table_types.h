#include "base/real.h"

/* Weights of a product: nrow x ncol, rows stride apart, 64-byte aligned, zeros beyond ncol. */
struct REAL(dgnn_matrix) {
    int64_t nrow, ncol, stride;
    real *data;
};

/* Rows of an embedding net's layer: y = idt act(y) + copies of x, and its derivative by the net's first
 * input, tangent = idt act'(y) tangent + copies of x_tangent. In the first layer tangent comes in as a row
 * for all, and x_tangent is the unit vector of the first input. */
struct REAL(dgnn_embed) {
    const struct dgnn_activation *activation;
    int64_t nrow, nin;
    const real *x, *x_tangent; /* nrow x nin, x_stride apart */
    int64_t x_stride;
    real *y, *tangent; /* nrow x stride, whole lines; tangent NULL: not wanted */
    int64_t stride;
    const real *first_row; /* stride; NULL: not the first layer */
    const real *idt;       /* stride; NULL: ones */
    int32_t residual;      /* copies of x, side by side */
};

/* The rows of one centre's moments gr = sum_r (row_r) (g_r), 4 x stride, and the gradient by these. */
struct REAL(dgnn_moment) {
    int64_t nrow;
    const real *row; /* number a of row r is row[r row_step + a row_stride] */
    int64_t row_step, row_stride;
    const real *d_gr;      /* 4 x stride */
    int64_t stride;        /* whole lines */
    const real *g;         /* nrow x stride */
    const real *tangent;   /* nrow x stride: of g by the row's first number; NULL: not wanted */
    const real *by_switch; /* nrow x stride: of g by the switch; NULL: not wanted */
    real *d_row;           /* nrow x 4: written, through tangent too */
    real *d_switch;        /* nrow: added to; with by_switch */
};

/* Rows of polynomials in pieces (tables of compressed models), all columns of a row by the same piece:
 *     y = p(t) + beyond p'(t),  tangent = p'(t),  p(t) = sum_k a_k t^k
 * so that beyond the last piece its end goes on as a line. */
struct REAL(dgnn_polynomials) {
    int64_t nrow;
    const real *coefficients; /* pieces x 6 x stride, 64-byte aligned: a_0 to a_5 of all columns */
    const int64_t *piece;     /* nrow */
    const real *t, *beyond;   /* nrow */
    real *y, *tangent;        /* nrow x stride, aligned; tangent NULL: not wanted */
    int64_t stride;           /* whole lines */
};

struct REAL(dgnn_ops);

#include "ops/attention_types.h"
#include "ops/blocks_types.h"
#include "ops/dpa4c_types.h"

struct REAL(dgnn_ops) {
    enum dgnn_cpu cpu;

    /* out[r][c] = start + sum_k rows[r][k] w[k][c], c < ncol; start is out itself with accumulate, else
     * bias[c], or 0 where bias is NULL. Any strides and alignments of rows and out; they do not overlap. */
    void (*product)(int64_t nrow, const real *rows, int64_t row_stride, const struct REAL(dgnn_matrix) * w,
                    const real *bias, real *out, int64_t out_stride, int accumulate);

    /* out[r][c] = sum_k rows[k][r] w[k][c]: the product with the rows' transpose; as above otherwise. */
    void (*product_transposed)(int64_t nrow, const real *rows, int64_t row_stride,
                               const struct REAL(dgnn_matrix) * w, real *out, int64_t out_stride);

    /* value and slope of n numbers. slope may be NULL; value may be x. */
    void (*activate)(const struct dgnn_activation *activation, int64_t n, const real *x, real *value,
                     real *slope);

    /* y = exp(x - most) of n numbers, none larger than most; y may be x. 0 or less than 1e-37 where that is
     * smaller. */
    void (*exponential)(int64_t n, const real *x, real most, real *y);

    /* out[r out_stride] += sum_c a[r][c] b[r][c]; rows are stride apart, whole lines, all of which counts. */
    void (*row_products)(int64_t nrow, int64_t stride, const real *a, const real *b, real *out,
                         int64_t out_stride);

    /* d_row[r][a] = g_r . d_gr_a, and what comes through tangent and by_switch. */
    void (*moment_backward)(const struct REAL(dgnn_moment) * moment);

    /* A layer of an embedding net, after its products; and what stands in a net's place. */
    void (*embed)(const struct REAL(dgnn_embed) * rows);
    void (*polynomials)(const struct REAL(dgnn_polynomials) * rows);

    /* The symmetrised moments of nrow nodes: gram = axis x e products of the edge part, then axis x n of the
     * node part; G[q][c] = sum_d H[d][q] H[d][c] / 3 within each part. moment: nrow x 3 x (e + n). e, n:
     * padded widths. */
    void (*gram_forward)(const struct dgnn_gram_shape *shape, int64_t nrow, const real *moment, real *gram);
    /* d_moment: written. */
    void (*gram_backward)(const struct dgnn_gram_shape *shape, int64_t nrow, const real *moment,
                          const real *d_gram, real *d_moment);

    /* Whole blocks of a RepFlow layer over the centres [begin, end). scratch: repflow_scratch bytes, 64-byte
     * aligned, one for each thread. */
    int64_t (*repflow_scratch)(const struct REAL(dgnn_repflow_edges) * edges,
                               const struct REAL(dgnn_repflow_layer) * layer);
    void (*edge_forward)(const struct REAL(dgnn_edge_block) * block, int64_t begin, int64_t end,
                         void *scratch);
    void (*edge_backward)(const struct REAL(dgnn_edge_block) * block, int64_t begin, int64_t end,
                          void *scratch);
    void (*angle_forward)(const struct REAL(dgnn_angle_block) * block, int64_t begin, int64_t end,
                          void *scratch);
    void (*angle_backward)(const struct REAL(dgnn_angle_block) * block, int64_t begin, int64_t end,
                           void *scratch);

    /* An attention layer on the edges of one centre; n >= 1. */
    void (*attention_forward)(const struct REAL(dgnn_attention_block) * block);
    void (*attention_backward)(const struct REAL(dgnn_attention_block) * block);

    /* DPA4C: a tile of edges, of which no array but d_... and moment is read that the entry writes. scratch:
     * bytes, 64-byte aligned, one for each thread. */
    void (*dpa4c_geometry_forward)(const struct REAL(dgnn_dpa4c_geometry) * tile);
    void (*dpa4c_geometry_backward)(const struct REAL(dgnn_dpa4c_geometry) * tile);
    int64_t (*dpa4c_scratch)(const struct REAL(dgnn_dpa4c_radial) * radial);
    void (*dpa4c_forward)(const struct REAL(dgnn_dpa4c_edges) * tile);
    void (*dpa4c_backward)(const struct REAL(dgnn_dpa4c_edges) * tile);
    int64_t (*dpa4c_readout_scratch)(const struct REAL(dgnn_dpa4c_readout) * readout);
    void (*dpa4c_readout_forward)(const struct REAL(dgnn_dpa4c_atoms) * atoms);
    void (*dpa4c_readout_backward)(const struct REAL(dgnn_dpa4c_atoms) * atoms);
};

/* The reference, with every entry. */
extern const struct REAL(dgnn_ops) REAL(dgnn_reference_ops);

/* The table for an instruction set: with every entry too (tests/c/test_ops.c looks), whether it may run here
 * or not. */
const struct REAL(dgnn_ops) * REAL(dgnn_select_ops)(enum dgnn_cpu cpu);
