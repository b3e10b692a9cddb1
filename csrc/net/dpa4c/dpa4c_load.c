/* From an archive's tree to struct dgnn_dpa4c_weights. */
#include <math.h>
#include <string.h>

#include "net/dpa4c/dpa4c_settings.h"

/* A table of options and its struct for each class of parts. */
struct load_network {
#include "net/params/params_fields.h"
#include "net/params/objects/dpa4c_network.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_network_rows[] = {
#define DGNN_PARAM_STRUCT struct load_network
#include "net/params/params_rows.h"
#include "net/params/objects/dpa4c_network.def"
#include "net/params/params_end.h"
};

struct load_table {
#include "net/params/params_fields.h"
#include "net/params/objects/dpa4c_table.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_table_rows[] = {
#define DGNN_PARAM_STRUCT struct load_table
#include "net/params/params_rows.h"
#include "net/params/objects/dpa4c_table.def"
#include "net/params/params_end.h"
};

struct load_basis {
#include "net/params/params_fields.h"
#include "net/params/objects/dpa4c_basis.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_basis_rows[] = {
#define DGNN_PARAM_STRUCT struct load_basis
#include "net/params/params_rows.h"
#include "net/params/objects/dpa4c_basis.def"
#include "net/params/params_end.h"
};

struct load_basis_config {
#include "net/params/params_fields.h"
#include "net/params/objects/dpa4c_basis_config.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_basis_config_rows[] = {
#define DGNN_PARAM_STRUCT struct load_basis_config
#include "net/params/params_rows.h"
#include "net/params/objects/dpa4c_basis_config.def"
#include "net/params/params_end.h"
};

struct load_pair {
#include "net/params/params_fields.h"
#include "net/params/objects/dpa4c_pair.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_pair_rows[] = {
#define DGNN_PARAM_STRUCT struct load_pair
#include "net/params/params_rows.h"
#include "net/params/objects/dpa4c_pair.def"
#include "net/params/params_end.h"
};

struct load_readout {
#include "net/params/params_fields.h"
#include "net/params/objects/dpa4c_readout.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_readout_rows[] = {
#define DGNN_PARAM_STRUCT struct load_readout
#include "net/params/params_rows.h"
#include "net/params/objects/dpa4c_readout.def"
#include "net/params/params_end.h"
};

struct load_charge {
#include "net/params/params_fields.h"
#include "net/params/objects/dpa4c_charge.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_charge_rows[] = {
#define DGNN_PARAM_STRUCT struct load_charge
#include "net/params/params_rows.h"
#include "net/params/objects/dpa4c_charge.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_table_config_rows[] = {
#include "net/params/params_rows.h"
#include "net/params/objects/dpa4c_table_config.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_spin_rows[] = {
#include "net/params/params_rows.h"
#include "net/params/objects/dpa4c_spin.def"
#include "net/params/params_end.h"
};

#define LOAD_PARAMS(value, rows, out, error)                                                                 \
    dgnn_params_load(value, rows, sizeof(rows) / sizeof(rows[0]), out, error)

/* ---------------------------------------------------------------- widths */

static int64_t load_hidden(int64_t width)
{
    return 8 * ((8 * width + 23) / 24);
}

static int load_check_counts(const struct dpa4c_params *p, const struct dgnn_value *value,
                             struct dgnn_error *error)
{
    int power = p->channels >= 8 && p->channels <= 128 && (p->channels & (p->channels - 1)) == 0;
    if (!power || p->lmax < 2 || p->lmax > 4) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "channels must be 8, 16, 32, 64 or 128, and lmax 2, 3 or 4");
    }
    if (p->n_radial < 1 || p->n_radial > 4096 || p->radial_modes < 0 || p->radial_modes > 1024) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "n_radial must be in [1, 4096], radial_modes in [0, 1024]");
    }
    if (!(p->rcut > 0 && p->rcut < 1e3)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "rcut must be in (0, 1000)");
    }
    return DGNN_OK;
}

int dgnn_dpa4c_set_shape(struct dpa4c_settings *s, const struct dgnn_value *value, struct dgnn_error *error)
{
    DGNN_TRY(load_check_counts(&s->params, value, error));
    return dgnn_dpa4c_set_widths(s, dgnn_value_kind(&s->params.use_spin) == DGNN_VALUE_LIST, error);
}

/* ---------------------------------------------------------------- arrays */

/* Arrays as they are read: where they go, and the count of all numbers. */
struct load {
    struct dpa4c_settings *s;
    struct dgnn_error *error;
};

/* A member of object's "@variables", of this shape (ncol 0: one axis). *out stays NULL on failure. */
static int load_array(const struct load *l, const struct dgnn_value *object, const char *name, int64_t nrow,
                      int64_t ncol, double **out)
{
    struct dgnn_value variables = dgnn_value_member(object, "@variables");
    struct dgnn_value member = dgnn_value_member(&variables, name);
    struct dgnn_tensor tensor;
    const int64_t shape[2] = {nrow, ncol};
    DGNN_TRY(dgnn_value_tensor_shaped(&member, ncol ? 2 : 1, shape, &tensor, l->error));
    *out = dgnn_alloc(nrow, sizeof(double) * (size_t)(ncol ? ncol : 1));
    if (!*out) {
        return dgnn_status_no_memory(l->error, "weights", nrow * (ncol ? ncol : 1) * 8);
    }
    dgnn_tensor_to_double(&tensor, *out);
    l->s->parameters += dgnn_tensor_size(&tensor);
    return DGNN_OK;
}

/* A SwiGLU network of two layers. */
static int load_network(const struct load *l, const struct dgnn_value *value,
                        const struct dgnn_dpa4c_widths *widths, double **w, double *scale)
{
    struct load_network part;
    DGNN_TRY(LOAD_PARAMS(value, load_network_rows, &part, l->error));
    *scale = part.output_scale;
    DGNN_TRY(load_array(l, value, "0.matrix", widths->nin, 2 * widths->hidden, &w[0]));
    return load_array(l, value, "1.matrix", widths->hidden, widths->nout, &w[1]);
}

static int load_table(const struct load *l, const struct dgnn_value *value, int64_t nrow, double **table)
{
    struct load_table part;
    DGNN_TRY(LOAD_PARAMS(value, load_table_rows, &part, l->error));
    if (dgnn_value_kind(&part.config) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(LOAD_PARAMS(&part.config, load_table_config_rows, NULL, l->error));
    }
    return load_array(l, value, "adam_type_embedding", nrow, l->s->shape.channels, table);
}

/* A linear map without bias: an object of class Layer, that adds its input where it is residual. */
static int load_linear(const struct load *l, const struct dgnn_value *value, int residual, int64_t nin,
                       int64_t nout, double **w)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct dgnn_value bias = dgnn_value_member(&variables, "b"), step = dgnn_value_member(&variables, "idt");
    struct dgnn_value member = dgnn_value_member(value, "activation_function");
    struct dgnn_value resnet = dgnn_value_member(value, "resnet");
    const char *activation = "none";
    int adds;
    DGNN_TRY(dgnn_value_object(value, l->error));
    DGNN_TRY(dgnn_value_bool(&resnet, &adds, l->error));
    if (dgnn_value_kind(&member) == DGNN_VALUE_STRING) {
        DGNN_TRY(dgnn_value_string(&member, &activation, l->error));
    }
    if (dgnn_value_kind(&bias) > DGNN_VALUE_NULL || dgnn_value_kind(&step) > DGNN_VALUE_NULL ||
        (strcmp(activation, "none") && strcmp(activation, "linear"))) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, value,
                                 "expected a linear map without bias, time step and activation function");
    }
    if (nin == nout && !adds != !residual) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, value,
                                 residual ? "expected a residual layer"
                                          : "expected a layer that is not residual");
    }
    return load_array(l, value, "w", nin, nout, w);
}

/* ---------------------------------------------------------------- parts */

static int load_basis(const struct load *l)
{
    const struct dpa4c_params *p = &l->s->params;
    struct load_basis part;
    struct load_basis_config config;
    DGNN_TRY(LOAD_PARAMS(&p->radial_basis, load_basis_rows, &part, l->error));
    DGNN_TRY(LOAD_PARAMS(&part.config, load_basis_config_rows, &config, l->error));
    if (!p->basis_type || (strcmp(p->basis_type, "bessel") && strcmp(p->basis_type, "gaussian"))) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_UNSUPPORTED, p->radial_basis.parent,
                                 "basis_type '%s'; expected 'bessel' or 'gaussian'",
                                 p->basis_type ? p->basis_type : "null");
    }
    if (!config.basis_type || strcmp(config.basis_type, p->basis_type) || config.rcut != p->rcut) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, &part.config,
                                 "rcut or basis_type is not the descriptor's");
    }
    l->s->gaussian = !strcmp(p->basis_type, "gaussian");
    struct dgnn_value variables = dgnn_value_member(&p->radial_basis, "@variables");
    struct dgnn_value member = dgnn_value_member(&variables, "adam_freqs");
    struct dgnn_tensor tensor;
    DGNN_TRY(dgnn_value_tensor(&member, &tensor, l->error));
    if (tensor.ndim == 1) { /* a row, or a matrix of one */
        return load_array(l, &p->radial_basis, "adam_freqs", p->n_radial, 0, &l->s->weights.frequency);
    }
    return load_array(l, &p->radial_basis, "adam_freqs", 1, p->n_radial, &l->s->weights.frequency);
}

static int load_pairs(const struct load *l)
{
    struct dpa4c_settings *s = l->s;
    struct dgnn_dpa4c_weights *w = &s->weights;
    int64_t channels = s->shape.channels, spins = s->shape.nspin ? s->shape.width[2] : 0;
    struct load_pair part;
    w->pair_hidden = load_hidden(2 * channels);
    w->pair_width = (2 + s->shape.modes) * channels + 2 * spins;
    DGNN_TRY(LOAD_PARAMS(&s->params.pair_film, load_pair_rows, &part, l->error));
    if (spins) {
        DGNN_TRY(load_array(l, &s->params.pair_film, "adam_spin_scale_anchor", spins, 0, &w->spin_anchor[0]));
        DGNN_TRY(load_array(l, &s->params.pair_film, "adam_spin_shift_anchor", spins, 0, &w->spin_anchor[1]));
    }
    const struct dgnn_dpa4c_widths widths = {2 * channels, w->pair_hidden, w->pair_width};
    return load_network(l, &part.network, &widths, w->pair, &w->pair_scale);
}

static int load_readout(const struct load *l)
{
    struct dpa4c_settings *s = l->s;
    struct load_readout part;
    int64_t nalign, nprobe;
    DGNN_TRY(LOAD_PARAMS(&s->params.readout, load_readout_rows, &part, l->error));
    DGNN_TRY(dgnn_value_list(&part.channel_alignment, &nalign, l->error));
    DGNN_TRY(dgnn_value_list(&part.probe_projections, &nprobe, l->error));
    if (nalign != 2 || nprobe != s->shape.lmax) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, &s->params.readout,
                                 "expected 2 channel_alignment and lmax probe_projections");
    }
    for (int64_t d = 1; d <= s->shape.lmax; d++) {
        struct dgnn_value probe = dgnn_value_item(&part.probe_projections, d - 1);
        if (d <= 2) {
            struct dgnn_value align = dgnn_value_item(&part.channel_alignment, d - 1);
            DGNN_TRY(
                load_linear(l, &align, 1, s->shape.width[d], s->shape.width[d], &s->weights.alignment[d]));
        }
        if (dgnn_value_kind(&probe) != DGNN_VALUE_NULL) {
            DGNN_TRY(load_linear(l, &probe, 0, s->shape.width[d], s->shape.rank[d], &s->weights.probe[d]));
        } else if (s->shape.width[d] != s->shape.rank[d]) {
            return dgnn_value_refuse(
                l->error, DGNN_ERROR_FORMAT, &probe,
                "there are fewer probes than channels, so their projection must be there");
        }
    }
    return DGNN_OK;
}

static int load_default_charge(const struct load *l)
{
    struct dpa4c_settings *s = l->s;
    const struct dgnn_value *preset = &s->params.default_chg_spin;
    int64_t count;
    if (dgnn_value_kind(preset) == DGNN_VALUE_ABSENT || dgnn_value_kind(preset) == DGNN_VALUE_NULL) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_list(preset, &count, l->error));
    if (count != 2) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, preset,
                                 "expected two numbers, charge and spin");
    }
    for (int64_t i = 0; i < 2; i++) {
        struct dgnn_value item = dgnn_value_item(preset, i);
        DGNN_TRY(dgnn_value_double(&item, &s->default_charge_spin[i], l->error));
    }
    s->has_default_charge_spin = 1;
    return DGNN_OK;
}

static int load_charge(const struct load *l)
{
    struct dpa4c_settings *s = l->s;
    struct dgnn_dpa4c_weights *w = &s->weights;
    int64_t channels = s->shape.channels;
    struct load_charge part;
    double scale;
    if (!s->params.add_chg_spin_ebd) {
        return DGNN_OK;
    }
    DGNN_TRY(LOAD_PARAMS(&s->params.charge_spin_embedding, load_charge_rows, &part, l->error));
    DGNN_TRY(load_table(l, &part.charge_embedding, DGNN_DPA4C_NCHARGE, &w->charge_table));
    DGNN_TRY(load_table(l, &part.spin_embedding, DGNN_DPA4C_NSPIN, &w->charge_spin_table));
    const struct dgnn_dpa4c_widths widths = {2 * channels, w->hidden, channels + 2 * w->pair_hidden};
    DGNN_TRY(load_network(l, &part.network, &widths, w->charge, &scale));
    if (scale != 1) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, &part.network, "output_scale must be 1");
    }
    return load_default_charge(l);
}

/* deepmd-kit writes rows for types and one for NULL atoms, whose spins don't count. */
static int load_spins(const struct load *l)
{
    struct dpa4c_settings *s = l->s;
    struct dgnn_dpa4c_weights *w = &s->weights;
    double *row[3] = {0}, *gate = NULL;
    const char *const name[3] = {"spin_reference", "adam_spin_vector_weight", "adam_spin_quadrupole_weight"};
    int64_t count;
    int status = DGNN_OK;
    DGNN_TRY(LOAD_PARAMS(&s->params.spin_channels, load_spin_rows, NULL, l->error));
    DGNN_TRY(dgnn_value_list(&s->params.use_spin, &count, l->error));
    if (count != s->ntypes) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, &s->params.use_spin,
                                 "expected a flag for each type");
    }
    w->spin_factor = dgnn_alloc_zeroed(s->ntypes, sizeof(double));
    w->spin_weight = dgnn_alloc_zeroed(s->ntypes, 2 * sizeof(double));
    if (!w->spin_factor || !w->spin_weight) {
        return dgnn_status_no_memory(l->error, "weights", s->ntypes * 24);
    }
    for (int k = 0; k < 3 && !status; k++) {
        status = load_array(l, &s->params.spin_channels, name[k], s->ntypes + 1, 0, &row[k]);
    }
    status = status ? status : load_array(l, &s->params.spin_channels, "spin_gate", 1, 0, &gate);
    w->spin_gate = status ? 0 : gate[0];
    for (int64_t t = 0; t < s->ntypes && !status; t++) {
        struct dgnn_value item = dgnn_value_item(&s->params.use_spin, t);
        int magnetic;
        status = dgnn_value_bool(&item, &magnetic, l->error);
        if (!status && magnetic && !(row[0][t] > 0)) {
            status = dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, &s->params.spin_channels,
                                       "spin_reference must be positive");
        }
        w->spin_factor[t] = !status && magnetic ? 1 / row[0][t] : 0;
        w->spin_weight[2 * t] = row[1][t];
        w->spin_weight[2 * t + 1] = row[2][t];
    }
    for (int k = 0; k < 3; k++) {
        dgnn_alloc_free(row[k]);
    }
    dgnn_alloc_free(gate);
    return status;
}

static int load_statistics(const struct load *l, const struct dgnn_value *descriptor)
{
    struct dgnn_dpa4c_weights *w = &l->s->weights;
    int64_t n = l->s->shape.dim_out, before = l->s->parameters;
    DGNN_TRY(load_array(l, descriptor, "mean", n, 0, &w->mean));
    DGNN_TRY(load_array(l, descriptor, "stddev", n, 0, &w->deviation));
    l->s->parameters = before;
    for (int64_t k = 0; k < n; k++) {
        if (!(w->deviation[k] > 0)) {
            return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, descriptor, "stddev: all must be positive");
        }
    }
    return DGNN_OK;
}

int dgnn_dpa4c_load_weights(struct dpa4c_settings *s, struct dgnn_error *error)
{
    const struct load l = {s, error};
    struct dgnn_dpa4c_weights *w = &s->weights;
    double scale;
    w->hidden = load_hidden(s->shape.channels);
    DGNN_TRY(load_table(&l, &s->params.type_embedding, s->ntypes + 1, &w->type_table));
    DGNN_TRY(load_basis(&l));
    const struct dgnn_dpa4c_widths widths = {s->params.n_radial, w->hidden, s->shape.channels};
    DGNN_TRY(load_network(&l, &s->params.radial_embedding, &widths, w->radial, &scale));
    if (scale != 1) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &s->params.radial_embedding,
                                 "output_scale must be 1");
    }
    if (s->shape.modes) {
        DGNN_TRY(load_linear(&l, &s->params.radial_mode_head, 0, w->hidden, s->shape.modes, &w->mode));
    }
    DGNN_TRY(load_pairs(&l));
    DGNN_TRY(load_charge(&l));
    DGNN_TRY(load_readout(&l));
    if (s->shape.nspin) {
        DGNN_TRY(load_spins(&l));
    }
    return load_statistics(&l, s->params.readout.parent);
}

void dgnn_dpa4c_free_weights(struct dgnn_dpa4c_weights *w)
{
    double *all[] = {w->type_table,    w->frequency,    w->radial[0],
                     w->radial[1],     w->mode,         w->pair[0],
                     w->pair[1],       w->charge_table, w->charge_spin_table,
                     w->charge[0],     w->charge[1],    w->alignment[1],
                     w->alignment[2],  w->mean,         w->deviation,
                     w->spin_factor,   w->spin_weight,  w->spin_anchor[0],
                     w->spin_anchor[1]};
    for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
        dgnn_alloc_free(all[k]);
    }
    for (int l = 0; l < DGNN_DPA4C_DEGREES; l++) {
        dgnn_alloc_free(w->probe[l]);
    }
    *w = (struct dgnn_dpa4c_weights){0};
}
