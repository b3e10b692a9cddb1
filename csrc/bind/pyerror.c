/* From a status to a Python exception. */
#include "bind/state.h"

/* dgnn.NAME with the parents (state->error, parent). */
static PyObject *pyerror_new(PyObject *module, const struct dgnn_state *state, const char *name,
                             const char *doc, PyObject *parent)
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
    state->input_error =
        pyerror_new(module, state, "InputError", "An argument of this call does not fit.", PyExc_ValueError);
    state->comm_error = pyerror_new(module, state, "CommError",
                                    "A message between ranks failed; the communicator is not used again.",
                                    PyExc_RuntimeError);
    state->busy_error = pyerror_new(
        module, state, "BusyError",
        "A communicator, or a model that is being closed, is in use by another thread.", PyExc_RuntimeError);
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

/* The class of a status. */
static PyObject *pyerror_kind(const struct dgnn_state *state, int32_t status)
{
    switch (status) {
    case DGNN_ERROR_FORMAT:
        return state->model_format_error;
    case DGNN_ERROR_UNSUPPORTED:
        return state->unsupported_model_error;
    case DGNN_ERROR_INPUT:
        return state->input_error;
    case DGNN_ERROR_COMM:
        return state->comm_error;
    case DGNN_ERROR_BUSY:
        return state->busy_error;
    case DGNN_ERROR_MEMORY:
        return PyExc_MemoryError;
    case DGNN_ERROR_SYSTEM:
        return PyExc_OSError;
    case DGNN_ERROR_INTERRUPTED:
        return PyExc_KeyboardInterrupt;
    default:
        return state->error;
    }
}

PyObject *dgnn_pyerror_raise(const struct dgnn_state *state, const struct dgnn_error *error)
{
    if (error->status == DGNN_ERROR_INTERRUPTED && PyErr_Occurred()) {
        return NULL; /* what the handler of a signal raised */
    }
    PyObject *message = pyerror_message(error);
    if (!message) {
        return NULL;
    }
    PyObject *kind = pyerror_kind(state, error->status);
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

/* What the other ranks hear of an exception: one that is none of dgnn's is an input error there, under its
 * own name. */
static void pyerror_describe(const struct dgnn_state *state, PyObject *exception, struct dgnn_error *error)
{
    static const int32_t statuses[] = {DGNN_ERROR_INPUT, DGNN_ERROR_MEMORY, DGNN_ERROR_BUSY, DGNN_ERROR_COMM};
    PyObject *type = PyObject_GetAttrString((PyObject *)Py_TYPE(exception), "__name__");
    const char *found = type ? PyUnicode_AsUTF8AndSize(type, NULL) : NULL, *name = found ? found : "";
    PyObject *text = PyObject_Str(exception);
    /* A file's name may be no UTF-8: surrogates then stand for its bytes. */
    PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape") : NULL;
    const char *words = bytes ? PyBytes_AsString(bytes) : NULL;
    *error = (struct dgnn_error){0};
    for (size_t k = 0; k < sizeof statuses / sizeof *statuses && !error->status; k++) {
        if (PyErr_GivenExceptionMatches(exception, pyerror_kind(state, statuses[k]))) {
            error->status = statuses[k];
        }
    }
    if (error->status && words && *words) {
        name = "";
    }
    error->status = error->status ? error->status : DGNN_ERROR_INPUT;
    PyOS_snprintf(error->message, sizeof error->message, "%s%s%s", name, *name && words && *words ? ": " : "",
                  words ? words : "");
    PyErr_Clear();
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(type);
}

void dgnn_pyerror_agree(const struct dgnn_state *state, struct dgnn_comm *comm, const char *operation)
{
    PyObject *type, *value, *traceback, *agreed_type, *agreed, *agreed_traceback;
    struct dgnn_error error;
    if (!comm) {
        return;
    }
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    pyerror_describe(state, value, &error);
    Py_BEGIN_ALLOW_THREADS
    dgnn_comm_agree(comm, operation, error.status, &error);
    Py_END_ALLOW_THREADS
    if (!PyErr_GivenExceptionMatches(type, PyExc_Exception)) { /* KeyboardInterrupt stays what it is */
        PyErr_Restore(type, value, traceback);
        return;
    }
    dgnn_pyerror_raise(state, &error);
    PyErr_Fetch(&agreed_type, &agreed, &agreed_traceback);
    PyErr_NormalizeException(&agreed_type, &agreed, &agreed_traceback);
    if (traceback) {
        PyException_SetTraceback(value, traceback);
    }
    PyException_SetCause(agreed, value); /* takes over the reference */
    PyErr_Restore(agreed_type, agreed, agreed_traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
}

PyObject *dgnn_pyerror_found(PyObject *kind, const char *expected, PyObject *value)
{
    PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(value), "__name__");
    if (name) {
        PyErr_Format(kind, "%s, found %U", expected, name);
        Py_DECREF(name);
    }
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
