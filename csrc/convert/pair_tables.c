#include "convert/pair_tables.h"

#include <math.h>
#include <stdio.h>

static const char pair_table[] =
    "{'@class': 'Model', '@version': 2, 'type': 'pairtab', 'type_map': $type_map$, 'atom_exclude_types': [], "
    "'pair_exclude_types': [], 'rcond': null, 'preset_out_bias': null, "
    "'@variables': {'out_bias': ^out_bias^, 'out_std': ^out_std^}, 'rcut': $rcut$, 'sel': $sel$, "
    "'tab': {'@class': 'PairTab', '@version': 1, 'rmin': $rmin$, 'rmax': $rmax$, 'hh': $hh$, "
    "'ntypes': $table_types$, 'rcut': $rcut$, 'nspline': $nspline$, '@variables': {"
    "'tab_info': ^tab_info^, 'tab_data': !tab_data!, 'vdata': "
    "{'@class': 'np.ndarray', 'dtype': 'float64', 'value': [";

enum {
    PAIR_TABLE_TYPES = 1 << 12,  /* the most types: their pairs' numbers fit into 64 bits */
    PAIR_TABLE_SPLINES = 1 << 24 /* the most of a pair of types, as where they are evaluated */
};

struct pair_table {
    double rmin, hh;
    int64_t nspline, ntypes;
    double *coefficients; /* ntypes x ntypes x nspline x 4, highest power first; owned */
};

/* A tensor of float64 or float32 with this shape. */
static int pair_table_tensor(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *what,
                             int32_t ndim, const int64_t *shape, struct dgnn_tensor *tensor)
{
    char name[DGNN_EMIT_NAME_MAX];
    DGNN_TRY(dgnn_emit_name(emit, scope, what, name, emit->error));
    DGNN_TRY(dgnn_states_tensor(emit->state, name, tensor, emit->error));
    int same = tensor->ndim == ndim && (tensor->dtype == 'd' || tensor->dtype == 'f');
    for (int32_t d = 0; same && d < ndim; d++) {
        same = tensor->shape[d] == shape[d];
    }
    if (same) {
        return DGNN_OK;
    }
    return ndim == 1
               ? dgnn_status_set(emit->error, DGNN_ERROR_FORMAT, "%s: %.300s: expected 4 floating numbers",
                                 emit->state->checkpoint->name, name)
               : dgnn_status_set(emit->error, DGNN_ERROR_FORMAT,
                                 "%s: %.300s: expected floating numbers, %lld x %lld x %lld x 4 by tab_info",
                                 emit->state->checkpoint->name, name, (long long)shape[0],
                                 (long long)shape[1], (long long)shape[2]);
}

static int pair_table_is_count(double value, double most)
{
    return value >= 1 && value <= most && value == floor(value);
}

/* tab_info: rmin, hh, nspline, ntypes. */
static int pair_table_read(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                           struct pair_table *table)
{
    const int64_t four[1] = {4};
    double info[4];
    struct dgnn_tensor tensor;
    DGNN_TRY(pair_table_tensor(emit, scope, "tab_info", 1, four, &tensor));
    dgnn_tensor_to_double(&tensor, info);
    if (!(info[1] > 0) || !pair_table_is_count(info[2], PAIR_TABLE_SPLINES) ||
        !pair_table_is_count(info[3], PAIR_TABLE_TYPES)) {
        return dgnn_status_set(
            emit->error, DGNN_ERROR_FORMAT,
            "%s: %.300stab_info: rmin %g, hh %g, nspline %g, ntypes %g; expected a positive hh and counts",
            emit->state->checkpoint->name, scope->prefix, info[0], info[1], info[2], info[3]);
    }
    *table = (struct pair_table){
        .rmin = info[0], .hh = info[1], .nspline = (int64_t)info[2], .ntypes = (int64_t)info[3]};
    const int64_t shape[4] = {table->ntypes, table->ntypes, table->nspline, 4};
    DGNN_TRY(pair_table_tensor(emit, scope, "tab_data", 4, shape, &tensor));
    int64_t count = dgnn_tensor_size(&tensor);
    table->coefficients = dgnn_alloc(count, sizeof(double)); /* as many as the file has */
    if (!table->coefficients) {
        return dgnn_status_no_memory(emit->error, "a pair table", count * (int64_t)sizeof(double));
    }
    dgnn_tensor_to_double(&tensor, table->coefficients);
    return DGNN_OK;
}

/* The energy at the beginning of a spline of (a, b), or at the end of the last. */
static double pair_table_energy(const struct pair_table *table, int64_t a, int64_t b, int64_t spline)
{
    int64_t last = table->nspline - 1, row = a * table->ntypes + b;
    const double *c = table->coefficients + 4 * (row * table->nspline + (spline < last ? spline : last));
    return spline <= last ? c[3] : c[0] + c[1] + c[2] + c[3];
}

/* What deepmd-kit wants beside the splines, though it reads no number of it: a row for each of their ends,
 * with the distance and the energy of each pair of types. The state has it in the splines only. */
static int pair_table_emit_rows(struct dgnn_emit *emit, const struct pair_table *table)
{
    for (int64_t k = 0; k <= table->nspline; k++) {
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, k ? ", [" : "["));
        DGNN_TRY(dgnn_text_add_number(&emit->text, table->rmin + (double)k * table->hh, emit->error));
        for (int64_t a = 0; a < table->ntypes; a++) {
            for (int64_t b = a; b < table->ntypes; b++) {
                DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", "));
                DGNN_TRY(dgnn_text_add_number(&emit->text, pair_table_energy(table, a, b, k), emit->error));
            }
        }
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, "]"));
    }
    return dgnn_text_add(&emit->text, emit->error, "]}}}}");
}

static int pair_table_define(struct dgnn_emit *emit, struct dgnn_emit_settings *s, const char *name,
                             double value)
{
    struct dgnn_text text = {0};
    int status = dgnn_text_add_number(&text, value, emit->error);
    status = status ? status : dgnn_emit_define(emit, s, name, text.data);
    dgnn_text_free(&text);
    return status;
}

static int pair_table_emit(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                           const struct pair_table *table)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"rmin", table->rmin},
                   {"rmax", table->rmin + (double)table->nspline * table->hh},
                   {"hh", table->hh},
                   {"table_types", (double)table->ntypes},
                   {"nspline", (double)table->nspline}};
    for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++) {
        DGNN_TRY(pair_table_define(emit, s, numbers[k].name, numbers[k].value));
    }
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, pair_table));
    return pair_table_emit_rows(emit, table);
}

/* TorchScript keeps zeros here, which nothing reads. */
static int pair_table_pass_bias(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope)
{
    char name[DGNN_EMIT_NAME_MAX];
    DGNN_TRY(dgnn_emit_name(emit, scope, "bias_atom_e", name, emit->error));
    struct dgnn_states_entry *entry = dgnn_states_find(emit->state, name);
    if (entry) {
        entry->used = 1;
    }
    return DGNN_OK;
}

int dgnn_pair_tables_emit(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *rcut,
                          const char *sel)
{
    struct dgnn_emit_settings s = {.scope = *scope};
    struct pair_table table = {0};
    int status = pair_table_pass_bias(emit, scope);
    status = status ? status : pair_table_read(emit, scope, &table);
    status = status ? status : dgnn_emit_define(emit, &s, "rcut", rcut);
    status = status ? status : dgnn_emit_define(emit, &s, "sel", sel);
    status = status ? status : pair_table_emit(emit, &s, &table);
    dgnn_emit_undefine(&s);
    dgnn_alloc_free(table.coefficients);
    return status;
}
