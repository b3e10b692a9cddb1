/* A model as a file, and as a tree for other formats. */
#include <string.h>

#include "base/sized.h"
#include "io/writer.h"
#include "model/model.h"

int dgnn_model_save(const struct dgnn_model *model, const char *path, struct dgnn_error *error)
{
    if (!model || !path) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_model_save: model and path must not be NULL");
    }
    return dgnn_writer_save(path, &model->archive, error);
}

/* All members are needed to free it: those of the first version. */
static const struct dgnn_sized save_tree = {"model tree", DGNN_SIZED_TO(struct dgnn_model_tree, narrays),
                                            sizeof(struct dgnn_model_tree)};

static void save_array(const struct dgnn_tensor *tensor, struct dgnn_array *array)
{
    *array = (struct dgnn_array){.dtype = tensor->dtype, .ndim = tensor->ndim, .data = tensor->data};
    memcpy(array->shape, tensor->shape, sizeof(array->shape));
}

int dgnn_model_tree(const struct dgnn_model *model, struct dgnn_model_tree *tree, struct dgnn_error *error)
{
    struct dgnn_model_tree own;
    if (!model || !tree) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_model_tree: model and tree must not be NULL");
    }
    DGNN_TRY(dgnn_sized_read(&save_tree, tree, &own, error));
    struct dgnn_value root = dgnn_tree_root(model->archive.model);
    struct dgnn_text text = {0};
    struct dgnn_buffer tensors = {0};
    struct dgnn_array *arrays = NULL;
    int64_t narrays = 0;
    int status = dgnn_writer_json(&root, &text, &tensors, &narrays, error);
    if (!status && !(arrays = dgnn_alloc(narrays, sizeof(*arrays)))) {
        status = dgnn_status_no_memory(error, "a list of arrays", narrays * (int64_t)sizeof(*arrays));
    }
    if (status) {
        dgnn_text_free(&text);
    } else {
        for (int64_t k = 0; k < narrays; k++) {
            save_array((const struct dgnn_tensor *)tensors.data + k, &arrays[k]);
        }
        own = (struct dgnn_model_tree){.json = text.data,
                                       .json_length = (size_t)text.length,
                                       .arrays = arrays,
                                       .narrays = (size_t)narrays};
        dgnn_sized_write(&save_tree, &own, tree);
    }
    dgnn_buffer_free(&tensors);
    return status;
}

void dgnn_model_tree_free(struct dgnn_model_tree *tree)
{
    dgnn_alloc_free(tree->json);
    dgnn_alloc_free(tree->arrays);
    dgnn_sized_write(&save_tree, &(struct dgnn_model_tree){0}, tree);
}
