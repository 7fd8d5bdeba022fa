/* What has come at the socket: read in one call, and a host's packets decrypted and read in the same, as media/port.py does
 * one by one. All else is handed out as it came. */
#define _GNU_SOURCE
#include "inbox.h"
#include "opener.h"
#include "text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

TEXT_OF(inbox_c)

enum {
    BURST = 64,         /* media.intake.BURST */
    DATAGRAM = 2048,
    CONTROL = 64,
    V4_PKTINFO = 12,    /* struct in_pktinfo: interface, our address twice */
    V6_PKTINFO = 20,    /* struct in6_pktinfo: our address, interface */
};

typedef struct {
    PyObject_HEAD
    PyObject *peers;    /* owned; media.core.demux.Roster.by_address */
    PyTypeObject *header;   /* owned; media.core.rtp.Header */
    int fd, pktinfo_level, pktinfo_kind, is_busy;
    struct mmsghdr messages[BURST];
    struct iovec parts[BURST];
    struct sockaddr_storage sources[BURST];
    uint8_t controls[BURST][CONTROL];
    uint8_t datagrams[BURST][DATAGRAM];
} Inbox;

static struct {
    PyObject *receiver, *opener;
} names;

/* As the kernel wants it, and changes it with each datagram. */
static void
make_ready(Inbox *self, int i)
{
    self->messages[i].msg_hdr.msg_namelen = sizeof self->sources[i];
    self->messages[i].msg_hdr.msg_controllen = self->pktinfo_level < 0 ? 0 : CONTROL;
}

static PyObject *
inbox_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *peers, *header;
    int fd, level, kind;
    if (!PyArg_ParseTuple(args, "iiiOO", &fd, &level, &kind, &peers, &header))
        return NULL;
    if (!PyDict_Check(peers) || !PyType_Check(header) || !PyType_IsSubtype((PyTypeObject *)header, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "a dictionary of peers and the type of a header are needed");
        return NULL;
    }
    Inbox *self = (Inbox *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self)
        return NULL;
    self->fd = fd;
    self->pktinfo_level = level;
    self->pktinfo_kind = kind;
    self->peers = Py_NewRef(peers);
    self->header = (PyTypeObject *)Py_NewRef(header);
    for (int i = 0; i < BURST; i++) {
        self->parts[i] = (struct iovec){self->datagrams[i], DATAGRAM};
        self->messages[i].msg_hdr.msg_iov = &self->parts[i];
        self->messages[i].msg_hdr.msg_iovlen = 1;
        self->messages[i].msg_hdr.msg_name = &self->sources[i];
        self->messages[i].msg_hdr.msg_control = level < 0 ? NULL : self->controls[i];
        make_ready(self, i);
    }
    return (PyObject *)self;
}

static void
inbox_dealloc(Inbox *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_XDECREF(self->peers);
    Py_XDECREF((PyObject *)self->header);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* How many there were; the others of `BURST` are errors of earlier sends, which do not end the reading. */
static int
read_socket(Inbox *self, int *failed)
{
    int count = 0;
    while (count + *failed < BURST) {
        int wanted = BURST - count - *failed;
        int found = recvmmsg(self->fd, self->messages + count, (unsigned)wanted, MSG_DONTWAIT, NULL);
        if (found > 0)
            count += found;
        if (found < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            break;
        if (found < 0)
            ++*failed;
        else if (found < wanted)
            break;    /* the kernel has looked once more by itself */
    }
    return count;
}

/* Our end of it, as an answer must bear it: our address, and any interface, for a route may change. */
static PyObject *
own_end(const Inbox *self, struct msghdr *message)
{
    uint8_t own[V6_PKTINFO] = {0};
    size_t size = 4;    /* none: as the reference has it */
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != self->pktinfo_level || control->cmsg_type != self->pktinfo_kind)
            continue;
        size = control->cmsg_len - CMSG_LEN(0);
        if (size == V4_PKTINFO)
            memcpy(own + 4, (uint8_t *)CMSG_DATA(control) + 4, 4);
        else {
            memcpy(own, CMSG_DATA(control), size < 16 ? size : 16);
            size = V6_PKTINFO;
        }
    }
    return PyBytes_FromStringAndSize((char *)own, (Py_ssize_t)size);
}

/* As media.core.demux.Address. */
static PyObject *
address_of(const Inbox *self, int i)
{
    const struct sockaddr_storage *source = &self->sources[i];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)source;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)source;
    char host[INET6_ADDRSTRLEN + 1 + 16];
    int is_v4 = source->ss_family == AF_INET;
    if (!inet_ntop(source->ss_family, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, host, sizeof host))
        return PyErr_SetFromErrno(PyExc_OSError);
    int port = ntohs(is_v4 ? v4->sin_port : v6->sin6_port);
    if (self->pktinfo_level < 0)
        return Py_BuildValue("si", host, port);
    PyObject *own = own_end(self, (struct msghdr *)&self->messages[i].msg_hdr);
    return own ? Py_BuildValue("siN", host, port, own) : NULL;
}

static int
has_same_end(const Inbox *self, int i, int j)
{
    const struct msghdr *one = &self->messages[i].msg_hdr, *other = &self->messages[j].msg_hdr;
    return one->msg_namelen == other->msg_namelen && one->msg_controllen == other->msg_controllen &&
           memcmp(&self->sources[i], &self->sources[j], one->msg_namelen) == 0 &&
           (!one->msg_controllen || memcmp(self->controls[i], self->controls[j], one->msg_controllen) == 0);
}

/* Bytes of the header of an RTP packet, 0 if it is none: media.core.demux.classify and media.core.rtp.parse_header. */
static Py_ssize_t
header_size(const uint8_t *at, Py_ssize_t size)
{
    if (size < HEADER || at[0] >> 6 != 2 || (at[1] >= 192 && at[1] <= 223))
        return 0;
    Py_ssize_t header = HEADER + 4 * (at[0] & 15);
    if (at[0] & 0x10) {
        if (size < header + 4)
            return 0;
        header += 4 + 4 * (at[header + 2] << 8 | at[header + 3]);
    }
    return header <= size ? header : 0;
}

static uint32_t
word(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

/* A media.core.rtp.Header. */
static PyObject *
read_header(const Inbox *self, const uint8_t *at, Py_ssize_t size)
{
    Py_ssize_t fixed = HEADER + 4 * (at[0] & 15);
    PyObject *fields[] = {
        PyLong_FromLong(at[1] & 127),
        PyBool_FromLong(at[1] > 127),
        PyLong_FromLong(at[2] << 8 | at[3]),
        PyLong_FromUnsignedLong(word(at + 4)),
        PyLong_FromUnsignedLong(word(at + 8)),
        PyBool_FromLong(at[0] & 0x20),
        PyLong_FromSsize_t(size),
        PyBytes_FromStringAndSize((const char *)at + fixed, size - fixed),
    };
    enum { FIELDS = sizeof fields / sizeof *fields };
    PyObject *header = PyType_GenericAlloc(self->header, FIELDS);
    for (int i = 0; i < FIELDS; i++) {
        if (!fields[i])
            Py_CLEAR(header);
        if (header)
            PyTuple_SetItem(header, i, fields[i]);
        else
            Py_XDECREF(fields[i]);
    }
    return header;
}

/* Borrowed from `peer`'s receiver, owned; NULL without an exception where that is not ours. */
static Opener *
opener_of(PyObject *peer)
{
    PyObject *receiver = PyObject_GetAttr(peer, names.receiver), *opener = NULL;
    if (receiver && !Py_IsNone(receiver))
        opener = PyObject_GetAttr(receiver, names.opener);
    Py_XDECREF(receiver);
    PyErr_Clear();    /* one without it is heard by the reference */
    if (opener && !Py_IS_TYPE(opener, opener_type))
        Py_CLEAR(opener);
    return (Opener *)opener;
}

/* (source, payload, peer, header) of a host's packet, else (source, datagram, None, None). */
static PyObject *
item_of(const Inbox *self, int i, PyObject *source)
{
    const uint8_t *at = self->datagrams[i];
    Py_ssize_t size = self->messages[i].msg_len, header = header_size(at, size);
    PyObject *peer = header ? PyDict_GetItemWithError(self->peers, source) : NULL;
    Opener *opener = peer ? opener_of(peer) : NULL;
    PyObject *payload = opener ? open_packet(opener, at, size, header, 0) : NULL;
    Py_XDECREF((PyObject *)opener);
    if (PyErr_Occurred())
        return NULL;
    if (!payload)
        return Py_BuildValue("Oy#OO", source, (const char *)at, size, Py_None, Py_None);
    PyObject *read = read_header(self, at, header);
    if (!read) {
        Py_DECREF(payload);
        return NULL;
    }
    return Py_BuildValue("ONON", source, payload, peer, read);
}

static PyObject *
items_of(const Inbox *self, int count)
{
    PyObject *items = PyList_New(count), *source = NULL;
    for (int i = 0; items && i < count; i++) {
        if (!source || !has_same_end(self, i, i - 1)) {
            Py_XDECREF(source);
            source = address_of(self, i);
        }
        PyObject *item = source ? item_of(self, i, source) : NULL;
        if (!item || PyList_SetItem(items, i, item) < 0)
            Py_CLEAR(items);
    }
    Py_XDECREF(source);
    return items;
}

static PyObject *
inbox_receive(Inbox *self, PyObject *Py_UNUSED(none))
{
    if (self->is_busy) {
        PyErr_SetString(PyExc_RuntimeError, "one at a time reads a socket");
        return NULL;
    }
    int count, failed = 0;
    self->is_busy = 1;
    Py_BEGIN_ALLOW_THREADS
    count = read_socket(self, &failed);
    Py_END_ALLOW_THREADS
    PyObject *items = items_of(self, count);
    for (int i = 0; i < count; i++)    /* those alone: the others' lines of the cache stay where they are */
        make_ready(self, i);
    self->is_busy = 0;
    return items ? Py_BuildValue("Ni", items, failed) : NULL;
}

static PyMethodDef inbox_methods[] = {
    {"receive", (PyCFunction)inbox_receive, METH_NOARGS,
     "receive(): a list of (source, payload, peer, header) or (source, datagram, None, None), and how many errors."},
    {NULL},
};
static PyType_Slot inbox_slots[] = {
    {Py_tp_new, inbox_new},
    {Py_tp_dealloc, inbox_dealloc},
    {Py_tp_methods, inbox_methods},
    {Py_tp_doc, "Inbox(fd, pktinfo_level, pktinfo_type, peers by address, Header): what comes in at one socket."},
    {0, NULL},
};
static PyType_Spec inbox_spec = {"media.native._fanout.Inbox", sizeof(Inbox), 0, Py_TPFLAGS_DEFAULT, inbox_slots};

PyObject *
make_inbox_type(void)
{
    if ((!names.receiver && !(names.receiver = PyUnicode_InternFromString("receiver"))) ||
        (!names.opener && !(names.opener = PyUnicode_InternFromString("opener"))))
        return NULL;
    return PyType_FromSpec(&inbox_spec);
}
