/* dgnn_model_get_info against what dgnn_model_describe says; and notices of a session, each kind once. */
#include <stdlib.h>

#include "check.h"
#include "ranks.h"

static struct dgnn_error error;

static struct dgnn_model *load(const char *name)
{
    const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = 0.5};
    struct dgnn_model *model = NULL;
    char path[256];
    snprintf(path, sizeof(path), "tests/data/cases/%s/model.pt2", name);
    CHECK_STATUS(dgnn_model_load(path, &options, &model, &error), DGNN_OK, "");
    return model;
}

/* ------------------------------------------------------------------ info */

static const char *flag(int value)
{
    return value ? "true" : "false";
}

static void add_list(char *text, size_t length, const char *format, int64_t n, const double *values)
{
    for (int64_t k = 0; k < n; k++) {
        size_t used = strlen(text);
        snprintf(text + used, length - used, format, k ? ", " : "", values[k]);
    }
}

static void check_described(const char *name, const struct dgnn_model *model,
                            const struct dgnn_model_info *info)
{
    const char *described = dgnn_model_describe(model);
    char text[10][512] = {{0}};
    snprintf(text[0], sizeof(text[0]), "\"type_map\": [");
    for (int32_t k = 0; k < info->ntypes; k++) {
        size_t used = strlen(text[0]);
        snprintf(text[0] + used, sizeof(text[0]) - used, "%s\"%s\"", k ? ", " : "", info->type_names[k]);
    }
    strcat(text[0], "]");
    snprintf(text[1], sizeof(text[1]), "\"cutoff\": %.17g, \"dtype\": \"%s\", \"semantics\": \"%s\"",
             info->cutoff, info->dtype == DGNN_DTYPE_FLOAT32 ? "float32" : "float64",
             info->semantics == DGNN_SEMANTICS_DENSE ? "dense" : "graph");
    snprintf(text[2], sizeof(text[2]),
             "\"has_message_passing\": %s, \"has_message_passing_across_ranks\": %s",
             flag(info->has_message_passing), flag(info->has_message_passing_across_ranks));
    snprintf(text[3], sizeof(text[3]), "\"is_spin\": %s, \"virtual_scale\": %s", flag(info->is_spin),
             info->is_spin ? "[" : "null");
    if (info->is_spin) {
        add_list(text[3], sizeof(text[3]), "%s%.17g", info->ntypes, info->virtual_scale);
    }
    snprintf(text[4], sizeof(text[4]), "\"dim_fparam\": %lld, \"dim_aparam\": %lld",
             (long long)info->dim_fparam, (long long)info->dim_aparam);
    snprintf(text[5], sizeof(text[5]),
             "\"dim_charge_spin\": %d, \"has_default_fparam\": %s, \"has_default_charge_spin\": %s",
             info->dim_charge_spin, flag(info->default_fparam != NULL),
             flag(info->default_charge_spin != NULL));
    snprintf(text[6], sizeof(text[6]), "\"sel\": [%lld%s", (long long)info->sel[0],
             info->nsel > 1 ? ", " : "]");
    snprintf(text[7], sizeof(text[7]), "\"parameters\": %lld,", (long long)info->parameters);
    snprintf(text[8], sizeof(text[8]), "\"threads\": %d, \"memory\": \"fast\", \"skin\": %g", info->threads,
             info->skin);
    for (int k = 0; k < 9; k++) {
        CHECK(strstr(described, text[k]));
        if (!strstr(described, text[k])) {
            fprintf(stderr, "    %s: no %s in %.400s\n", name, text[k], described);
        }
    }
    CHECK(info->output == DGNN_OUTPUT_ENERGY && info->memory == DGNN_MEMORY_FAST);
}

static void test_info(void)
{
    static const char *const names[] = {"dpa3_base",
                                        "dpa3_f32",
                                        "dpa3_fparam_aparam",
                                        "dpa3_fparam_default",
                                        "dpa3_charge_spin",
                                        "dpa3_charge_spin_default",
                                        "dpa1_small_sel_graph",
                                        "dpa2_base",
                                        "se_e2_a",
                                        "hybrid_fparam",
                                        "spin_dpa3",
                                        "spin_se_e2_a",
                                        "spin_three"};
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        struct dgnn_model *model = load(names[k]);
        struct dgnn_model_info info = {.size = sizeof(info)};
        CHECK_STATUS(dgnn_model_get_info(model, &info, &error), DGNN_OK, "");
        check_described(names[k], model, &info);
        dgnn_model_free(model);
    }
}

/* The defaults are those that a call takes: the same bits with them and without. */
static void test_defaults(void)
{
    static const double coords[9] = {0, 0, 0, 1.2, 0, 0, 0, 1.3, 0.2};
    static const int32_t types[3] = {0, 1, 1};
    static const char *const names[] = {"dpa3_fparam_default", "dpa3_charge_spin_default"};
    for (int k = 0; k < 2; k++) {
        struct dgnn_model *model = load(names[k]);
        struct dgnn_model_info info = {.size = sizeof(info)};
        struct dgnn_system system = {.size = sizeof(system), .natoms = 3, .coords = coords, .types = types};
        struct dgnn_result without = {.size = sizeof(without)}, with = without;
        CHECK_STATUS(dgnn_model_get_info(model, &info, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &without, &error), DGNN_OK, "");
        system.fparam = info.default_fparam;
        system.nfparam = info.dim_fparam;
        system.charge_spin = info.default_charge_spin;
        CHECK(k == 0 ? info.default_fparam != NULL : info.default_charge_spin != NULL);
        CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &with, &error), DGNN_OK, "");
        CHECK(with.energy == without.energy);
        dgnn_model_free(model);
    }
}

/* ------------------------------------------------------------------ notices */

enum { MANY = 64 };

struct told {
    int32_t count[DGNN_NOTICE_COUNT];
    int64_t atoms[DGNN_NOTICE_COUNT];
    int32_t model;
    char message[256];
};

static void hear(void *context, const struct dgnn_notice *notice)
{
    struct told *told = context;
    told->count[notice->kind]++;
    told->atoms[notice->kind] = notice->count;
    told->model = notice->model;
    snprintf(told->message, sizeof(told->message), "%s", notice->message);
}

static double crowd[3 * MANY], spins[3 * MANY];
static int32_t kinds[MANY];

static void make_crowd(void)
{
    for (int i = 0; i < MANY; i++) {
        kinds[i] = i % 2;
        crowd[3 * i] = 1.4 * (i % 4) + 0.01 * (i % 7);
        crowd[3 * i + 1] = 1.4 * (i / 4 % 4) + 0.01 * (i % 5);
        crowd[3 * i + 2] = 1.4 * (i / 16) + 0.01 * (i % 3);
        spins[3 * i + 2] = i == 3 ? 1e-3 : 1;
    }
}

static struct dgnn_system crowd_system(int64_t natoms)
{
    return (struct dgnn_system){
        .size = sizeof(struct dgnn_system), .natoms = natoms, .coords = crowd, .types = kinds};
}

static void test_cut_lists(void)
{
    struct dgnn_model *models[2] = {load("dpa3_base"), load("dpa3_small_sel")};
    struct dgnn_session *session = NULL;
    struct dgnn_result results[2] = {{.size = sizeof(results[0])}, {.size = sizeof(results[0])}};
    struct dgnn_system few = crowd_system(2), many = crowd_system(MANY);
    struct told told = {0};
    CHECK_STATUS(dgnn_session_create(models, 2, NULL, &session, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_session_compute(session, &many, NULL, results, &error), DGNN_OK,
                 ""); /* nobody to be told */
    CHECK_STATUS(dgnn_set_notice(session, hear, &told, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_session_compute(session, &few, NULL, results, &error), DGNN_OK, "");
    CHECK(told.count[DGNN_NOTICE_TRUNCATED] == 0);
    for (int k = 0; k < 3; k++) {
        CHECK_STATUS(dgnn_session_compute(session, &many, NULL, results, &error), DGNN_OK, "");
    }
    CHECK(results[1].ntruncated > 0);
    CHECK(told.count[DGNN_NOTICE_TRUNCATED] == 1 && told.count[DGNN_NOTICE_ANGLES_TRUNCATED] <= 1);
    CHECK(told.atoms[DGNN_NOTICE_TRUNCATED] ==
          (results[0].ntruncated ? results[0].ntruncated : results[1].ntruncated));
    CHECK(told.count[DGNN_NOTICE_SMALL_SPINS] == 0);
    CHECK_STATUS(dgnn_set_notice(session, hear, &told, &error), DGNN_OK, ""); /* told again */
    CHECK_STATUS(dgnn_session_compute(session, &many, NULL, results, &error), DGNN_OK, "");
    CHECK(told.count[DGNN_NOTICE_TRUNCATED] == 2 && strstr(told.message, "neighbours than the model's"));
    CHECK_STATUS(dgnn_set_notice(session, NULL, NULL, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_session_compute(session, &many, NULL, results, &error), DGNN_OK, "");
    CHECK(told.count[DGNN_NOTICE_TRUNCATED] == 2);
    CHECK_STATUS(dgnn_set_notice(NULL, hear, &told, &error), DGNN_ERROR_INPUT, "an argument is NULL");
    dgnn_session_free(session);
    dgnn_model_free(models[0]);
    dgnn_model_free(models[1]);
}

static void test_small_spins(void)
{
    struct dgnn_model *model = load("spin_dpa3");
    struct dgnn_model_info info = {.size = sizeof(info)};
    struct dgnn_session *session = NULL;
    struct dgnn_result result = {.size = sizeof(result)};
    struct told told = {0};
    CHECK_STATUS(dgnn_model_get_info(model, &info, &error), DGNN_OK, "");
    int32_t magnetic = info.virtual_scale[0] != 0 ? 0 : 1;
    for (int i = 0; i < 8; i++) {
        kinds[i] = magnetic;
    }
    struct dgnn_system system = crowd_system(8);
    system.spins = spins;
    CHECK_STATUS(dgnn_session_create(&model, 1, NULL, &session, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_set_notice(session, hear, &told, &error), DGNN_OK, "");
    for (int k = 0; k < 2; k++) {
        CHECK_STATUS(dgnn_session_compute(session, &system, NULL, &result, &error), DGNN_OK, "");
    }
    CHECK(told.count[DGNN_NOTICE_SMALL_SPINS] == 1 && told.atoms[DGNN_NOTICE_SMALL_SPINS] == 1);
    dgnn_session_free(session);
    dgnn_model_free(model);
}

/* On ranks, each is told of all atoms that are cut. */
struct ranks_told {
    struct dgnn_model *model;
    struct told told[2];
    int32_t status[2];
};

static void ranks_told_body(struct ranks_rank *rank)
{
    struct ranks_told *all = rank->data;
    struct dgnn_session *session = NULL;
    struct dgnn_error own;
    struct dgnn_result result = {.size = sizeof(result)};
    struct dgnn_system system = crowd_system(MANY / 2);
    system.coords += rank->rank * 3 * (MANY / 2);
    system.types += rank->rank * (MANY / 2);
    int status = dgnn_session_create(&all->model, 1, NULL, &session, &own);
    status = status ? status : dgnn_set_notice(session, hear, &all->told[rank->rank], &own);
    for (int k = 0; k < 2 && !status; k++) {
        status = dgnn_session_compute(session, &system, rank->comm, &result, &own);
    }
    all->status[rank->rank] = status;
    dgnn_session_free(session);
}

static void test_ranks(void)
{
    struct ranks_told all = {.model = load("dpa3_small_sel")};
    make_crowd();
    ranks_run(2, 60, ranks_told_body, &all);
    CHECK(!all.status[0] && !all.status[1]);
    CHECK(all.told[0].count[DGNN_NOTICE_TRUNCATED] == 1 && all.told[1].count[DGNN_NOTICE_TRUNCATED] == 1);
    CHECK(all.told[0].atoms[DGNN_NOTICE_TRUNCATED] == all.told[1].atoms[DGNN_NOTICE_TRUNCATED]);
    dgnn_model_free(all.model);
}

int main(void)
{
    make_crowd();
    test_info();
    test_defaults();
    test_cut_lists();
    test_small_spins();
    test_ranks();
    return check_report();
}
