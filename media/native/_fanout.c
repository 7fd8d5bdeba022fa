/* The egress hot path in C: what media/egress.py does for each subscriber and run, without the interpreter.
 *
 * Owns: nothing between two calls, but for a cipher context and the last socket address of each peer.
 * Invariant: media/egress.py is the reference. For the same runs and lines the same bits leave, and whatever is
 * not plain success (a full socket, a path without offload, a cipher that is not ours) is left undone and handed
 * back by its place, for the reference to do.
 *
 *   with the GIL      runs -> packets by pointer        targets -> keys, address, shifts
 *   without           for each target and run: headers, AES-GCM, one sendmsg
 *   with the GIL      counters of the lines; what is left
 *
 * libcrypto is called by pointers that media/native/loader.py finds, so that neither its headers nor its version
 * matter. AES-GCM: RFC 7714 section 8; the nonce is told, never guessed, so that a resend is the same bits.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#ifndef __linux__
#error "segmentation offload is Linux's; elsewhere the pure twin serves"
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum {
    HEADER = 12,
    BLOCK = 20,         /* media.core.extensions.BLOCK_BYTES */
    CAPTURE_AT = 4,     /* in it: the head of the capture time, and behind that 8 bytes of NTP */
    TAG = 16,
    NONCE = 12,
    BUFFER = 65536,
    MAX_SEGMENTS = 10,  /* media.core.runs.MAX_SEGMENTS */
    VIDEO_HZ = 90000,
    MAX_TRACKS = 16,    /* pairs of kind and codec in one call; a show has two or three */
    MAX_PKTINFO = 20,   /* struct in6_pktinfo */
    KINDS = 2,          /* media.core.formats.Kind: sound and picture */
    GSO_LEVEL = 17,     /* SOL_UDP, and UDP_SEGMENT of linux/udp.h: older C libraries have no name for them */
    GSO_SEGMENT = 103,
    GET_TAG = 0x10,     /* EVP_CTRL_AEAD_GET_TAG */
};

/* libcrypto */

typedef struct {
    void *(*context)(void);
    void (*release)(void *);
    int (*begin)(void *, const void *, void *, const unsigned char *, const unsigned char *);
    int (*update)(void *, unsigned char *, int *, const unsigned char *, int);
    int (*finish)(void *, unsigned char *, int *);
    int (*control)(void *, int, int, void *);
    const void *(*aes_128_gcm)(void);
    const void *(*aes_256_gcm)(void);
} Crypto;

static Crypto evp;

static PyObject *
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

/* What stands in Line.numbers of media/core/rewrite.py, each of 64 bits */

enum { FIRST, SHIFT, TIMESTAMP_SHIFT, SSRC, PACKETS, OCTETS, NUMBERS };

/* What is known of the line that a kind of media went by last: an unchanged one costs the interpreter one look-up. */
typedef struct {
    PyObject *line;     /* owned; whose numbers `view` holds on to */
    Py_buffer view;
    PyObject *types;    /* owned; the dictionary that `payload_type` is of */
    PyObject *codec;    /* owned; whose it is */
    int payload_type;   /* -1: not taken */
} Seat;

static void
leave_seat(Seat *seat)
{
    if (seat->line)
        PyBuffer_Release(&seat->view);
    Py_CLEAR(seat->line);
    Py_CLEAR(seat->types);
    Py_CLEAR(seat->codec);
}

/* One peer's cipher */

typedef struct {
    PyObject_HEAD
    Crypto evp;                        /* a context is freed by the library that made it */
    void *context;
    uint8_t salt[NONCE];
    PyObject *address;                 /* what `name` was made from */
    struct sockaddr_storage name;
    socklen_t name_size;
    uint8_t pktinfo[MAX_PKTINFO];
    Py_ssize_t pktinfo_size;
    Seat seats[KINDS];
} Cipher;

static PyTypeObject *cipher_type;

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

/* Encrypt behind the `header` bytes that stand at `out`; 0 if libcrypto fails. One thread at a time for one cipher. */
static int
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

/* What is sent, and to whom, once the interpreter is not needed any more */

typedef struct {
    int track;
    int marker, padded;
    long long sequence;
    uint32_t timestamp;
    uint64_t capture;   /* 0: no block of extensions */
    const uint8_t *payload;
    int size;
} Packet;

typedef struct {
    int first, count;
    long payload_bytes;
} Run;

typedef struct {
    long kind;
    PyObject *codec;    /* borrowed from the runs */
} Track;

typedef struct {
    PyObject *line;     /* owned; NULL where the target takes no such track */
    Seat *seat;         /* where its numbers were; of the target's cipher */
    uint8_t payload_type;
    uint32_t ssrc, timestamp_shift;
    uint8_t block[BLOCK];
    uint32_t live;      /* a media.core.press.Press; `span` 0: none */
    long long pressed, span;
    long long first, shift;
    long long packets, octets;    /* that left */
} Line;

typedef struct {
    Cipher *cipher;     /* owned; NULL: passed over, or not for us */
    int is_left;        /* from `run` and `segment` on, for the reference */
    int uses_gso;
    int run, segment;
    Line *lines;
} Target;

typedef struct {
    Packet *packets;
    Run *runs;
    int run_count;
    Track tracks[MAX_TRACKS];
    int track_count;
    int has_blocks;
    Target *targets;
    Line *lines;
    Py_ssize_t target_count;
    int fd, pktinfo_level, pktinfo_kind;
    long long sent_packets, sent_octets, sends, failed;
    uint8_t buffer[BUFFER];
} Job;

static struct {
    PyObject *peer, *sender, *address, *is_closed, *uses_gso, *twin, *rtp_key, *rtp_salt, *lines, *payload_types,
        *numbers, *payload_bytes, *extensions, *press;
} names;

/* -1 with an exception; a number outside 64 bits is one. */
static int
get_number(PyObject *of, PyObject *name, long long *out)
{
    PyObject *value = PyObject_GetAttr(of, name);
    if (!value)
        return -1;
    *out = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return *out == -1 && PyErr_Occurred() ? -1 : 0;
}

static int
get_truth(PyObject *of, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(of, name);
    if (!value)
        return -1;
    int truth = PyObject_IsTrue(value);
    Py_DECREF(value);
    return truth;
}

/* Runs */

static int
track_of(Job *job, long kind, PyObject *codec)
{
    for (int i = 0; i < job->track_count; i++)
        if (job->tracks[i].codec == codec && job->tracks[i].kind == kind)
            return i;
    if (job->track_count == MAX_TRACKS || kind < 0 || kind >= KINDS) {
        PyErr_SetString(PyExc_ValueError, "too many tracks in one send, or of no kind");
        return -1;
    }
    job->tracks[job->track_count] = (Track){kind, codec};
    return job->track_count++;
}

/* `item` is a media.core.history.Packet: kind, codec, sequence, timestamp, marker, payload, padded, begins, capture. */
static int
read_packet(Job *job, PyObject *item, Packet *packet)
{
    char *payload;
    Py_ssize_t size;
    if (!PyTuple_Check(item) || PyTuple_Size(item) < 9) {
        PyErr_SetString(PyExc_TypeError, "a run holds packets");
        return -1;
    }
    long kind = PyLong_AsLong(PyTuple_GetItem(item, 0));
    if (kind == -1 && PyErr_Occurred())
        return -1;
    packet->track = track_of(job, kind, PyTuple_GetItem(item, 1));
    packet->sequence = PyLong_AsLongLong(PyTuple_GetItem(item, 2));
    packet->timestamp = (uint32_t)PyLong_AsUnsignedLongLongMask(PyTuple_GetItem(item, 3));
    packet->marker = PyObject_IsTrue(PyTuple_GetItem(item, 4));
    packet->padded = PyObject_IsTrue(PyTuple_GetItem(item, 6));
    packet->capture = PyLong_AsUnsignedLongLong(PyTuple_GetItem(item, 8));
    job->has_blocks |= packet->capture != 0;
    if (packet->track < 0 || PyErr_Occurred() || PyBytes_AsStringAndSize(PyTuple_GetItem(item, 5), &payload, &size) < 0)
        return -1;
    packet->payload = (const uint8_t *)payload;
    packet->size = size > BUFFER ? BUFFER : (int)size;    /* too long: the run is refused below */
    return 0;
}

static int
size_of(const Packet *packet)
{
    return packet->size + (packet->capture ? BLOCK : 0);
}

/* Runs of one track's packets as media.core.runs.regroup makes them. */
static int
regroup(Job *job, PyObject *packets, int count)
{
    job->packets = PyMem_Calloc(count + 1, sizeof(Packet));
    job->runs = PyMem_Calloc(count + 1, sizeof(Run));
    if (!job->packets || !job->runs) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < count; i++) {
        Packet *packet = &job->packets[i];
        if (read_packet(job, PyTuple_GetItem(packets, i), packet) < 0)
            return -1;
        int size = size_of(packet);
        Run *run = job->run_count ? &job->runs[job->run_count - 1] : NULL;
        if (size + HEADER + TAG > BUFFER / MAX_SEGMENTS) {
            PyErr_SetString(PyExc_ValueError, "a packet is longer than a datagram");
            return -1;
        }
        if (run && run->count < MAX_SEGMENTS && size_of(packet - 1) == run->payload_bytes &&
            size <= run->payload_bytes)
            run->count++;
        else
            job->runs[job->run_count++] = (Run){i, 1, size};
    }
    return 0;
}

static int
read_run(Job *job, Run *run, PyObject *packets)
{
    Py_ssize_t bytes = 0;
    for (int i = 0; i < run->count; i++) {
        Packet *packet = &job->packets[run->first + i];
        if (read_packet(job, PyTuple_GetItem(packets, i), packet) < 0)
            return -1;
        bytes += HEADER + BLOCK + packet->size + TAG;
    }
    if (bytes > BUFFER || run->payload_bytes < 0 || run->payload_bytes > BUFFER - HEADER - TAG) {
        PyErr_SetString(PyExc_ValueError, "a run is longer than a datagram");
        return -1;
    }
    return 0;
}

/* `held` gets the tuples of packets, so that everything pointed at outlives the call. */
static int
read_runs(Job *job, PyObject *runs, PyObject *held)
{
    Py_ssize_t total = 0;
    for (int i = 0; i < job->run_count; i++) {
        PyObject *run = PyTuple_GetItem(runs, i), *packets = PyObject_GetAttrString(run, "packets");
        long long payload_bytes;
        if (!packets)
            return -1;
        int failed = PyList_Append(held, packets);
        Py_DECREF(packets);
        if (failed || get_number(run, names.payload_bytes, &payload_bytes) < 0)
            return -1;
        if (!PyTuple_Check(packets) || PyTuple_Size(packets) > 1024) {
            PyErr_SetString(PyExc_TypeError, "a run's packets are a tuple of at most 1024");
            return -1;
        }
        job->runs[i] = (Run){(int)total, (int)PyTuple_Size(packets), (long)payload_bytes};
        total += job->runs[i].count;
    }
    job->packets = PyMem_Calloc(total ? total : 1, sizeof(Packet));
    if (!job->packets) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < job->run_count; i++)
        if (read_run(job, &job->runs[i], PyList_GetItem(held, i)) < 0)
            return -1;
    return 0;
}

/* Targets */

/* An address is (host, port) or (host, port, pktinfo). 0 if it is not numeric: a scope, say. */
static int
read_address(Cipher *cipher, PyObject *address)
{
    if (cipher->address == address)
        return 1;
    Py_ssize_t parts = PyTuple_Check(address) ? PyTuple_Size(address) : 0;
    if (parts != 2 && parts != 3)
        return 0;
    const char *host = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(address, 0), NULL);
    long port = host ? PyLong_AsLong(PyTuple_GetItem(address, 1)) : -1;
    if (port < 0 || port > 65535)
        return 0;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&cipher->name;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&cipher->name;
    Py_CLEAR(cipher->address);
    memset(&cipher->name, 0, sizeof cipher->name);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        cipher->name_size = sizeof *v4;
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        cipher->name_size = sizeof *v6;
    } else
        return 0;
    cipher->pktinfo_size = 0;
    if (parts == 3) {
        char *own;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(address, 2), &own, &size) < 0 || size > MAX_PKTINFO)
            return 0;
        memcpy(cipher->pktinfo, own, size);
        cipher->pktinfo_size = size;
    }
    cipher->address = Py_NewRef(address);
    return 1;
}

/* The sender's cipher context, made at its first packet. NULL without an exception: not an AES-GCM sender. */
static Cipher *
twin_of(PyObject *sender)
{
    PyObject *twin = PyObject_GetAttr(sender, names.twin);
    if (!twin) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError))
            PyErr_Clear();
        return NULL;
    }
    if (Py_IsNone(twin)) {
        Py_DECREF(twin);
        PyObject *key = PyObject_GetAttr(sender, names.rtp_key);
        PyObject *salt = key ? PyObject_GetAttr(sender, names.rtp_salt) : NULL;
        twin = salt ? PyObject_CallFunctionObjArgs((PyObject *)cipher_type, key, salt, NULL) : NULL;
        Py_XDECREF(key);
        Py_XDECREF(salt);
        if (twin && PyObject_SetAttr(sender, names.twin, twin) < 0)
            Py_CLEAR(twin);
    }
    if (twin && !Py_IS_TYPE(twin, cipher_type)) {
        PyErr_SetString(PyExc_TypeError, "a sender's twin is a Cipher or None");
        Py_CLEAR(twin);
    }
    return (Cipher *)twin;
}

static int
read_block(PyObject *of, Line *line)
{
    char *block;
    Py_ssize_t size;
    PyObject *value = PyObject_GetAttr(of, names.extensions);
    int failed = !value || PyBytes_AsStringAndSize(value, &block, &size) < 0;
    if (!failed && size != BLOCK) {
        PyErr_SetString(PyExc_ValueError, "a block of header extensions has one size");
        failed = 1;
    }
    if (!failed)
        memcpy(line->block, block, BLOCK);
    Py_XDECREF(value);
    return failed ? -1 : 0;
}

static int
read_press(PyObject *of, Line *line)
{
    PyObject *press = PyObject_GetAttr(of, names.press);
    int failed = !press;
    if (press && !Py_IsNone(press)) {
        unsigned long live = 0;
        failed = !PyTuple_Check(press) || !PyArg_ParseTuple(press, "kLL;a press has three numbers", &live, &line->pressed, &line->span);
        line->live = (uint32_t)live;
        if (failed && !PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a press is a tuple");
        if (!failed && (line->pressed < 0 || line->span <= 0 || line->span > UINT32_MAX || line->pressed > line->span)) {
            PyErr_SetString(PyExc_ValueError, "a press makes a span of time shorter");
            failed = 1;
        }
    }
    Py_XDECREF(press);
    return failed ? -1 : 0;
}

/* The numbers of a line, kept at hand in the seat of its kind; NULL with an exception. */
static int64_t *
numbers_of(Seat *seat, PyObject *line)
{
    if (seat->line == line)
        return seat->view.buf;
    leave_seat(seat);
    PyObject *numbers = PyObject_GetAttr(line, names.numbers);
    int failed = !numbers || PyObject_GetBuffer(numbers, &seat->view, PyBUF_WRITABLE) < 0;
    Py_XDECREF(numbers);
    if (failed)
        return NULL;
    if (seat->view.len != NUMBERS * (Py_ssize_t)sizeof(int64_t)) {
        PyBuffer_Release(&seat->view);
        PyErr_SetString(PyExc_ValueError, "a line has six numbers of 64 bits");
        return NULL;
    }
    seat->line = Py_NewRef(line);
    return seat->view.buf;
}

/* As what a codec goes by the line in the seat; -1: it does not; -2: an exception. */
static int
payload_type_of(Seat *seat, PyObject *codec)
{
    PyObject *types = PyObject_GetAttr(seat->line, names.payload_types);
    if (!types)
        return -2;
    if (types == seat->types && codec == seat->codec) {
        Py_DECREF(types);
        return seat->payload_type;
    }
    PyObject *type = PyDict_GetItemWithError(types, codec);
    long found = type ? PyLong_AsLong(type) : -1;
    if (PyErr_Occurred()) {
        Py_DECREF(types);
        return -2;
    }
    Py_XDECREF(seat->types);
    Py_XDECREF(seat->codec);
    seat->types = types;
    seat->codec = Py_NewRef(codec);
    return seat->payload_type = type ? (int)(found & 127) : -1;
}

static int
read_seated(const Job *job, const Track *track, Seat *seat, PyObject *from, Line *line)
{
    int64_t *numbers = numbers_of(seat, from);
    int payload_type = numbers ? payload_type_of(seat, track->codec) : -2;
    if (payload_type < 0)
        return payload_type == -1 ? 0 : -1;
    line->line = Py_NewRef(from);
    line->seat = seat;
    line->payload_type = (uint8_t)payload_type;
    line->first = numbers[FIRST];
    line->shift = numbers[SHIFT];
    line->timestamp_shift = (uint32_t)numbers[TIMESTAMP_SHIFT];
    line->ssrc = (uint32_t)numbers[SSRC];
    return job->has_blocks && read_block(from, line) < 0 ? -1 : read_press(from, line);
}

static int
read_line(const Job *job, const Track *track, Cipher *cipher, PyObject *lines, Line *line)
{
    PyObject *found = PySequence_GetItem(lines, track->kind);
    if (!found)
        return -1;
    int failed = !Py_IsNone(found) && read_seated(job, track, &cipher->seats[track->kind], found, line) < 0;
    Py_DECREF(found);
    return failed ? -1 : 0;
}

/* 1: to be served; 0: passed over, or left; -1: an exception. */
static int
read_peer(PyObject *peer, Target *target)
{
    int result = -1;
    PyObject *sender = PyObject_GetAttr(peer, names.sender), *address = PyObject_GetAttr(peer, names.address);
    int closed = get_truth(peer, names.is_closed);
    if (!sender || !address || closed < 0)
        goto end;
    result = 0;
    if (closed || Py_IsNone(sender) || Py_IsNone(address))
        goto end;
    Cipher *cipher = twin_of(sender);
    if (cipher && read_address(cipher, address)) {
        target->cipher = cipher;
        target->uses_gso = get_truth(peer, names.uses_gso);
        result = target->uses_gso < 0 ? -1 : 1;
    } else {
        Py_XDECREF((PyObject *)cipher);
        target->is_left = 1;
        result = PyErr_Occurred() ? -1 : 0;
    }
end:
    Py_XDECREF(sender);
    Py_XDECREF(address);
    return result;
}

static int
read_target(Job *job, PyObject *from, Target *target)
{
    PyObject *peer = PyObject_GetAttr(from, names.peer);
    int up = peer ? read_peer(peer, target) : -1;
    Py_XDECREF(peer);
    if (up <= 0)
        return up;
    PyObject *lines = PyObject_GetAttr(from, names.lines);
    int failed = !lines;
    for (int i = 0; i < job->track_count && !failed; i++)
        failed = read_line(job, &job->tracks[i], target->cipher, lines, &target->lines[i]) < 0;
    Py_XDECREF(lines);
    return failed ? -1 : 0;
}

/* The fan-out: no interpreter from here to `count_lines` */

/* Ticks by which a timestamp is made later: media.core.press.Press.shift. */
static uint32_t
later(const Line *line, uint32_t timestamp)
{
    int32_t ago = (int32_t)(line->live - timestamp);
    return line->span && ago > 0 ? (uint32_t)(ago - (long long)ago * line->pressed / line->span) : 0;
}

/* How long it is. */
static int
put_header(uint8_t *out, const Packet *packet, const Line *line, uint64_t index)
{
    uint32_t shift = later(line, packet->timestamp), ssrc = htonl(line->ssrc);
    uint32_t timestamp = htonl(packet->timestamp + shift + line->timestamp_shift);
    uint64_t capture = packet->capture + ((uint64_t)shift << 32) / VIDEO_HZ;
    out[0] = packet->padded ? 0xA0 : 0x80;
    out[1] = packet->marker ? line->payload_type | 0x80 : line->payload_type;
    out[2] = (uint8_t)(index >> 8);
    out[3] = (uint8_t)index;
    memcpy(out + 4, &timestamp, 4);
    memcpy(out + 8, &ssrc, 4);
    if (!packet->capture)
        return HEADER;
    out[0] |= 0x10;
    memcpy(out + HEADER, line->block, BLOCK);
    if (line->block[CAPTURE_AT])
        for (int i = 0; i < 8; i++)
            out[HEADER + CAPTURE_AT + 1 + i] = (uint8_t)(capture >> (56 - 8 * i));
    return HEADER + BLOCK;
}

static void
add_control(struct msghdr *message, int level, int kind, const void *data, size_t size)
{
    struct cmsghdr *control = (struct cmsghdr *)((char *)message->msg_control + message->msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = kind;
    control->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(control), data, size);
    message->msg_controllen += CMSG_SPACE(size);
}

/* 0, or the error number. `segment` 0: one datagram. */
static int
to_kernel(const Job *job, Cipher *cipher, const uint8_t *data, size_t size, uint16_t segment)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_PKTINFO) + CMSG_SPACE(sizeof(uint16_t))];
    } control;
    struct iovec part = {(void *)data, size};
    struct msghdr message = {
        .msg_name = &cipher->name, .msg_namelen = cipher->name_size, .msg_iov = &part, .msg_iovlen = 1};
    message.msg_control = memset(&control, 0, sizeof control);
    if (cipher->pktinfo_size && job->pktinfo_level >= 0)
        add_control(&message, job->pktinfo_level, job->pktinfo_kind, cipher->pktinfo, cipher->pktinfo_size);
    if (segment)
        add_control(&message, GSO_LEVEL, GSO_SEGMENT, &segment, sizeof segment);
    if (!message.msg_controllen)
        message.msg_control = NULL;
    ssize_t sent;
    do
        sent = sendmsg(job->fd, &message, MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? errno : 0;
}

static int
knows_no_gso(int number)
{
    return number == EIO || number == EINVAL || number == EMSGSIZE || number == ENOPROTOOPT || number == EOPNOTSUPP;
}

/* 0 if the message is for the reference: the socket is full, or the path knows no segmentation. */
static int
emit(Job *job, Cipher *cipher, const uint8_t *data, size_t size, uint16_t segment, int packets)
{
    int error = to_kernel(job, cipher, data, size, segment);
    if (error == EAGAIN || error == EWOULDBLOCK || (segment && knows_no_gso(error)))
        return 0;
    job->failed += error != 0;
    job->sends++;
    job->sent_packets += packets;
    job->sent_octets += (long long)size;
    return 1;
}

static int
emit_one_by_one(Job *job, Target *target, size_t size, size_t segment)
{
    for (size_t at = 0; at < size; at += segment, target->segment++) {
        size_t length = size - at < segment ? size - at : segment;
        if (!emit(job, target->cipher, job->buffer + at, length, 0, 1))
            return 0;
    }
    target->segment = 0;
    return 1;
}

/* 0 if the run is left, whole or from `target->segment` on. */
static int
send_run(Job *job, Target *target, const Run *run)
{
    uint8_t *out = job->buffer;
    int count = 0;
    for (int i = 0; i < run->count; i++) {
        const Packet *packet = &job->packets[run->first + i];
        const Line *line = &target->lines[packet->track];
        if (!line->line || packet->sequence < line->first)
            continue;
        uint64_t index = (uint64_t)(packet->sequence + line->shift);
        int header = put_header(out, packet, line, index);
        if (!seal(target->cipher, line->ssrc, index, header, packet->payload, packet->size, out))
            return 0;
        out += header + packet->size + TAG;
        count++;
    }
    if (!count)
        return 1;
    size_t size = (size_t)(out - job->buffer), segment = (size_t)run->payload_bytes + HEADER + TAG;
    if (count > 1 && !target->uses_gso)
        return emit_one_by_one(job, target, size, segment);
    return emit(job, target->cipher, job->buffer, size, count > 1 ? (uint16_t)segment : 0, count);
}

static void
note_run(Job *job, Target *target, const Run *run)
{
    for (int i = 0; i < run->count; i++) {
        const Packet *packet = &job->packets[run->first + i];
        Line *line = &target->lines[packet->track];
        if (line->line && packet->sequence >= line->first) {
            line->packets++;
            line->octets += packet->size;
        }
    }
}

static void
fan_out(Job *job)
{
    for (Py_ssize_t i = 0; i < job->target_count; i++) {
        Target *target = &job->targets[i];
        for (; target->cipher && target->run < job->run_count; target->run++) {
            if (!send_run(job, target, &job->runs[target->run])) {
                target->is_left = 1;
                break;
            }
            note_run(job, target, &job->runs[target->run]);
        }
    }
}

/* The way back */

/* The seat may hold another line by now, where one peer stood in one call with two. */
static int
count_lines(const Job *job)
{
    for (Py_ssize_t i = 0; i < job->target_count * job->track_count; i++) {
        const Line *line = &job->lines[i];
        int64_t *numbers = line->packets ? numbers_of(line->seat, line->line) : NULL;
        if (numbers) {
            numbers[PACKETS] += line->packets;
            numbers[OCTETS] += line->octets;
        } else if (line->packets)
            return -1;
    }
    return 0;
}

static PyObject *
result_of(const Job *job)
{
    PyObject *left = PyList_New(0);
    for (Py_ssize_t i = 0; left && i < job->target_count; i++) {
        const Target *target = &job->targets[i];
        if (!target->is_left)
            continue;
        PyObject *place = Py_BuildValue("nii", i, target->run, target->segment);
        if (!place || PyList_Append(left, place) < 0)
            Py_CLEAR(left);
        Py_XDECREF(place);
    }
    return left ? Py_BuildValue("NLLLL", left, job->sent_packets, job->sent_octets, job->sends, job->failed) : NULL;
}

static void
dispose(Job *job)
{
    for (Py_ssize_t i = 0; job->lines && i < job->target_count * job->track_count; i++)
        Py_XDECREF(job->lines[i].line);
    for (Py_ssize_t i = 0; job->targets && i < job->target_count; i++)
        Py_XDECREF((PyObject *)job->targets[i].cipher);
    PyMem_Free(job->lines);
    PyMem_Free(job->targets);
    PyMem_Free(job->packets);
    PyMem_Free(job->runs);
    PyMem_Free(job);
}

static int
read_targets(Job *job, PyObject *targets)
{
    job->targets = PyMem_Calloc(job->target_count + 1, sizeof(Target));
    job->lines = PyMem_Calloc(job->target_count * job->track_count + 1, sizeof(Line));
    if (!job->targets || !job->lines) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < job->target_count; i++) {
        job->targets[i].lines = job->lines + i * job->track_count;
        if (read_target(job, PyTuple_GetItem(targets, i), &job->targets[i]) < 0)
            return -1;
    }
    return 0;
}

static Job *
new_job(int fd, int level, int kind)
{
    Job *job = PyMem_Malloc(sizeof(Job));
    if (!job) {
        PyErr_NoMemory();
        return NULL;
    }
    memset(job, 0, offsetof(Job, buffer));    /* a clean buffer would have to be paid for each time */
    job->fd = fd;
    job->pktinfo_level = level;
    job->pktinfo_kind = kind;
    return job;
}

static PyObject *
done(Job *job)
{
    Py_BEGIN_ALLOW_THREADS
    fan_out(job);
    Py_END_ALLOW_THREADS
    return count_lines(job) == 0 ? result_of(job) : NULL;
}

static PyObject *
fan(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *given_targets, *given_runs, *targets, *runs = NULL, *held = NULL, *result = NULL;
    int fd, level, kind;
    if (!PyArg_ParseTuple(args, "iiiOO", &fd, &level, &kind, &given_targets, &given_runs))
        return NULL;
    Job *job = new_job(fd, level, kind);
    if (!job)
        return NULL;
    targets = PySequence_Tuple(given_targets);
    runs = targets ? PySequence_Tuple(given_runs) : NULL;
    held = runs ? PyList_New(0) : NULL;
    if (!held)
        goto end;
    job->run_count = (int)PyTuple_Size(runs);
    job->runs = PyMem_Calloc(job->run_count + 1, sizeof(Run));
    if (!job->runs) {
        PyErr_NoMemory();
        goto end;
    }
    if (read_runs(job, runs, held) < 0)
        goto end;
    job->target_count = PyTuple_Size(targets);
    if (read_targets(job, targets) == 0)
        result = done(job);
end:
    dispose(job);
    Py_XDECREF(held);
    Py_XDECREF(runs);
    Py_XDECREF(targets);
    return result;
}

static PyObject *
hurry(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *target, *given, *result = NULL;
    int fd, level, kind;
    if (!PyArg_ParseTuple(args, "iiiOO", &fd, &level, &kind, &target, &given))
        return NULL;
    /* A tuple of our own: everything pointed at outlives the call. */
    PyObject *packets = PySequence_Tuple(given), *targets = Py_BuildValue("(O)", target);
    Job *job = packets && targets ? new_job(fd, level, kind) : NULL;
    if (job) {
        job->target_count = 1;
        if (regroup(job, packets, (int)PyTuple_Size(packets)) == 0 && read_targets(job, targets) == 0)
            result = done(job);
        dispose(job);
    }
    Py_XDECREF(targets);
    Py_XDECREF(packets);
    return result;
}

/* What this was built from, byte for byte, for media/native/loader.py to hold against the file beside it: an extension
 * of another day reads other places of a line, and loses packets without a word. */
__asm__(".pushsection .rodata\n"
        "fanout_source: .incbin \"" __FILE__ "\"\n"
        "fanout_source_end: .byte 0\n"
        ".popsection\n");
extern const char fanout_source[] __attribute__((visibility("hidden")));
extern const char fanout_source_end[] __attribute__((visibility("hidden")));

static PyObject *
source(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyBytes_FromStringAndSize(fanout_source, fanout_source_end - fanout_source);
}

/* For a test to hold this list against the reference's. */
static PyObject *
tells_no_gso(PyObject *Py_UNUSED(module), PyObject *number)
{
    long value = PyLong_AsLong(number);
    if (value == -1 && PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(knows_no_gso((int)value));
}

/* The module */

static PyMethodDef methods[] = {
    {"use_crypto", use_crypto, METH_VARARGS,
     "use_crypto(new, free, init, update, final, ctrl, aes_128_gcm, aes_256_gcm): addresses of libcrypto's EVP."},
    {"fan", fan, METH_VARARGS,
     "fan(fd, pktinfo_level, pktinfo_type, targets, runs): (left, packets, octets, sends, failed).\n\n"
     "`left` holds (target, run, segment) from which on a target's runs are still to be sent."},
    {"hurry", hurry, METH_VARARGS,
     "hurry(fd, pktinfo_level, pktinfo_type, target, packets): as fan, for one target and its packets regrouped."},
    {"source", source, METH_NOARGS, "source(): the text of _fanout.c that this was built from."},
    {"knows_no_gso", tells_no_gso, METH_O,
     "knows_no_gso(errno): whether a send that fails so is left for the reference."},
    {NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_fanout", "The egress hot path in C.", -1, methods};

PyMODINIT_FUNC
PyInit__fanout(void)
{
    static const struct {
        PyObject **at;
        const char *text;
    } wanted[] = {
        {&names.peer, "peer"}, {&names.sender, "sender"}, {&names.address, "address"},
        {&names.is_closed, "is_closed"}, {&names.uses_gso, "uses_gso"}, {&names.twin, "twin"},
        {&names.rtp_key, "rtp_key"}, {&names.rtp_salt, "rtp_salt"}, {&names.lines, "lines"},
        {&names.payload_types, "payload_types"}, {&names.numbers, "numbers"},
        {&names.payload_bytes, "payload_bytes"}, {&names.extensions, "extensions"},
        {&names.press, "press"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!*wanted[i].at && !(*wanted[i].at = PyUnicode_InternFromString(wanted[i].text)))
            return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    cipher_type = (PyTypeObject *)PyType_FromSpec(&cipher_spec);
    if (!cipher_type || PyModule_AddObjectRef(module, "Cipher", (PyObject *)cipher_type) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
