/* Gated self-attention among the edges of one centre, with a residual and a layer norm (dpa1; deepmd-kit's
 * NeighborGatedAttentionLayer with one head). Included by table_types.h, once for each element type.
 *
 *     q, k, v = x W + b, each row over its length with normalize
 *     L = scale q k^T;   smooth: T = (L + 20) s_q s_k - 20, and nempty further keys have T = -20
 *     A = softmax(T);    P = A s_q s_k (smooth) (d_q . d_k) (angular)
 *     out = norm(x + P (v W_out) + b_out)
 *
 * q and k may be rotated by one orthogonal matrix, and v by another with W_out, which changes neither
 * products nor lengths. Those that are taken make W of q and of v lower triangular, so that these have one
 * column more than x at most (for b): L is over these columns, and further ones of k count in its length
 * alone. W_out comes after the sum over keys.
 *
 * Rows of x and of matrices are padded to whole lines with zeros, ncol of the matrices and lengths of the
 * biases included, so that products work on whole vectors. */

struct REAL(dgnn_attention_layer) {
    int64_t width;
    int64_t columns[3];             /* of query, key, value: the second no fewer than the first */
    struct REAL(dgnn_matrix) in[3]; /* width x columns; zero above the diagonal, but for that of the key */
    struct REAL(dgnn_matrix) in_transposed[3];    /* columns x width */
    struct REAL(dgnn_matrix) out, out_transposed; /* columns of the value x width, and its transpose */
    real *in_bias[3], *out_bias;                  /* zeros where there is none */
    real *norm_weight, *norm_bias;                /* width; ones and zeros where there are none */
    real epsilon, scale;
    int32_t normalize, smooth, angular;
};

/* What forward keeps for backward: rows of columns_stride, width_stride and pair_stride (n padded) below. */
struct REAL(dgnn_attention_kept) {
    real *in[3];     /* n x columns_stride of each: q, k, v as they enter the products */
    real *length[3]; /* n: 1 / length of each before it was normalised */
    real *attention; /* n x pair_stride: A, zeros in the pads */
    real *normed;    /* n x width_stride: before the norm's weight and bias */
    real *deviation; /* n: 1 / standard deviation */
};

/* The edges of one centre. */
struct REAL(dgnn_attention_block) {
    const struct REAL(dgnn_ops) * ops;
    const struct REAL(dgnn_attention_layer) * layer;
    struct REAL(dgnn_attention_kept) kept;
    int64_t n;      /* edges */
    int64_t nempty; /* slots that are keys without being edges; they count in the smooth denominator */
    const real *edge_switch; /* n */
    const real *direction;   /* 3 x direction_stride */
    int64_t direction_stride;
    const real *x;       /* n x width_stride, zeros in the pads */
    real *out;           /* as x; may not be x */
    const real *d_out;   /* backward: as x */
    real *d_x;           /* backward: as x, written, zeros in the pads; may be d_out */
    real *d_edge_switch; /* n, added to */
    real *d_direction;   /* 3 x direction_stride, added to */
    real *scratch;       /* dgnn_attention_scratch reals, 64-byte aligned */
};

static inline int64_t REAL(dgnn_attention_stride)(const struct REAL(dgnn_attention_layer) * layer, int part)
{
    return dgnn_table_pad(layer->columns[part], REAL_LANES);
}

/* Room for keys or values transposed, or for as many rows of them. */
static inline int64_t REAL(dgnn_attention_transposed)(const struct REAL(dgnn_attention_layer) * layer,
                                                      int64_t n)
{
    int64_t query = REAL(dgnn_attention_stride)(layer, 0), value = REAL(dgnn_attention_stride)(layer, 2);
    return (value > query ? value : query) * dgnn_table_pad(n, REAL_LANES);
}

static inline int64_t REAL(dgnn_attention_scratch)(const struct REAL(dgnn_attention_layer) * layer, int64_t n)
{
    int64_t pair = dgnn_table_pad(n, REAL_LANES), width = dgnn_table_pad(layer->width, REAL_LANES);
    int64_t rows = width + REAL(dgnn_attention_stride)(layer, 0) + REAL(dgnn_attention_stride)(layer, 1) +
                   2 * REAL(dgnn_attention_stride)(layer, 2);
    return REAL(dgnn_attention_transposed)(layer, n) + 2 * n * pair + n * rows + 10 * pair;
}
