/* What the descriptors without message passing do alike; included by each after its two instances, with
 * LOCAL_NAME its prefix. It provides the descriptor's struct NAME, and NAME_free, NAME_load_kind,
 * NAME_workspace_create, NAME_workspace_free, NAME_forward and NAME_backward of its kinds; struct
 * NAME_settings has params (with precision), ntypes, dtype, memory, threads and cpu. */
#define LOCAL_GLUE2(name, part) name##_##part
#define LOCAL_GLUE(name, part)  LOCAL_GLUE2(name, part)
#define LOCAL(part)             LOCAL_GLUE(LOCAL_NAME, part)

/* The includer's: everything from an archive but what context says; on failure too NAME_free_settings
 * follows. */
static int LOCAL(load_settings)(const struct dgnn_value *value, const struct dgnn_load_context *context,
                                const struct dgnn_descriptor_kind *kind, struct LOCAL(settings) * settings,
                                struct dgnn_error *error);
static void LOCAL(free_settings)(struct LOCAL(settings) * settings);

struct LOCAL_NAME {
    struct dgnn_descriptor_base base;
    struct LOCAL(settings) settings;
    struct LOCAL(f32) * f32; /* one of the two */
    struct LOCAL(f64) * f64;
};

static void LOCAL(free)(struct dgnn_descriptor *descriptor)
{
    struct LOCAL_NAME *d = (struct LOCAL_NAME *)descriptor;
    LOCAL(free_f32)(d->f32);
    LOCAL(free_f64)(d->f64);
    LOCAL(free_settings)(&d->settings);
    dgnn_alloc_free(d);
}

static int LOCAL(load_into)(const struct dgnn_value *value, const struct dgnn_load_context *context,
                            struct LOCAL_NAME *d, struct dgnn_error *error)
{
    struct LOCAL(settings) *s = &d->settings;
    s->memory = context->memory;
    s->threads = context->threads;
    s->cpu = context->cpu;
    s->ntypes = context->ntypes;
    DGNN_TRY(LOCAL(load_settings)(value, context, d->base.kind, s, error));
    DGNN_TRY(dgnn_params_precision(s->params.precision, value, &s->dtype, error));
    s->dtype = context->dtype == DGNN_DTYPE_ARCHIVE ? s->dtype : context->dtype;
    return s->dtype == DGNN_DTYPE_FLOAT32 ? LOCAL(load_f32)(s, &d->f32, error)
                                          : LOCAL(load_f64)(s, &d->f64, error);
}

static int LOCAL(load_kind)(const struct dgnn_value *value, const struct dgnn_load_context *context,
                            const struct dgnn_descriptor_kind *kind, struct dgnn_descriptor **descriptor,
                            struct dgnn_error *error)
{
    struct LOCAL_NAME *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->base.kind = kind;
    int status = LOCAL(load_into)(value, context, d, error);
    if (status) {
        LOCAL(free)((struct dgnn_descriptor *)d);
        return status;
    }
    *descriptor = (struct dgnn_descriptor *)d;
    return DGNN_OK;
}

/* Of one of the two. */
struct LOCAL(workspace) {
    struct LOCAL(workspace_f32) * f32;
    struct LOCAL(workspace_f64) * f64;
};

static void LOCAL(workspace_free)(struct dgnn_descriptor_workspace *workspace)
{
    struct LOCAL(workspace) *w = (struct LOCAL(workspace) *)workspace;
    if (w) {
        LOCAL(workspace_free_f32)(w->f32);
        LOCAL(workspace_free_f64)(w->f64);
        dgnn_alloc_free(w);
    }
}

static int LOCAL(workspace_create)(const struct dgnn_descriptor *descriptor,
                                   struct dgnn_descriptor_workspace **workspace, struct dgnn_error *error)
{
    const struct LOCAL_NAME *d = (const struct LOCAL_NAME *)descriptor;
    struct LOCAL(workspace) *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    int status = d->f32 ? LOCAL(workspace_create_f32)(d->f32, &w->f32, error)
                        : LOCAL(workspace_create_f64)(d->f64, &w->f64, error);
    if (status) {
        LOCAL(workspace_free)((struct dgnn_descriptor_workspace *)w);
        return status;
    }
    *workspace = (struct dgnn_descriptor_workspace *)w;
    return DGNN_OK;
}

static int LOCAL(forward)(const struct dgnn_descriptor *descriptor,
                          struct dgnn_descriptor_workspace *workspace,
                          const struct dgnn_evaluation *evaluation, double *output, struct dgnn_error *error)
{
    struct LOCAL(workspace) *w = (struct LOCAL(workspace) *)workspace;
    (void)descriptor;
    return w->f32 ? LOCAL(forward_f32)(w->f32, evaluation, output, error)
                  : LOCAL(forward_f64)(w->f64, evaluation, output, error);
}

static int LOCAL(backward)(const struct dgnn_descriptor *descriptor,
                           struct dgnn_descriptor_workspace *workspace,
                           const struct dgnn_evaluation *evaluation, const double *output_gradient,
                           struct dgnn_error *error)
{
    struct LOCAL(workspace) *w = (struct LOCAL(workspace) *)workspace;
    (void)descriptor;
    (void)error;
    if (w->f32) {
        LOCAL(backward_f32)(w->f32, evaluation, output_gradient);
    } else {
        LOCAL(backward_f64)(w->f64, evaluation, output_gradient);
    }
    return DGNN_OK;
}
