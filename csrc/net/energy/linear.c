#include "net/energy/linear.h"

#include <string.h>

#include "base/text.h"
#include "geom/prefix.h"
#include "net/energy/registry.h"
#include "net/params/params.h"

enum { LINEAR_MAX_PARTS = 64 };

struct linear_params {
#include "net/params/params_fields.h"
#include "net/params/linear.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param linear_rows[] = {
#define DGNN_PARAM_STRUCT struct linear_params
#include "net/params/params_rows.h"
#include "net/params/linear.def"
#include "net/params/params_end.h"
};

struct linear_part {
    struct dgnn_atomic *atomic;
    struct dgnn_atomic_properties properties;
    double weight;
    int32_t *type_of; /* ntypes of the sum: the part's type; NULL: the same */
    uint8_t *dropped; /* types of the part */
};

struct dgnn_linear {
    int32_t is_sum; /* 0: the one part is the model itself */
    int32_t ntypes;
    int64_t npart;
    struct linear_part part[LINEAR_MAX_PARTS];
    double *bias;          /* ntypes */
    uint8_t *dropped;      /* ntypes */
    uint8_t *pair_exclude; /* ntypes x ntypes */
    int32_t any_pair;
    int64_t sel[1];
    struct dgnn_angle_limit *angle; /* all parts' */
    struct dgnn_atomic_properties properties;
};

/* What an evaluation writes of a part. */
struct linear_part_workspace {
    const struct linear_part *part;
    struct dgnn_atomic_workspace *atomic;
    struct dgnn_prefix prefix;
};

struct dgnn_linear_workspace {
    const struct dgnn_linear *linear;
    struct linear_part_workspace part[LINEAR_MAX_PARTS];
    struct dgnn_buffer energy; /* nowned: of one part */
};

static int linear_bad(const struct dgnn_value *where, const char *problem, struct dgnn_error *error)
{
    char path[256];
    return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %s", dgnn_value_path(where, path, sizeof(path)),
                           problem);
}

/* ---------------------------------------------------------------- parts */

/* A sum inside a sum, while it is loaded: its parts become parts of the outermost. */
struct linear_level {
    int32_t ntypes;              /* of this level */
    const char *const *type_map; /* its names */
    const int32_t *type_of;      /* outermost ntypes: this level's type */
    double weight;               /* of this level in the outermost */
};

/* The number in names of each type of the level above. */
static int linear_map_types(const struct dgnn_value *list, const struct linear_level *above, int32_t ntypes,
                            const char *const *names, int32_t *type_of, struct dgnn_error *error)
{
    char path[256];
    for (int32_t t = 0; t < above->ntypes; t++) {
        int32_t found = -1;
        for (int32_t k = 0; k < ntypes; k++) {
            found = strcmp(above->type_map[t], names[k]) ? found : k;
        }
        if (found < 0) {
            return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: type '%s' of the whole model is not there",
                                   dgnn_value_path(list, path, sizeof(path)), above->type_map[t]);
        }
        type_of[t] = found;
    }
    return DGNN_OK;
}

static int linear_check_part(const struct dgnn_value *value, const struct linear_part *part,
                             struct dgnn_error *error)
{
    char path[256];
    if (!part->properties.descriptor.mixed_types) {
        return dgnn_status_set(
            error, DGNN_ERROR_UNSUPPORTED,
            "%s: descriptor '%s' tells the types of neighbours apart; deepmd-kit does not evaluate "
            "it in a sum of models either",
            dgnn_value_path(value, path, sizeof(path)), part->properties.descriptor_type);
    }
    if (part->properties.descriptor.has_native_spin) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "%s: descriptor '%s' takes spins; dgnn does not evaluate "
                               "it in a sum of models",
                               dgnn_value_path(value, path, sizeof(path)), part->properties.descriptor_type);
    }
    return DGNN_OK;
}

/* What a part needs to know of the sum's types. */
static int linear_set_types(struct dgnn_linear *l, struct linear_part *part, const struct linear_level *level,
                            struct dgnn_error *error)
{
    int same = level->ntypes == l->ntypes;
    part->dropped = dgnn_alloc_zeroed(level->ntypes, 1);
    part->type_of = dgnn_alloc(l->ntypes, sizeof(*part->type_of));
    if (!part->dropped || !part->type_of) {
        return dgnn_status_no_memory(error, "types of a part", l->ntypes * 5);
    }
    for (int32_t t = 0; t < l->ntypes; t++) {
        part->type_of[t] = level->type_of[t];
        part->dropped[level->type_of[t]] = l->dropped[t];
        same &= level->type_of[t] == t;
    }
    if (same) {
        dgnn_alloc_free(part->type_of);
        part->type_of = NULL;
    }
    return DGNN_OK;
}

static int linear_load_standard(const struct dgnn_value *value, const struct dgnn_load_context *context,
                                const struct linear_level *level, struct dgnn_linear *l,
                                struct dgnn_error *error)
{
    if (l->npart == LINEAR_MAX_PARTS) {
        return linear_bad(value, "more than 64 models are added up", error);
    }
    struct linear_part *part = &l->part[l->npart++];
    part->weight = level->weight;
    DGNN_TRY(dgnn_atomic_load(value, context, &part->atomic, error));
    dgnn_atomic_properties(part->atomic, &part->properties);
    if (!l->is_sum) {
        return DGNN_OK;
    }
    DGNN_TRY(linear_check_part(value, part, error));
    return linear_set_types(l, part, level, error);
}

/* ---------------------------------------------------------------- loading */

static int linear_load_any(const struct dgnn_value *value, const struct dgnn_load_context *context,
                           const struct linear_level *level, struct dgnn_linear *l, struct dgnn_error *error);

/* Fills scratch (above->ntypes + l->ntypes) and goes on a level further in. */
static int linear_load_below(const struct dgnn_value *value, const struct dgnn_load_context *context,
                             const struct linear_level *above, double weight, struct dgnn_linear *l,
                             struct dgnn_error *error)
{
    struct dgnn_value list = dgnn_value_member(value, "type_map");
    struct dgnn_load_context own = *context;
    const char **names;
    DGNN_TRY(dgnn_params_type_map(&list, &own.ntypes, &names, error));
    own.type_map = names;
    int32_t *type_of = dgnn_alloc(above->ntypes + l->ntypes, sizeof(*type_of));
    int status = type_of ? linear_map_types(&list, above, own.ntypes, names, type_of, error)
                         : dgnn_status_no_memory(error, "a type map", (above->ntypes + l->ntypes) * 4);
    if (!status) {
        int32_t *through = type_of + above->ntypes;
        for (int32_t t = 0; t < l->ntypes; t++) {
            through[t] = type_of[above->type_of ? above->type_of[t] : t];
        }
        struct linear_level level = {own.ntypes, names, through, above->weight * weight};
        status = linear_load_any(value, &own, &level, l, error);
    }
    dgnn_alloc_free(type_of);
    dgnn_alloc_free(names);
    return status;
}

/* The weight of model k of n. */
static int linear_weight(const struct dgnn_value *weights, int64_t k, int64_t n, double *weight,
                         struct dgnn_error *error)
{
    enum dgnn_value_kind kind = dgnn_value_kind(weights);
    const char *name = "mean";
    int64_t count;
    if (kind == DGNN_VALUE_LIST) {
        struct dgnn_value item = dgnn_value_item(weights, k);
        DGNN_TRY(dgnn_value_list(weights, &count, error));
        return count == n ? dgnn_value_double(&item, weight, error)
                          : linear_bad(weights, "expected one weight for each model", error);
    }
    if (kind != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(weights, &name, error));
    }
    *weight = strcmp(name, "mean") ? 1 : 1.0 / (double)n;
    return !strcmp(name, "mean") || !strcmp(name, "sum")
               ? DGNN_OK
               : linear_bad(weights, "expected \"sum\", \"mean\" or a list of numbers", error);
}

static int linear_load_models(const struct linear_params *params, const struct dgnn_load_context *context,
                              const struct linear_level *level, struct dgnn_linear *l,
                              struct dgnn_error *error)
{
    int64_t count;
    double weight;
    DGNN_TRY(dgnn_value_list(&params->models, &count, error));
    if (count < 1) {
        return linear_bad(&params->models, "expected at least one model", error);
    }
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(&params->models, k);
        DGNN_TRY(linear_weight(&params->weights, k, count, &weight, error));
        DGNN_TRY(linear_load_below(&item, context, level, weight, l, error));
    }
    return DGNN_OK;
}

static int linear_load_sum(const struct dgnn_value *value, const struct dgnn_load_context *context,
                           const struct linear_level *level, struct dgnn_linear *l, struct dgnn_error *error)
{
    struct linear_params params;
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    DGNN_TRY(dgnn_value_object(&variables, error)); /* without it deepmd-kit makes a bias of the parts' */
    DGNN_TRY(
        dgnn_params_load(value, linear_rows, sizeof(linear_rows) / sizeof(linear_rows[0]), &params, error));
    if (!l->is_sum) { /* the outermost: bias and exclusions of sums inside it do not count, as in deepmd-kit
                       */
        l->is_sum = 1;
        DGNN_TRY(dgnn_atomic_load_bias(value, l->ntypes, &l->bias, error));
        DGNN_TRY(dgnn_atomic_load_dropped(&params.atom_exclude_types, l->ntypes, &l->dropped, error));
        DGNN_TRY(
            dgnn_params_pairs(&params.pair_exclude_types, l->ntypes, &l->pair_exclude, &l->any_pair, error));
    }
    return linear_load_models(&params, context, level, l, error);
}

static int linear_load_any(const struct dgnn_value *value, const struct dgnn_load_context *context,
                           const struct linear_level *level, struct dgnn_linear *l, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, "type");
    const char *type;
    char path[256];
    DGNN_TRY(dgnn_value_object(value, error));
    DGNN_TRY(dgnn_value_string(&member, &type, error));
    if (!strcmp(type, "standard") || (!strcmp(type, "native_spin") && !l->is_sum)) {
        return linear_load_standard(value, context, level, l, error);
    }
    if (!strcmp(type, "linear") || !strcmp(type, "linear_ener")) {
        return linear_load_sum(value, context, level, l, error);
    }
    return dgnn_status_set(
        error, DGNN_ERROR_UNSUPPORTED,
        "%s: models of type '%s' are not supported; supported: standard, linear_ener, spin_ener, "
        "native_spin (not in a sum)",
        dgnn_value_path(&member, path, sizeof(path)), type);
}

/* ---------------------------------------------------------------- properties */

/* One input for all parts: those that take it must agree on its width, and on a default for there to be one.
 */
static int linear_join_input(int64_t width, int64_t *all, const double *preset, const double **all_preset)
{
    int agree = preset && *all_preset && width == *all &&
                !memcmp(preset, *all_preset, sizeof(double) * (size_t)width);
    int64_t before = *all;
    if (!width) {
        return 1;
    }
    *all_preset = !before || agree ? preset : NULL;
    *all = width;
    return !before || before == width;
}

static int linear_join_inputs(struct dgnn_linear *l, const struct linear_part *part)
{
    struct dgnn_descriptor_properties *d = &l->properties.descriptor;
    struct dgnn_fitting_properties *f = &l->properties.fitting;
    const struct dgnn_descriptor_properties *own = &part->properties.descriptor;
    const struct dgnn_fitting_properties *fit = &part->properties.fitting;
    const double *none = NULL;
    int64_t width = d->dim_charge_spin;
    int good =
        linear_join_input(fit->dim_fparam, &f->dim_fparam, fit->default_fparam, &f->default_fparam) &&
        linear_join_input(fit->dim_aparam, &f->dim_aparam, NULL, &none) &&
        linear_join_input(own->dim_charge_spin, &width, own->default_charge_spin, &d->default_charge_spin);
    d->dim_charge_spin = (int32_t)width;
    return good;
}

static int linear_join_descriptor(struct dgnn_linear *l, const struct linear_part *part,
                                  struct dgnn_error *error)
{
    struct dgnn_descriptor_properties *all = &l->properties.descriptor;
    const struct dgnn_descriptor_properties *own = &part->properties.descriptor;
    all->cutoff = own->cutoff > all->cutoff ? own->cutoff : all->cutoff;
    l->sel[0] = own->sel[0] > l->sel[0] ? own->sel[0] : l->sel[0];
    all->parameters += own->parameters;
    all->dtype = own->dtype == DGNN_DTYPE_FLOAT64 ? own->dtype : all->dtype;
    all->has_message_passing |= own->has_message_passing;
    all->has_message_passing_across_ranks |= own->has_message_passing_across_ranks;
    all->has_graph_form &= own->has_graph_form && !part->type_of;
    all->uses_first_type |= own->uses_first_type;
    l->properties.fitting.parameters += part->properties.fitting.parameters;
    return dgnn_registry_join_angles(all, own, &l->angle, error);
}

static int linear_join(const struct dgnn_value *value, struct dgnn_linear *l, struct dgnn_error *error)
{
    if (!l->is_sum) {
        l->properties = l->part[0].properties;
        return DGNN_OK;
    }
    struct dgnn_atomic_properties *all = &l->properties;
    *all = (struct dgnn_atomic_properties){
        .descriptor =
            {.mixed_types = 1, .nsel = 1, .sel = l->sel, .dtype = DGNN_DTYPE_FLOAT32, .has_graph_form = 1},
        .descriptor_type = "linear",
    };
    for (int64_t k = 0; k < l->npart; k++) {
        DGNN_TRY(linear_join_descriptor(l, &l->part[k], error));
        if (!linear_join_inputs(l, &l->part[k])) {
            return linear_bad(value, "its models disagree on the widths of fparam, aparam or charge_spin",
                              error);
        }
    }
    l->any_pair |= dgnn_atomic_exclude_idle(&all->descriptor, l->ntypes, l->dropped, l->pair_exclude);
    all->pair_exclude = l->any_pair ? l->pair_exclude : NULL;
    return DGNN_OK;
}

void dgnn_linear_properties(const struct dgnn_linear *l, struct dgnn_atomic_properties *properties)
{
    *properties = l->properties;
}

double dgnn_linear_work(const struct dgnn_linear *l, int64_t n, const double *distance)
{
    double sum = 0;
    for (int64_t p = 0; p < l->npart; p++) {
        double cutoff = l->part[p].properties.descriptor.cutoff;
        sum += dgnn_atomic_work(l->part[p].atomic, dgnn_descriptor_within(n, distance, cutoff), distance);
    }
    return sum;
}

int dgnn_linear_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_linear **linear, struct dgnn_error *error)
{
    struct dgnn_linear *l = dgnn_alloc_zeroed(1, sizeof(*l));
    if (!l) {
        return dgnn_status_no_memory(error, "a model", sizeof(*l));
    }
    struct linear_level outermost = {context->ntypes, context->type_map, NULL, 1};
    l->ntypes = context->ntypes;
    int status = linear_load_any(value, context, &outermost, l, error);
    status = status ? status : linear_join(value, l, error);
    if (status) {
        dgnn_linear_free(l);
        return status;
    }
    *linear = l;
    return DGNN_OK;
}

void dgnn_linear_free(struct dgnn_linear *l)
{
    if (!l) {
        return;
    }
    for (int64_t k = 0; k < l->npart; k++) {
        dgnn_atomic_free(l->part[k].atomic);
        dgnn_alloc_free(l->part[k].type_of);
        dgnn_alloc_free(l->part[k].dropped);
    }
    dgnn_alloc_free(l->bias);
    dgnn_alloc_free(l->angle);
    dgnn_alloc_free(l->dropped);
    dgnn_alloc_free(l->pair_exclude);
    dgnn_alloc_free(l);
}

int dgnn_linear_describe(const struct dgnn_linear *l, struct dgnn_text *text, struct dgnn_error *error)
{
    if (!l->is_sum) {
        return dgnn_atomic_describe(l->part[0].atomic, text, error);
    }
    DGNN_TRY(dgnn_text_add(text, error, "\"descriptor\": {\"type\": \"linear\", \"models\": ["));
    for (int64_t k = 0; k < l->npart; k++) {
        DGNN_TRY(dgnn_text_add(text, error, "%s{\"weight\": %.17g, ", k ? ", " : "", l->part[k].weight));
        DGNN_TRY(dgnn_atomic_describe(l->part[k].atomic, text, error));
        DGNN_TRY(dgnn_text_add(text, error, "}"));
    }
    return dgnn_text_add(text, error, "]}");
}

/* ---------------------------------------------------------------- evaluation */

void dgnn_linear_workspace_free(struct dgnn_linear_workspace *w)
{
    if (!w) {
        return;
    }
    for (int64_t k = 0; k < w->linear->npart; k++) {
        dgnn_atomic_workspace_free(w->part[k].atomic);
        dgnn_prefix_free(&w->part[k].prefix);
    }
    dgnn_buffer_free(&w->energy);
    dgnn_alloc_free(w);
}

int dgnn_linear_workspace_create(const struct dgnn_linear *l, struct dgnn_linear_workspace **workspace,
                                 struct dgnn_error *error)
{
    struct dgnn_linear_workspace *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->linear = l;
    for (int64_t k = 0; k < l->npart; k++) {
        w->part[k].part = &l->part[k];
        int status = dgnn_atomic_workspace_create(l->part[k].atomic, &w->part[k].atomic, error);
        if (status) {
            dgnn_linear_workspace_free(w);
            return status;
        }
    }
    *workspace = w;
    return DGNN_OK;
}

static int linear_build_part(const struct dgnn_linear *l, struct linear_part_workspace *p,
                             const struct dgnn_graph *graph, struct dgnn_error *error)
{
    const struct linear_part *part = p->part;
    const struct dgnn_descriptor_properties *own = &part->properties.descriptor;
    struct dgnn_prefix_rules rules = {.nsel = 1, .type_of = part->type_of, .ntypes = l->ntypes};
    if (graph->dense) {
        rules.sel = own->sel;
        rules.cutoff = own->cutoff;
    }
    return dgnn_prefix_build(&p->prefix, graph, &rules, error);
}

/* What a part sees of the whole's evaluation. */
static struct dgnn_evaluation linear_evaluation(const struct linear_part_workspace *p,
                                                const struct dgnn_evaluation *evaluation)
{
    struct dgnn_evaluation own = *evaluation;
    own.graph = &p->prefix.graph;
    own.want_moments &= p->part->properties.descriptor.has_message_passing;
    own.charge_spin = p->part->properties.descriptor.dim_charge_spin ? evaluation->charge_spin : NULL;
    return own;
}

int dgnn_linear_prepare(struct dgnn_linear_workspace *w, const struct dgnn_evaluation *evaluation,
                        struct dgnn_error *error)
{
    const struct dgnn_linear *l = w->linear;
    const struct dgnn_graph *graph = evaluation->graph;
    if (!l->is_sum) {
        return dgnn_atomic_prepare(w->part[0].atomic, evaluation, error);
    }
    DGNN_TRY(
        dgnn_buffer_reserve(&w->energy, graph->nowned * (int64_t)sizeof(double), "a part's energies", error));
    for (int64_t k = 0; k < l->npart; k++) {
        struct linear_part_workspace *p = &w->part[k];
        DGNN_TRY(linear_build_part(l, p, graph, error));
        struct dgnn_evaluation own = linear_evaluation(p, evaluation);
        DGNN_TRY(dgnn_prefix_prepare(&p->prefix, p->part->weight, dgnn_evaluation_sides(&own), error));
        DGNN_TRY(dgnn_atomic_prepare(p->atomic, &own, error));
    }
    return DGNN_OK;
}

/* energy: of the part, not weighted; its weighted gradient is added to evaluation's. deepmd-kit adds the
 * part's own bias in graph semantics only. */
static int linear_evaluate_part(struct linear_part_workspace *p, const struct dgnn_evaluation *evaluation,
                                const struct dgnn_atomic_input *input, double *energy,
                                struct dgnn_error *error)
{
    const struct linear_part *part = p->part;
    const struct dgnn_fitting_properties *f = &part->properties.fitting;
    struct dgnn_evaluation own = linear_evaluation(p, evaluation);
    struct dgnn_atomic_input own_input = {.fparam = f->dim_fparam ? input->fparam : NULL,
                                          .aparam = f->dim_aparam ? input->aparam : NULL,
                                          .without_bias = evaluation->graph->dense,
                                          .dropped = part->dropped};
    double *all = evaluation->edge_gradient;
    if (evaluation->want_gradient) {
        own.edge_gradient = dgnn_prefix_begin_gradient(&p->prefix, all, part->weight);
    }
    DGNN_TRY(dgnn_atomic_evaluate(p->atomic, &own, &own_input, energy, error));
    if (evaluation->want_gradient) {
        dgnn_prefix_end_gradient(&p->prefix, own.edge_gradient, part->weight, all);
    }
    return DGNN_OK;
}

/* The parts that pass messages, or those that do not. */
static int linear_add_parts(struct dgnn_linear_workspace *w, int passing,
                            const struct dgnn_evaluation *evaluation, const struct dgnn_atomic_input *input,
                            double *energy, struct dgnn_error *error)
{
    const double *own = w->energy.data;
    for (int64_t k = 0; k < w->linear->npart; k++) {
        const struct linear_part *part = w->part[k].part;
        if (part->properties.descriptor.has_message_passing != passing) {
            continue;
        }
        DGNN_TRY(linear_evaluate_part(&w->part[k], evaluation, input, w->energy.data, error));
        for (int64_t i = 0; i < evaluation->graph->nowned; i++) {
            energy[i] += part->weight * own[i];
        }
    }
    return DGNN_OK;
}

int dgnn_linear_evaluate(struct dgnn_linear_workspace *w, const struct dgnn_evaluation *evaluation,
                         const struct dgnn_atomic_input *input, double *energy, struct dgnn_error *error)
{
    const struct dgnn_linear *l = w->linear;
    const struct dgnn_graph *graph = evaluation->graph;
    if (!l->is_sum) {
        return dgnn_atomic_evaluate(w->part[0].atomic, evaluation, input, energy, error);
    }
    for (int64_t i = 0; i < graph->nowned; i++) {
        energy[i] = l->dropped[graph->type[i]] ? 0 : l->bias[graph->type[i]];
    }
    /* Those that exchange go first: what fails after them keeps no other rank waiting. */
    DGNN_TRY(linear_add_parts(w, 1, evaluation, input, energy, error));
    return linear_add_parts(w, 0, evaluation, input, energy, error);
}
