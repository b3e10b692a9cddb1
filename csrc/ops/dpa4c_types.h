/* The blocks of DPA4C: a tile of edges at a time, then atoms side by side.
 *
 *     h = swiglu(basis(r) W_0), (g | q) = h W_1                     radial net, each with its d/dr
 *     phi_c = chi (gamma_c g_c + beta_c + sum_mu U_c,mu q_mu)      by the pair of types
 *     S_0 = sum_j phi, S_lm = sum_j (chi B_lm(u)) phi              moments of the centre
 *
 * No reverse goes through the radial net: dphi/dr is carried beside phi. */

/* The radial net, exact or as a table of polynomials of degree 5: in powers, not as differences of the values
 * at both ends, whose slopes lose digits. */
struct REAL(dgnn_dpa4c_radial) {
    int32_t gaussian; /* 0: sin(f r) / r; 1: exp(-(r - f)^2 / 2 w^2) */
    int64_t nradial;
    int64_t hidden, hidden_stride;
    const double *frequency;         /* nradial */
    double width;                    /* w */
    struct REAL(dgnn_matrix) first;  /* nradial x 2 hidden_stride: gates, then values */
    struct REAL(dgnn_matrix) second; /* hidden x radial_stride: channels, then modes */
    int64_t ninterval;               /* of the table; 0: exact */
    double interval;                 /* its step, Angstrom; it begins at 0 */
    const real *table; /* ninterval x 6 x radial_stride: powers of the distance from its begin, over the step
                        */
};

/* Geometry of a tile of edges: chi and its slope, u and the coefficients chi B_lm(u). */
struct REAL(dgnn_dpa4c_geometry) {
    const struct dgnn_dpa4c_shape *shape;
    double cutoff;
    int64_t nedge;
    const double *vector; /* nedge x 3 */
    double *distance;     /* nedge: sqrt(|v|^2 + 1e-14) */
    real *unit;           /* nedge x 3 */
    real *envelope;       /* nedge */
    real *slope;          /* nedge: d envelope / dr */
    real *coefficient; /* nedge x coefficient_stride; spins' are the caller's, and so are the zeros of padding
                        */
    const real *d_coefficient; /* nedge x coefficient_stride */
    const double *d_distance;  /* nedge: dE/dr but what comes through envelope in coefficients and norms */
    const real *d_envelope;    /* nedge: dE/d envelope through the norms */
    double *d_vector;          /* nedge x 3: written */
};

/* A tile of edges, those of a centre one after another. */
struct REAL(dgnn_dpa4c_edges) {
    const struct dgnn_dpa4c_shape *shape;
    const struct REAL(dgnn_dpa4c_radial) * radial;
    const real *pair; /* rows of pair_stride */
    int64_t nedge;
    const double *distance;       /* nedge */
    const int32_t *centre;        /* nedge: row of moment */
    const int32_t *pair_row;      /* nedge */
    const real *envelope, *slope; /* nedge */
    const real *coefficient;      /* nedge x coefficient_stride */
    real *phi;                    /* nedge x 2 x channel_stride: phi, dphi/dr */
    real *spin_phi;               /* nedge x 2 x line: the same for spins, with chi^2; NULL without */
    real *moment;                 /* rows of moment_stride: added to */
    const real *d_moment;         /* rows of moment_stride: dE/dmoment */
    real *d_coefficient;          /* nedge x coefficient_stride: written */
    double *d_distance;           /* nedge: written, what comes through phi */
    void *scratch;                /* dpa4c_scratch bytes */
};

/* A product of three probes in an invariant. */
struct REAL(dgnn_dpa4c_term) {
    int32_t out, a, b, c; /* out: of the bispectrum; a, b, c: rows of all probes */
    real value;
};

/* The readout: from moments to a row of invariants (section by section: degree 0, Gram matrices, bispectrum,
 * quartic invariants, spins, norms, type), and its gradient. */
struct REAL(dgnn_dpa4c_readout) {
    const struct dgnn_dpa4c_shape *shape;
    const real *alignment[3];                /* of l = 1, 2: C_l x C_l */
    const real *probe[DGNN_DPA4C_DEGREES];   /* C_l x K_l, or NULL: the channels themselves */
    int64_t probe_first[DGNN_DPA4C_DEGREES]; /* rows of probes: row m K_l + k of degree l begins here */
    int64_t nprobe;
    int64_t nterm, nbispectrum;
    const struct REAL(dgnn_dpa4c_term) * term; /* by out */
    const real *mean, *scale;                  /* dim_out: row = (invariant - mean) scale */
    const real *spin_weight; /* ntypes x 2: of a spin's vector and quadrupole; NULL without spins */
};

struct REAL(dgnn_dpa4c_atoms) {
    const struct REAL(dgnn_dpa4c_readout) * readout;
    int64_t natom;
    const int32_t *type; /* natom */
    const real *moment;  /* natom x moment_stride */
    const double *norm;  /* natom x 2: d_0, d_1 */
    const real *tail;    /* ntypes x channels: the last part of the row */
    const double *spin;  /* natom x 3: masked, over the reference; NULL without spins */
    double *row;         /* natom x dim_out */
    const double *d_row; /* natom x dim_out; may be row */
    real *d_moment;      /* natom x moment_stride: written */
    double *d_norm;      /* natom x 2: dE/dd of the norm, over the norm */
    double *d_spin;      /* natom x 3: written; what comes through the atom's own spin */
    void *scratch;       /* dpa4c_readout_scratch bytes */
};
