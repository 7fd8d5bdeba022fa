/* A flush's packets, from the interpreter's objects to pointers. */
#include "job.h"
#include "text.h"

TEXT_OF(runs_c)

static int
track_of(Tracks *tracks, long kind, PyObject *codec)
{
    for (int i = 0; i < tracks->count; i++)
        if (tracks->each[i].codec == codec && tracks->each[i].kind == kind)
            return i;
    if (tracks->count == MAX_TRACKS || kind < 0 || kind >= KINDS) {
        PyErr_SetString(PyExc_ValueError, "too many tracks in one send, or of no kind");
        return -1;
    }
    tracks->each[tracks->count] = (Track){kind, codec};
    return tracks->count++;
}

/* `item` is a media.core.history.Packet: kind, codec, sequence, timestamp, marker, payload, padded, begins, capture. */
int
read_packet(Tracks *tracks, PyObject *item, Packet *packet)
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
    packet->track = track_of(tracks, kind, PyTuple_GetItem(item, 1));
    packet->sequence = PyLong_AsLongLong(PyTuple_GetItem(item, 2));
    packet->timestamp = (uint32_t)PyLong_AsUnsignedLongLongMask(PyTuple_GetItem(item, 3));
    packet->marker = PyObject_IsTrue(PyTuple_GetItem(item, 4));
    packet->padded = PyObject_IsTrue(PyTuple_GetItem(item, 6));
    packet->capture = PyLong_AsUnsignedLongLong(PyTuple_GetItem(item, 8));
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

int
regroup(Job *job, int count)
{
    job->runs = PyMem_Calloc(count + 1, sizeof(Run));
    if (!job->runs) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < count; i++) {
        const Packet *packet = &job->packets[i];
        int size = size_of(packet);
        job->has_blocks |= packet->capture != 0;
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
        if (read_packet(&job->tracks, PyTuple_GetItem(packets, i), packet) < 0)
            return -1;
        job->has_blocks |= packet->capture != 0;
        bytes += HEADER + BLOCK + packet->size + TAG;
    }
    if (bytes > BUFFER || run->payload_bytes < 0 || run->payload_bytes > BUFFER - HEADER - TAG) {
        PyErr_SetString(PyExc_ValueError, "a run is longer than a datagram");
        return -1;
    }
    return 0;
}

int
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
