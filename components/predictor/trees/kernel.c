/* Leaves of decision trees for many rows at once.
 *
 * A tree evaluated row by row waits: for the node, then for the row's value, then for a branch that nobody can predict. Here
 * sixteen rows go down a tree side by side without a branch, so that the waiting of one is the work of the others.
 *
 * A node is eight bytes: its threshold, then one word of
 *   bits 0-10   the column it looks at,
 *   bit  11     whether a missing value (NaN) goes right,
 *   bits 12-31  its left child, counted from the tree's root; the right child is the next one.
 * A value goes right if it is above the threshold. A leaf is its own left child below an infinite threshold: rows that have
 * arrived stay where they are while others are on their way.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>

#define ABREAST 16
#define BLOCK 128 /* rows whose features stay in the first-level cache while all trees see them */
#define SHALLOW 8

typedef struct {
    float threshold;
    uint32_t word;
} Node;

typedef struct {
    int32_t root, depth, output;
} Tree;

typedef struct {
    const Node *nodes;
    const float *values; /* for each node `width` values; those of inner nodes are never read */
    const Tree *trees;
    Py_ssize_t n_trees, width, outputs;
} Forest;

static inline __attribute__((always_inline)) uint32_t
next(const Node *tree, uint32_t at, const float *row, int missing)
{
    Node node = tree[at];
    float value = row[node.word & 2047];
    uint32_t right = value > node.threshold;
    if (missing)
        right |= (value != value) & (node.word >> 11);
    return (node.word >> 12) + (right & 1);
}

static inline __attribute__((always_inline)) void
descend(const Node *tree, int depth, const float *const *rows, uint32_t *leaves, int missing)
{
    uint32_t at[ABREAST] = {0};
    if (depth <= SHALLOW) {
        for (int step = 0; step < depth; step++)
            for (int i = 0; i < ABREAST; i++)
                at[i] = next(tree, at[i], rows[i], missing);
    } else {
        /* A deep tree's paths differ much in length: now and then it is looked whether all have arrived. */
        for (int step = 0; step < depth; step += 4) {
            uint32_t moved = 0;
            for (int still = 0; still < 3; still++)
                for (int i = 0; i < ABREAST; i++)
                    at[i] = next(tree, at[i], rows[i], missing);
            for (int i = 0; i < ABREAST; i++) {
                uint32_t to = next(tree, at[i], rows[i], missing);
                moved |= to ^ at[i];
                at[i] = to;
            }
            if (!moved)
                break;
        }
    }
    for (int i = 0; i < ABREAST; i++)
        leaves[i] = at[i];
}

static inline __attribute__((always_inline)) void
block(const Forest *forest, const float *const *rows, int n, float *sums, int missing)
{
    uint32_t leaves[BLOCK];
    for (Py_ssize_t t = 0; t < forest->n_trees; t++) {
        Tree tree = forest->trees[t];
        for (int first = 0; first < n; first += ABREAST)
            descend(forest->nodes + tree.root, tree.depth, rows + first, leaves + first, missing);
        const float *values = forest->values + tree.root * forest->width;
        float *sum = sums + tree.output;
        for (int i = 0; i < n; i++, sum += forest->outputs)
            for (Py_ssize_t k = 0; k < forest->width; k++)
                sum[k] += values[leaves[i] * forest->width + k];
    }
}

static void
evaluate(const Forest *forest, const float *features, Py_ssize_t n_rows, Py_ssize_t columns, float *sums)
{
    for (Py_ssize_t first = 0; first < n_rows; first += BLOCK) {
        int n = n_rows - first < BLOCK ? (int)(n_rows - first) : BLOCK;
        const float *begin = features + first * columns;
        const float *rows[BLOCK];
        for (int i = 0; i < BLOCK; i++)
            rows[i] = begin + (i < n ? i : 0) * columns; /* the last sixteen may not be all there */
        int missing = 0;
        for (Py_ssize_t i = 0; i < n * columns; i++)
            missing |= begin[i] != begin[i];
        if (missing)
            block(forest, rows, n, sums + first * forest->outputs, 1);
        else
            block(forest, rows, n, sums + first * forest->outputs, 0);
    }
}

static int
holds(const Py_buffer *buffer, Py_ssize_t bytes, const char *name)
{
    if (buffer->len >= bytes)
        return 1;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes; %zd are needed", name, buffer->len, bytes);
    return 0;
}

static PyObject *
add(PyObject *module, PyObject *arguments)
{
    Py_buffer nodes, values, trees, features, sums;
    Py_ssize_t width, outputs, rows, columns;
    if (!PyArg_ParseTuple(arguments, "y*y*y*ny*nnw*n:add", &nodes, &values, &trees, &width, &features, &rows, &columns, &sums,
                          &outputs))
        return NULL;
    Forest forest = {nodes.buf, values.buf, trees.buf, trees.len / (Py_ssize_t)sizeof(Tree), width, outputs};
    int fits = holds(&features, rows * columns * (Py_ssize_t)sizeof(float), "features")
               && holds(&sums, rows * outputs * (Py_ssize_t)sizeof(float), "sums")
               && holds(&values, nodes.len / (Py_ssize_t)sizeof(Node) * width * (Py_ssize_t)sizeof(float), "values");
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        evaluate(&forest, features.buf, rows, columns, sums.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&nodes);
    PyBuffer_Release(&values);
    PyBuffer_Release(&trees);
    PyBuffer_Release(&features);
    PyBuffer_Release(&sums);
    if (!fits)
        return NULL;
    Py_RETURN_NONE;
}

/* From sums to answers, operation by operation as ONNX Runtime does it, so that both give the same bytes. */
enum { NONE, LOGISTIC, SOFTMAX, SHARE, NONE_OF_ONE, LOGISTIC_OF_ONE };

static float
logistic(float x)
{
    float positive = 1.0f / (1.0f + expf(-fabsf(x)));
    return x < 0 ? 1.0f - positive : positive;
}

static void
softmax(const float *sums, Py_ssize_t outputs, float *answer)
{
    float largest = sums[0], total = 0.0f;
    for (Py_ssize_t k = 1; k < outputs; k++)
        largest = sums[k] > largest ? sums[k] : largest;
    for (Py_ssize_t k = 0; k < outputs; k++) {
        answer[k] = expf(sums[k] - largest);
        total += answer[k];
    }
    for (Py_ssize_t k = 0; k < outputs; k++)
        answer[k] /= total;
}

static void
finish_row(float *sums, const float *base, Py_ssize_t outputs, float divisor, int kind, float *answer)
{
    for (Py_ssize_t k = 0; k < outputs; k++) {
        if (divisor != 1.0f)
            sums[k] /= divisor;
        sums[k] += base[k];
    }
    if (kind == SOFTMAX)
        softmax(sums, outputs, answer);
    else if (kind == SHARE) {
        answer[0] = 1.0f - sums[0];
        answer[1] = sums[0];
    } else if (kind == NONE_OF_ONE) {
        answer[0] = -sums[0];
        answer[1] = sums[0];
    } else if (kind == LOGISTIC_OF_ONE) {
        answer[0] = logistic(-sums[0]);
        answer[1] = logistic(sums[0]);
    } else
        for (Py_ssize_t k = 0; k < outputs; k++)
            answer[k] = kind == LOGISTIC ? logistic(sums[k]) : sums[k];
}

static PyObject *
finish(PyObject *module, PyObject *arguments)
{
    Py_buffer sums, base, answers;
    Py_ssize_t rows, outputs;
    float divisor;
    int kind;
    if (!PyArg_ParseTuple(arguments, "w*ny*nfiw*:finish", &sums, &rows, &base, &outputs, &divisor, &kind, &answers))
        return NULL;
    Py_ssize_t width = kind >= SHARE ? 2 : outputs, size = sizeof(float);
    int fits = outputs > 0 && holds(&sums, rows * outputs * size, "sums") && holds(&base, outputs * size, "base")
               && holds(&answers, rows * width * size, "answers");
    if (fits)
        for (Py_ssize_t row = 0; row < rows; row++)
            finish_row((float *)sums.buf + row * outputs, base.buf, outputs, divisor, kind, (float *)answers.buf + row * width);
    PyBuffer_Release(&sums);
    PyBuffer_Release(&base);
    PyBuffer_Release(&answers);
    if (!fits)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"finish", finish, METH_VARARGS, "Make every row's answer of its sums."},
    {"add", add, METH_VARARGS, "Add the values of every tree's leaf to `sums`, for each row."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "kernel", "Leaves of decision trees for many rows at once.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit_kernel(void)
{
    return PyModule_Create(&definition);
}
