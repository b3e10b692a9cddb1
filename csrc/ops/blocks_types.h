/* The blocks of a RepFlow layer (Zhang et al., arXiv:2506.01686; deepmd/dpmodel/descriptor/repflows.py).
 *
 * Widths n (node), e (edge), a (angle) and m = heads x n are padded to REAL_LANES, and so is each section of
 * a row of several parts; weights in the padding are zero, so that padding never reaches a result. Edges of a
 * centre come nearest first, and its angle edges are the first angle_count of them, so that its angles are a
 * dense square: angle (j, k) of centre i is row angle_first[i] + j * angle_count[i] + k. */

/* Geometry of all centres, the same in all layers. */
struct REAL(dgnn_repflow_edges) {
    int64_t ncentre;
    const int64_t *first;               /* ncentre + 1: edges */
    const int32_t *angle_count;         /* ncentre */
    const int64_t *angle_first;         /* ncentre + 1: angles */
    const int64_t *angle_linear2_first; /* ncentre + 1: rows that go through the angle message's linear2 */
    const int32_t *neighbour;           /* nedge: node rows */
    const real *edge_switch;            /* nedge */
    const real *direction;              /* nedge x 3: the vector part of the environment matrix */
    const real *angle_switch;           /* nedge; used for angle edges */
    const double *unit;                 /* nedge x 3: d / (r + 1e-6); used for angle edges */
    const real *cosine;                 /* nangle: the angle input, cos(theta) (1 - 1e-6) / sqrt(pi) */
    double cosine_scale;                /* (1 - 1e-6) / sqrt(pi) */
    real message_scale;                 /* of the sum over edges: 1 / sel */
    real moment_scale;                  /* of the moments: 1 / sqrt(sel) */
    real angle_scale;                   /* of the sum over k: 1 / sqrt(a_sel) */
    int32_t smooth;                     /* smooth_edge_update */
    int64_t edge_count_max, angle_count_max;
    /* Backward goes through an array of 1 + columns blocks, which differ in their edges' last four members
     * and in theirs from d_next (d_next_edge) on: the gradient's, then, with columns, the three of its
     * moments' columns (net/parts/descriptor.h). Of these, block k's neighbours get the gradient times
     * displacement k - 1, too. */
    int32_t columns;          /* 0 or 3 */
    const real *displacement; /* nedge x 3, with columns: from the centre's atom to the neighbour's */
    /* what backward adds to */
    double *d_edge_switch;  /* nedge */
    double *d_direction;    /* nedge x 3 */
    double *d_angle_switch; /* nedge */
    double *d_unit;         /* nedge x 3 */
};

/* Weights of one layer. */
struct REAL(dgnn_repflow_layer) {
    int64_t n, e, a, m;
    struct dgnn_activation activation;
    struct REAL(dgnn_matrix) edge;            /* e x (m + e): edge part of the node message | edge message */
    struct REAL(dgnn_matrix) edge_transposed; /* (m + e) x e */
    struct REAL(dgnn_matrix) pair; /* k x 2(e + a): (ij edge message | angle message) | ik the same */
    struct REAL(dgnn_matrix) pair_transposed;  /* 2(e + a) x k */
    struct REAL(dgnn_matrix) angle;            /* a x (e + a) */
    struct REAL(dgnn_matrix) angle_transposed; /* (e + a) x a */
    struct REAL(dgnn_matrix) angle_linear2;    /* e x e */
    struct REAL(dgnn_matrix) angle_linear2_transposed;
    const real *angle_linear2_bias; /* e */
    const real *weight_edge_self;   /* e: residual weight of the edge's own message */
    const real *weight_edge_angle;  /* e: of the angles' message */
    const real *weight_angle;       /* a */
    const real *without_angle_term; /* e: weight_edge_angle act(angle_linear2_bias), the angles' message to an
                                       edge in none */
    real keep_edge, keep_angle;     /* factor of the old features */
};

/* Edges: the node message and moments (with_node), and the edge's own update (with_edge). */
struct REAL(dgnn_edge_block) {
    const struct REAL(dgnn_repflow_edges) * edges;
    const struct REAL(dgnn_repflow_layer) * layer;
    int32_t with_node, with_edge;
    const real *centre; /* ncentre rows of m + e: the centre node's part, bias included */
    int64_t centre_stride;
    const real *neighbour_part; /* node rows of m + e: the neighbour's part */
    int64_t neighbour_part_stride;
    const real *node; /* node rows of n, for the moments */
    int64_t node_stride;
    const real *state;       /* nedge x e */
    const real *first_input; /* layer 0 with edge_init_use_dist: state = first_input first_weight +
                                first_bias, and an instance may use that; NULL elsewhere. nedge */
    const real *first_weight, *first_bias; /* e */
    real *pre;  /* nedge x (m + e): forward writes what backward wants to know of the activations (before
                   them, or their slopes: the instance's choice). NULL: not kept; backward makes it anew */
    real *next; /* nedge x e */
    /* e: with_edge, next of edges that form no angle gets this, too; NULL: nothing */
    const real *without_angle_term;
    real *message; /* ncentre x m */
    real *moment;  /* ncentre x 3 x (e + n) */
    /* backward */
    const real *d_next;    /* nedge x e; not read without with_edge */
    const real *d_message; /* ncentre x m */
    const real *d_moment;  /* ncentre x 3 x (e + n) */
    enum dgnn_edges_given d_state_given;
    real *d_state;   /* nedge x e; added to where that holds a gradient on entry, else written */
    double *d_first; /* nedge, with first_input: added to; what an instance puts here it leaves out of d_state
                      */
    real *d_centre;  /* ncentre rows of m + e; written where with_node/with_edge; NULL: not wanted */
    real *d_neighbour_part; /* node rows of m + e; added to; NULL as d_centre */
    real *d_node;           /* node rows of n; added to; NULL as d_centre */
};

/* Angles: the message to edges (with_edge), and the angle's own update (with_angle). */
struct REAL(dgnn_angle_block) {
    const struct REAL(dgnn_repflow_edges) * edges;
    const struct REAL(dgnn_repflow_layer) * layer;
    int32_t with_edge, with_angle;
    const real *first_weight; /* a: in layer 0 the angle features are cosine x first_weight; NULL: state */
    const real *centre;       /* ncentre rows of e + a: the centre node's part, bias included */
    int64_t centre_stride;
    const real *edge_state;  /* nedge x e */
    const real *state;       /* nangle x a; not read in layer 0 */
    real *pre;               /* nangle x (e + a), or NULL as above */
    real *angle_linear2_pre; /* rows of angle_linear2 x e: before the activation; with_edge */
    real *next_edge; /* nedge x e: with_edge, added to: the angles' message times its residual weight. Rows
                        that do not go through angle_linear2, layer->without_angle_term for all, are left
                        alone */
    real *next;      /* nangle x a; may be state */
    /* backward */
    const real *d_next_edge; /* nedge x e; with_edge */
    int32_t d_angle_given;   /* does d_angle hold a gradient on entry? Otherwise it starts from zero */
    real *d_angle;        /* nangle x a: in: gradient of next (of state, without with_angle); out: of state */
    int32_t d_edge_given; /* is d_edge_state added to? Otherwise written: of edges in angles; of all with_edge
                             unless smooth */
    real *d_edge_state;   /* nedge x e */
    real *d_centre;       /* ncentre rows of e + a; written in the columns of with_edge/with_angle; NULL:
                             not wanted */
    int64_t d_centre_stride;
};
