/* A call's results as a dict of arrays, of models and of sessions. */
#include "bind/state.h"

/* float64 zeros of that shape in the dict under that name; their data. */
static int pyresult_array(PyObject *dict, const char *name, int ndim, const Py_ssize_t *shape, double **data)
{
    PyObject *array = dgnn_pyarray_zeros(ndim, shape);
    if (!array || PyDict_SetItemString(dict, name, array)) {
        Py_XDECREF(array);
        return -1;
    }
    *data = dgnn_pyarray_data(array);
    Py_DECREF(array); /* the dict keeps it */
    return 0;
}

static int pyresult_energies(PyObject *dict, const struct dgnn_pyresult_shape *shape,
                             struct dgnn_result *result)
{
    Py_ssize_t rows[3] = {shape->nall, 3, 3};
    return pyresult_array(dict, "forces", 2, rows, &result->forces) ||
           pyresult_array(dict, "atom_energy", 1, &shape->nowned, &result->atom_energy) ||
           (shape->has_spins && pyresult_array(dict, "forces_mag", 2, rows, &result->forces_mag)) ||
           (shape->atomic && pyresult_array(dict, "atom_virial", 3, rows, &result->atom_virial));
}

/* Another answer, as rows of its numbers. */
static int pyresult_output(PyObject *dict, const struct dgnn_pyresult_shape *shape, Py_ssize_t width,
                           struct dgnn_result *result)
{
    Py_ssize_t rows[3] = {shape->nall, 3, 3}, atoms[2] = {shape->nowned, width};
    return pyresult_array(dict, "output", 1, &width, &result->output) ||
           pyresult_array(dict, "atom_output", 2, atoms, &result->atom_output) ||
           (shape->derivatives && pyresult_array(dict, "output_forces", 3, rows, &result->output_forces));
}

/* What a request asks for of the network's inside. */
static int pyresult_features(PyObject *dict, const struct dgnn_pyresult_shape *shape,
                             const struct dgnn_model_info *info, struct dgnn_result *result)
{
    Py_ssize_t descriptor[2] = {shape->nowned, (Py_ssize_t)info->dim_descriptor},
               last_layer[2] = {shape->nowned, (Py_ssize_t)info->dim_last_layer};
    return (shape->request & DGNN_REQUEST_DESCRIPTOR &&
            pyresult_array(dict, "descriptor", 2, descriptor, &result->descriptor)) ||
           (shape->request & DGNN_REQUEST_LAST_LAYER &&
            pyresult_array(dict, "last_layer", 2, last_layer, &result->last_layer));
}

PyObject *dgnn_pyresult_new(const struct dgnn_pyresult_shape *shape, struct dgnn_result *result)
{
    PyObject *dict = PyDict_New();
    struct dgnn_model_info info = {.size = sizeof info};
    dgnn_model_get_info(shape->model, &info, NULL); /* cannot fail: both are there */
    *result = (struct dgnn_result){.size = sizeof *result};
    if (!dict ||
        (info.output == DGNN_OUTPUT_ENERGY
             ? pyresult_energies(dict, shape, result)
             : pyresult_output(dict, shape, (Py_ssize_t)info.output_width, result)) ||
        pyresult_features(dict, shape, &info, result)) {
        Py_XDECREF(dict);
        return NULL;
    }
    return dict;
}

static int pyresult_set(PyObject *dict, const char *name, PyObject *value)
{
    int status = value ? PyDict_SetItemString(dict, name, value) : -1;
    Py_XDECREF(value);
    return status;
}

static PyObject *pyresult_kept(int32_t kept)
{
    switch (kept) {
    case DGNN_KEPT_EDGES:
        return Py_BuildValue("[s]", "edges");
    case DGNN_KEPT_ANGLES:
        return Py_BuildValue("[s]", "angles");
    case DGNN_KEPT_EDGES | DGNN_KEPT_ANGLES:
        return Py_BuildValue("[ss]", "edges", "angles");
    default:
        return PyList_New(0);
    }
}

/* {"seconds": {phase: seconds}, "flop": {phase: flop}, "split_flop", "nangle_edge", "nangle", "kept": [kind]}
 */
static PyObject *pyresult_profile(const struct dgnn_profile *profile)
{
    PyObject *seconds = PyDict_New(), *flop = PyDict_New();
    for (int32_t phase = 0; seconds && flop && dgnn_phase_name(phase); phase++) {
        const char *name = dgnn_phase_name(phase);
        if (pyresult_set(seconds, name, PyFloat_FromDouble(profile->seconds[phase])) ||
            pyresult_set(flop, name, PyFloat_FromDouble(profile->flop[phase]))) {
            Py_CLEAR(seconds);
        }
    }
    if (!seconds || !flop) {
        Py_XDECREF(seconds);
        Py_XDECREF(flop);
        return NULL;
    }
    return Py_BuildValue("{sNsNsdsLsLsN}", "seconds", seconds, "flop", flop, "split_flop",
                         profile->split_flop, "nangle_edge", (long long)profile->nangle_edge, "nangle",
                         (long long)profile->nangle, "kept", pyresult_kept(profile->kept));
}

int dgnn_pyresult_finish(PyObject *dict, const struct dgnn_result *result)
{
    double *virial;
    Py_ssize_t shape[3] = {3, 3, 3};
    if (result->output_forces) {
        if (pyresult_array(dict, "output_virial", 3, shape, &virial)) {
            return -1;
        }
        memcpy(virial, result->output_virial, sizeof result->output_virial);
    }
    if (!result->output) {
        if (pyresult_array(dict, "virial", 2, shape, &virial) ||
            pyresult_set(dict, "energy", PyFloat_FromDouble(result->energy))) {
            return -1;
        }
        memcpy(virial, result->virial, sizeof result->virial);
    }
    return pyresult_set(dict, "nedges", PyLong_FromLongLong(result->nedges)) ||
           pyresult_set(dict, "ntruncated", PyLong_FromLongLong(result->ntruncated)) ||
           pyresult_set(dict, "nangle_truncated", PyLong_FromLongLong(result->nangle_truncated)) ||
           pyresult_set(dict, "nghosts", PyLong_FromLongLong(result->nghosts)) ||
           pyresult_set(dict, "list_reused", PyBool_FromLong(result->list_reused)) ||
           (result->profile && pyresult_set(dict, "profile", pyresult_profile(result->profile)));
}
