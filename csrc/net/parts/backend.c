#include "net/parts/backend.h"

#include "base/parallel.h"

/* ---------------------------------------------------------------- buffers */

static void backend_add(struct dgnn_places *to, const struct dgnn_place *place)
{
    if (place->data && place->nbytes > 0 && to->count < to->most) {
        to->place[to->count++] = *place;
    }
}

void dgnn_backend_list(struct dgnn_places *to, int32_t buffer, int64_t layer, const void *data,
                       struct dgnn_place_rows rows, int64_t item)
{
    const struct dgnn_place place = {buffer,       layer,           DGNN_PLACE_HOST,
                                     (void *)data, rows.all * item, rows.owned * item};
    backend_add(to, &place);
}

void dgnn_backend_list_others(struct dgnn_places *to, const void *data, int64_t nbytes, int64_t begin,
                              int64_t end)
{
    struct dgnn_place place = {
        .buffer = DGNN_AT_OTHERS, .layer = -1, .data = (void *)data, .nbytes = data ? begin : 0};
    backend_add(to, &place);
    place.data = data ? (char *)data + end : NULL;
    place.nbytes = nbytes - end;
    backend_add(to, &place);
}

/* ---------------------------------------------------------------- stages */

static void backend_call(const struct dgnn_run *run, struct dgnn_stage_call *call)
{
    call->evaluation = run->evaluation;
    call->output = run->output;
    call->output_gradient = run->output_gradient;
    run->backend->stage[call->stage](run->workspace, call);
    dgnn_profile_end(run->profile, run->driver->rule[call->stage].phase);
}

void dgnn_backend_run(const struct dgnn_run *run, int32_t stage, int64_t layer, enum dgnn_stage_part part)
{
    backend_call(run, &(struct dgnn_stage_call){.stage = stage, .layer = layer, .part = part});
}

void dgnn_backend_run_side(const struct dgnn_run *run, int32_t stage, int32_t side)
{
    backend_call(run, &(struct dgnn_stage_call){.stage = stage, .side = side});
}

struct dgnn_rows dgnn_backend_rows(const struct dgnn_run *run, int32_t buffer, int64_t layer)
{
    return run->backend->rows(run->workspace, buffer, layer);
}

void dgnn_backend_move_rows(const struct dgnn_run *run, int32_t buffer, int64_t layer,
                            enum dgnn_rows_step step)
{
    if (run->backend->move_rows && run->evaluation->exchange) {
        run->backend->move_rows(run->workspace, buffer, layer, step);
    }
}

/* After a direction's stages, whatever became of their messages. A failure of this rank alone is noted where
 * the evaluation has a place for it: the other ranks' messages go on. */
static int backend_finish(const struct dgnn_run *run, int status, struct dgnn_error *error)
{
    struct dgnn_failure own = {0};
    if (run->backend->finish) {
        own.status = run->backend->finish(run->workspace, &own.error);
    }
    if (status || !run->evaluation->failure) {
        return status ? status : dgnn_status_failed(&own, error);
    }
    dgnn_status_note(run->evaluation->failure, own.status, &own.error);
    return DGNN_OK;
}

/* ---------------------------------------------------------------- by chunks */

/* A chunk of an evaluation that goes by chunks; the call has what its stages share. */
static void backend_stages(const struct dgnn_run *run, struct dgnn_stage_call *call, int32_t first,
                           int32_t end)
{
    for (call->stage = first; call->stage < end; call->stage++) {
        run->backend->stage[call->stage](run->workspace, call);
    }
}

static void backend_chunk_backward(const struct dgnn_run *run, struct dgnn_stage_call *call, uint64_t again)
{
    call->again = 1;
    for (int32_t stage = 0; stage < run->driver->nforward; stage++) {
        if (again >> stage & 1) {
            backend_stages(run, call, stage, stage + 1);
        }
    }
    call->again = 0;
    backend_stages(run, call, run->driver->nforward, run->driver->nstage);
}

/* What the parts of the region over all chunks share. */
struct backend_region {
    const struct dgnn_run *run;
    const int64_t *first;
    int64_t nchunk, width;
    uint64_t again;
};

static void backend_forward_part(void *of, int64_t chunk, int32_t thread)
{
    const struct backend_region *region = of;
    const struct dgnn_run *run = region->run;
    struct dgnn_stage_call call = {.chunk = chunk,
                                   .thread = thread,
                                   .evaluation = run->evaluation,
                                   .output = run->output + region->first[chunk] * region->width};
    backend_stages(run, &call, 0, run->driver->nforward);
}

/* The last chunk first: what forward kept of it is nearest. */
static void backend_backward_part(void *of, int64_t part, int32_t thread)
{
    const struct backend_region *region = of;
    const struct dgnn_run *run = region->run;
    int64_t chunk = region->nchunk - 1 - part;
    struct dgnn_stage_call call = {.chunk = chunk,
                                   .thread = thread,
                                   .evaluation = run->evaluation,
                                   .output_gradient =
                                       run->output_gradient + region->first[chunk] * region->width};
    backend_chunk_backward(run, &call, region->again);
}

static void backend_all_chunks(const struct dgnn_staged *d, const struct dgnn_run *run,
                               dgnn_parallel_part *part)
{
    struct dgnn_descriptor_properties own;
    struct backend_region region = {.run = run, .again = d->keep ? 0 : run->driver->again};
    d->base.kind->properties((const struct dgnn_descriptor *)d, &own);
    region.width = own.dim_out;
    region.nchunk = run->backend->chunks(run->workspace, &region.first);
    dgnn_parallel_run(d->threads, region.nchunk, part, &region);
}

/* ---------------------------------------------------------------- a descriptor with stages */

int dgnn_backend_load(struct dgnn_staged *d, const struct dgnn_backend *backend, struct dgnn_error *error)
{
    d->backend = backend;
    d->keep = d->keep && backend->keeps;
    return backend->load(d->settings, &d->weights, error);
}

void dgnn_backend_free(struct dgnn_staged *d)
{
    if (d->backend) {
        d->backend->free(d->weights);
    }
}

void dgnn_backend_set(struct dgnn_descriptor *descriptor, const struct dgnn_backend *backend)
{
    ((struct dgnn_staged *)descriptor)->backend = backend;
}

/* A workspace of any family. */
struct backend_workspace {
    const struct dgnn_staged *descriptor;
    const struct dgnn_backend *backend;
    void *inner;                  /* the backend's */
    struct dgnn_profile *profile; /* of the evaluation under way */
};

void dgnn_backend_workspace_free(struct dgnn_descriptor_workspace *workspace)
{
    struct backend_workspace *w = (struct backend_workspace *)workspace;
    if (w) {
        w->backend->workspace_free(w->inner);
        dgnn_alloc_free(w);
    }
}

int dgnn_backend_workspace_create(const struct dgnn_descriptor *descriptor,
                                  struct dgnn_descriptor_workspace **workspace, struct dgnn_error *error)
{
    const struct dgnn_staged *d = (const struct dgnn_staged *)descriptor;
    struct backend_workspace *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->descriptor = d;
    w->backend = d->backend;
    int status = d->backend->workspace_create(d->weights, &w->inner, error);
    if (status) {
        dgnn_alloc_free(w);
        return status;
    }
    *workspace = (struct dgnn_descriptor_workspace *)w;
    return DGNN_OK;
}

static struct dgnn_run backend_begin(const struct dgnn_descriptor_workspace *workspace,
                                     const struct dgnn_evaluation *evaluation)
{
    const struct backend_workspace *w = (const struct backend_workspace *)workspace;
    return (struct dgnn_run){.driver = w->descriptor->driver,
                             .backend = w->backend,
                             .settings = w->descriptor->settings,
                             .workspace = w->inner,
                             .profile = w->profile,
                             .evaluation = evaluation};
}

int dgnn_backend_prepare(const struct dgnn_descriptor *descriptor,
                         struct dgnn_descriptor_workspace *workspace,
                         const struct dgnn_evaluation *evaluation, struct dgnn_error *error)
{
    struct backend_workspace *w = (struct backend_workspace *)workspace;
    (void)descriptor;
    w->profile = evaluation->profile;
    DGNN_TRY(w->backend->reserve(w->inner, evaluation, &w->profile, error));
    const struct dgnn_run run = backend_begin(workspace, evaluation);
    return run.driver->prepare ? run.driver->prepare(&run, error) : DGNN_OK;
}

int dgnn_backend_forward(const struct dgnn_descriptor *descriptor,
                         struct dgnn_descriptor_workspace *workspace,
                         const struct dgnn_evaluation *evaluation, double *output, struct dgnn_error *error)
{
    struct dgnn_run run = backend_begin(workspace, evaluation);
    run.output = output;
    if (run.driver->forward) {
        return backend_finish(&run, run.driver->forward(&run, error), error);
    }
    backend_all_chunks((const struct dgnn_staged *)descriptor, &run, backend_forward_part);
    return DGNN_OK;
}

int dgnn_backend_backward(const struct dgnn_descriptor *descriptor,
                          struct dgnn_descriptor_workspace *workspace,
                          const struct dgnn_evaluation *evaluation, const double *output_gradient,
                          struct dgnn_error *error)
{
    struct dgnn_run run = backend_begin(workspace, evaluation);
    run.output_gradient = output_gradient;
    if (run.driver->backward) {
        return backend_finish(&run, run.driver->backward(&run, error), error);
    }
    backend_all_chunks((const struct dgnn_staged *)descriptor, &run, backend_backward_part);
    return DGNN_OK;
}

/* ---------------------------------------------------------------- a chunk at a time, for who goes by them */

static int64_t backend_chunks(const struct dgnn_descriptor_workspace *workspace, const int64_t **first)
{
    const struct backend_workspace *w = (const struct backend_workspace *)workspace;
    return w->backend->chunks(w->inner, first);
}

static void backend_chunk_of_forward(struct dgnn_descriptor_workspace *workspace,
                                     const struct dgnn_evaluation *evaluation, int64_t chunk, int32_t thread,
                                     double *output)
{
    const struct dgnn_run run = backend_begin(workspace, evaluation);
    struct dgnn_stage_call call = {
        .chunk = chunk, .thread = thread, .evaluation = evaluation, .output = output};
    backend_stages(&run, &call, 0, run.driver->nforward);
}

static void backend_chunk_of_backward(struct dgnn_descriptor_workspace *workspace,
                                      const struct dgnn_evaluation *evaluation, int64_t chunk, int32_t thread,
                                      const double *output_gradient)
{
    const struct dgnn_run run = backend_begin(workspace, evaluation);
    struct dgnn_stage_call call = {
        .chunk = chunk, .thread = thread, .evaluation = evaluation, .output_gradient = output_gradient};
    backend_chunk_backward(&run, &call, 0);
}

const struct dgnn_descriptor_chunks dgnn_backend_by_chunk = {
    .chunks = backend_chunks, .forward = backend_chunk_of_forward, .backward = backend_chunk_of_backward};
