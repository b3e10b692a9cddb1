/* Arrays from Python: checked here, then copied. The only file with NumPy's C API. */
#include "bind/state.h"

#include <numpy/arrayobject.h>

int dgnn_pyarray_setup(void)
{
    import_array1(-1);
    return 0;
}

/* "(4, 2)", as a new string. */
static PyObject *pyarray_shape_text(PyArrayObject *array)
{
    PyObject *shape = PyTuple_New(PyArray_NDIM(array));
    if (!shape) {
        return NULL;
    }
    for (int axis = 0; axis < PyArray_NDIM(array); axis++) {
        PyObject *length = PyLong_FromSsize_t(PyArray_DIM(array, axis));
        if (!length) {
            Py_DECREF(shape);
            return NULL;
        }
        PyTuple_SetItem(shape, axis, length);
    }
    PyObject *text = PyObject_Repr(shape);
    Py_DECREF(shape);
    return text;
}

/* NumPy's view of any object, whatever its dtype. Its own errors (ragged lists) become InputErrors. */
static PyArrayObject *pyarray_view(const struct dgnn_state *state, PyObject *value, const char *name)
{
    if (PyArray_Check(value) && !PyArray_CheckExact(value) && PyObject_HasAttrString(value, "mask")) {
        dgnn_pyerror_input(
            state, "%s: a masked array has no numbers in its masked places; pass a plain array", name);
        return NULL;
    }
    PyObject *array = PyArray_FromAny(value, NULL, 0, 0, NPY_ARRAY_ENSUREARRAY, NULL);
    if (array || PyErr_ExceptionMatches(PyExc_MemoryError) || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return (PyArrayObject *)array;
    }
    PyErr_Clear();
    PyObject *found = PyObject_GetAttrString((PyObject *)Py_TYPE(value), "__name__");
    if (found) {
        dgnn_pyerror_input(state, "%s: expected an array of numbers, found %U that is none", name, found);
        Py_DECREF(found);
    }
    return NULL;
}

static int pyarray_check_dtype(const struct dgnn_state *state, PyArrayObject *array,
                               const struct dgnn_pyarray_want *want)
{
    char kind = PyArray_DESCR(array)->kind;
    int fits = want->kind == 'd' ? kind == 'f' || kind == 'i' || kind == 'u' : kind == 'i' || kind == 'u';
    if (fits || (PyArray_SIZE(array) == 0 && kind == 'f')) { /* NumPy takes [] for float64 */
        return 0;
    }
    dgnn_pyerror_input(state, "%s: expected %s, found dtype %S", want->name,
                       want->kind == 'd' ? "numbers" : "integers", (PyObject *)PyArray_DESCR(array));
    return -1;
}

static int pyarray_check_shape(const struct dgnn_state *state, PyArrayObject *array,
                               const struct dgnn_pyarray_want *want)
{
    int fits = PyArray_NDIM(array) == want->ndim;
    for (int axis = 0; fits && axis < want->ndim; axis++) {
        fits = want->shape[axis] < 0 || PyArray_DIM(array, axis) == want->shape[axis];
    }
    if (fits) {
        return 0;
    }
    PyObject *found = pyarray_shape_text(array);
    if (!found) {
        return -1;
    }
    if (want->ndim == 1 && want->shape[0] >= 0) {
        dgnn_pyerror_input(state, "%s: expected shape (%zd,), that is %s, found %U", want->name,
                           want->shape[0], want->meaning, found);
    } else if (want->shape[0] >= 0 && want->shape[1] >= 0) {
        dgnn_pyerror_input(state, "%s: expected shape (%zd, %zd), that is %s, found %U", want->name,
                           want->shape[0], want->shape[1], want->meaning, found);
    } else {
        dgnn_pyerror_input(state, "%s: expected shape %s, found %U", want->name, want->meaning, found);
    }
    Py_DECREF(found);
    return -1;
}

/* Does every element of an integer array fit into nbits with a sign? */
static int pyarray_check_range(const struct dgnn_state *state, PyArrayObject *array,
                               const struct dgnn_pyarray_want *want)
{
    int is_unsigned = PyArray_DESCR(array)->kind == 'u';
    PyObject *wide = PyArray_FromArray(array, PyArray_DescrFromType(is_unsigned ? NPY_UINT64 : NPY_INT64),
                                       NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST);
    if (!wide) {
        return -1;
    }
    int64_t least = want->kind == 'i' ? INT32_MIN : INT64_MIN,
            most = want->kind == 'i' ? INT32_MAX : INT64_MAX;
    npy_intp count = PyArray_SIZE((PyArrayObject *)wide), bad = -1;
    const int64_t *element = PyArray_DATA((PyArrayObject *)wide);
    for (npy_intp k = 0; k < count && bad < 0; k++) {
        if (is_unsigned ? (uint64_t)element[k] > (uint64_t)most : element[k] < least || element[k] > most) {
            bad = k;
        }
    }
    if (bad >= 0 && is_unsigned) {
        dgnn_pyerror_input(state, "%s: element %zd is %llu, beyond %lld", want->name, (Py_ssize_t)bad,
                           (unsigned long long)element[bad], (long long)most);
    } else if (bad >= 0) {
        dgnn_pyerror_input(state, "%s: element %zd is %lld, outside %lld to %lld", want->name,
                           (Py_ssize_t)bad, (long long)element[bad], (long long)least, (long long)most);
    }
    Py_DECREF(wide);
    return bad >= 0 ? -1 : 0;
}

/* An empty list has shape (0,): it stands for no rows. */
static PyObject *pyarray_no_rows(PyArrayObject *array, const struct dgnn_pyarray_want *want, int typenum)
{
    if (PyArray_NDIM(array) == 1 && PyArray_DIM(array, 0) == 0 && want->ndim == 2 && want->shape[0] <= 0) {
        npy_intp shape[2] = {0, want->shape[1] < 0 ? 0 : want->shape[1]};
        return PyArray_ZEROS(2, shape, typenum, 0);
    }
    return NULL;
}

PyObject *dgnn_pyarray_take(const struct dgnn_state *state, PyObject *value,
                            const struct dgnn_pyarray_want *want)
{
    if (value == Py_None) {
        return Py_NewRef(Py_None);
    }
    PyArrayObject *array = pyarray_view(state, value, want->name);
    if (!array) {
        return NULL;
    }
    int typenum = want->kind == 'd' ? NPY_DOUBLE : want->kind == 'i' ? NPY_INT32 : NPY_INT64;
    PyObject *taken = pyarray_no_rows(array, want, typenum);
    if (!taken && !PyErr_Occurred() && !pyarray_check_dtype(state, array, want) &&
        !pyarray_check_shape(state, array, want) &&
        (want->kind == 'd' || PyArray_SIZE(array) == 0 || !pyarray_check_range(state, array, want))) {
        taken = PyArray_FromArray(array, PyArray_DescrFromType(typenum),
                                  NPY_ARRAY_CARRAY | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_ENSURECOPY |
                                      NPY_ARRAY_FORCECAST);
    }
    Py_DECREF(array);
    return taken;
}

PyObject *dgnn_pyarray_zeros(int ndim, const Py_ssize_t *shape)
{
    return PyArray_ZEROS(ndim, (npy_intp *)shape, NPY_DOUBLE, 0);
}

void *dgnn_pyarray_data(PyObject *array)
{
    return array == Py_None ? NULL : PyArray_DATA((PyArrayObject *)array);
}

Py_ssize_t dgnn_pyarray_length(PyObject *array, int axis)
{
    return array == Py_None ? 0 : PyArray_DIM((PyArrayObject *)array, axis);
}

PyObject *dgnn_pyarray_tensor(const struct dgnn_state *state, PyObject *value, Py_ssize_t index,
                              struct dgnn_array *out)
{
    PyArrayObject *array = pyarray_view(state, value, "arrays");
    if (!array) {
        return NULL;
    }
    char kind = PyArray_DESCR(array)->kind;
    int size = (int)PyArray_ITEMSIZE(array);
    out->dtype = kind == 'f' && size == 4   ? 'f'
                 : kind == 'f' && size == 8 ? 'd'
                 : kind == 'i' && size == 4 ? 'i'
                 : kind == 'i' && size == 8 ? 'l'
                 : kind == 'b'              ? '?'
                                            : 0;
    out->ndim = PyArray_NDIM(array);
    if (!out->dtype || out->ndim > 8) {
        PyErr_Format(state->unsupported_model_error,
                     "array %zd of the model: dtype %S with %d axes is not read", index,
                     (PyObject *)PyArray_DESCR(array), PyArray_NDIM(array));
        Py_DECREF(array);
        return NULL;
    }
    PyObject *held = PyArray_FromArray(array, NULL, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED);
    Py_DECREF(array);
    if (!held) {
        return NULL;
    }
    for (int axis = 0; axis < out->ndim; axis++) {
        out->shape[axis] = PyArray_DIM((PyArrayObject *)held, axis);
    }
    out->data = PyArray_DATA((PyArrayObject *)held);
    return held;
}

PyObject *dgnn_pyarray_copy(const struct dgnn_array *array)
{
    npy_intp shape[8];
    int typenum = array->dtype == 'f'   ? NPY_FLOAT32
                  : array->dtype == 'd' ? NPY_FLOAT64
                  : array->dtype == 'i' ? NPY_INT32
                  : array->dtype == 'l' ? NPY_INT64
                                        : NPY_BOOL;
    for (int axis = 0; axis < array->ndim; axis++) {
        shape[axis] = (npy_intp)array->shape[axis];
    }
    PyObject *copy = PyArray_SimpleNew(array->ndim, shape, typenum);
    if (copy) {
        memcpy(PyArray_DATA((PyArrayObject *)copy), array->data,
               (size_t)PyArray_NBYTES((PyArrayObject *)copy));
    }
    return copy;
}
