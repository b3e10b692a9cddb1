/* The code that all descriptors without message passing share; they treat one chunk of centres after another.
 * A descriptor includes it after its two instances, with LOCAL_NAME defined as its prefix, NAME here. It
 * defines struct NAME, NAME_free and NAME_load_kind. The including file must have NAME_driver, NAME_cpu_f32
 * and NAME_cpu_f64, and struct NAME_settings with params (with precision), ntypes, dtype, memory, threads and
 * cpu. */
#define LOCAL_GLUE2(name, part) name##_##part
#define LOCAL_GLUE(name, part)  LOCAL_GLUE2(name, part)
#define LOCAL(part)             LOCAL_GLUE(LOCAL_NAME, part)

/* The including file defines this function. It reads everything except what context says. NAME_free_settings
 * is called after a failure, too. */
static int LOCAL(load_settings)(const struct dgnn_value *value, const struct dgnn_load_context *context,
                                const struct dgnn_descriptor_kind *kind, struct LOCAL(settings) * settings,
                                struct dgnn_error *error);
static void LOCAL(free_settings)(struct LOCAL(settings) * settings);

struct LOCAL_NAME {
    struct dgnn_staged staged;
    struct LOCAL(settings) settings;
};

static void LOCAL(free)(struct dgnn_descriptor *descriptor)
{
    struct LOCAL_NAME *d = (struct LOCAL_NAME *)descriptor;
    dgnn_backend_free(&d->staged);
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
    DGNN_TRY(LOCAL(load_settings)(value, context, d->staged.base.kind, s, error));
    DGNN_TRY(dgnn_params_precision(s->params.precision, value, &s->dtype, error));
    s->dtype = context->dtype == DGNN_DTYPE_ARCHIVE ? s->dtype : context->dtype;
    return dgnn_backend_load(&d->staged, s->dtype == DGNN_DTYPE_FLOAT32 ? &LOCAL(cpu_f32) : &LOCAL(cpu_f64),
                             error);
}

static int LOCAL(load_kind)(const struct dgnn_value *value, const struct dgnn_load_context *context,
                            const struct dgnn_descriptor_kind *kind, struct dgnn_descriptor **descriptor,
                            struct dgnn_error *error)
{
    struct LOCAL_NAME *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->staged = (struct dgnn_staged){.base = {kind},
                                     .driver = &LOCAL(driver),
                                     .settings = &d->settings,
                                     .threads = context->threads,
                                     .keep = context->memory == DGNN_MEMORY_FAST};
    int status = LOCAL(load_into)(value, context, d, error);
    if (status) {
        LOCAL(free)((struct dgnn_descriptor *)d);
        return status;
    }
    *descriptor = (struct dgnn_descriptor *)d;
    return DGNN_OK;
}
