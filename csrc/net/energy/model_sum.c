#include "net/energy/model_sum.h"

#include <string.h>

#include "base/text.h"
#include "geom/graph_part.h"
#include "net/energy/model_sum_parts.h"
#include "net/energy/registry.h"

/* What an evaluation writes of a part. */
struct model_sum_workspace_part {
    const struct dgnn_model_sum_part *part;
    struct dgnn_atomic_workspace *atomic; /* NULL: it is a table */
    struct dgnn_graph_part graph_part;
};

struct dgnn_model_sum_workspace {
    const struct dgnn_model_sum *sum;
    struct model_sum_workspace_part part[DGNN_MODEL_SUM_MAX_PARTS];
    struct dgnn_buffer energy;  /* nowned: of one part */
    struct dgnn_buffer weights; /* of a zbl: nowned of the table's energies, and of each part's weight */
};

/* ---------------------------------------------------------------- properties */

/* One input for all parts: those that take it must agree on its width, and on a default for there to be one.
 */
static int model_sum_join_input(int64_t width, int64_t *all, const double *preset, const double **all_preset)
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

static int model_sum_join_inputs(struct dgnn_model_sum *l, const struct dgnn_model_sum_part *part)
{
    struct dgnn_descriptor_properties *d = &l->properties.descriptor;
    struct dgnn_fitting_properties *f = &l->properties.fitting;
    const struct dgnn_descriptor_properties *own = &part->properties.descriptor;
    const struct dgnn_fitting_properties *fit = &part->properties.fitting;
    const double *none = NULL;
    int64_t width = d->dim_charge_spin;
    int good =
        model_sum_join_input(fit->dim_fparam, &f->dim_fparam, fit->default_fparam, &f->default_fparam) &&
        model_sum_join_input(fit->dim_aparam, &f->dim_aparam, NULL, &none) &&
        model_sum_join_input(own->dim_charge_spin, &width, own->default_charge_spin, &d->default_charge_spin);
    d->dim_charge_spin = (int32_t)width;
    return good;
}

static int model_sum_join_descriptor(struct dgnn_model_sum *l, const struct dgnn_model_sum_part *part,
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
    all->sums_rows &= own->sums_rows;
    all->note = own->note ? own->note : all->note;
    l->properties.fitting.parameters += part->properties.fitting.parameters;
    return dgnn_registry_join_angles(all, own, &l->angle, error);
}

static int model_sum_join(const struct dgnn_value *value, struct dgnn_model_sum *l, struct dgnn_error *error)
{
    if (!l->is_sum) {
        l->properties = l->part[0].properties;
        return DGNN_OK;
    }
    struct dgnn_atomic_properties *all = &l->properties;
    *all = (struct dgnn_atomic_properties){
        .descriptor = {.mixed_types = 1,
                       .nsel = 1,
                       .sel = l->sel,
                       .dtype = DGNN_DTYPE_FLOAT32,
                       .has_graph_form = 1,
                       .sums_rows = 1},
        .fitting = {.output = DGNN_OUTPUT_ENERGY, .nseed = 1, .width = 1, .name = "energy"},
        .descriptor_type = "linear",
        .dropped = l->dropped,
    };
    for (int64_t k = 0; k < l->npart; k++) {
        DGNN_TRY(model_sum_join_descriptor(l, &l->part[k], error));
        if (!model_sum_join_inputs(l, &l->part[k])) {
            return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                     "its models disagree on the widths of fparam, aparam or charge_spin");
        }
    }
    int has_net = 0;
    for (int64_t k = 0; k < l->npart; k++) {
        has_net |= l->part[k].atomic != NULL;
    }
    all->descriptor.dtype = has_net ? all->descriptor.dtype : DGNN_DTYPE_FLOAT64;
    l->any_pair |= dgnn_atomic_exclude_idle(&all->descriptor, l->ntypes, l->dropped, l->pair_exclude);
    all->pair_exclude = l->any_pair ? l->pair_exclude : NULL;
    return DGNN_OK;
}

void dgnn_model_sum_properties(const struct dgnn_model_sum *l, struct dgnn_atomic_properties *properties)
{
    *properties = l->properties;
}

double dgnn_model_sum_cost(const struct dgnn_model_sum *l, int64_t n, const double *distance)
{
    double sum = 0;
    for (int64_t p = 0; p < l->npart; p++) {
        double cutoff = l->part[p].properties.descriptor.cutoff;
        int64_t near = dgnn_descriptor_within(n, distance, cutoff);
        sum += l->part[p].table ? 32.0 * (double)near : dgnn_atomic_cost(l->part[p].atomic, near, distance);
    }
    return sum;
}

int dgnn_model_sum_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                        struct dgnn_model_sum **sum, struct dgnn_error *error)
{
    struct dgnn_model_sum *l = dgnn_alloc_zeroed(1, sizeof(*l));
    if (!l) {
        return dgnn_status_no_memory(error, "a model", sizeof(*l));
    }
    l->ntypes = context->ntypes;
    int status = dgnn_model_sum_load_parts(value, context, l, error);
    status = status ? status : model_sum_join(value, l, error);
    if (status) {
        dgnn_model_sum_free(l);
        return status;
    }
    *sum = l;
    return DGNN_OK;
}

void dgnn_model_sum_free(struct dgnn_model_sum *l)
{
    if (!l) {
        return;
    }
    for (int64_t k = 0; k < l->npart; k++) {
        dgnn_atomic_free(l->part[k].atomic);
        dgnn_pairtab_free(l->part[k].table);
        dgnn_alloc_free(l->part[k].type_of);
        dgnn_alloc_free(l->part[k].dropped);
    }
    dgnn_alloc_free(l->bias);
    dgnn_alloc_free(l->spread);
    dgnn_alloc_free(l->angle);
    dgnn_alloc_free(l->dropped);
    dgnn_alloc_free(l->pair_exclude);
    dgnn_alloc_free(l);
}

int dgnn_model_sum_describe(const struct dgnn_model_sum *l, struct dgnn_text *text, struct dgnn_error *error)
{
    if (!l->is_sum) {
        return dgnn_atomic_describe(l->part[0].atomic, text, error);
    }
    DGNN_TRY(dgnn_text_add(text, error, "\"descriptor\": {\"type\": \"%s\", ", l->is_zbl ? "zbl" : "linear"));
    if (l->is_zbl) {
        DGNN_TRY(dgnn_text_add(text, error,
                               "\"switched_from\": %.17g, \"switched_to\": %.17g, \"softness\": %.17g, ",
                               l->zbl.rmin, l->zbl.rmax, l->zbl.alpha));
    }
    DGNN_TRY(dgnn_text_add(text, error, "\"models\": ["));
    for (int64_t k = 0; k < l->npart; k++) {
        DGNN_TRY(dgnn_text_add(text, error, "%s{\"weight\": %.17g, ", k ? ", " : "", l->part[k].weight));
        DGNN_TRY(l->part[k].table ? dgnn_pairtab_describe(l->part[k].table, text, error)
                                  : dgnn_atomic_describe(l->part[k].atomic, text, error));
        DGNN_TRY(dgnn_text_add(text, error, "}"));
    }
    return dgnn_text_add(text, error, "]}");
}

/* ---------------------------------------------------------------- evaluation */

void dgnn_model_sum_workspace_free(struct dgnn_model_sum_workspace *w)
{
    if (!w) {
        return;
    }
    for (int64_t k = 0; k < w->sum->npart; k++) {
        dgnn_atomic_workspace_free(w->part[k].atomic);
        dgnn_graph_part_free(&w->part[k].graph_part);
    }
    dgnn_buffer_free(&w->energy);
    dgnn_buffer_free(&w->weights);
    dgnn_alloc_free(w);
}

int dgnn_model_sum_workspace_create(const struct dgnn_model_sum *l,
                                    struct dgnn_model_sum_workspace **workspace, struct dgnn_error *error)
{
    struct dgnn_model_sum_workspace *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->sum = l;
    for (int64_t k = 0; k < l->npart; k++) {
        w->part[k].part = &l->part[k];
        int status = l->part[k].atomic
                         ? dgnn_atomic_workspace_create(l->part[k].atomic, &w->part[k].atomic, error)
                         : DGNN_OK;
        if (status) {
            dgnn_model_sum_workspace_free(w);
            return status;
        }
    }
    *workspace = w;
    return DGNN_OK;
}

static int model_sum_build_part(const struct dgnn_model_sum *l, struct model_sum_workspace_part *p,
                                const struct dgnn_graph *graph, struct dgnn_error *error)
{
    const struct dgnn_model_sum_part *part = p->part;
    const struct dgnn_descriptor_properties *own = &part->properties.descriptor;
    struct dgnn_graph_part_rules rules = {.nsel = 1, .type_of = part->type_of, .ntypes = l->ntypes};
    if (graph->dense) {
        rules.sel = own->sel;
        rules.cutoff = own->cutoff;
    }
    return dgnn_graph_part_build(&p->graph_part, graph, &rules, error);
}

/* What a part sees of the whole's evaluation. */
static struct dgnn_evaluation model_sum_evaluation(const struct model_sum_workspace_part *p,
                                                   const struct dgnn_evaluation *evaluation)
{
    struct dgnn_evaluation own = *evaluation;
    own.graph = &p->graph_part.graph;
    own.want_moments &= p->part->properties.descriptor.has_message_passing;
    own.charge_spin = p->part->properties.descriptor.dim_charge_spin ? evaluation->charge_spin : NULL;
    return own;
}

int dgnn_model_sum_prepare(struct dgnn_model_sum_workspace *w, const struct dgnn_evaluation *evaluation,
                           struct dgnn_error *error)
{
    const struct dgnn_model_sum *l = w->sum;
    const struct dgnn_graph *graph = evaluation->graph;
    if (!l->is_sum) {
        return dgnn_atomic_prepare(w->part[0].atomic, evaluation, error);
    }
    DGNN_TRY(
        dgnn_buffer_reserve(&w->energy, graph->nowned * (int64_t)sizeof(double), "a part's energies", error));
    DGNN_TRY(dgnn_buffer_reserve(&w->weights, l->is_zbl ? 3 * graph->nowned * (int64_t)sizeof(double) : 0,
                                 "the parts' weights", error));
    for (int64_t k = 0; k < l->npart; k++) {
        struct model_sum_workspace_part *p = &w->part[k];
        DGNN_TRY(model_sum_build_part(l, p, graph, error));
        struct dgnn_evaluation own = model_sum_evaluation(p, evaluation);
        if (!evaluation->row_sums) {
            DGNN_TRY(
                dgnn_graph_part_prepare(&p->graph_part, p->part->weight, dgnn_evaluation_sides(&own), error));
        }
        DGNN_TRY(p->atomic ? dgnn_atomic_prepare(p->atomic, &own, error) : DGNN_OK);
    }
    return DGNN_OK;
}

/* energy: of the part, not weighted; its weighted gradient is added to evaluation's. weight: of each atom, or
 * NULL. deepmd-kit adds the part's own bias in graph semantics only. */
static int model_sum_evaluate_part(struct model_sum_workspace_part *p,
                                   const struct dgnn_evaluation *evaluation,
                                   const struct dgnn_atomic_input *input, const double *weight,
                                   double *energy, struct dgnn_error *error)
{
    const struct dgnn_model_sum_part *part = p->part;
    const struct dgnn_fitting_properties *f = &part->properties.fitting;
    struct dgnn_evaluation own = model_sum_evaluation(p, evaluation);
    struct dgnn_atomic_input own_input = {.fparam = f->dim_fparam ? input->fparam : NULL,
                                          .aparam = f->dim_aparam ? input->aparam : NULL,
                                          .without_bias = evaluation->graph->dense,
                                          .dropped = part->dropped,
                                          .weight = weight};
    double *all = evaluation->edge_gradient;
    struct dgnn_row_sums sums;
    int by_edges = evaluation->want_gradient && !evaluation->row_sums;
    if (by_edges) {
        own.edge_gradient = dgnn_graph_part_begin_gradient(&p->graph_part, all, part->weight);
    }
    if (evaluation->row_sums) {
        sums = *evaluation->row_sums;
        sums.factor *= part->weight;
        own.row_sums = &sums;
    }
    if (part->table) {
        struct dgnn_pairtab_input pairs = {&p->graph_part.graph, part->dropped, weight};
        dgnn_pairtab_evaluate(part->table, &pairs, energy,
                              evaluation->want_gradient ? own.edge_gradient : NULL);
    } else {
        DGNN_TRY(dgnn_atomic_evaluate(p->atomic, &own, &own_input, energy, error));
    }
    if (by_edges) {
        dgnn_graph_part_end_gradient(&p->graph_part, own.edge_gradient, part->weight, all);
    }
    return DGNN_OK;
}

/* The parts that pass messages, or those that do not. */
static int model_sum_add_parts(struct dgnn_model_sum_workspace *w, int passing,
                               const struct dgnn_evaluation *evaluation,
                               const struct dgnn_atomic_input *input, double *energy,
                               struct dgnn_error *error)
{
    const double *own = w->energy.data;
    for (int64_t k = 0; k < w->sum->npart; k++) {
        const struct dgnn_model_sum_part *part = w->part[k].part;
        if (part->properties.descriptor.has_message_passing != passing) {
            continue;
        }
        DGNN_TRY(model_sum_evaluate_part(&w->part[k], evaluation, input, NULL, w->energy.data, error));
        for (int64_t i = 0; i < evaluation->graph->nowned; i++) {
            energy[i] += part->weight * own[i];
        }
    }
    return DGNN_OK;
}

/* (1 - c) E_net + c E_table, where c goes by the distances. The table's energies come first, without
 * messages; its gradient and that of c come after the net's, whose exchange no other rank then waits for. */
static int model_sum_add_zbl(struct dgnn_model_sum_workspace *w, const struct dgnn_evaluation *evaluation,
                             const struct dgnn_atomic_input *input, double *energy, struct dgnn_error *error)
{
    const struct dgnn_model_sum *l = w->sum;
    struct model_sum_workspace_part *net = &w->part[0], *table = &w->part[1], *list = &w->part[l->zbl.part];
    int64_t n = evaluation->graph->nowned;
    double *of_net = w->energy.data, *of_table = w->weights.data, *for_net = of_table + n,
           *for_table = for_net + n;
    struct dgnn_pairtab_input pairs = {&table->graph_part.graph, table->part->dropped, NULL};
    dgnn_pairtab_evaluate(table->part->table, &pairs, of_table, NULL);
    dgnn_zbl_weights(&l->zbl, &list->graph_part.graph, for_table);
    for (int64_t i = 0; i < n; i++) {
        for_net[i] = 1 - for_table[i];
    }
    DGNN_TRY(model_sum_evaluate_part(net, evaluation, input, for_net, of_net, error));
    for (int64_t i = 0; i < n; i++) {
        energy[i] += for_net[i] * of_net[i] + for_table[i] * of_table[i];
        for_net[i] =
            l->dropped[evaluation->graph->type[i]] ? 0 : of_table[i] - of_net[i]; /* dE/dc from here on */
    }
    if (!evaluation->want_gradient) {
        return DGNN_OK;
    }
    DGNN_TRY(model_sum_evaluate_part(table, evaluation, input, for_table, of_table, error));
    double *gradient = dgnn_graph_part_begin_gradient(&list->graph_part, evaluation->edge_gradient, 1);
    dgnn_zbl_backward(&l->zbl, &list->graph_part.graph, for_net, gradient);
    dgnn_graph_part_end_gradient(&list->graph_part, gradient, 1, evaluation->edge_gradient);
    return DGNN_OK;
}

int dgnn_model_sum_evaluate(struct dgnn_model_sum_workspace *w, const struct dgnn_evaluation *evaluation,
                            const struct dgnn_atomic_input *input, double *output, struct dgnn_error *error)
{
    const struct dgnn_model_sum *l = w->sum;
    const struct dgnn_graph *graph = evaluation->graph;
    if (!l->is_sum) {
        return dgnn_atomic_evaluate(w->part[0].atomic, evaluation, input, output, error);
    }
    for (int64_t i = 0; i < graph->nowned; i++) {
        output[i] = l->dropped[graph->type[i]] ? 0 : l->bias[graph->type[i]];
    }
    if (l->is_zbl) {
        return model_sum_add_zbl(w, evaluation, input, output, error);
    }
    /* Those that exchange go first: what fails after them keeps no other rank waiting. */
    DGNN_TRY(model_sum_add_parts(w, 1, evaluation, input, output, error));
    return model_sum_add_parts(w, 0, evaluation, input, output, error);
}
