/* AES-GCM by libcrypto (RFC 7714 section 8). The nonce is told, never guessed, so that a resend is the same bits. */
#include "cipher.h"
#include "text.h"

#include <string.h>

TEXT_OF(cipher_c)

enum { GET_TAG = 0x10 };    /* EVP_CTRL_AEAD_GET_TAG */

PyTypeObject *cipher_type;

void
leave_seat(Seat *seat)
{
    if (seat->line)
        PyBuffer_Release(&seat->view);
    Py_CLEAR(seat->line);
    Py_CLEAR(seat->types);
    Py_CLEAR(seat->codec);
}

static PyObject *
cipher_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    const char *key, *salt;
    Py_ssize_t key_size, salt_size;
    if (!PyArg_ParseTuple(args, "y#y#", &key, &key_size, &salt, &salt_size))
        return NULL;
    if ((key_size != 16 && key_size != 32) || salt_size != NONCE || !crypto) {
        PyErr_SetString(PyExc_ValueError, "a key of 16 or 32 bytes, a salt of 12, and libcrypto are needed");
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Cipher *self = (Cipher *)alloc(type, 0);
    if (!self)
        return NULL;
    memcpy(self->salt, salt, NONCE);
    self->crypto = crypto;
    self->context = crypto->context();
    const void *kind = key_size == 16 ? crypto->aes_128_gcm() : crypto->aes_256_gcm();
    if (!self->context || crypto->begin(self->context, kind, NULL, (const unsigned char *)key, NULL) != 1) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_RuntimeError, "libcrypto refused the key");
        return NULL;
    }
    return (PyObject *)self;
}

static void
cipher_dealloc(Cipher *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->context)
        self->crypto->release(self->context);
    Py_XDECREF(self->address);
    for (int i = 0; i < KINDS; i++)
        leave_seat(&self->seats[i]);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

int
seal(Cipher *cipher, uint32_t ssrc, uint64_t index, int header, const uint8_t *payload, int size, uint8_t *out)
{
    uint8_t nonce[NONCE];
    int done = 0, rest = 0;
    make_nonce(nonce, cipher->salt, ssrc, index);
    const Crypto *with = cipher->crypto;
    return with->begin(cipher->context, NULL, NULL, NULL, nonce) == 1 &&
           with->update(cipher->context, NULL, &done, out, header) == 1 &&
           (size == 0 || with->update(cipher->context, out + header, &done, payload, size) == 1) &&
           with->finish(cipher->context, out + header + size, &rest) == 1 &&
           with->control(cipher->context, GET_TAG, TAG, out + header + size) == 1;
}

static PyObject *
cipher_seal(Cipher *self, PyObject *args)
{
    unsigned long ssrc;
    unsigned long long index;
    const char *header, *payload;
    Py_ssize_t header_size, size;
    if (!PyArg_ParseTuple(args, "kKy#y#", &ssrc, &index, &header, &header_size, &payload, &size))
        return NULL;
    if (header_size != HEADER || size > BUFFER) {
        PyErr_SetString(PyExc_ValueError, "a header of 12 bytes and at most 65536 of payload are needed");
        return NULL;
    }
    PyObject *sealed = PyBytes_FromStringAndSize(NULL, HEADER + size + TAG);
    if (!sealed)
        return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AsString(sealed);
    memcpy(out, header, HEADER);
    if (!seal(self, (uint32_t)ssrc, index, HEADER, (const uint8_t *)payload, (int)size, out)) {
        Py_DECREF(sealed);
        PyErr_SetString(PyExc_RuntimeError, "libcrypto failed");
        return NULL;
    }
    return sealed;
}

static PyMethodDef cipher_methods[] = {
    {"seal", (PyCFunction)cipher_seal, METH_VARARGS, "seal(ssrc, index, header, payload): the whole SRTP packet."},
    {NULL},
};
static PyType_Slot cipher_slots[] = {
    {Py_tp_new, cipher_new},
    {Py_tp_dealloc, cipher_dealloc},
    {Py_tp_methods, cipher_methods},
    {Py_tp_doc, "Cipher(key, salt): AES-GCM with the session key and salt of one peer."},
    {0, NULL},
};
static PyType_Spec cipher_spec = {"media.native._fanout.Cipher", sizeof(Cipher), 0, Py_TPFLAGS_DEFAULT, cipher_slots};

PyTypeObject *
make_cipher_type(void)
{
    return cipher_type = (PyTypeObject *)PyType_FromSpec(&cipher_spec);
}
