/* Rows of Python values to columns, for the values that nearly all requests have.
 *
 * A function answers UNUSUAL as soon as it meets anything else, and what it has written by then means nothing: the caller then
 * converts column by column in Python, where every exception has its rule and every error its sentence.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>

enum { FAILED = -1, UNUSUAL, COMPLETE, GAPS }; /* GAPS: all is well, but some values are missing */

typedef int (*Cell)(PyObject *value, void *out, Py_ssize_t at);

static int
number(PyObject *value, void *out, Py_ssize_t at)
{
    double wide;
    if (PyFloat_CheckExact(value))
        wide = PyFloat_AsDouble(value);
    else if (PyLong_CheckExact(value)) {
        wide = PyLong_AsDouble(value);
        if (wide == -1.0 && PyErr_Occurred()) {
            PyErr_Clear();
            return UNUSUAL;
        }
    } else if (value == Py_None)
        wide = NAN;
    else if (value == Py_True || value == Py_False)
        wide = value == Py_True;
    else
        return UNUSUAL;
    if (fabs(wide) > 9007199254740992.0) /* a whole number may be rounded already, a number may be infinite as a float */
        return UNUSUAL;
    float narrow = (float)wide;
    ((float *)out)[at] = narrow;
    return isnan(narrow) ? GAPS : COMPLETE;
}

static int
text(PyObject *value, void *out, Py_ssize_t at)
{
    if (!PyUnicode_CheckExact(value))
        return UNUSUAL;
    PyObject **place = (PyObject **)out + at, *before = *place;
    Py_INCREF(value);
    *place = value;
    Py_XDECREF(before);
    return PyUnicode_GetLength(value) == 0 ? GAPS : COMPLETE;
}

/* A borrowed element of a list or a tuple; NULL, maybe with an exception, if there is none. */
static PyObject *
item(PyObject *sequence, Py_ssize_t at)
{
    if (PyList_CheckExact(sequence))
        return PyList_GetItem(sequence, at);
    return PyTuple_CheckExact(sequence) ? PyTuple_GetItem(sequence, at) : NULL;
}

/* The cells of `n` rows at some places to `out` [width, n]. */
static int
cells(PyObject *rows, Py_ssize_t n, const Py_ssize_t *places, Py_ssize_t width, Cell cell, void *out)
{
    int found = COMPLETE;
    for (Py_ssize_t row = 0; row < n; row++) {
        PyObject *values = item(rows, row);
        for (Py_ssize_t i = 0; i < width; i++) {
            PyObject *value = values == NULL ? NULL : item(values, places[i]);
            int one = value == NULL ? UNUSUAL : cell(value, out, i * n + row);
            if (one == UNUSUAL) {
                PyErr_Clear();
                return UNUSUAL;
            }
            if (one == GAPS)
                found = GAPS;
        }
    }
    return found;
}

static int
placed(PyObject *rows, PyObject *places, Cell cell, void *out, Py_ssize_t n)
{
    Py_ssize_t width = PyTuple_Size(places);
    Py_ssize_t *at = PyMem_Malloc((width + 1) * sizeof(Py_ssize_t));
    if (at == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    int found = COMPLETE;
    for (Py_ssize_t i = 0; i < width && found != FAILED; i++) {
        at[i] = PyLong_AsSsize_t(PyTuple_GetItem(places, i));
        if (at[i] == -1 && PyErr_Occurred())
            found = FAILED;
    }
    if (found != FAILED)
        found = cells(rows, n, at, width, cell, out);
    PyMem_Free(at);
    return found;
}

static PyObject *
convert(PyObject *arguments, Cell cell, Py_ssize_t size)
{
    PyObject *rows, *places, *target;
    if (!PyArg_ParseTuple(arguments, "OO!O", &rows, &PyTuple_Type, &places, &target))
        return NULL;
    Py_ssize_t n = PyObject_Size(rows);
    Py_buffer out;
    if (n < 0 || PyObject_GetBuffer(target, &out, PyBUF_WRITABLE | PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0)
        return NULL;
    int found = FAILED;
    if (out.len == n * PyTuple_Size(places) * size && out.itemsize == size)
        found = placed(rows, places, cell, out.buf, n);
    else
        PyErr_Format(PyExc_ValueError, "%zd bytes are no place for the columns of %zd rows", out.len, n);
    PyBuffer_Release(&out);
    return found == FAILED ? NULL : PyLong_FromLong(found);
}

static PyObject *
numbers(PyObject *module, PyObject *arguments)
{
    return convert(arguments, number, sizeof(float));
}

static PyObject *
texts(PyObject *module, PyObject *arguments)
{
    return convert(arguments, text, sizeof(PyObject *));
}

/* The objects' buffer and the floats', which have to be one for one. */
static int
pair(PyObject *source, PyObject *target, Py_buffer *given, Py_buffer *out)
{
    if (PyObject_GetBuffer(source, given, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0)
        return 0;
    if (PyObject_GetBuffer(target, out, PyBUF_WRITABLE | PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0) {
        PyBuffer_Release(given);
        return 0;
    }
    if (given->format[0] == 'O' && out->format[0] == 'f' && given->len / given->itemsize == out->len / out->itemsize)
        return 1;
    PyBuffer_Release(given);
    PyBuffer_Release(out);
    PyErr_SetString(PyExc_ValueError, "codes are float32, one for each object");
    return 0;
}

static PyObject *
codes(PyObject *module, PyObject *arguments)
{
    PyObject *source, *target, *known;
    double other;
    Py_buffer given, out;
    if (!PyArg_ParseTuple(arguments, "OO!dO", &source, &PyDict_Type, &known, &other, &target)
        || !pair(source, target, &given, &out))
        return NULL;
    PyObject *const *values = given.buf;
    float *code = out.buf;
    Py_ssize_t n = given.len / given.itemsize;
    int failed = 0;
    for (Py_ssize_t i = 0; i < n && !failed; i++) {
        PyObject *found = values[i] == NULL ? NULL : PyDict_GetItemWithError(known, values[i]);
        code[i] = (float)(found == NULL ? other : PyFloat_AsDouble(found));
        failed = PyErr_Occurred() != NULL;
    }
    PyBuffer_Release(&given);
    PyBuffer_Release(&out);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"numbers", numbers, METH_VARARGS, "Numbers of rows at some places as float32 [places, rows]; what was found."},
    {"texts", texts, METH_VARARGS, "Texts of rows at some places as objects [places, rows]; what was found."},
    {"codes", codes, METH_VARARGS, "For each object its number in a dict, or another one, as float32."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "conversion", "Rows of Python values to columns.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit_conversion(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL
        && (PyModule_AddIntConstant(module, "UNUSUAL", UNUSUAL) < 0 || PyModule_AddIntConstant(module, "COMPLETE", COMPLETE) < 0
            || PyModule_AddIntConstant(module, "GAPS", GAPS) < 0)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
