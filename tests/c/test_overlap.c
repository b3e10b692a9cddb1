/* What needs no ghosts is done while messages travel: DPA3's angles, DPA2's pairs. Results would be the same
 * if it were done before or after; the profile of a call that is under way tells, read when messages start
 * and when they are waited for. */
#include "base/profile.h"
#include "check.h"
#include "ranks.h"
#include "system_case.h"

enum { NRANK = 2, NATOM = 96 };

struct watch {
    struct dgnn_transport inner;
    struct dgnn_profile profile;
    struct dgnn_profile started;     /* the profile at the last start */
    double hidden[DGNN_PHASE_COUNT]; /* seconds of each phase between a start and the wait after it */
    int hides[DGNN_PHASE_COUNT];     /* how many times it did something there */
    int status, travelling;
};

static struct watch watches[NRANK];

static struct watch *watch_of(const void *context)
{
    return watches[0].inner.context == context ? &watches[0] : &watches[1];
}

static int watch_start(void *context, void *request, struct dgnn_error *error)
{
    struct watch *w = watch_of(context);
    w->started = w->profile;
    w->travelling = 1;
    return w->inner.start(context, request, error);
}

static int watch_wait(void *context, void **requests, int64_t n, double deadline_s, struct dgnn_error *error)
{
    struct watch *w = watch_of(context);
    for (int phase = 0; phase < DGNN_PHASE_COUNT && w->travelling; phase++) {
        double seconds = w->profile.seconds[phase] - w->started.seconds[phase];
        w->hidden[phase] += seconds;
        w->hides[phase] += seconds > 0;
    }
    w->travelling = 0;
    return w->inner.wait(context, requests, n, deadline_s, error);
}

struct overlap {
    const char *path;
    double coords[NATOM][3];
    int32_t types[NATOM];
};

static void overlap_body(struct ranks_rank *rank)
{
    static const double box[9] = {16, 0, 0, 0, 9, 0, 0, 0, 9};
    const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    const struct overlap *o = rank->data;
    struct watch *w = &watches[rank->rank];
    struct dgnn_error error;
    struct dgnn_model *model = NULL;
    struct dgnn_system system = {.size = sizeof(system),
                                 .natoms = NATOM,
                                 .coords = &o->coords[0][0],
                                 .types = o->types,
                                 .box = box,
                                 .pbc = {1, 1, 1},
                                 .replicated = 1};
    struct dgnn_result result = {.size = sizeof(result), .profile = &w->profile};
    *w = (struct watch){.inner = rank->comm->transport, .profile = {.size = sizeof(w->profile)}};
    rank->comm->transport.start = watch_start;
    rank->comm->transport.wait = watch_wait;
    w->status = dgnn_model_load(o->path, &options, &model, &error);
    w->status = w->status ? w->status : dgnn_model_compute(model, &system, rank->comm, &result, &error);
    rank->comm->transport.start = w->inner.start;
    rank->comm->transport.wait = w->inner.wait;
    dgnn_model_free(model);
}

/* Of the seconds of a phase: ten times less than on a busy machine. With work before or after the messages it
 * is none. */
static const double least = 0.005;

/* times: messages of features, each way, all of which hide behind that phase. */
static void test_overlap(const char *path, int forward, int backward, int times)
{
    struct overlap o = {.path = path};
    uint64_t seed = 3;
    for (int i = 0; i < NATOM; i++) {
        const int place[3] = {i % 6, i / 6 % 4, i / 24};
        o.types[i] = i % 2;
        for (int k = 0; k < 3; k++) {
            o.coords[i][k] = 2.2 * place[k] + system_between(&seed, 0, 0.4);
        }
    }
    memset(watches, 0, sizeof(watches));
    ranks_run(NRANK, 60, overlap_body, &o);
    for (int r = 0; r < NRANK; r++) {
        const struct watch *w = &watches[r];
        const double *all = w->profile.seconds;
        CHECK(w->status == DGNN_OK);
        CHECK(all[forward] > 0 && w->hidden[forward] > least * all[forward]);
        CHECK(all[backward] > 0 && w->hidden[backward] > least * all[backward]);
        CHECK(w->hides[forward] == times && w->hides[backward] == times);
    }
}

int main(void)
{
    test_overlap("tests/data/cases/dpa3_base/model.pt2", DGNN_PHASE_ANGLE_FORWARD, DGNN_PHASE_ANGLE_BACKWARD,
                 2);
    /* Of two layers, the last one does not update its pairs. */
    test_overlap("tests/data/cases/dpa2_base/model.pt2", DGNN_PHASE_FORWARD, DGNN_PHASE_BACKWARD, 1);
    return check_report();
}
