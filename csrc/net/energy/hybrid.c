/* hybrid (deepmd/dpmodel/descriptor/hybrid.py): descriptors side by side on one neighbour list, their outputs
 * joined.
 *
 * The list is the hybrid's, at the largest cutoff. A child gets the first sel of each row (of each type,
 * where it tells types apart), not cut at its own cutoff. */
#include <string.h>

#include "geom/graph_part.h"
#include "net/params/params.h"
#include "net/energy/registry.h"

enum { HYBRID_MAX_CHILDREN = 64 };

struct hybrid_params {
#include "net/params/params_fields.h"
#include "net/params/hybrid.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param hybrid_rows[] = {
#define DGNN_PARAM_STRUCT struct hybrid_params
#include "net/params/params_rows.h"
#include "net/params/hybrid.def"
#include "net/params/params_end.h"
};

struct hybrid_child {
    struct dgnn_descriptor *descriptor;
    struct dgnn_descriptor_properties properties;
};

struct hybrid {
    struct dgnn_descriptor_base base;
    int64_t nchild;
    struct hybrid_child *child;
    int32_t ntypes;
    int64_t *sel;                   /* ntypes, or 1 */
    struct dgnn_angle_limit *angle; /* all children's */
    struct dgnn_descriptor_properties properties;
};

/* What an evaluation writes of a child. */
struct hybrid_part {
    const struct hybrid_child *child;
    struct dgnn_descriptor_workspace *workspace;
    struct dgnn_graph_part graph_part;
    struct dgnn_buffer rows;     /* nowned x its dim_out: output, then its gradient */
    struct dgnn_buffer rotation; /* nowned x its dim_rotation x 3, where that is wanted: so too */
};

struct hybrid_workspace {
    int64_t nchild;
    struct hybrid_part part[HYBRID_MAX_CHILDREN];
};

/* ---------------------------------------------------------------- properties */

/* One list for all: it tells types apart only where each child does. */
static void hybrid_join_sel(struct hybrid *h)
{
    struct dgnn_descriptor_properties *all = &h->properties;
    all->nsel = all->mixed_types ? 1 : h->ntypes;
    all->sel = h->sel;
    memset(h->sel, 0, sizeof(*h->sel) * (size_t)all->nsel);
    for (int64_t c = 0; c < h->nchild; c++) {
        const struct dgnn_descriptor_properties *own = &h->child[c].properties;
        int64_t total = 0;
        for (int32_t k = 0; k < own->nsel; k++) {
            total += own->sel[k];
            if (!all->mixed_types && own->sel[k] > h->sel[k]) {
                h->sel[k] = own->sel[k];
            }
        }
        if (all->mixed_types && total > h->sel[0]) {
            h->sel[0] = total;
        }
    }
}

/* A default of charge and spin is one only where all children that take them agree on it. */
static void hybrid_join_charge_spin(struct hybrid *h)
{
    struct dgnn_descriptor_properties *all = &h->properties;
    for (int64_t c = 0; c < h->nchild; c++) {
        const struct dgnn_descriptor_properties *own = &h->child[c].properties;
        if (!own->dim_charge_spin) {
            continue;
        }
        const double *mine = own->default_charge_spin, *theirs = all->default_charge_spin;
        int agree = mine && theirs && mine[0] == theirs[0] && mine[1] == theirs[1];
        all->default_charge_spin = !all->dim_charge_spin || agree ? mine : NULL;
        all->dim_charge_spin = own->dim_charge_spin;
    }
}

static int hybrid_join(struct hybrid *h, struct dgnn_error *error)
{
    struct dgnn_descriptor_properties *all = &h->properties;
    all->dtype = DGNN_DTYPE_FLOAT32;
    all->sums_rows = 1;
    for (int64_t c = 0; c < h->nchild; c++) {
        const struct dgnn_descriptor_properties *own = &h->child[c].properties;
        all->cutoff = own->cutoff > all->cutoff ? own->cutoff : all->cutoff;
        all->mixed_types |= own->mixed_types;
        all->dim_out += own->dim_out;
        all->dim_rotation += own->dim_rotation;
        all->parameters += own->parameters;
        all->dtype = own->dtype == DGNN_DTYPE_FLOAT64 ? own->dtype : all->dtype;
        all->has_message_passing |= own->has_message_passing;
        all->has_message_passing_across_ranks |= own->has_message_passing_across_ranks;
        all->uses_first_type |= own->uses_first_type;
        all->sums_rows &= own->sums_rows;
        all->note = own->note ? own->note : all->note;
        DGNN_TRY(dgnn_registry_join_angles(all, own, &h->angle, error));
    }
    hybrid_join_sel(h);
    hybrid_join_charge_spin(h);
    return DGNN_OK;
}

static void hybrid_properties(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_properties *p)
{
    *p = ((const struct hybrid *)descriptor)->properties;
}

static double hybrid_cost(const struct dgnn_descriptor *descriptor, int64_t n, const double *distance)
{
    const struct hybrid *h = (const struct hybrid *)descriptor;
    double sum = 0;
    for (int64_t c = 0; c < h->nchild; c++) {
        const struct hybrid_child *child = &h->child[c];
        sum += dgnn_descriptor_cost(child->descriptor,
                                    dgnn_descriptor_within(n, distance, child->properties.cutoff), distance);
    }
    return sum;
}

/* ---------------------------------------------------------------- loading */

static void hybrid_free(struct dgnn_descriptor *descriptor)
{
    struct hybrid *h = (struct hybrid *)descriptor;
    for (int64_t c = 0; h->child && c < h->nchild; c++) {
        dgnn_registry_free(h->child[c].descriptor);
    }
    dgnn_alloc_free(h->child);
    dgnn_alloc_free(h->sel);
    dgnn_alloc_free(h->angle);
    dgnn_alloc_free(h);
}

static int hybrid_load_children(const struct dgnn_value *list, const struct dgnn_load_context *context,
                                struct hybrid *h, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_value_list(list, &h->nchild, error));
    if (h->nchild < 1 || h->nchild > HYBRID_MAX_CHILDREN) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, list, "%lld descriptors; expected 1 to %d",
                                 (long long)h->nchild, HYBRID_MAX_CHILDREN);
    }
    h->child = dgnn_alloc_zeroed(h->nchild, sizeof(*h->child));
    h->sel = dgnn_alloc_zeroed(h->ntypes, sizeof(*h->sel));
    if (!h->child || !h->sel) {
        return dgnn_status_no_memory(error, "a hybrid descriptor", h->nchild * (int64_t)sizeof(*h->child));
    }
    for (int64_t c = 0; c < h->nchild; c++) {
        struct hybrid_child *child = &h->child[c];
        struct dgnn_value item = dgnn_value_item(list, c);
        DGNN_TRY(dgnn_registry_load(&item, context, &child->descriptor, error));
        dgnn_descriptor_kind(child->descriptor)->properties(child->descriptor, &child->properties);
        if (child->properties.has_native_spin) {
            return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &item,
                                     "descriptor '%s' takes spins; dgnn does not evaluate it in a hybrid",
                                     dgnn_descriptor_kind(child->descriptor)->type);
        }
    }
    return DGNN_OK;
}

static int hybrid_load_into(const struct dgnn_value *value, const struct dgnn_load_context *context,
                            struct hybrid *h, struct dgnn_error *error)
{
    struct hybrid_params params;
    h->ntypes = context->ntypes;
    DGNN_TRY(
        dgnn_params_load(value, hybrid_rows, sizeof(hybrid_rows) / sizeof(hybrid_rows[0]), &params, error));
    DGNN_TRY(hybrid_load_children(&params.list, context, h, error));
    return hybrid_join(h, error);
}

static int hybrid_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                       struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    struct hybrid *h = dgnn_alloc_zeroed(1, sizeof(*h));
    if (!h) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*h));
    }
    h->base.kind = &dgnn_hybrid;
    int status = hybrid_load_into(value, context, h, error);
    if (status) {
        hybrid_free((struct dgnn_descriptor *)h);
        return status;
    }
    *descriptor = (struct dgnn_descriptor *)h;
    return DGNN_OK;
}

static int hybrid_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                           struct dgnn_error *error)
{
    const struct hybrid *h = (const struct hybrid *)descriptor;
    DGNN_TRY(dgnn_text_add(text, error, "\"list\": ["));
    for (int64_t c = 0; c < h->nchild; c++) {
        const struct dgnn_descriptor *child = h->child[c].descriptor;
        const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(child);
        DGNN_TRY(dgnn_text_add(text, error, "%s{\"type\": \"%s\", ", c ? ", " : "", kind->type));
        DGNN_TRY(kind->describe(child, text, error));
        DGNN_TRY(dgnn_text_add(text, error, "}"));
    }
    return dgnn_text_add(text, error, "]");
}

/* ---------------------------------------------------------------- evaluation */

/* n rows of width numbers, between places whose rows are so many numbers apart. */
static void hybrid_copy(int64_t n, int64_t width, double *to, int64_t to_step, const double *from,
                        int64_t from_step)
{
    for (int64_t i = 0; i < n; i++) {
        memcpy(to + i * to_step, from + i * from_step, sizeof(double) * (size_t)width);
    }
}

static void hybrid_workspace_free(struct dgnn_descriptor_workspace *workspace)
{
    struct hybrid_workspace *w = (struct hybrid_workspace *)workspace;
    for (int64_t c = 0; w && c < w->nchild; c++) {
        struct hybrid_part *part = &w->part[c];
        dgnn_descriptor_kind(part->child->descriptor)->workspace_free(part->workspace);
        dgnn_graph_part_free(&part->graph_part);
        dgnn_buffer_free(&part->rows);
        dgnn_buffer_free(&part->rotation);
    }
    dgnn_alloc_free(w);
}

static int hybrid_workspace_create(const struct dgnn_descriptor *descriptor,
                                   struct dgnn_descriptor_workspace **workspace, struct dgnn_error *error)
{
    const struct hybrid *h = (const struct hybrid *)descriptor;
    struct hybrid_workspace *w = dgnn_alloc_zeroed(1, sizeof(*w));
    int status = w ? DGNN_OK : dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    for (int64_t c = 0; c < h->nchild && !status; c++) {
        const struct dgnn_descriptor *child = h->child[c].descriptor;
        w->part[c].child = &h->child[c];
        w->nchild = c + 1;
        status = dgnn_descriptor_kind(child)->workspace_create(child, &w->part[c].workspace, error);
    }
    if (status) {
        hybrid_workspace_free((struct dgnn_descriptor_workspace *)w);
        return status;
    }
    *workspace = (struct dgnn_descriptor_workspace *)w;
    return DGNN_OK;
}

static int hybrid_build_part(const struct hybrid *h, struct hybrid_part *part,
                             const struct dgnn_evaluation *evaluation, struct dgnn_error *error)
{
    const struct dgnn_graph *graph = evaluation->graph;
    const struct dgnn_descriptor_properties *own = &part->child->properties;
    struct dgnn_graph_part_rules rules = {
        .sel = own->sel, .nsel = own->mixed_types ? 1 : own->nsel, .ntypes = h->ntypes};
    DGNN_TRY(dgnn_buffer_reserve(&part->rows, graph->nowned * own->dim_out * (int64_t)sizeof(double),
                                 "the output of a hybrid's child", error));
    int64_t rotation = evaluation->rotation ? 3 * own->dim_rotation : 0;
    DGNN_TRY(dgnn_buffer_reserve(&part->rotation, graph->nowned * rotation * (int64_t)sizeof(double),
                                 "the rotation matrix of a hybrid's child", error));
    return dgnn_graph_part_build(&part->graph_part, graph, &rules, error);
}

static struct dgnn_evaluation hybrid_evaluation(const struct hybrid_part *part,
                                                const struct dgnn_evaluation *evaluation)
{
    struct dgnn_evaluation own = *evaluation;
    own.graph = &part->graph_part.graph;
    own.rotation = own.rotation_gradient =
        evaluation->rotation && part->child->properties.dim_rotation ? part->rotation.data : NULL;
    own.want_moments &= part->child->properties.has_message_passing;
    own.charge_spin = part->child->properties.dim_charge_spin ? evaluation->charge_spin : NULL;
    return own;
}

static int hybrid_forward_part(struct hybrid_part *part, const struct dgnn_evaluation *evaluation,
                               struct dgnn_error *error)
{
    const struct dgnn_descriptor *child = part->child->descriptor;
    struct dgnn_evaluation own = hybrid_evaluation(part, evaluation);
    return dgnn_descriptor_kind(child)->forward(child, part->workspace, &own, part->rows.data, error);
}

static int hybrid_prepare_part(struct hybrid_part *part, const struct dgnn_evaluation *evaluation,
                               struct dgnn_error *error)
{
    const struct dgnn_descriptor *child = part->child->descriptor;
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(child);
    struct dgnn_evaluation own = hybrid_evaluation(part, evaluation);
    if (!evaluation->row_sums) {
        DGNN_TRY(dgnn_graph_part_prepare(&part->graph_part, 1, dgnn_evaluation_sides(&own), error));
    }
    return kind->prepare(child, part->workspace, &own, error);
}

static int hybrid_prepare(const struct dgnn_descriptor *descriptor,
                          struct dgnn_descriptor_workspace *workspace,
                          const struct dgnn_evaluation *evaluation, struct dgnn_error *error)
{
    const struct hybrid *h = (const struct hybrid *)descriptor;
    struct hybrid_workspace *w = (struct hybrid_workspace *)workspace;
    for (int64_t c = 0; c < w->nchild; c++) {
        DGNN_TRY(hybrid_build_part(h, &w->part[c], evaluation, error));
        DGNN_TRY(hybrid_prepare_part(&w->part[c], evaluation, error));
    }
    return DGNN_OK;
}

/* Each child's rows of the rotation matrix between the whole's and its own: from the whole, or to it. */
static void hybrid_move_rotation(const struct hybrid *h, struct hybrid_workspace *w, int64_t n, double *all,
                                 int from_whole)
{
    int64_t step = 3 * h->properties.dim_rotation;
    for (int64_t c = 0; c < w->nchild && all; c++) {
        int64_t width = 3 * w->part[c].child->properties.dim_rotation;
        double *own = w->part[c].rotation.data;
        if (from_whole) {
            hybrid_copy(n, width, own, width, all, step);
        } else {
            hybrid_copy(n, width, all, step, own, width);
        }
        all += width;
    }
}

static int hybrid_forward(const struct dgnn_descriptor *descriptor,
                          struct dgnn_descriptor_workspace *workspace,
                          const struct dgnn_evaluation *evaluation, double *output, struct dgnn_error *error)
{
    const struct hybrid *h = (const struct hybrid *)descriptor;
    struct hybrid_workspace *w = (struct hybrid_workspace *)workspace;
    int64_t n = evaluation->graph->nowned;
    for (int64_t c = 0; c < w->nchild; c++) {
        struct hybrid_part *part = &w->part[c];
        int64_t dim = part->child->properties.dim_out;
        DGNN_TRY(hybrid_forward_part(part, evaluation, error));
        hybrid_copy(n, dim, output, h->properties.dim_out, part->rows.data, dim);
        output += dim;
    }
    hybrid_move_rotation(h, w, n, evaluation->rotation, 0);
    return DGNN_OK;
}

static int hybrid_backward_part(struct hybrid_part *part, const struct dgnn_evaluation *evaluation,
                                struct dgnn_error *error)
{
    const struct dgnn_descriptor *child = part->child->descriptor;
    struct dgnn_evaluation own = hybrid_evaluation(part, evaluation);
    double *all = evaluation->edge_gradient;
    if (evaluation->row_sums) {
        return dgnn_descriptor_kind(child)->backward(child, part->workspace, &own, part->rows.data, error);
    }
    own.edge_gradient = dgnn_graph_part_begin_gradient(&part->graph_part, all, 1);
    DGNN_TRY(dgnn_descriptor_kind(child)->backward(child, part->workspace, &own, part->rows.data, error));
    dgnn_graph_part_end_gradient(&part->graph_part, own.edge_gradient, 1, all);
    return DGNN_OK;
}

/* Children that exchange go first, and those that may hold such. Their order is that of the sums over edges,
 * so it stays. */
static int hybrid_goes_first(const struct hybrid_part *part)
{
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(part->child->descriptor);
    return part->child->properties.has_message_passing || kind == &dgnn_hybrid || kind->by_chunk;
}

static int hybrid_backward(const struct dgnn_descriptor *descriptor,
                           struct dgnn_descriptor_workspace *workspace,
                           const struct dgnn_evaluation *evaluation, const double *output_gradient,
                           struct dgnn_error *error)
{
    const struct hybrid *h = (const struct hybrid *)descriptor;
    struct hybrid_workspace *w = (struct hybrid_workspace *)workspace;
    for (int64_t c = 0; c < w->nchild; c++) {
        struct hybrid_part *part = &w->part[c];
        int64_t dim = part->child->properties.dim_out;
        hybrid_copy(evaluation->graph->nowned, dim, part->rows.data, dim, output_gradient,
                    h->properties.dim_out);
        output_gradient += dim;
    }
    hybrid_move_rotation(h, w, evaluation->graph->nowned, evaluation->rotation_gradient, 1);
    for (int local = 0; local < 2; local++) {
        for (int64_t c = 0; c < w->nchild; c++) {
            if (hybrid_goes_first(&w->part[c]) != local) {
                DGNN_TRY(hybrid_backward_part(&w->part[c], evaluation, error));
            }
        }
    }
    return DGNN_OK;
}

const struct dgnn_descriptor_kind dgnn_hybrid = {
    .type = "hybrid",
    .load = hybrid_load,
    .free = hybrid_free,
    .properties = hybrid_properties,
    .describe = hybrid_describe,
    .cost = hybrid_cost,
    .workspace_create = hybrid_workspace_create,
    .workspace_free = hybrid_workspace_free,
    .prepare = hybrid_prepare,
    .forward = hybrid_forward,
    .backward = hybrid_backward,
    .runs_on_device = 1, /* if its parts do, which are asked themselves */
};
