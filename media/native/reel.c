/* A layer's packets for its newcomers, read once: what stands in a media.core.reel.Reel, side by side.
 *
 * A join has some five hundred packets that nobody has touched for seconds. To ask each for its fields was a cache miss
 * for every field; here they lie in a row, and the processor sees the next one coming.
 */
#include "job.h"
#include "text.h"

#include <string.h>

TEXT_OF(reel_c)

typedef struct {
    PyObject_HEAD
    PyObject **held;    /* owned: what `packets` and `tracks` point at */
    Packet *packets;
    Py_ssize_t count, room;
    Tracks tracks;
} Reel;

PyTypeObject *reel_type;

static void
reel_dealloc(Reel *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (Py_ssize_t i = 0; i < self->count; i++)
        Py_DECREF(self->held[i]);
    PyMem_Free(self->held);
    PyMem_Free(self->packets);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static int
make_room(Reel *self, Py_ssize_t wanted)
{
    if (wanted <= self->room)
        return 0;
    Py_ssize_t room = 2 * wanted;
    PyObject **held = PyMem_Realloc(self->held, room * sizeof *held);
    self->held = held ? held : self->held;
    Packet *packets = held ? PyMem_Realloc(self->packets, room * sizeof *packets) : NULL;
    self->packets = packets ? packets : self->packets;
    if (!packets) {
        PyErr_NoMemory();
        return -1;
    }
    self->room = room;
    return 0;
}

static PyObject *
reel_follow(Reel *self, PyObject *list)
{
    Py_ssize_t wanted = PyList_Size(list);
    if (wanted < 0 || make_room(self, wanted) < 0)
        return NULL;
    while (self->count < wanted) {
        PyObject *item = PyList_GetItem(list, self->count);
        int tracks = self->tracks.count;
        if (!item || read_packet(&self->tracks, item, &self->packets[self->count]) < 0) {
            self->tracks.count = tracks;    /* a track's codec is borrowed from packets that are held, and this is not */
            return NULL;
        }
        self->held[self->count++] = Py_NewRef(item);
    }
    Py_RETURN_NONE;
}

int
read_reel(Job *job, PyObject *reel, Py_ssize_t begin, Py_ssize_t end)
{
    const Reel *self = (Reel *)reel;
    if (begin < 0 || end < begin || end > self->count) {
        PyErr_SetString(PyExc_IndexError, "a reel has no such places");
        return -1;
    }
    job->packets = PyMem_Malloc((end - begin + 1) * sizeof(Packet));
    if (!job->packets) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(job->packets, self->packets + begin, (end - begin) * sizeof(Packet));
    job->tracks = self->tracks;
    return regroup(job, (int)(end - begin));
}

static PyMethodDef reel_methods[] = {
    {"follow", (PyCFunction)reel_follow, METH_O,
     "follow(packets): read those that the list has got behind what is here, which it began with."},
    {NULL},
};
static PyType_Slot reel_slots[] = {
    {Py_tp_dealloc, reel_dealloc},
    {Py_tp_methods, reel_methods},
    {Py_tp_doc, "Reel(): packets in order, read once for all who get them."},
    {0, NULL},
};
static PyType_Spec reel_spec = {"media.native._fanout.Reel", sizeof(Reel), 0, Py_TPFLAGS_DEFAULT, reel_slots};

PyTypeObject *
make_reel_type(void)
{
    return reel_type = (PyTypeObject *)PyType_FromSpec(&reel_spec);
}
