/* Which libcrypto is in use. */
#include "crypto.h"
#include "text.h"

#include <string.h>

TEXT_OF(crypto_c)

enum { FUNCTIONS = sizeof(Crypto) / sizeof(void *), LIBRARIES = 8 };

const Crypto *crypto;

PyObject *
use_crypto(PyObject *Py_UNUSED(module), PyObject *args)
{
    static Crypto libraries[LIBRARIES];    /* for contexts of each that was ever in use */
    static int count;
    Crypto found;
    if (PyTuple_Size(args) != FUNCTIONS) {
        PyErr_Format(PyExc_TypeError, "%d addresses are needed", FUNCTIONS);
        return NULL;
    }
    for (int i = 0; i < FUNCTIONS; i++) {
        void *address = PyLong_AsVoidPtr(PyTuple_GetItem(args, i));
        if (!address) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "a function of libcrypto is missing");
            return NULL;
        }
        memcpy((char *)&found + i * sizeof address, &address, sizeof address);
    }
    int at = 0;
    while (at < count && memcmp(&libraries[at], &found, sizeof found) != 0)
        at++;
    if (at == LIBRARIES) {
        PyErr_SetString(PyExc_RuntimeError, "too many libraries");
        return NULL;
    }
    if (at == count)
        libraries[count++] = found;
    crypto = &libraries[at];
    Py_RETURN_NONE;
}
