/* One peer as C keeps it between two calls: its cipher, its socket address, the lines it was last served by. */
#ifndef CIPHER_H
#define CIPHER_H

#include "crypto.h"

#include <sys/socket.h>

#pragma GCC visibility push(hidden)

enum {
    MAX_PKTINFO = 20,   /* struct in6_pktinfo */
    KINDS = 2,          /* media.core.formats.Kind: sound and picture */
};

/* What is known of the line that a kind of media went by last: an unchanged one costs the interpreter one look-up. */
typedef struct {
    PyObject *line;     /* owned; whose numbers `view` holds on to */
    Py_buffer view;
    PyObject *types;    /* owned; the dictionary that `payload_type` is of */
    PyObject *codec;    /* owned; whose it is */
    int payload_type;   /* -1: not taken */
} Seat;

typedef struct {
    PyObject_HEAD
    const Crypto *crypto;              /* whose `context` is */
    void *context;
    uint8_t salt[NONCE];
    PyObject *address;                 /* what `name` was made from */
    struct sockaddr_storage name;
    socklen_t name_size;
    uint8_t pktinfo[MAX_PKTINFO];
    Py_ssize_t pktinfo_size;
    Seat seats[KINDS];
} Cipher;

extern PyTypeObject *cipher_type;

PyTypeObject *make_cipher_type(void);
void leave_seat(Seat *seat);

/* Encrypt behind the `header` bytes that stand at `out`; 0 if libcrypto fails. One thread at a time for one cipher. */
int seal(Cipher *cipher, uint32_t ssrc, uint64_t index, int header, const uint8_t *payload, int size, uint8_t *out);

#pragma GCC visibility pop

#ifdef TEXTS
TEXT_OF(cipher_h)
#endif
#endif
