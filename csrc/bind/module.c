/* The module dgnn._core: private to the package dgnn. */
#include "bind/state.h"

#include <stdlib.h>
#include <string.h>

static struct PyModuleDef module_definition;

struct dgnn_state *dgnn_module_state(PyObject *module)
{
    return PyModule_GetState(module);
}

struct dgnn_state *dgnn_module_state_of(PyObject *self)
{
    return PyType_GetModuleState(Py_TYPE(self));
}

static int module_exec(PyObject *module)
{
    struct dgnn_state *state = dgnn_module_state(module);
    if (dgnn_pyarray_setup() || dgnn_pyerror_setup(module, state) || dgnn_pymodel_setup(module, state) ||
        dgnn_pycomm_setup(module, state) || dgnn_pysession_setup(module, state) ||
        dgnn_pysignal_setup(module, state) || PyModule_AddFunctions(module, dgnn_pyload_methods) ||
        PyModule_AddFunctions(module, dgnn_pyalloc_methods)) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "version", dgnn_version());
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct dgnn_state *state = dgnn_module_state(module);
    Py_VISIT(state->error);
    Py_VISIT(state->model_format_error);
    Py_VISIT(state->unsupported_model_error);
    Py_VISIT(state->input_error);
    Py_VISIT(state->comm_error);
    Py_VISIT(state->busy_error);
    Py_VISIT(state->model_type);
    Py_VISIT(state->comm_type);
    Py_VISIT(state->session_type);
    Py_VISIT(state->method_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    struct dgnn_state *state = dgnn_module_state(module);
    Py_CLEAR(state->error);
    Py_CLEAR(state->model_format_error);
    Py_CLEAR(state->unsupported_model_error);
    Py_CLEAR(state->input_error);
    Py_CLEAR(state->comm_error);
    Py_CLEAR(state->busy_error);
    Py_CLEAR(state->model_type);
    Py_CLEAR(state->comm_type);
    Py_CLEAR(state->session_type);
    Py_CLEAR(state->method_type);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

/* Py_mod_multiple_interpreters and Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED, which CPython knows from 3.12
 * on and the headers of the limited API of 3.10 do not name. */
enum { MODULE_INTERPRETERS_SLOT = 3, MODULE_INTERPRETERS_SINCE = 12 };

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL}, /* MODULE_INTERPRETERS_SLOT, where it is known */
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "dgnn._core",
    .m_doc = "The C core of dgnn. Private: use the package dgnn.",
    .m_size = sizeof(struct dgnn_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void)
{
    const char *minor = strchr(Py_GetVersion(), '.'); /* "3.12.1 (...)" */
    if (minor && strtol(minor + 1, NULL, 10) >= MODULE_INTERPRETERS_SINCE) {
        module_slots[1] = (PyModuleDef_Slot){MODULE_INTERPRETERS_SLOT, NULL};
    }
    return PyModuleDef_Init(&module_definition);
}
