/* libcrypto, by pointers that media/native/loader.py finds: neither its headers nor its version matter. */
#ifndef CRYPTO_H
#define CRYPTO_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#ifndef __linux__
#error "segmentation offload is Linux's; elsewhere the pure twin serves"
#endif

#include <stdint.h>

#pragma GCC visibility push(hidden)

enum {
    HEADER = 12,
    TAG = 16,
    NONCE = 12,
    BUFFER = 65536,
};

typedef int Begin(void *, const void *, void *, const unsigned char *, const unsigned char *);
typedef int Update(void *, unsigned char *, int *, const unsigned char *, int);
typedef int Finish(void *, unsigned char *, int *);

/* In the order of media.native.loader._FUNCTIONS. */
typedef struct {
    void *(*context)(void);
    void (*release)(void *);
    Begin *begin;
    Update *update;
    Finish *finish;
    int (*control)(void *, int, int, void *);
    const void *(*aes_128_gcm)(void);
    const void *(*aes_256_gcm)(void);
    Begin *begin_opening;
    Update *update_opening;
    Finish *finish_opening;
} Crypto;

/* Those in use now; NULL before `use_crypto`. A context is used and freed by the library that made it. */
extern const Crypto *crypto;

PyObject *use_crypto(PyObject *module, PyObject *args);

/* 00 00 | SSRC | cycles and sequence, 48 bits; xor salt (RFC 7714 section 8.1) */
static inline void
make_nonce(uint8_t nonce[NONCE], const uint8_t salt[NONCE], uint32_t ssrc, uint64_t index)
{
    for (int i = 0; i < NONCE; i++)
        nonce[i] = salt[i];
    for (int i = 0; i < 4; i++)
        nonce[2 + i] ^= (uint8_t)(ssrc >> (24 - 8 * i));
    for (int i = 0; i < 6; i++)
        nonce[6 + i] ^= (uint8_t)(index >> (40 - 8 * i));
}

#pragma GCC visibility pop

#ifdef TEXTS
TEXT_OF(crypto_h)
#endif
#endif
