/* What a host must know of a model, as a struct: dgnn_model_get_info. */
#include <stddef.h>

#include "base/sized.h"
#include "model/model.h"

int dgnn_model_get_info(const struct dgnn_model *model, struct dgnn_model_info *info,
                        struct dgnn_error *error)
{
    static const struct dgnn_sized kind = {"model info", sizeof(size_t), sizeof(*info)};
    struct dgnn_model_info own;
    if (!model || !info) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "dgnn_model_get_info: model and info must not be NULL");
    }
    DGNN_TRY(dgnn_sized_read(&kind, info, &own, error));
    const struct dgnn_descriptor_properties *d = &model->properties.descriptor;
    const struct dgnn_fitting_properties *f = &model->properties.fitting;
    own = (struct dgnn_model_info){
        .cutoff = d->cutoff,
        .ntypes = model->ntypes,
        .output = f->output,
        .type_names = model->type_map,
        .dtype = d->dtype,
        .semantics = model->dense ? DGNN_SEMANTICS_DENSE : DGNN_SEMANTICS_GRAPH,
        .memory = model->memory,
        .threads = model->threads,
        .has_message_passing = d->has_message_passing,
        .has_message_passing_across_ranks = d->has_message_passing_across_ranks,
        .dim_fparam = f->dim_fparam,
        .default_fparam = f->dim_fparam ? f->default_fparam : NULL,
        .dim_aparam = f->dim_aparam,
        .is_spin = model->is_spin,
        .dim_charge_spin = d->dim_charge_spin,
        .default_charge_spin = d->dim_charge_spin ? d->default_charge_spin : NULL,
        .virtual_scale = model->is_spin ? model->spin.scale : NULL,
        .skin = model->skin,
        .parameters = d->parameters + f->parameters,
        .nsel = d->nsel,
        .sel = d->sel,
        .output_width = f->width,
        .output_name = f->name,
        .output_is_mean = f->is_mean,
        .dim_descriptor = d->dim_out,
        .dim_last_layer = f->dim_last_layer,
        .device = model->device_text,
    };
    dgnn_sized_write(&kind, &own, info);
    return DGNN_OK;
}
