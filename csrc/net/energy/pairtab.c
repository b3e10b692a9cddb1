#include "net/energy/pairtab.h"

#include <math.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/text.h"
#include "net/energy/atomic.h"
#include "net/params/params.h"

enum {
    PAIRTAB_SPLINES = 1 << 24, /* the most of a pair of types */
    PAIRTAB_PART = 64          /* centres that a thread does at a time */
};

struct pairtab_params {
#include "net/params/params_fields.h"
#include "net/params/pairtab.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param pairtab_rows[] = {
#define DGNN_PARAM_STRUCT struct pairtab_params
#include "net/params/params_rows.h"
#include "net/params/pairtab.def"
#include "net/params/params_end.h"
};

struct pairtab_table_params {
#include "net/params/params_fields.h"
#include "net/params/objects/pairtab_table.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param pairtab_table_rows[] = {
#define DGNN_PARAM_STRUCT struct pairtab_table_params
#include "net/params/params_rows.h"
#include "net/params/objects/pairtab_table.def"
#include "net/params/params_end.h"
};

struct dgnn_pairtab {
    struct pairtab_params params;
    struct pairtab_table_params splines;
    int32_t ntypes, threads;
    int64_t sel[1];
    double *coefficients; /* ntypes x ntypes x nspline x 4 */
};

/* ---------------------------------------------------------------- loading */

/* n finite numbers of "@variables". */
static int pairtab_load_row(const struct dgnn_value *variables, const char *name, int64_t n, double *out,
                            struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(variables, name);
    struct dgnn_tensor tensor;
    DGNN_TRY(dgnn_params_row(&member, n, &tensor, error));
    dgnn_tensor_to_double(&tensor, out);
    for (int64_t k = 0; k < n; k++) {
        if (!isfinite(out[k])) {
            return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &member, "expected finite numbers");
        }
    }
    return DGNN_OK;
}

static int pairtab_check_counts(const struct dgnn_pairtab *t, const struct dgnn_load_context *context,
                                struct dgnn_error *error)
{
    const struct pairtab_table_params *p = &t->splines;
    const struct dgnn_value *where = &t->params.tab;
    if (!(t->params.rcut > 0 && t->params.rcut < 1e3) || t->params.sel < 1 || t->params.sel > 1 << 24) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "expected rcut in (0, 1000) and sel in [1, 16777216] beside it");
    }
    if (p->ntypes != context->ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "ntypes is not the length of the model's type_map");
    }
    if (!(p->hh > 0 && isfinite(p->hh) && isfinite(p->rmin)) || p->nspline < 1 ||
        p->nspline > PAIRTAB_SPLINES) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "expected a positive hh, a finite rmin and 1 to 16777216 splines");
    }
    return dgnn_params_same_double(&p->rcut, t->params.rcut, "the model's rcut", error);
}

/* What repeats the table's members; vdata has a row for each end of a spline. */
static int pairtab_check_again(const struct dgnn_pairtab *t, const struct dgnn_value *variables,
                               struct dgnn_error *error)
{
    const struct pairtab_table_params *p = &t->splines;
    struct dgnn_value made_of = dgnn_value_member(variables, "vdata"),
                      again = dgnn_value_member(variables, "tab_info");
    const int64_t shape[2] = {p->nspline + 1, 1 + p->ntypes * (p->ntypes + 1) / 2};
    struct dgnn_tensor tensor;
    double info[4];
    if (dgnn_value_kind(&made_of) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_tensor_shaped(&made_of, 2, shape, &tensor, error));
    }
    DGNN_TRY(pairtab_load_row(variables, "tab_info", 4, info, error));
    if (info[0] != p->rmin || info[1] != p->hh || info[2] != (double)p->nspline ||
        info[3] != (double)p->ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &again,
                                 "it is not rmin, hh, nspline and ntypes of the table");
    }
    return DGNN_OK;
}

/* A sum does not use its parts' statistics; they have a model's shape all the same. */
static int pairtab_check_statistics(const struct dgnn_value *value, int32_t ntypes, struct dgnn_error *error)
{
    double *bias = NULL, *spread = NULL;
    int status = dgnn_atomic_load_statistics(value, ntypes, 1, &bias, &spread, error);
    dgnn_alloc_free(bias);
    dgnn_alloc_free(spread);
    return status;
}

static int pairtab_load_into(const struct dgnn_value *value, const struct dgnn_load_context *context,
                             struct dgnn_pairtab *t, struct dgnn_error *error)
{
    struct dgnn_value variables;
    int64_t each = 4 * (int64_t)context->ntypes * context->ntypes, n;
    DGNN_TRY(dgnn_params_load(value, pairtab_rows, sizeof(pairtab_rows) / sizeof(pairtab_rows[0]), &t->params,
                              error));
    DGNN_TRY(dgnn_params_load(&t->params.tab, pairtab_table_rows,
                              sizeof(pairtab_table_rows) / sizeof(pairtab_table_rows[0]), &t->splines,
                              error));
    t->ntypes = context->ntypes;
    t->threads = context->threads;
    DGNN_TRY(pairtab_check_counts(t, context, error));
    DGNN_TRY(pairtab_check_statistics(value, t->ntypes, error));
    t->sel[0] = t->params.sel;
    variables = dgnn_value_member(&t->params.tab, "@variables");
    DGNN_TRY(dgnn_value_object(&variables, error));
    DGNN_TRY(pairtab_check_again(t, &variables, error));
    if (!dgnn_alloc_checked(each, t->splines.nspline, 0, &n)) {
        n = INT64_MAX;
    }
    struct dgnn_value data = dgnn_value_member(&variables, "tab_data");
    struct dgnn_tensor tensor;
    DGNN_TRY(dgnn_params_row(&data, n, &tensor,
                             error)); /* so many are there: the memory is no more than the file's */
    t->coefficients = dgnn_alloc(n, sizeof(double));
    if (!t->coefficients) {
        return dgnn_status_no_memory(error, "a pair table", n * (int64_t)sizeof(double));
    }
    return pairtab_load_row(&variables, "tab_data", n, t->coefficients, error);
}

int dgnn_pairtab_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                      struct dgnn_pairtab **table, struct dgnn_error *error)
{
    struct dgnn_pairtab *t = dgnn_alloc_zeroed(1, sizeof(*t));
    if (!t) {
        return dgnn_status_no_memory(error, "a pair table", sizeof(*t));
    }
    int status = pairtab_load_into(value, context, t, error);
    if (status) {
        dgnn_pairtab_free(t);
        return status;
    }
    *table = t;
    return DGNN_OK;
}

void dgnn_pairtab_free(struct dgnn_pairtab *t)
{
    if (t) {
        dgnn_alloc_free(t->coefficients);
        dgnn_alloc_free(t);
    }
}

/* The sum computes in what its nets compute in: a table has no say in that. */
void dgnn_pairtab_properties(const struct dgnn_pairtab *t, struct dgnn_descriptor_properties *p)
{
    *p = (struct dgnn_descriptor_properties){
        .cutoff = t->params.rcut,
        .mixed_types = 1,
        .nsel = 1,
        .sel = t->sel,
        .dtype = DGNN_DTYPE_FLOAT32,
        .note =
            "The pair table is not smoothed at its cutoff, as in deepmd-kit: energy and force end there with "
            "what they are.",
    };
}

int dgnn_pairtab_describe(const struct dgnn_pairtab *t, struct dgnn_text *text, struct dgnn_error *error)
{
    return dgnn_text_add(text, error,
                         "\"pair_table\": {\"cutoff\": %.17g, \"first\": %.17g, \"step\": %.17g, "
                         "\"splines\": %lld, \"smoothed_at_cutoff\": false}",
                         t->params.rcut, t->splines.rmin, t->splines.hh, (long long)t->splines.nspline);
}

/* ---------------------------------------------------------------- evaluation */

/* The energy of a pair, and its derivative by the distance. */
static double pairtab_pair(const struct dgnn_pairtab *t, int32_t centre, int32_t neighbour, double r,
                           double *slope)
{
    const struct pairtab_table_params *p = &t->splines;
    *slope = 0;
    if (r >= t->params.rcut || r >= p->rmin + (double)p->nspline * p->hh) {
        return 0;
    }
    /* The inverse first, as deepmd-kit: the number of the spline is the same at its ends. */
    double inverse = 1.0 / p->hh, u = (r - p->rmin) * inverse;
    double cut = trunc(u);
    int64_t k = cut<0 ? 0 : cut>(double)(p->nspline - 1) ? p->nspline - 1 : (int64_t)cut;
    const double *a = t->coefficients + 4 * (((int64_t)centre * t->ntypes + neighbour) * p->nspline + k);
    u -= cut;
    *slope = ((3 * a[0] * u + 2 * a[1]) * u + a[2]) * inverse;
    return ((a[0] * u + a[1]) * u + a[2]) * u + a[3];
}

struct pairtab_job {
    const struct dgnn_pairtab *table;
    const struct dgnn_pairtab_input *input;
    double *energy, *edge_gradient;
};

static void pairtab_centre(const struct pairtab_job *job, int64_t i)
{
    const struct dgnn_graph *g = job->input->graph;
    int32_t type = g->type[i];
    double sum = 0, weight = job->input->weight ? job->input->weight[i] : 1;
    int dropped = job->input->dropped[type];
    for (int64_t e = g->first[i]; e < g->first[i + 1] && !dropped; e++) {
        double slope;
        sum += pairtab_pair(job->table, type, g->type[g->neighbour[e]], g->distance[e], &slope);
        for (int c = 0; c < 3 && job->edge_gradient; c++) {
            job->edge_gradient[3 * e + c] += 0.5 * weight * slope * g->vector[3 * e + c] / g->distance[e];
        }
    }
    if (job->energy) {
        job->energy[i] = 0.5 * sum;
    }
}

static void pairtab_part(void *of, int64_t part, int32_t thread)
{
    const struct pairtab_job *job = of;
    int64_t end = dgnn_parallel_end(job->input->graph->nowned, part, PAIRTAB_PART);
    (void)thread;
    for (int64_t i = part * PAIRTAB_PART; i < end; i++) {
        pairtab_centre(job, i);
    }
}

void dgnn_pairtab_evaluate(const struct dgnn_pairtab *t, const struct dgnn_pairtab_input *input,
                           double *energy, double *edge_gradient)
{
    struct pairtab_job job = {t, input, energy, edge_gradient};
    dgnn_parallel_run(t->threads, dgnn_parallel_parts(input->graph->nowned, PAIRTAB_PART), pairtab_part,
                      &job);
}
