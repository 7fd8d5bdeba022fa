/* What one peer sends, decrypted: media.core.srtp.GcmReceiver for RTP. */
#ifndef OPENER_H
#define OPENER_H

#include "crypto.h"

#pragma GCC visibility push(hidden)

typedef struct Source Source;

typedef struct {
    PyObject_HEAD
    const Crypto *crypto;   /* whose `context` is; that is made when it is needed: a viewer sends nothing */
    void *context;
    uint8_t key[16], salt[NONCE];
    Source *sources;
    int count, most;
    long long surplus;
} Opener;

extern PyTypeObject *opener_type;

PyTypeObject *make_opener_type(void);

/* The payload of a packet of at least `HEADER` bytes, new and authentic; NULL without an exception if it is neither.
 * `counts`: one of a source too many counts as surplus. */
PyObject *open_packet(Opener *opener, const uint8_t *packet, Py_ssize_t size, Py_ssize_t header, int counts);

#pragma GCC visibility pop

#ifdef TEXTS
TEXT_OF(opener_h)
#endif
#endif
