#include "net/parts/typeembed.h"

#include <math.h>
#include <string.h>

#include "net/parts/layer.h"
#include "net/params/params.h"

struct typeembed_params {
#include "net/params/params_fields.h"
#include "net/params/typeembed.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param typeembed_params[] = {
#define DGNN_PARAM_STRUCT struct typeembed_params
#include "net/params/params_rows.h"
#include "net/params/typeembed.def"
#include "net/params/params_end.h"
};

/* ---------------------------------------------------------------- electronic configurations */

static const char typeembed_symbols[][3] = {
    "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",  "Cl",
    "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se",
    "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb",
    "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er",
    "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At",
    "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No",
    "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"};

struct typeembed_subshell {
    int8_t n, l;
};

/* In the order of the row. */
static const struct typeembed_subshell typeembed_subshells[] = {
    {1, 0}, {2, 0}, {2, 1}, {3, 0}, {3, 1}, {3, 2}, {4, 0}, {4, 1}, {4, 2}, {4, 3},
    {5, 0}, {5, 1}, {5, 2}, {5, 3}, {6, 0}, {6, 1}, {6, 2}, {7, 0}, {7, 1}};
enum { TYPEEMBED_NSUBSHELL = sizeof(typeembed_subshells) / sizeof(typeembed_subshells[0]) };

/* Ground states that the n + l rule misses: so many electrons are in one subshell instead of another. */
static const struct typeembed_exception {
    uint8_t number, count;
    struct typeembed_subshell from, to;
} typeembed_exceptions[] = {{24, 1, {4, 0}, {3, 2}}, {29, 1, {4, 0}, {3, 2}},  {41, 1, {5, 0}, {4, 2}},
                            {42, 1, {5, 0}, {4, 2}}, {44, 1, {5, 0}, {4, 2}},  {45, 1, {5, 0}, {4, 2}},
                            {46, 2, {5, 0}, {4, 2}}, {47, 1, {5, 0}, {4, 2}},  {57, 1, {4, 3}, {5, 2}},
                            {58, 1, {4, 3}, {5, 2}}, {64, 1, {4, 3}, {5, 2}},  {78, 1, {6, 0}, {5, 2}},
                            {79, 1, {6, 0}, {5, 2}}, {89, 1, {5, 3}, {6, 2}},  {90, 2, {5, 3}, {6, 2}},
                            {91, 1, {5, 3}, {6, 2}}, {92, 1, {5, 3}, {6, 2}},  {93, 1, {5, 3}, {6, 2}},
                            {96, 1, {5, 3}, {6, 2}}, {110, 1, {7, 0}, {6, 2}}, {111, 1, {7, 0}, {6, 2}}};

static int typeembed_subshell_index(struct typeembed_subshell subshell)
{
    int k = 0;
    while (typeembed_subshells[k].n != subshell.n || typeembed_subshells[k].l != subshell.l) {
        k++;
    }
    return k;
}

/* Is subshell a filled before b? By n + l, then n. */
static int typeembed_before(struct typeembed_subshell a, struct typeembed_subshell b)
{
    return a.n + a.l != b.n + b.l ? a.n + a.l < b.n + b.l : a.n < b.n;
}

/* Electrons in each subshell of the element with this number. */
static void typeembed_occupation(int number, int *occupation)
{
    int left = number;
    for (int k = 0; k < TYPEEMBED_NSUBSHELL; k++) {
        int before = 0;
        for (int other = 0; other < TYPEEMBED_NSUBSHELL; other++) {
            if (typeembed_before(typeembed_subshells[other], typeembed_subshells[k])) {
                before += 4 * typeembed_subshells[other].l + 2;
            }
        }
        int capacity = 4 * typeembed_subshells[k].l + 2;
        left = number - before;
        occupation[k] = left < 0 ? 0 : left < capacity ? left : capacity;
    }
    for (size_t x = 0; x < sizeof(typeembed_exceptions) / sizeof(typeembed_exceptions[0]); x++) {
        if (typeembed_exceptions[x].number == number) {
            occupation[typeembed_subshell_index(typeembed_exceptions[x].from)] -=
                typeembed_exceptions[x].count;
            occupation[typeembed_subshell_index(typeembed_exceptions[x].to)] += typeembed_exceptions[x].count;
        }
    }
}

int dgnn_typeembed_configuration(const char *symbol, double *row)
{
    int occupation[TYPEEMBED_NSUBSHELL], number = 0;
    for (size_t z = 0; z < sizeof(typeembed_symbols) / sizeof(typeembed_symbols[0]); z++) {
        if (!strcmp(symbol, typeembed_symbols[z])) {
            number = (int)z + 1;
        }
    }
    if (!number) {
        return 0;
    }
    typeembed_occupation(number, occupation);
    double unit = 1 / sqrt(DGNN_TYPEEMBED_CONFIGURATION);
    for (int k = 0; k < TYPEEMBED_NSUBSHELL; k++) {
        int orbitals = 2 * typeembed_subshells[k].l + 1, pairs = occupation[k] - orbitals;
        for (int m = 0; m < orbitals; m++) {
            *row++ = m < pairs ? unit : -unit;
            *row++ = m < occupation[k] ? unit : -unit;
        }
    }
    return 1;
}

/* ---------------------------------------------------------------- the table */

/* Symbol t of the object's own type_map, or of the caller's. */
static int typeembed_symbol(const struct dgnn_value *own, const char *const *type_map, int64_t t,
                            const char **symbol, struct dgnn_error *error)
{
    struct dgnn_value item = dgnn_value_item(own, t);
    if (dgnn_value_kind(own) == DGNN_VALUE_LIST) {
        return dgnn_value_string(&item, symbol, error);
    }
    *symbol = type_map[t];
    return DGNN_OK;
}

/* rows: ntypes x DGNN_TYPEEMBED_CONFIGURATION. */
static int typeembed_configurations(const struct typeembed_params *params, const char *const *type_map,
                                    double *rows, struct dgnn_error *error)
{
    const struct dgnn_value *own = &params->type_map;
    enum dgnn_value_kind kind = dgnn_value_kind(own);
    int64_t count = params->ntypes;
    if (!type_map || (kind != DGNN_VALUE_NULL && kind != DGNN_VALUE_ABSENT)) {
        DGNN_TRY(dgnn_value_list(own, &count, error));
    }
    if (count != params->ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, own, "%lld types, expected %lld", (long long)count,
                                 (long long)params->ntypes);
    }
    for (int64_t t = 0; t < count; t++) {
        const char *symbol;
        DGNN_TRY(typeembed_symbol(own, type_map, t, &symbol, error));
        if (!dgnn_typeembed_configuration(symbol, rows + t * DGNN_TYPEEMBED_CONFIGURATION)) {
            return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, own,
                                     "'%s' is no element, so it has no electronic configuration to embed",
                                     symbol);
        }
    }
    return DGNN_OK;
}

/* The network on the identity, or on the configurations, which are in rows. kept: what layers keep, then
 * rooms. */
static int typeembed_evaluate(const struct typeembed_params *params, const struct dgnn_network_f64 *network,
                              double *rows, double **table, struct dgnn_error *error)
{
    int64_t n = params->ntypes, nin = network->nin, nout = network->nout;
    int64_t each = network->width_kept + 2 * network->width_max;
    double *kept = dgnn_alloc(n, (size_t)each * sizeof(double));
    double *values = dgnn_alloc_zeroed(n + 1, (size_t)nout * sizeof(double));
    if (!kept || !values) {
        dgnn_alloc_free(kept);
        dgnn_alloc_free(values);
        return dgnn_status_no_memory(error, "type embeddings", n * each * (int64_t)sizeof(double));
    }
    for (int64_t t = 0; t < n && !params->use_econf_tebd; t++) {
        rows[t * nin + t] = 1;
    }
    struct dgnn_network_rows_f64 types = {.nrow = n,
                                          .x = rows,
                                          .x_stride = nin,
                                          .y = values,
                                          .kept = kept,
                                          .scratch = kept + n * network->width_kept};
    dgnn_network_forward_f64(&dgnn_reference_ops_f64, network, &types);
    dgnn_alloc_free(kept);
    *table = values;
    return DGNN_OK;
}

static int typeembed_table(const struct typeembed_params *params, const char *const *type_map,
                           const struct dgnn_network_f64 *network, double **table, struct dgnn_error *error)
{
    int status = DGNN_OK;
    double *rows = dgnn_alloc_zeroed(params->ntypes, (size_t)network->nin * sizeof(double));
    if (!rows) {
        return dgnn_status_no_memory(error, "type embeddings",
                                     params->ntypes * network->nin * (int64_t)sizeof(double));
    }
    if (params->use_econf_tebd) {
        status = typeembed_configurations(params, type_map, rows, error);
    }
    if (!status) {
        status = typeembed_evaluate(params, network, rows, table, error);
    }
    dgnn_alloc_free(rows);
    return status;
}

int dgnn_typeembed_same(const struct dgnn_value *value, int32_t use_econf_tebd, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, "use_econf_tebd");
    return dgnn_params_same_bool(&member, use_econf_tebd, "the descriptor", error);
}

int dgnn_typeembed_load_f64(const struct dgnn_value *value, int32_t ntypes, const char *const *type_map,
                            int64_t width, double **table, struct dgnn_error *error)
{
    struct typeembed_params params;
    struct dgnn_network_f64 network;
    DGNN_TRY(dgnn_params_load(value, typeembed_params, sizeof(typeembed_params) / sizeof(typeembed_params[0]),
                              &params, error));
    if (params.ntypes != ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "embeds %lld types, expected %d",
                                 (long long)params.ntypes, ntypes);
    }
    if (dgnn_value_kind(&params.type_map) > DGNN_VALUE_NULL) { /* read with electronic configurations only */
        int64_t count;
        DGNN_TRY(dgnn_value_list(&params.type_map, &count, error));
    }
    int64_t nin = params.use_econf_tebd ? DGNN_TYPEEMBED_CONFIGURATION : ntypes;
    DGNN_TRY(dgnn_network_load_f64(&params.embedding, nin, width, &network, error));
    int status = dgnn_network_same_f64(&network, network.nlayer, value, "neuron", error);
    status = status ? status : typeembed_table(&params, type_map, &network, table, error);
    dgnn_network_free_f64(&network);
    return status;
}
