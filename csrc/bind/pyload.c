/* From files, bytes and trees to models; and the heads of checkpoints. */
#include "bind/state.h"

/* A tuple, in the order of names, or a dict with some of them. *held keeps the strings in *options alive. */
static int pyload_options(PyObject *value, struct dgnn_load_options *options, PyObject **held)
{
    static char *names[] = {"dtype",  "memory", "semantics", "threads",    "skin",
                            "device", "head",   "radial",    "compressed", NULL};
    int is_dict = PyDict_Check(value);
    *options = (struct dgnn_load_options){.size = sizeof *options, .skin = -1};
    *held = NULL;
    if (!is_dict && !PyTuple_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "options: expected a tuple or a dict");
        return -1;
    }
    PyObject *tuple = is_dict ? PyTuple_New(0) : Py_NewRef(value);
    *held = is_dict ? PyDict_Copy(value) : Py_NewRef(value);
    int taken = tuple && *held &&
                PyArg_ParseTupleAndKeywords(tuple, is_dict ? *held : NULL, "|iiiidzzii:options", names,
                                            &options->dtype, &options->memory, &options->semantics,
                                            &options->threads, &options->skin, &options->device,
                                            &options->head, &options->radial, &options->compressed);
    Py_XDECREF(tuple);
    if (!taken) {
        Py_CLEAR(*held);
    }
    return taken ? 0 : -1;
}

static PyObject *pyload_load(PyObject *module, PyObject *arguments)
{
    const struct dgnn_state *state = dgnn_module_state(module);
    PyObject *path, *option_values, *held;
    struct dgnn_load_options options;
    if (!PyArg_ParseTuple(arguments, "O&O:load", PyUnicode_FSConverter, &path, &option_values)) {
        return NULL;
    }
    if (pyload_options(option_values, &options, &held)) {
        Py_DECREF(path);
        return NULL;
    }
    struct dgnn_model *model = NULL;
    struct dgnn_error error = {0};
    int status;
    const char *name = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    status = dgnn_model_load(name, &options, &model, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    Py_DECREF(held);
    return status ? dgnn_pyerror_raise(state, &error) : dgnn_pymodel_wrap(state->model_type, model);
}

static PyObject *pyload_load_bytes(PyObject *module, PyObject *arguments)
{
    const struct dgnn_state *state = dgnn_module_state(module);
    PyObject *name, *bytes, *option_values, *held;
    struct dgnn_load_options options;
    if (!PyArg_ParseTuple(arguments, "O&SO:load_bytes", PyUnicode_FSConverter, &name, &bytes,
                          &option_values)) {
        return NULL;
    }
    if (pyload_options(option_values, &options, &held)) {
        Py_DECREF(name);
        return NULL;
    }
    struct dgnn_model *model = NULL;
    struct dgnn_error error = {0};
    int status;
    const char *named = PyBytes_AsString(name), *data = PyBytes_AsString(bytes);
    size_t length = (size_t)PyBytes_Size(bytes);
    Py_BEGIN_ALLOW_THREADS
    status = dgnn_model_load_memory(named, data, length, &options, &model, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(name);
    Py_DECREF(held);
    return status ? dgnn_pyerror_raise(state, &error) : dgnn_pymodel_wrap(state->model_type, model);
}

/* Frees json. */
static PyObject *pyload_heads_text(const struct dgnn_state *state, int status, char *json,
                                   struct dgnn_error *error)
{
    PyObject *text = status ? dgnn_pyerror_raise(state, error) : PyUnicode_FromString(json);
    dgnn_heads_free(json);
    return text;
}

static PyObject *pyload_heads(PyObject *module, PyObject *arguments)
{
    PyObject *path;
    if (!PyArg_ParseTuple(arguments, "O&:heads", PyUnicode_FSConverter, &path)) {
        return NULL;
    }
    char *json = NULL;
    struct dgnn_error error = {0};
    int status;
    const char *name = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    status = dgnn_heads(name, &json, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    return pyload_heads_text(dgnn_module_state(module), status, json, &error);
}

static PyObject *pyload_heads_bytes(PyObject *module, PyObject *arguments)
{
    PyObject *name, *bytes;
    if (!PyArg_ParseTuple(arguments, "O&S:heads_bytes", PyUnicode_FSConverter, &name, &bytes)) {
        return NULL;
    }
    char *json = NULL;
    struct dgnn_error error = {0};
    int status;
    const char *named = PyBytes_AsString(name), *data = PyBytes_AsString(bytes);
    size_t length = (size_t)PyBytes_Size(bytes);
    Py_BEGIN_ALLOW_THREADS
    status = dgnn_heads_memory(named, data, length, &json, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(name);
    return pyload_heads_text(dgnn_module_state(module), status, json, &error);
}

/* The arrays of a tree (sequence: a tuple), with what keeps them alive in *held (a list). */
static struct dgnn_array *pyload_tree_arrays(const struct dgnn_state *state, PyObject *sequence,
                                             PyObject *held)
{
    Py_ssize_t count = PyTuple_Size(sequence);
    struct dgnn_array *arrays = PyMem_Calloc((size_t)count + 1, sizeof *arrays);
    if (!arrays) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t k = 0; k < count; k++) {
        PyObject *array = dgnn_pyarray_tensor(state, PyTuple_GetItem(sequence, k), k, &arrays[k]);
        int failed = !array || PyList_Append(held, array);
        Py_XDECREF(array);
        if (failed) {
            PyMem_Free(arrays);
            return NULL;
        }
    }
    return arrays;
}

/* The arguments of load_tree. */
struct pyload_tree_arguments {
    PyObject *name; /* bytes, as the file system has them; owned */
    const char *json;
    Py_ssize_t json_length;
    PyObject *arrays, *options;
};

static PyObject *pyload_load_tree_call(const struct dgnn_state *state, const struct pyload_tree_arguments *in,
                                       const struct dgnn_load_options *options)
{
    PyObject *sequence = PySequence_Tuple(in->arrays);
    PyObject *held = sequence ? PyList_New(0) : NULL;
    struct dgnn_array *arrays = held ? pyload_tree_arrays(state, sequence, held) : NULL;
    PyObject *result = NULL;
    if (arrays) {
        struct dgnn_model *model = NULL;
        struct dgnn_error error = {0};
        int status;
        size_t narrays = (size_t)PyList_Size(held);
        const char *name = PyBytes_AsString(in->name);
        Py_BEGIN_ALLOW_THREADS
        status = dgnn_model_load_tree(name, in->json, (size_t)in->json_length, arrays, narrays, options,
                                      &model, &error);
        Py_END_ALLOW_THREADS
        result = status ? dgnn_pyerror_raise(state, &error) : dgnn_pymodel_wrap(state->model_type, model);
    }
    PyMem_Free(arrays);
    Py_XDECREF(held);
    Py_XDECREF(sequence);
    return result;
}

static PyObject *pyload_load_tree(PyObject *module, PyObject *arguments)
{
    struct pyload_tree_arguments in;
    struct dgnn_load_options options;
    PyObject *result = NULL, *held;
    if (!PyArg_ParseTuple(arguments, "O&s#OO:load_tree", PyUnicode_FSConverter, &in.name, &in.json,
                          &in.json_length, &in.arrays, &in.options)) {
        return NULL;
    }
    if (!pyload_options(in.options, &options, &held)) {
        result = pyload_load_tree_call(dgnn_module_state(module), &in, &options);
        Py_DECREF(held);
    }
    Py_DECREF(in.name);
    return result;
}

PyMethodDef dgnn_pyload_methods[] = {
    {"load", pyload_load, METH_VARARGS,
     "load(path, options, /)\n--\n\noptions: (dtype, memory, semantics, threads, skin, device, head, "
     "radial, compressed), or a dict of them."},
    {"heads", pyload_heads, METH_VARARGS,
     "heads(path, /)\n--\n\nThe heads of a checkpoint as JSON text: dgnn_heads in dgnn.h."},
    {"heads_bytes", pyload_heads_bytes, METH_VARARGS,
     "heads_bytes(name, data, /)\n--\n\nThe same from the bytes of a file."},
    {"load_bytes", pyload_load_bytes, METH_VARARGS,
     "load_bytes(name, data, options, /)\n--\n\nFrom the bytes of an archive."},
    {"load_tree", pyload_load_tree, METH_VARARGS,
     "load_tree(name, json, arrays, options, /)\n--\n\nFrom a tree whose array k is {\"@class\": "
     "\"np.ndarray\", "
     "\"@index\": k}."},
    {NULL, NULL, 0, NULL},
};
