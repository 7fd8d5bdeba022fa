/* AES-GCM from one peer: the replay windows, the index guessed from 16 bits (RFC 3711 section 3.3.1), the cipher. */
#include "opener.h"
#include "text.h"

#include <stddef.h>
#include <string.h>

TEXT_OF(opener_c)

enum {
    WINDOW = 1024,      /* media.core.srtp.WINDOW */
    SET_TAG = 0x11,     /* EVP_CTRL_AEAD_SET_TAG */
};

/* One SSRC; `highest` is -1 before its first packet. The bit of an index is that of its place modulo the window. */
struct Source {
    uint32_t ssrc;
    int64_t highest;
    uint64_t seen[WINDOW / 64];
};

PyTypeObject *opener_type;

static PyObject *
opener_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    const char *key, *salt;
    Py_ssize_t key_size, salt_size;
    int most;
    if (!PyArg_ParseTuple(args, "y#y#i", &key, &key_size, &salt, &salt_size, &most))
        return NULL;
    if (key_size != 16 || salt_size != NONCE || most < 1 || !crypto) {
        PyErr_SetString(PyExc_ValueError, "a key of 16 bytes, a salt of 12, sources, and libcrypto are needed");
        return NULL;
    }
    Opener *self = (Opener *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self)
        return NULL;
    memcpy(self->key, key, sizeof self->key);
    memcpy(self->salt, salt, NONCE);
    self->crypto = crypto;
    self->most = most;
    return (PyObject *)self;
}

static void
opener_dealloc(Opener *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->context)
        self->crypto->release(self->context);
    PyMem_Free(self->sources);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static int
has_context(Opener *self)
{
    if (!self->context) {
        self->context = self->crypto->context();
        if (!self->context)
            return 0;
        if (self->crypto->begin_opening(self->context, self->crypto->aes_128_gcm(), NULL, self->key, NULL) != 1) {
            self->crypto->release(self->context);
            self->context = NULL;
        }
    }
    return self->context != NULL;
}

/* The index nearest to the highest one; a new source starts in cycle 0. */
static int64_t
guess(uint16_t sequence, int64_t highest)
{
    return highest < 0 ? sequence : highest + (int16_t)(sequence - (uint16_t)highest);
}

static int
is_new(const Source *source, int64_t index)
{
    if (index > source->highest)
        return 1;
    int place = (int)(index & (WINDOW - 1));
    return source->highest - index < WINDOW && !(source->seen[place / 64] >> place % 64 & 1);
}

static void
mark(Source *source, int64_t index)
{
    if (index - source->highest >= WINDOW)
        memset(source->seen, 0, sizeof source->seen);
    else
        for (int64_t at = source->highest + 1; at < index; at++) {
            int place = (int)(at & (WINDOW - 1));
            source->seen[place / 64] &= ~(UINT64_C(1) << place % 64);
        }
    int place = (int)(index & (WINDOW - 1));
    source->seen[place / 64] |= UINT64_C(1) << place % 64;
    if (index > source->highest)
        source->highest = index;
}

/* Its own, or the place for a new one, whose SSRC is not yet counted; NULL without memory. */
static Source *
source_of(Opener *self, uint32_t ssrc)
{
    for (int i = 0; i < self->count; i++)
        if (self->sources[i].ssrc == ssrc)
            return &self->sources[i];
    Source *more = PyMem_Realloc(self->sources, (size_t)(self->count + 1) * sizeof(Source));
    if (!more)
        return NULL;
    self->sources = more;
    memset(&more[self->count], 0, sizeof *more);
    more[self->count].ssrc = ssrc;
    more[self->count].highest = -1;
    return &more[self->count];
}

static int
decrypt(Opener *self, const uint8_t *nonce, const uint8_t *packet, Py_ssize_t header, int size, uint8_t *out)
{
    const Crypto *with = self->crypto;
    int done = 0, rest = 0;
    return with->begin_opening(self->context, NULL, NULL, NULL, nonce) == 1 &&
           with->update_opening(self->context, NULL, &done, packet, (int)header) == 1 &&
           (size == 0 || with->update_opening(self->context, out, &done, packet + header, size) == 1) &&
           with->control(self->context, SET_TAG, TAG, (void *)(packet + header + size)) == 1 &&
           with->finish_opening(self->context, out + size, &rest) == 1;
}

PyObject *
open_packet(Opener *self, const uint8_t *packet, Py_ssize_t size, Py_ssize_t header, int counts)
{
    uint32_t ssrc = (uint32_t)packet[8] << 24 | packet[9] << 16 | packet[10] << 8 | packet[11];
    Source *source = header < HEADER || size < header + TAG || size > BUFFER ? NULL : source_of(self, ssrc);
    int64_t index = source ? guess((uint16_t)(packet[2] << 8 | packet[3]), source->highest) : -1;
    if (index < 0 || !is_new(source, index) || !has_context(self))
        return NULL;
    uint8_t nonce[NONCE];
    make_nonce(nonce, self->salt, ssrc, (uint64_t)index);
    PyObject *payload = PyBytes_FromStringAndSize(NULL, size - header - TAG);
    if (!payload)
        return NULL;
    if (!decrypt(self, nonce, packet, header, (int)(size - header - TAG), (uint8_t *)PyBytes_AsString(payload))) {
        Py_DECREF(payload);
        return NULL;
    }
    if (source == &self->sources[self->count]) {
        if (self->count >= self->most) {
            self->surplus += counts;
            Py_DECREF(payload);
            return NULL;
        }
        self->count++;
    }
    mark(source, index);
    return payload;
}

static PyObject *
opener_unprotect(Opener *self, PyObject *args)
{
    const char *packet;
    Py_ssize_t size, header;
    if (!PyArg_ParseTuple(args, "y#n", &packet, &size, &header))
        return NULL;
    PyObject *payload = size < HEADER ? NULL : open_packet(self, (const uint8_t *)packet, size, header, 1);
    if (!payload && !PyErr_Occurred())
        Py_RETURN_NONE;
    return payload;
}

static PyObject *
opener_surplus(Opener *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(self->surplus);
}

static PyMethodDef opener_methods[] = {
    {"unprotect", (PyCFunction)opener_unprotect, METH_VARARGS, "unprotect(packet, header_size): payload or None."},
    {NULL},
};
static PyGetSetDef opener_attributes[] = {
    {"surplus", (getter)opener_surplus, NULL, "Authentic packets of sources beyond the most.", NULL},
    {NULL},
};
static PyType_Slot opener_slots[] = {
    {Py_tp_new, opener_new},
    {Py_tp_dealloc, opener_dealloc},
    {Py_tp_methods, opener_methods},
    {Py_tp_getset, opener_attributes},
    {Py_tp_doc, "Opener(key, salt, most): AES-GCM from one peer, of `most` sources."},
    {0, NULL},
};
static PyType_Spec opener_spec = {"media.native._fanout.Opener", sizeof(Opener), 0, Py_TPFLAGS_DEFAULT, opener_slots};

PyTypeObject *
make_opener_type(void)
{
    return opener_type = (PyTypeObject *)PyType_FromSpec(&opener_spec);
}
