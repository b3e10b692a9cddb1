#include "net/energy/fitting_kinds.h"

#include <string.h>

#include "base/text.h"

#define DGNN_PARAM_STRUCT struct dgnn_fitting_params
static const struct dgnn_param fitting_kinds_energy[] = {
#include "net/params/params_rows.h"
#include "net/params/fitting.def"
#include "net/params/params_end.h"
};
#define DGNN_PARAM_STRUCT struct dgnn_fitting_params
static const struct dgnn_param fitting_kinds_dipole[] = {
#include "net/params/params_rows.h"
#include "net/params/fittings/fitting_dipole.def"
#include "net/params/params_end.h"
};
#define DGNN_PARAM_STRUCT struct dgnn_fitting_params
static const struct dgnn_param fitting_kinds_polar[] = {
#include "net/params/params_rows.h"
#include "net/params/fittings/fitting_polar.def"
#include "net/params/params_end.h"
};
#define DGNN_PARAM_STRUCT struct dgnn_fitting_params
static const struct dgnn_param fitting_kinds_dos[] = {
#include "net/params/params_rows.h"
#include "net/params/fittings/fitting_dos.def"
#include "net/params/params_end.h"
};
#define DGNN_PARAM_STRUCT struct dgnn_fitting_params
static const struct dgnn_param fitting_kinds_property[] = {
#include "net/params/params_rows.h"
#include "net/params/fittings/fitting_property.def"
#include "net/params/params_end.h"
};

enum { FITTING_KINDS_WIDEST = 1 << 16 }; /* numbers of an atom's answer, and rows of a rotation matrix */

static int fitting_kinds_check_width(const struct dgnn_value *value, const char *name, int64_t width,
                                     struct dgnn_error *error)
{
    return width >= 1 && width <= FITTING_KINDS_WIDEST
               ? DGNN_OK
               : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "%s is %lld; expected 1 to %d", name,
                                   (long long)width, FITTING_KINDS_WIDEST);
}

int dgnn_fitting_load_row(const struct dgnn_value *value, const char *name, int64_t n, double **out,
                          struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct dgnn_value member = dgnn_value_member(&variables, name);
    struct dgnn_tensor tensor;
    if (n == 0) {
        return dgnn_params_unused(&member, "the fitting net has no such parameters", error);
    }
    DGNN_TRY(dgnn_value_tensor(&member, &tensor, error));
    if (dgnn_tensor_size(&tensor) != n) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &member, "wrong number of elements");
    }
    DGNN_TRY(dgnn_value_tensor_shaped(&member, tensor.ndim, tensor.shape, &tensor, error));
    *out = dgnn_alloc(n, sizeof(double));
    if (!*out) {
        return dgnn_status_no_memory(error, "fitting parameters", n * 8);
    }
    dgnn_tensor_to_double(&tensor, *out);
    return DGNN_OK;
}

/* ---------------------------------------------------------------- numbers as they are */

static int fitting_kinds_load_energy(const struct dgnn_value *value, struct dgnn_fitting_own *own,
                                     struct dgnn_error *error)
{
    (void)value;
    (void)error;
    own->net_width = own->width = 1;
    return DGNN_OK;
}

static int fitting_kinds_load_dos(const struct dgnn_value *value, struct dgnn_fitting_own *own,
                                  struct dgnn_error *error)
{
    own->net_width = own->width = own->params.dim_out;
    return fitting_kinds_check_width(value, "dim_out", own->width, error);
}

static int fitting_kinds_load_property(const struct dgnn_value *value, struct dgnn_fitting_own *own,
                                       struct dgnn_error *error)
{
    struct dgnn_value again = dgnn_value_member(value, "dim_out");
    own->net_width = own->width = own->params.task_dim;
    DGNN_TRY(fitting_kinds_check_width(value, "task_dim", own->width, error));
    return dgnn_params_same_int(&again, own->width, "task_dim", error);
}

static void fitting_kinds_answer_plain(const struct dgnn_fitting_own *own, int32_t type, const double *y,
                                       const double *rotation, double *answer)
{
    (void)type;
    (void)rotation;
    memcpy(answer, y, sizeof(double) * (size_t)own->width);
}

static void fitting_kinds_finish_sum(const struct dgnn_fitting_own *own, int32_t type, const double *bias,
                                     const double *spread, double *answer)
{
    (void)spread;
    for (int64_t c = 0; c < own->width; c++) {
        answer[c] += bias[type * own->width + c];
    }
}

static void fitting_kinds_finish_property(const struct dgnn_fitting_own *own, int32_t type,
                                          const double *bias, const double *spread, double *answer)
{
    int64_t row = own->params.distinguish_types ? type * own->width : 0;
    for (int64_t c = 0; c < own->width; c++) {
        answer[c] = answer[c] * spread[row + c] + bias[row + c];
    }
}

/* ---------------------------------------------------------------- with the rotation matrix */

static int fitting_kinds_load_dipole(const struct dgnn_value *value, struct dgnn_fitting_own *own,
                                     struct dgnn_error *error)
{
    own->net_width = own->dim_rotation = own->params.embedding_width;
    own->width = 3;
    return fitting_kinds_check_width(value, "embedding_width", own->dim_rotation, error);
}

static void fitting_kinds_answer_dipole(const struct dgnn_fitting_own *own, int32_t type, const double *y,
                                        const double *rotation, double *answer)
{
    (void)type;
    answer[0] = answer[1] = answer[2] = 0;
    for (int64_t c = 0; c < own->dim_rotation; c++) {
        for (int k = 0; k < 3; k++) {
            answer[k] += y[c] * rotation[3 * c + k];
        }
    }
}

static void fitting_kinds_derive_dipole(const struct dgnn_fitting_own *own, const double *y,
                                        const double *rotation, int32_t seed, double *d_y, double *d_rotation)
{
    memset(d_rotation, 0, sizeof(double) * (size_t)(3 * own->dim_rotation));
    for (int64_t c = 0; c < own->dim_rotation; c++) {
        d_y[c] = rotation[3 * c + seed];
        d_rotation[3 * c + seed] = y[c];
    }
}

static int fitting_kinds_load_polar(const struct dgnn_value *value, struct dgnn_fitting_own *own,
                                    struct dgnn_error *error)
{
    int64_t n = own->params.embedding_width;
    DGNN_TRY(fitting_kinds_check_width(value, "embedding_width", n, error));
    own->dim_rotation = n;
    own->net_width = own->params.fit_diag ? n : n * n;
    own->width = 9;
    DGNN_TRY(dgnn_fitting_load_row(value, "scale", own->ntypes, &own->scale, error));
    return dgnn_fitting_load_row(value, "constant_matrix", own->ntypes, &own->constant, error);
}

/* P of row a and column b, in the frame of the rotation matrix. */
static double fitting_kinds_inner(const struct dgnn_fitting_own *own, const double *y, int64_t a, int64_t b)
{
    int64_t n = own->dim_rotation;
    return (y[a * n + b] + y[b * n + a]) / 2;
}

static void fitting_kinds_answer_polar(const struct dgnn_fitting_own *own, int32_t type, const double *y,
                                       const double *rotation, double *answer)
{
    int64_t n = own->dim_rotation;
    double scale = own->scale[type];
    memset(answer, 0, 9 * sizeof(double));
    for (int64_t a = 0; a < n; a++) {
        double row[3] = {0}; /* of P R */
        for (int64_t b = own->params.fit_diag ? a : 0; b < (own->params.fit_diag ? a + 1 : n); b++) {
            double p = scale * (own->params.fit_diag ? y[a] : fitting_kinds_inner(own, y, a, b));
            for (int k = 0; k < 3; k++) {
                row[k] += p * rotation[3 * b + k];
            }
        }
        for (int k = 0; k < 9; k++) {
            answer[k] += rotation[3 * a + k / 3] * row[k % 3];
        }
    }
    for (int k = 0; k < 9 && own->params.shift_diag; k += 4) {
        answer[k] += own->constant[type] * scale;
    }
}

static void fitting_kinds_finish_polar(const struct dgnn_fitting_own *own, int32_t type, const double *bias,
                                       const double *spread, double *answer)
{
    const double *b = bias + 9 * type;
    double shift = (b[0] + b[4] + b[8]) / 3 * own->scale[type];
    (void)spread;
    for (int k = 0; k < 9 && own->params.shift_diag; k += 4) {
        answer[k] += shift;
    }
}

/* ---------------------------------------------------------------- the list of kinds */

#define FITTING_KINDS_ROWS(table) .rows = (table), .nrow = sizeof(table) / sizeof((table)[0])
#define FITTING_KINDS_ENERGY(name, gated)                                                                    \
    {.type = name,                                                                                           \
     FITTING_KINDS_ROWS(fitting_kinds_energy),                                                               \
     .output = DGNN_OUTPUT_ENERGY,                                                                           \
     .nseed = 1,                                                                                             \
     .is_gated = gated,                                                                                      \
     .load = fitting_kinds_load_energy,                                                                      \
     .answer = fitting_kinds_answer_plain,                                                                   \
     .finish = fitting_kinds_finish_sum}

static const struct dgnn_fitting_kind fitting_kinds[] = {
    FITTING_KINDS_ENERGY("ener", 0),
    FITTING_KINDS_ENERGY("sezm_ener", 1),
    FITTING_KINDS_ENERGY("dpa4_ener", 1),
    {.type = "dipole",
     FITTING_KINDS_ROWS(fitting_kinds_dipole),
     .output = DGNN_OUTPUT_DIPOLE,
     .nseed = 3,
     .takes_rotation = 1,
     .load = fitting_kinds_load_dipole,
     .answer = fitting_kinds_answer_dipole,
     .derive = fitting_kinds_derive_dipole},
    {.type = "polar",
     FITTING_KINDS_ROWS(fitting_kinds_polar),
     .output = DGNN_OUTPUT_POLAR,
     .takes_rotation = 1,
     .load = fitting_kinds_load_polar,
     .answer = fitting_kinds_answer_polar,
     .finish = fitting_kinds_finish_polar},
    {.type = "dos",
     FITTING_KINDS_ROWS(fitting_kinds_dos),
     .output = DGNN_OUTPUT_DOS,
     .load = fitting_kinds_load_dos,
     .answer = fitting_kinds_answer_plain,
     .finish = fitting_kinds_finish_sum},
    {.type = "property",
     FITTING_KINDS_ROWS(fitting_kinds_property),
     .output = DGNN_OUTPUT_PROPERTY,
     .load = fitting_kinds_load_property,
     .answer = fitting_kinds_answer_plain,
     .finish = fitting_kinds_finish_property},
};

enum { FITTING_KINDS_COUNT = sizeof(fitting_kinds) / sizeof(fitting_kinds[0]) };

static int fitting_kinds_list(struct dgnn_text *known, struct dgnn_error *error)
{
    for (int k = 0; k < FITTING_KINDS_COUNT; k++) {
        DGNN_TRY(dgnn_text_add(known, error, "%s%s", k ? ", " : "", fitting_kinds[k].type));
    }
    return DGNN_OK;
}

int dgnn_fitting_kind_find(const struct dgnn_value *value, const struct dgnn_fitting_kind **kind,
                           struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, "type");
    struct dgnn_text known = {0};
    const char *type;
    DGNN_TRY(dgnn_value_string(&member, &type, error));
    for (int k = 0; k < FITTING_KINDS_COUNT; k++) {
        if (!strcmp(fitting_kinds[k].type, type)) {
            *kind = &fitting_kinds[k];
            return DGNN_OK;
        }
    }
    int status = fitting_kinds_list(&known, error);
    status = status ? status
                    : dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &member,
                                        "fitting '%s' is not supported; supported: %s", type, known.data);
    dgnn_text_free(&known);
    return status;
}

void dgnn_fitting_own_free(struct dgnn_fitting_own *own)
{
    dgnn_alloc_free(own->scale);
    dgnn_alloc_free(own->constant);
}
