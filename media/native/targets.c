/* Who receives: addresses, keys and the numbers of lines, from the interpreter's objects, and what left back into them. */
#include "job.h"
#include "text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

TEXT_OF(targets_c)

int
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

int
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

void
read_numbers(const int64_t *numbers, Line *line)
{
    line->first = numbers[FIRST];
    line->shift = numbers[SHIFT];
    line->timestamp_shift = (uint32_t)numbers[TIMESTAMP_SHIFT];
    line->ssrc = (uint32_t)numbers[SSRC];
}

int
hold_numbers(PyObject *line, Py_buffer *view)
{
    PyObject *numbers = PyObject_GetAttr(line, names.numbers);
    int failed = !numbers || PyObject_GetBuffer(numbers, view, PyBUF_WRITABLE) < 0;
    Py_XDECREF(numbers);
    if (!failed && view->len != NUMBERS * (Py_ssize_t)sizeof(int64_t)) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_ValueError, "a line has six numbers of 64 bits");
        failed = 1;
    }
    return failed ? -1 : 0;
}

/* The numbers of a line, kept at hand in the seat of its kind; NULL with an exception. */
static int64_t *
numbers_of(Seat *seat, PyObject *line)
{
    if (seat->line == line)
        return seat->view.buf;
    leave_seat(seat);
    if (hold_numbers(line, &seat->view) < 0)
        return NULL;
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
    line->is_taken = 1;
    read_numbers(numbers, line);
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
int
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

int
read_target(Job *job, PyObject *from, Target *target)
{
    PyObject *peer = PyObject_GetAttr(from, names.peer);
    int up = peer ? read_peer(peer, target) : -1;
    Py_XDECREF(peer);
    if (up <= 0)
        return up;
    PyObject *lines = PyObject_GetAttr(from, names.lines);
    int failed = !lines;
    for (int i = 0; i < job->tracks.count && !failed; i++)
        failed = read_line(job, &job->tracks.each[i], target->cipher, lines, &target->lines[i]) < 0;
    Py_XDECREF(lines);
    return failed ? -1 : 0;
}

int
read_targets(Job *job, PyObject *targets)
{
    job->targets = PyMem_Calloc(job->target_count + 1, sizeof(Target));
    job->lines = PyMem_Calloc(job->target_count * job->tracks.count + 1, sizeof(Line));
    if (!job->targets || !job->lines) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < job->target_count; i++) {
        job->targets[i].lines = job->lines + i * job->tracks.count;
        if (PyTuple_Check(targets) && read_target(job, PyTuple_GetItem(targets, i), &job->targets[i]) < 0)
            return -1;
    }
    return PyTuple_Check(targets) ? 0 : read_roll(job, targets);
}

/* The seat may hold another line by now, where one peer stood in one call with two. */
int
count_lines(const Job *job)
{
    for (Py_ssize_t i = 0; i < job->target_count * job->tracks.count; i++) {
        const Line *line = &job->lines[i];
        int64_t *numbers = line->packets ? line->numbers : NULL;
        if (line->packets && !numbers)
            numbers = numbers_of(line->seat, line->line);
        if (numbers) {
            numbers[PACKETS] += line->packets;
            numbers[OCTETS] += line->octets;
        } else if (line->packets)
            return -1;
    }
    return 0;
}
