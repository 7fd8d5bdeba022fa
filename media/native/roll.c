/* Targets that stay: what was read of each is kept, packed, until its peer says that something has changed.
 *
 * Of an unchanged target a flush reads its place here, its lines' numbers and its cipher, and asks the interpreter for
 * nothing: a process that slept finds its caches cold, and each object on the way was another miss.
 */
#include "job.h"
#include "text.h"

#include <string.h>

TEXT_OF(roll_c)

typedef struct {
    Py_buffer view;
    PyObject *line;     /* owned; NULL where the target takes no such kind */
    PyObject *codec;    /* owned; as what it goes: `payload_type` */
} Held;

typedef struct {
    int64_t *changes;   /* NULL: nothing is kept, and it is read each time */
    int64_t seen;
    Cipher *cipher;     /* owned; NULL: passed over, or left */
    int64_t *numbers[KINDS];
    PyObject *codecs[KINDS];    /* as `held` has them */
    int16_t payload_types[KINDS];    /* -1: not taken */
    uint8_t is_left, uses_gso;
} Place;

typedef struct {
    PyObject_HEAD
    PyObject *targets;  /* owned; a tuple */
    Py_ssize_t count;
    Place *places;
    Held (*held)[KINDS];
    Py_buffer *changes;
} Roll;

PyTypeObject *roll_type;

static void
let_go(Roll *self, Py_ssize_t i)
{
    Place *place = &self->places[i];
    for (int kind = 0; kind < KINDS; kind++) {
        Held *held = &self->held[i][kind];
        if (held->line)
            PyBuffer_Release(&held->view);
        Py_CLEAR(held->line);
        Py_CLEAR(held->codec);
    }
    if (place->changes)
        PyBuffer_Release(&self->changes[i]);
    Py_XDECREF((PyObject *)place->cipher);
    memset(place, 0, sizeof *place);
}

static PyObject *
roll_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *given;
    if (!PyArg_ParseTuple(args, "O", &given))
        return NULL;
    Roll *self = (Roll *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self)
        return NULL;
    /* A tuple of our own: the row itself holds this, and would hold itself. */
    PyObject *all = PySequence_List(given);
    self->targets = all ? PyList_AsTuple(all) : NULL;
    Py_XDECREF(all);
    size_t count = self->targets ? (size_t)PyTuple_Size(self->targets) : 0;
    self->places = PyMem_Calloc(count + 1, sizeof *self->places);
    self->held = PyMem_Calloc(count + 1, sizeof *self->held);
    self->changes = PyMem_Calloc(count + 1, sizeof *self->changes);
    if (!self->targets || !self->places || !self->held || !self->changes) {
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    self->count = (Py_ssize_t)count;
    return (PyObject *)self;
}

/* A roll holds targets, and hangs on a row of them: the collector must be able to see round the circle. */
static int
roll_traverse(Roll *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->targets);
    for (Py_ssize_t i = 0; i < self->count; i++)
        for (int kind = 0; kind < KINDS; kind++)
            Py_VISIT(self->held[i][kind].line);
    return 0;
}

static int
roll_clear(Roll *self)
{
    for (Py_ssize_t i = 0; i < self->count; i++)
        let_go(self, i);
    self->count = 0;
    Py_CLEAR(self->targets);
    return 0;
}

static void
roll_dealloc(Roll *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_UnTrack((PyObject *)self);
    for (Py_ssize_t i = 0; i < self->count; i++)
        let_go(self, i);
    PyMem_Free(self->places);
    PyMem_Free(self->held);
    PyMem_Free(self->changes);
    Py_XDECREF(self->targets);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* 1; 0 for a line whose time is pressed, which is not kept; -1 with an exception. */
static int
keep_line(Held *held, PyObject *line)
{
    PyObject *press = PyObject_GetAttr(line, names.press);
    int is_plain = press ? Py_IsNone(press) : -1;
    Py_XDECREF(press);
    if (is_plain <= 0)
        return is_plain;
    if (hold_numbers(line, &held->view) < 0)
        return -1;
    held->line = Py_NewRef(line);
    return 1;
}

static int
keep_lines(Place *place, Held *held, PyObject *target)
{
    PyObject *lines = PyObject_GetAttr(target, names.lines);
    int kept = lines ? 1 : -1;
    for (int kind = 0; kept == 1 && kind < KINDS; kind++) {
        PyObject *line = PySequence_GetItem(lines, kind);
        kept = !line ? -1 : Py_IsNone(line) ? 1 : keep_line(&held[kind], line);
        place->numbers[kind] = held[kind].line ? held[kind].view.buf : NULL;
        Py_XDECREF(line);
    }
    Py_XDECREF(lines);
    return kept;
}

/* Of the peer, who counts its changes; 0 if it does not. */
static int
keep_peer(Roll *self, Py_ssize_t i, PyObject *peer)
{
    Place *place = &self->places[i];
    PyObject *changes = PyObject_GetAttr(peer, names.changes);
    if (!changes) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();
        return 0;
    }
    int failed = PyObject_GetBuffer(changes, &self->changes[i], PyBUF_SIMPLE) < 0;
    Py_DECREF(changes);
    if (failed)
        return -1;
    place->changes = self->changes[i].buf;
    if (self->changes[i].len != sizeof(int64_t)) {
        PyErr_SetString(PyExc_ValueError, "a peer counts its changes in one number of 64 bits");
        return -1;
    }
    Target read = {0};
    place->seen = *place->changes;
    int up = read_peer(peer, &read);
    place->cipher = read.cipher;
    place->is_left = (uint8_t)read.is_left;
    place->uses_gso = (uint8_t)read.uses_gso;
    return up < 0 ? -1 : 1;
}

/* 1: it is kept; 0: it cannot be; -1: an exception. */
static int
keep(Roll *self, Py_ssize_t i)
{
    PyObject *target = PyTuple_GetItem(self->targets, i);
    let_go(self, i);
    PyObject *peer = PyObject_GetAttr(target, names.peer);
    int kept = peer ? keep_peer(self, i, peer) : -1;
    Py_XDECREF(peer);
    if (kept == 1)
        kept = keep_lines(&self->places[i], self->held[i], target);
    if (kept < 1)
        let_go(self, i);
    return kept;
}

/* As what the codec goes by this line. */
static int
note_codec(Place *place, Held *held, int kind, PyObject *codec)
{
    PyObject *types = PyObject_GetAttr(held->line, names.payload_types);
    PyObject *type = types ? PyDict_GetItemWithError(types, codec) : NULL;
    long found = type ? PyLong_AsLong(type) : -1;
    Py_XDECREF(types);
    if (PyErr_Occurred())
        return -1;
    Py_XDECREF(held->codec);
    place->codecs[kind] = held->codec = Py_NewRef(codec);
    place->payload_types[kind] = (int16_t)(type ? found & 127 : -1);
    return 0;
}

static int
fill_line(const Job *job, Place *place, Held *held, const Track *track, Line *line)
{
    long kind = track->kind;
    if (!place->numbers[kind])
        return 0;
    if (place->codecs[kind] != track->codec && note_codec(place, &held[kind], (int)kind, track->codec) < 0)
        return -1;
    if (place->payload_types[kind] < 0)
        return 0;
    line->is_taken = 1;
    line->numbers = place->numbers[kind];
    line->payload_type = (uint8_t)place->payload_types[kind];
    read_numbers(line->numbers, line);
    return job->has_blocks ? read_block(held[kind].line, line) : 0;
}

static int
fill(Job *job, Roll *self, Py_ssize_t i)
{
    Place *place = &self->places[i];
    Target *target = &job->targets[i];
    target->is_left = place->is_left;
    if (!place->cipher)
        return 0;
    target->cipher = (Cipher *)Py_NewRef((PyObject *)place->cipher);
    target->uses_gso = place->uses_gso;
    for (int at = 0; at < job->tracks.count; at++)
        if (fill_line(job, place, self->held[i], &job->tracks.each[at], &target->lines[at]) < 0)
            return -1;
    return 0;
}

Py_ssize_t
roll_size(PyObject *roll)
{
    return ((Roll *)roll)->count;
}

int
read_roll(Job *job, PyObject *roll)
{
    Roll *self = (Roll *)roll;
    for (Py_ssize_t i = 0; i < self->count; i++) {
        const Place *place = &self->places[i];
        int kept = place->changes && *place->changes == place->seen ? 1 : keep(self, i);
        if (kept < 0)
            return -1;
        int failed = kept ? fill(job, self, i) : read_target(job, PyTuple_GetItem(self->targets, i), &job->targets[i]);
        if (failed < 0)
            return -1;
    }
    return 0;
}

static PyObject *
roll_kept(Roll *self, PyObject *Py_UNUSED(none))
{
    long kept = 0;
    for (Py_ssize_t i = 0; i < self->count; i++)
        kept += self->places[i].changes && *self->places[i].changes == self->places[i].seen;
    return PyLong_FromLong(kept);
}

static PyMethodDef roll_methods[] = {
    {"kept", (PyCFunction)roll_kept, METH_NOARGS, "kept(): of how many nothing has to be asked at the next flush."},
    {NULL},
};
static PyType_Slot roll_slots[] = {
    {Py_tp_new, roll_new},
    {Py_tp_dealloc, roll_dealloc},
    {Py_tp_traverse, roll_traverse},
    {Py_tp_clear, roll_clear},
    {Py_tp_methods, roll_methods},
    {Py_tp_doc, "Roll(targets): targets that stay, and what was read of them."},
    {0, NULL},
};
static PyType_Spec roll_spec = {"media.native._fanout.Roll", sizeof(Roll), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                                roll_slots};

PyTypeObject *
make_roll_type(void)
{
    return roll_type = (PyTypeObject *)PyType_FromSpec(&roll_spec);
}
