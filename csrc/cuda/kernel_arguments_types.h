#include "base/real.h"

/* out[R(r)][c] = start + sum_k rows[Q(r)][k] weights[k][c], where start is out itself with accumulate, else
 * bias[c], or 0 without one; R and Q are the indices, or r itself. Items: nrow x ncol. */
struct REAL(dgnn_kernel_product) {
    int64_t count, nrow, ncol, depth;
    const real *rows;
    int64_t row_stride;
    const int32_t *row_index; /* NULL: all rows in order */
    const real *weights;
    int64_t weight_stride;
    const real *bias; /* NULL: none */
    real *out;
    int64_t out_stride;
    const int32_t *out_index; /* as row_index; no row twice */
    int32_t accumulate;
};

/* Edges' vectors from positions, and what rows get of edges' gradients: rows are nodes, or images where the
 * graph has such (csrc/geom/graph.h). Of any family with edges. */
struct REAL(dgnn_kernel_rows) {
    int64_t count, nowned, nrow, nedge, npart;
    double cell[9];
    const double *position, *offset;  /* nrow x 3; offset NULL: nodes are atoms */
    const int32_t *edge_centre, *row; /* nedge */
    const int32_t *shift;             /* nedge x 3 */
    const int64_t *first;             /* nowned + 1 */
    const int64_t *row_first;         /* nrow + 1: edges to a row ... */
    const int32_t *row_edge;          /* nedge: ... in order */
    double *vector;                   /* nedge x 3 */
    real *displacement;               /* nedge x 3, or NULL (dgnn_graph_displacement) */
    const double *edge_gradient;      /* nedge x 3 */
    const double *edge_moment;        /* 3 x nedge x 3, columns of the displacement, or NULL */
    double *forces;                   /* nrow x 3 */
    double *virial_part;              /* npart x 9: of DGNN_VIRIAL_CENTRES each ... */
    double *virial;                   /* x 9: ... of DGNN_VIRIAL_PARTS of these each */
    double *atom_virial;              /* nrow x 9 */
};

/* All that a RepFlow layer's kernels read and write; each takes what it needs. Names and shapes are those of
 * ops/blocks_types.h and of net/dpa3/repflow_memory_body.h, with padded widths; a pair is an edge that forms
 * angles. */
struct REAL(dgnn_kernel_repflow) {
    int64_t count, begin; /* items of this launch: [begin, begin + count) */
    int64_t angle_base;   /* the angle of angle_pre's and d_angle_pre's first row */
    int64_t nowned, nwith_energy, nnode, nedge, npair, nangle, nangle_linear2;
    int64_t n, e, a, m, heads, axis;
    int64_t centre_width; /* n + m + e + e + a */
    int64_t width;        /* of nodes, without padding */
    int64_t output_width; /* width, or twice that with concat_output_tebd */
    int64_t rows_stride;  /* of d_node_rows */

    int32_t smooth, is_exponential, starts_from_distance, has_types;
    int32_t with_node, with_edge, with_angle;
    int32_t edge_given, angle_given; /* backward: do d_edge_state, d_angle hold a gradient? */
    int32_t angles_are_first;        /* backward: are angle features layer 0's? */
    int32_t is_first;                /* backward: the gradient's side, not one of its moments' */
    int32_t column;                  /* of the moments' sides: 0 to 2 */
    double edge_start, edge_cutoff, angle_start, angle_cutoff, protection, cosine_scale;
    real message_scale, moment_scale, angle_scale, keep_node, keep_edge, keep_angle;
    struct dgnn_activation activation;

    /* the graph */
    const double *vector;     /* nedge x 3 */
    const int32_t *type;      /* nnode */
    const double *statistics; /* ntypes x 8: averages, then deviations */
    const double *type_row;   /* (ntypes + 1) x width */
    const int64_t *first, *angle_first, *angle_linear2_first, *pair_first; /* nowned + 1 */
    const int32_t *edge_centre, *neighbour;                                /* nedge */
    const int32_t *pair_edge;                                              /* npair */
    int32_t *angle_pair;                                                   /* nangle: the first edge's pair */
    const int64_t *reverse_first; /* nnode + 1: edges to a node ... */
    const int32_t *reverse_edge;  /* nedge: ... in order */

    /* geometry */
    real *edge_switch, *angle_switch, *edge_input, *direction;
    const real *displacement;
    double *unit;

    /* features and what is made of them */
    real *node, *next_node, *centre, *neighbour_part, *message, *moment, *gram, *symmetric;
    real *edge_state, *next_edge, *edge_pre;
    real *angle_state, *next_angle, *angle_pre, *pair_rows, *reduced, *angle_linear2_pre;
    double *output; /* nowned x output_width */

    /* weights */
    const real *edge_weight, *edge_bias, *angle_weight;
    const real *weight_self, *weight_symmetric, *weight_message;
    const real *weight_edge_self, *weight_edge_angle, *weight_angle, *without_angle_term;

    /* backward, of one side */
    const double *output_gradient;
    double *d_edge_switch, *d_direction, *d_angle_switch, *d_unit, *d_edge_input, *edge_gradient;
    double *angle_value; /* nangle: a sum over features that two edges' switches, or unit vectors, get */
    real *d_node, *d_node_rows, *d_centre, *d_message, *d_symmetric, *d_gram, *d_moment;
    real *d_next_edge, *d_edge_state, *d_edge_pre, *d_neighbour_part;
    real *d_angle, *d_angle_pre, *d_angle_linear2, *d_reduced, *d_pair;
    const real *first_d_edge_pre, *first_d_moment; /* the gradient's own */
};
