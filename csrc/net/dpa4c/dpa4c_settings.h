/* DPA4C (deepmd/dpmodel/descriptor/dpa4c.py): one scan over an atom's neighbours, no message passing.
 *
 *     phi_c = chi (gamma_c g_c + beta_c + sum_mu U_c,mu q_mu)      g, q: a network of r alone; gamma, beta,
 * U: of the types X_0 = sum phi / d_0, X_lm = sum chi phi B_lm(u) / d_1        d_0^2 = sum chi^2 + 1/4, d_1^2
 * = sum chi^4 + 1/4 row = X_0 | Gram matrices | bispectrum | quartic invariants | spins | d_0, d_1 | type
 *
 * The weights are read once and stay as they are (struct dgnn_dpa4c_weights); what an evaluation needs beside
 * them is work of its own (dpa4c_body.h). */
#ifndef DGNN_NET_DPA4C_SETTINGS_H
#define DGNN_NET_DPA4C_SETTINGS_H

#include "net/params/params.h"
#include "net/parts/descriptor.h"
#include "ops/dpa4c.h"

extern const struct dgnn_descriptor_kind dgnn_dpa4c;

struct dpa4c_params {
#include "net/params/params_fields.h"
#include "net/params/dpa4c.def"
#include "net/params/params_end.h"
};

/* Rows of the tables of charges and spins. */
enum { DGNN_DPA4C_NCHARGE = 200, DGNN_DPA4C_NSPIN = 100 };

/* Everything from the archive, in float64 and without padding; matrices act from the right, nin x nout. */
struct dgnn_dpa4c_weights {
    int64_t hidden, pair_hidden, pair_width; /* H(C), H(2C); what the pair network gives */
    double *type_table;                      /* (ntypes + 1) x C */
    double *frequency;                       /* n_radial */
    double *radial[2], *mode;                /* n_radial x 2 H, H x C; H x R, NULL without modes */
    double *pair[2];                         /* 2 C x 2 H(2C), H(2C) x pair_width */
    double pair_scale;
    double *charge_table, *charge_spin_table,
        *charge[2];                    /* rows x C; 2 C x 2 H, H x (C + 2 H(2C)); NULL without charge */
    double *alignment[3];              /* 1, 2: C_l x C_l */
    double *probe[DGNN_DPA4C_DEGREES]; /* C_l x K_l; NULL: the channels themselves */
    double *mean, *deviation;          /* dim_out */
    double *spin_factor;               /* ntypes: mask / reference; NULL without spins, as the next */
    double *spin_weight;               /* ntypes x 2: of vectors and quadrupoles */
    double *spin_anchor[2];            /* C_2: of scale and shift */
    double spin_gate;
};

/* A product of three probes: see struct dgnn_dpa4c_term. */
struct dgnn_dpa4c_coupling {
    int32_t out, a, b, c;
    double value;
};

/* What both element types share. */
struct dpa4c_settings {
    struct dpa4c_params params;
    struct dgnn_dpa4c_shape shape; /* strides are the element type's */
    struct dgnn_dpa4c_weights weights;
    struct dgnn_dpa4c_coupling *coupling; /* by out */
    int64_t ncoupling, nbispectrum, nprobe;
    int64_t probe_first[DGNN_DPA4C_DEGREES];
    uint8_t *excluded; /* ntypes x ntypes */
    double default_charge_spin[2];
    int32_t has_default_charge_spin, is_compressed;
    int32_t gaussian;
    int64_t sel[1];
    int64_t parameters;
    int32_t ntypes, dtype, memory, threads, radial_table;
    enum dgnn_cpu cpu;
};

/* Widths and the numbers of all parts of a row, from channels, lmax, radial_modes and use_spin. FORMAT where
 * they are none of deepmd-kit's. */
int dgnn_dpa4c_set_shape(struct dpa4c_settings *settings, const struct dgnn_value *value,
                         struct dgnn_error *error);
/* The same from counts that are deepmd-kit's, and the coupling tables. Errors: MEMORY. */
int dgnn_dpa4c_set_widths(struct dpa4c_settings *settings, int has_spins, struct dgnn_error *error);
/* Strides in elements of so many lanes. */
void dgnn_dpa4c_set_strides(struct dgnn_dpa4c_shape *shape, int64_t lanes);

int dgnn_dpa4c_load_weights(struct dpa4c_settings *settings, struct dgnn_error *error);
void dgnn_dpa4c_free_weights(struct dgnn_dpa4c_weights *weights);

/* The coupling tables of the bispectrum. After set_shape. Errors: MEMORY. */
int dgnn_dpa4c_make_couplings(struct dpa4c_settings *settings, struct dgnn_error *error);

struct dgnn_dpa4c_widths {
    int64_t nin, hidden, nout;
};

/* y = swiglu(x w0 + bias) w1: silu of the first half times the second. scratch: 2 hidden. bias may be NULL.
 */
void dgnn_dpa4c_swiglu(const struct dgnn_dpa4c_widths *widths, double *const w[2], const double *bias,
                       const double *x, double *scratch, double *y);

/* What a frame's charge and spin add: shift (C) to types' last part, bias (2 H(2C)) inside the pair network.
 * scratch: C + 2 H(2C) + 2 C + 2 H. INPUT for charges and spins beyond the tables. */
int dgnn_dpa4c_charge(const struct dpa4c_settings *settings, const double *charge_spin, double *scratch,
                      double *shift, double *bias, struct dgnn_error *error);

/* Of an ordered pair of types: gamma (C), beta (C), U of each mode (C each), and with spins gamma and beta of
 * spins (C_2 each). scratch: 2 C + 2 H(2C) + pair_width. bias: as above, or NULL. */
void dgnn_dpa4c_pair(const struct dpa4c_settings *settings, int32_t centre, int32_t neighbour,
                     const double *bias, double *scratch, double *row);

/* g (C) and q (R) at r, and their slopes, in float64. scratch: 2 n_radial + 4 H. */
void dgnn_dpa4c_radial_at(const struct dpa4c_settings *settings, double r, double *scratch, double *value,
                          double *slope);

#endif
