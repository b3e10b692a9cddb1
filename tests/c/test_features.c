/* What a call asks for beside energies (enum dgnn_request): bits that are none, places that are NULL, widths,
 * and the same rows in a session of several models. */
#include <math.h>
#include <stdlib.h>

#include "check.h"

#define MODEL "tests/data/cases/dpa3_base/model.pt2"
#define OTHER "tests/data/cases/se_e2_a/model.pt2"

enum { NATOMS = 4, WIDEST = 64 };

static struct dgnn_error error;
static const double coords[3 * NATOMS] = {0, 0, 0, 1.2, 0, 0, 0, 1.3, 0.2, 1.5, 1.6, 0.1};
static const double box[9] = {9, 0, 0, 0, 9, 0, 0, 0, 9};
static const int32_t types[NATOMS] = {0, 1, -1, 0};

static struct dgnn_system system_of(int32_t request)
{
    return (struct dgnn_system){.size = sizeof(struct dgnn_system),
                                .natoms = NATOMS,
                                .coords = coords,
                                .types = types,
                                .box = box,
                                .pbc = {1, 1, 1},
                                .request = request};
}

static int64_t widths(const struct dgnn_model *model, int64_t *last_layer)
{
    struct dgnn_model_info info = {.size = sizeof(info)};
    CHECK_STATUS(dgnn_model_get_info(model, &info, &error), DGNN_OK, "");
    *last_layer = info.dim_last_layer;
    return info.dim_descriptor;
}

static void test_requests(struct dgnn_model *model)
{
    double rows[NATOMS * WIDEST], last[NATOMS * WIDEST], forces[3 * NATOMS], energy = 0;
    int64_t nlast, n = widths(model, &nlast);
    CHECK(n == 8 && nlast == 8);
    for (int32_t request = -1; request <= 16; request++) {
        struct dgnn_system system = system_of(request);
        struct dgnn_result result = {
            .size = sizeof(result), .descriptor = rows, .last_layer = last, .forces = forces};
        rows[0] = last[0] = forces[0] = NAN;
        int known = request >= 0 && request < 16;
        CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error),
                     known ? DGNN_OK : DGNN_ERROR_INPUT, known ? "" : "request: found");
        if (!known) {
            continue;
        }
        energy = request ? energy : result.energy;
        CHECK(result.energy == energy);
        CHECK(isnan(rows[0]) == !(request & DGNN_REQUEST_DESCRIPTOR));
        CHECK(isnan(last[0]) == !(request & DGNN_REQUEST_LAST_LAYER));
        CHECK((forces[0] == 0) == ((request & DGNN_REQUEST_NO_FORCES) != 0));
        for (int64_t c = 0; c < n && request & DGNN_REQUEST_DESCRIPTOR; c++) {
            CHECK(rows[2 * n + c] == 0); /* of the NULL atom */
        }
        result.descriptor = result.last_layer = NULL;
        CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_OK, "");
    }
}

/* Each model's rows have its own width. */
static void test_session(struct dgnn_model *const models[2])
{
    struct dgnn_session *session = NULL;
    struct dgnn_system system = system_of(DGNN_REQUEST_DESCRIPTOR | DGNN_REQUEST_LAST_LAYER);
    double rows[2][NATOMS * WIDEST], last[2][NATOMS * WIDEST], alone[NATOMS * WIDEST];
    struct dgnn_result results[2];
    for (int k = 0; k < 2; k++) {
        results[k] =
            (struct dgnn_result){.size = sizeof(results[k]), .descriptor = rows[k], .last_layer = last[k]};
    }
    CHECK_STATUS(dgnn_session_create(models, 2, NULL, &session, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_OK, "");
    for (int k = 0; k < 2; k++) {
        struct dgnn_result result = {.size = sizeof(result), .descriptor = alone};
        int64_t nlast, n = widths(models[k], &nlast);
        CHECK_STATUS(dgnn_model_compute(models[k], &system, NULL, &result, &error), DGNN_OK, "");
        CHECK(!memcmp(alone, rows[k], sizeof(double) * (size_t)(NATOMS * n)));
        CHECK(result.energy == results[k].energy);
    }
    dgnn_session_free(session);
}

int main(void)
{
    struct dgnn_load_options options = {.size = sizeof(options), .threads = 2, .skin = 0};
    struct dgnn_model *models[2] = {NULL, NULL};
    CHECK_STATUS(dgnn_model_load(MODEL, &options, &models[0], &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_load(OTHER, &options, &models[1], &error), DGNN_OK, "");
    test_requests(models[0]);
    test_session(models);
    for (int k = 0; k < 2; k++) {
        dgnn_model_free(models[k]);
    }
    return check_report();
}
