/* What a session tells its host beside results, each kind once. */
#include <math.h>
#include <stdio.h>

#include "model/session.h"

#define NOTICE_SMALL_DISPLACEMENT 0.05 /* Angstrom */

static void notice_tell(struct dgnn_session *s, enum dgnn_notice_kind kind, int32_t model, int64_t count,
                        const char *what)
{
    char message[256];
    if (count <= 0 || s->notified & (1u << kind)) {
        return;
    }
    snprintf(message, sizeof(message), "%lld %s", (long long)count, what);
    struct dgnn_notice notice = {
        .size = sizeof(notice), .kind = kind, .model = model, .count = count, .message = message};
    s->notified |= 1u << kind;
    s->notice(s->notice_context, &notice);
}

/* Atoms whose spins put their virtual atoms so near that the model is nearly singular there. */
static int64_t notice_small(const struct dgnn_session *s, const struct dgnn_notice_spins *atoms)
{
    int64_t small = 0;
    for (int64_t i = 0; s->is_spin && atoms->spins && i < atoms->n; i++) {
        const double *spin = atoms->spins + 3 * i;
        double scale = atoms->types[i] >= 0 ? s->spin.scale[atoms->types[i]] : 0;
        double length = sqrt(spin[0] * spin[0] + spin[1] * spin[1] + spin[2] * spin[2]);
        small += scale != 0 && fabs(scale) * length < NOTICE_SMALL_DISPLACEMENT;
    }
    return small;
}

void dgnn_notice_tell(struct dgnn_session *s, const struct dgnn_notice_spins *spins)
{
    const struct dgnn_result *results = s->results.data;
    if (!s->notice) {
        return;
    }
    for (int32_t k = 0; k < s->ncall; k++) {
        notice_tell(s, DGNN_NOTICE_TRUNCATED, k, results[k].ntruncated,
                    "atoms have more neighbours than the model's sel; the farthest are left out, and the "
                    "energy jumps a "
                    "little where a neighbour enters or leaves such a list");
        notice_tell(s, DGNN_NOTICE_ANGLES_TRUNCATED, k, results[k].nangle_truncated,
                    "atoms have more neighbours than the model's a_sel inside a_rcut; the farthest form no "
                    "angles, and the "
                    "energy jumps a little where a neighbour enters or leaves such a list");
    }
    notice_tell(s, DGNN_NOTICE_SMALL_SPINS, 0, notice_small(s, spins),
                "magnetic atoms have spins that put their virtual atoms less than 0.05 Angstrom away; the "
                "model is nearly "
                "singular there, and magnetic forces are huge");
}

int dgnn_set_notice(struct dgnn_session *session,
                    void (*notice)(void *context, const struct dgnn_notice *notice), void *context,
                    struct dgnn_error *error)
{
    if (!session) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_set_notice: an argument is NULL");
    }
    if (atomic_exchange(&session->busy, 1)) {
        return dgnn_status_set(error, DGNN_ERROR_BUSY, "the session is computing in another thread");
    }
    session->notice = notice;
    session->notice_context = context;
    session->notified = 0;
    atomic_store(&session->busy, 0);
    return DGNN_OK;
}
