#include "net/parts/environment.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "net/params/params.h"

struct environment_params {
#include "net/params/params_fields.h"
#include "net/params/objects/environment.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param environment_rows[] = {
#define DGNN_PARAM_STRUCT struct environment_params
#include "net/params/params_rows.h"
#include "net/params/objects/environment.def"
#include "net/params/params_end.h"
};

int dgnn_environment_same(const struct dgnn_value *owner, double cutoff, double switch_start,
                          struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(owner, "env_mat");
    struct environment_params params;
    if (dgnn_value_kind(&member) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_params_load(&member, environment_rows,
                              sizeof(environment_rows) / sizeof(environment_rows[0]), &params, error));
    DGNN_TRY(dgnn_params_same_double(&params.rcut, cutoff, "the settings", error));
    return dgnn_params_same_double(&params.rcut_smth, switch_start, "the settings", error);
}

static int environment_check(const struct dgnn_environment *environment, const struct dgnn_value *variables,
                             struct dgnn_error *error)
{
    if (!(environment->switch_start < environment->cutoff) || environment->switch_start < 0 ||
        environment->protection < 0 || (environment->exponential && environment->switch_start == 0)) {
        return dgnn_value_refuse(
            error, DGNN_ERROR_FORMAT, variables->parent ? variables->parent : variables,
            "rcut_smth %g, rcut %g and env_protection %g: expected 0 <= rcut_smth < rcut, "
            "rcut_smth > 0 with the exponential switch, and a protection that is not negative",
            environment->switch_start, environment->cutoff, environment->protection);
    }
    return DGNN_OK;
}

/* Slots [begin, end) of those of one centre type, rows. */
struct environment_slots {
    const double *rows;
    int64_t width, begin, end;
};

/* Their row, which they must share; out stays where there are none. */
static int environment_section(const struct dgnn_value *member, const struct environment_slots *slots,
                               double *out, struct dgnn_error *error)
{
    int64_t width = slots->width, begin = slots->begin;
    const double *first = slots->rows + begin * width;
    for (int64_t c = 0; c < width && begin < slots->end; c++) {
        out[c] = first[c];
    }
    for (int64_t k = begin + 1; k < slots->end; k++) {
        if (memcmp(slots->rows + k * width, first, sizeof(double) * (size_t)width)) {
            return dgnn_value_refuse(
                error, DGNN_ERROR_UNSUPPORTED, member,
                "slots %lld and %lld differ; dgnn evaluates models whose statistics are the "
                "same in all slots of a section, as deepmd-kit makes them",
                (long long)begin, (long long)k);
        }
    }
    return DGNN_OK;
}

static int environment_sections(const struct dgnn_environment *environment, const struct dgnn_value *member,
                                const int64_t *sel, const double *values, double *out,
                                struct dgnn_error *error)
{
    int64_t width = environment->width;
    for (int64_t t = 0; t < environment->ntypes; t++) {
        int64_t begin = 0;
        for (int64_t s = 0; s < environment->nsection; s++) {
            double *row = out + (t * environment->nsection + s) * width;
            const struct environment_slots slots = {values, width, begin, begin + sel[s]};
            DGNN_TRY(environment_section(member, &slots, row, error));
            begin = slots.end;
        }
        values += begin * width;
    }
    return DGNN_OK;
}

/* An array of statistics, and what a section without slots gets. */
struct environment_statistic {
    const char *name;
    double without_slots;
};

static int environment_read(const struct dgnn_environment *environment, const struct dgnn_value *variables,
                            const struct environment_statistic *statistic, const int64_t *sel, double **out,
                            struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(variables, statistic->name);
    int64_t width = environment->width, total = 0,
            count = environment->ntypes * environment->nsection * width;
    struct dgnn_tensor tensor;
    for (int64_t s = 0; s < environment->nsection; s++) {
        total += sel[s];
    }
    DGNN_TRY(
        dgnn_value_tensor_shaped(&member, 3, (int64_t[]){environment->ntypes, total, width}, &tensor, error));
    double *values = dgnn_alloc(dgnn_tensor_size(&tensor), sizeof(double));
    *out = dgnn_alloc(count, sizeof(double));
    if (!values || !*out) {
        dgnn_alloc_free(values);
        return dgnn_status_no_memory(error, "statistics",
                                     dgnn_tensor_size(&tensor) * (int64_t)sizeof(double));
    }
    for (int64_t k = 0; k < count; k++) {
        (*out)[k] = statistic->without_slots;
    }
    dgnn_tensor_to_double(&tensor, values);
    int status = environment_sections(environment, &member, sel, values, *out, error);
    dgnn_alloc_free(values);
    return status;
}

static int environment_load(struct dgnn_environment *environment, const struct dgnn_value *variables,
                            const int64_t *sel, struct dgnn_error *error)
{
    static const struct environment_statistic mean = {"davg", 0}, deviation = {"dstd", 1};
    int64_t count = environment->ntypes * environment->nsection * environment->width;
    char path[256];
    DGNN_TRY(environment_check(environment, variables, error));
    if (variables->parent) {
        DGNN_TRY(
            dgnn_environment_same(variables->parent, environment->cutoff, environment->switch_start, error));
    }
    DGNN_TRY(environment_read(environment, variables, &mean, sel, &environment->mean, error));
    DGNN_TRY(environment_read(environment, variables, &deviation, sel, &environment->scale, error));
    for (int64_t k = 0; k < count; k++) {
        if (environment->scale[k] == 0) {
            return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s.dstd: holds a standard deviation of 0",
                                   dgnn_value_path(variables, path, sizeof(path)));
        }
        environment->scale[k] = 1 / environment->scale[k];
    }
    return DGNN_OK;
}

int dgnn_environment_load(struct dgnn_environment *environment, const struct dgnn_value *variables,
                          const int64_t *sel, struct dgnn_error *error)
{
    environment->mean = environment->scale = NULL;
    int status = environment_load(environment, variables, sel, error);
    if (status) {
        dgnn_environment_free(environment);
    }
    return status;
}

int dgnn_environment_sel(const struct dgnn_value *value, int64_t nsection, int64_t *sel,
                         struct dgnn_error *error)
{
    const int64_t limit = 1 << 24;
    int64_t count, total = 0;
    if (dgnn_value_kind(value) == DGNN_VALUE_NUMBER && nsection == 1) {
        DGNN_TRY(dgnn_value_int(value, sel, error));
        return *sel >= 1 && *sel <= limit
                   ? DGNN_OK
                   : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "expected 1 to 2^24");
    }
    DGNN_TRY(dgnn_value_list(value, &count, error));
    if (nsection > 1 && count != nsection) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "expected one number for each type");
    }
    memset(sel, 0, sizeof(int64_t) * (size_t)nsection);
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(value, k);
        int64_t number;
        DGNN_TRY(dgnn_value_int(&item, &number, error));
        if (number < 0 || number > limit || (total += number) > limit) {
            return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &item,
                                     "expected numbers from 0, 2^24 in all at most");
        }
        sel[nsection > 1 ? k : 0] += number;
    }
    return total ? DGNN_OK : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "no neighbours at all");
}

int dgnn_environment_load_types(struct dgnn_environment *environment, const struct dgnn_value *descriptor,
                                const struct dgnn_value *list, int64_t **sel, struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(descriptor, "@variables");
    environment->nsection = environment->ntypes;
    *sel = dgnn_alloc(environment->nsection, sizeof(int64_t));
    if (!*sel) {
        return dgnn_status_no_memory(error, "lengths of sections",
                                     environment->nsection * (int64_t)sizeof(int64_t));
    }
    DGNN_TRY(dgnn_environment_sel(list, environment->nsection, *sel, error));
    return dgnn_environment_load(environment, &variables, *sel, error);
}

int dgnn_environment_describe_sel(const int64_t *sel, int64_t nsection, struct dgnn_text *text,
                                  struct dgnn_error *error)
{
    DGNN_TRY(dgnn_text_add(text, error, ", \"sel\": ["));
    for (int64_t t = 0; t < nsection; t++) {
        DGNN_TRY(dgnn_text_add(text, error, "%s%lld", t ? ", " : "", (long long)sel[t]));
    }
    return dgnn_text_add(text, error, "]");
}

int dgnn_environment_has_mean(const struct dgnn_environment *environment, int64_t first)
{
    int64_t count = environment->ntypes * environment->nsection * environment->width;
    for (int64_t k = 0; k < count; k++) {
        if (k % environment->width >= first && environment->mean[k] != 0) {
            return 1;
        }
    }
    return 0;
}

void dgnn_environment_free(struct dgnn_environment *environment)
{
    dgnn_alloc_free(environment->mean);
    dgnn_alloc_free(environment->scale);
    environment->mean = environment->scale = NULL;
}

static double environment_polynomial(const struct dgnn_environment *environment, double distance,
                                     double *slope)
{
    double length = environment->cutoff - environment->switch_start;
    double u = (distance - environment->switch_start) / length;
    *slope = 0;
    if (u <= 0) {
        return 1;
    }
    if (u >= 1) {
        return 0;
    }
    *slope = -30 * u * u * (1 - u) * (1 - u) / length;
    /* In deepmd-kit's order of operations: close to the cutoff only the last bits are left, and dpa1's
     * angular gate divides by them. */
    return u * u * u * (-6 * (u * u) + 15 * u - 10) + 1;
}

static double environment_exponential(const struct dgnn_environment *environment, double distance,
                                      double *slope)
{
    double rate = 20 / environment->switch_start;
    double r = distance < environment->cutoff ? distance : environment->cutoff;
    double inner = exp(rate * (r - environment->switch_start));
    double value = exp(-inner);
    *slope = distance < environment->cutoff ? -rate * inner * value : 0;
    return value;
}

double dgnn_environment_switch(const struct dgnn_environment *environment, double distance, double *slope)
{
    double unused;
    slope = slope ? slope : &unused;
    return environment->exponential ? environment_exponential(environment, distance, slope)
                                    : environment_polynomial(environment, distance, slope);
}

double dgnn_environment_row(const struct dgnn_environment *environment,
                            const struct dgnn_environment_edge *edge, double *row)
{
    const double *mean = dgnn_environment_mean(environment, edge->type, edge->section);
    const double *scale = dgnn_environment_scale(environment, edge->type, edge->section);
    double value = dgnn_environment_switch(environment, edge->distance, NULL);
    double inverse = 1 / (edge->distance + environment->protection);
    row[0] = (value * inverse - mean[0]) * scale[0];
    for (int64_t c = 1; c < environment->width; c++) {
        row[c] = (value * inverse * inverse * edge->vector[c - 1] - mean[c]) * scale[c];
    }
    return value;
}

void dgnn_environment_backward(const struct dgnn_environment *environment,
                               const struct dgnn_environment_edge *edge, const double *d_row, double d_switch,
                               double *gradient)
{
    const double *scale = dgnn_environment_scale(environment, edge->type, edge->section);
    const double *vector = edge->vector;
    double slope, value = dgnn_environment_switch(environment, edge->distance, &slope);
    double inverse = 1 / (edge->distance + environment->protection);
    double d_distance = d_switch * slope + d_row[0] * scale[0] * (slope - value * inverse) * inverse;
    for (int64_t c = 1; c < environment->width; c++) {
        double d = d_row[c] * scale[c] * inverse * inverse;
        gradient[c - 1] += d * value;
        d_distance += d * vector[c - 1] * (slope - 2 * value * inverse);
    }
    for (int c = 0; c < 3; c++) {
        gradient[c] += d_distance / edge->distance * vector[c];
    }
}

void dgnn_environment_empty_row(const struct dgnn_environment *environment, int32_t type, int64_t section,
                                double *row)
{
    for (int64_t c = 0; c < environment->width; c++) {
        row[c] = -dgnn_environment_mean(environment, type, section)[c] *
                 dgnn_environment_scale(environment, type, section)[c];
    }
}
