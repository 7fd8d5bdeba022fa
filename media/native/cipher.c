/* AES-GCM by libcrypto (RFC 7714 section 8). The nonce is told, never guessed, so that a resend is the same bits. */
#include "cipher.h"
#include "text.h"

#include <string.h>

TEXT_OF(cipher_c)

enum { GET_TAG = 0x10 };    /* EVP_CTRL_AEAD_GET_TAG */

static Crypto evp;
PyTypeObject *cipher_type;

PyObject *
use_crypto(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned long long found[8];
    if (!PyArg_ParseTuple(args, "KKKKKKKK", &found[0], &found[1], &found[2], &found[3], &found[4], &found[5],
                          &found[6], &found[7]))
        return NULL;
    for (int i = 0; i < 8; i++) {
        if (!found[i]) {
            PyErr_SetString(PyExc_ValueError, "a function of libcrypto is missing");
            return NULL;
        }
        void *address = (void *)(uintptr_t)found[i];
        memcpy((char *)&evp + i * sizeof address, &address, sizeof address);
    }
    Py_RETURN_NONE;
}

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
    if ((key_size != 16 && key_size != 32) || salt_size != NONCE || !evp.context) {
        PyErr_SetString(PyExc_ValueError, "a key of 16 or 32 bytes, a salt of 12, and libcrypto are needed");
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Cipher *self = (Cipher *)alloc(type, 0);
    if (!self)
        return NULL;
    memcpy(self->salt, salt, NONCE);
    self->evp = evp;
    self->context = evp.context();
    const void *kind = key_size == 16 ? evp.aes_128_gcm() : evp.aes_256_gcm();
    if (!self->context || evp.begin(self->context, kind, NULL, (const unsigned char *)key, NULL) != 1) {
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
        self->evp.release(self->context);
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
    /* 00 00 | SSRC | cycles and sequence, 48 bits; xor salt (RFC 7714 section 8.1) */
    memcpy(nonce, cipher->salt, NONCE);
    for (int i = 0; i < 4; i++)
        nonce[2 + i] ^= (uint8_t)(ssrc >> (24 - 8 * i));
    for (int i = 0; i < 6; i++)
        nonce[6 + i] ^= (uint8_t)(index >> (40 - 8 * i));
    const Crypto *with = &cipher->evp;
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
