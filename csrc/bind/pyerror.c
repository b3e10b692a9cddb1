/* From a status to a Python exception. */
#include "bind/state.h"

/* dgnn.NAME with the parents (state->error, parent). */
static PyObject *pyerror_new(PyObject *module, const struct dgnn_state *state, const char *name, const char *doc,
                             PyObject *parent)
{
    char qualified[64];
    PyOS_snprintf(qualified, sizeof qualified, "dgnn.%s", name);
    PyObject *bases = parent ? PyTuple_Pack(2, state->error, parent) : Py_NewRef(PyExc_Exception);
    if (!bases) {
        return NULL;
    }
    PyObject *exception = PyErr_NewExceptionWithDoc(qualified, doc, bases, NULL);
    Py_DECREF(bases);
    if (exception && PyModule_AddObjectRef(module, name, exception)) {
        Py_CLEAR(exception);
    }
    return exception;
}

int dgnn_pyerror_setup(PyObject *module, struct dgnn_state *state)
{
    state->error = pyerror_new(module, state, "Error", "The parent of dgnn's own exceptions.", NULL);
    if (!state->error) {
        return -1;
    }
    state->model_format_error = pyerror_new(module, state, "ModelFormatError",
                                            "The archive is damaged, or is no model.", PyExc_ValueError);
    state->unsupported_model_error =
        pyerror_new(module, state, "UnsupportedModelError",
                    "A sound model with something that dgnn does not evaluate.", PyExc_NotImplementedError);
    state->input_error = pyerror_new(module, state, "InputError", "An argument of this call does not fit.",
                                     PyExc_ValueError);
    state->comm_error = pyerror_new(module, state, "CommError",
                                    "A message between ranks failed; the communicator is not used again.",
                                    PyExc_RuntimeError);
    state->busy_error = pyerror_new(module, state, "BusyError", "The model is in use by another thread.",
                                    PyExc_RuntimeError);
    return state->model_format_error && state->unsupported_model_error && state->input_error &&
                   state->comm_error && state->busy_error
               ? 0
               : -1;
}

/* The message may have been cut inside a character, or hold a file name in another encoding. */
static PyObject *pyerror_message(const struct dgnn_error *error)
{
    const char *text = error->message[0] ? error->message : dgnn_status_name(error->status);
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

PyObject *dgnn_pyerror_raise(const struct dgnn_state *state, const struct dgnn_error *error)
{
    PyObject *message = pyerror_message(error);
    if (!message) {
        return NULL;
    }
    PyObject *kind = state->error;
    switch (error->status) {
    case DGNN_ERROR_FORMAT: kind = state->model_format_error; break;
    case DGNN_ERROR_UNSUPPORTED: kind = state->unsupported_model_error; break;
    case DGNN_ERROR_INPUT: kind = state->input_error; break;
    case DGNN_ERROR_COMM: kind = state->comm_error; break;
    case DGNN_ERROR_BUSY: kind = state->busy_error; break;
    case DGNN_ERROR_MEMORY: kind = PyExc_MemoryError; break;
    case DGNN_ERROR_SYSTEM: kind = PyExc_OSError; break;
    default: break;
    }
    if (kind == PyExc_OSError) {
        PyObject *arguments = Py_BuildValue("(iO)", (int)error->system_errno, message);
        if (arguments) {
            PyErr_SetObject(kind, arguments); /* becomes FileNotFoundError and its like */
            Py_DECREF(arguments);
        }
    } else {
        PyErr_SetObject(kind, message);
    }
    Py_DECREF(message);
    return NULL;
}

PyObject *dgnn_pyerror_input(const struct dgnn_state *state, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyErr_FormatV(state->input_error, format, arguments);
    va_end(arguments);
    return NULL;
}
