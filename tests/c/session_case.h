/* Committees of models, a system in three places, and what one model gives for it. */
#ifndef DGNN_TESTS_SESSION_CASE_H
#define DGNN_TESTS_SESSION_CASE_H

#include "check.h"
#include "random.h"
#include "ranks.h"

#include "model/pool.h"

enum { NATOMS = 24, NRANK = 3, NSTEP = 3, MODELS_MAX = 4 };

static const double box[9] = {8.1, 0, 0, 0.4, 8.3, 0, 0.1, -0.3, 8.7};
static double coords[NSTEP][3 * NATOMS];
static int32_t types[NATOMS];

/* What one model gives for all atoms. */
struct answer {
    double energy, virial[9];
    double forces[3 * NATOMS], atom_energy[NATOMS], atom_virial[9 * NATOMS];
};

static inline void make_system(void)
{
    uint64_t seed = 5;
    for (int i = 0; i < NATOMS; i++) {
        types[i] = i % 3 == 0;
        for (int d = 0; d < 3; d++) {
            double place = 2.6 * (d == 0 ? i % 3 : d == 1 ? i / 3 % 3 : i / 9) + 0.6 * random_uniform(&seed);
            for (int s = 0; s < NSTEP; s++) {
                coords[s][3 * i + d] = place + (s == 1 ? 0.05 : s) * (random_uniform(&seed) - 0.5);
            }
        }
    }
}

static inline struct dgnn_model *load(const char *name, int32_t dtype, int32_t threads)
{
    struct dgnn_load_options options = {
        .size = sizeof(options), .dtype = dtype, .threads = threads, .skin = 0.5};
    struct dgnn_model *model = NULL;
    struct dgnn_error error;
    char path[256];
    snprintf(path, sizeof(path), "tests/data/cases/%s/model.pt2", name);
    CHECK_STATUS(dgnn_model_load(path, &options, &model, &error), DGNN_OK, "");
    return model;
}

static inline struct dgnn_system make_call(int step, const int32_t *types_of_call)
{
    return (struct dgnn_system){.size = sizeof(struct dgnn_system),
                                .natoms = NATOMS,
                                .coords = coords[step],
                                .types = types_of_call,
                                .box = box,
                                .pbc = {1, 1, 1}};
}

static inline struct dgnn_result make_result(struct answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    return (struct dgnn_result){.size = sizeof(struct dgnn_result),
                                .forces = answer->forces,
                                .atom_energy = answer->atom_energy,
                                .atom_virial = answer->atom_virial};
}

static inline void take_totals(const struct dgnn_result *result, struct answer *answer)
{
    answer->energy = result->energy;
    memcpy(answer->virial, result->virial, sizeof(answer->virial));
}

/* Equal, and zeros of either sign: rows that a model does not see add zeros to those that it does. */
static inline int same_numbers(const double *x, const double *y, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        if (x[k] != y[k] || (x[k] != 0 && memcmp(&x[k], &y[k], sizeof(double)))) {
            return 0;
        }
    }
    return 1;
}

static inline int same(const struct answer *a, const struct answer *b)
{
    return same_numbers((const double *)a, (const double *)b, sizeof(*a) / sizeof(double));
}

/* ---------------------------------------------------------------- several models */

struct committee {
    int32_t n;
    struct {
        const char *name;
        int32_t dtype;
    } member[MODELS_MAX];
    int32_t threads;
    int32_t ngroup; /* of models that cut space alike */
};

/* Cutoffs, sel, dtypes, type maps, descriptors and semantics that differ, a shorter cutoff first; and twins.
 */
static const struct committee committees[] = {
    {3,
     {{"dpa3_base", DGNN_DTYPE_FLOAT64},
      {"dpa3_base", DGNN_DTYPE_FLOAT64},
      {"dpa3_base", DGNN_DTYPE_FLOAT64}},
     1,
     1},
    {3,
     {{"dpa3_base", DGNN_DTYPE_FLOAT64},
      {"dpa3_base", DGNN_DTYPE_FLOAT32},
      {"dpa3_base", DGNN_DTYPE_FLOAT64}},
     1,
     2},
    {4,
     {{"se_e3_tebd", DGNN_DTYPE_FLOAT64},
      {"dpa3_equal_cutoffs", DGNN_DTYPE_FLOAT32},
      {"dpa3_small_sel", DGNN_DTYPE_FLOAT64},
      {"dpa3_three_types", DGNN_DTYPE_FLOAT64}},
     1,
     4},
    {4,
     {{"se_e2_a", DGNN_DTYPE_FLOAT64},
      {"dpa1_attn2_graph", DGNN_DTYPE_FLOAT32},
      {"dpa3_base", DGNN_DTYPE_FLOAT32},
      {"dpa2_strip", DGNN_DTYPE_FLOAT64}},
     2,
     4},
    {2, {{"dpa2_strip", DGNN_DTYPE_FLOAT32}, {"dpa1_davg", DGNN_DTYPE_FLOAT64}}, 1, 2},
};

static inline int32_t load_all(const struct committee *c, struct dgnn_model **model)
{
    for (int32_t k = 0; k < c->n; k++) {
        model[k] = load(c->member[k].name, c->member[k].dtype, c->threads);
    }
    return c->n;
}

static inline struct dgnn_session *make_session(struct dgnn_model *const *models, int32_t n)
{
    struct dgnn_session *session = NULL;
    struct dgnn_error error;
    CHECK_STATUS(dgnn_session_create(models, n, NULL, &session, &error), DGNN_OK, "");
    return session;
}

static inline void free_all(struct dgnn_model **model, int32_t n)
{
    for (int32_t k = 0; k < n; k++) {
        dgnn_model_free(model[k]);
    }
}

#endif
