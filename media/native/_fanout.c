/* The egress hot path in C: what media/egress.py does for each subscriber and run, without the interpreter.
 *
 * Owns: nothing between two calls, but for what cipher.h has of each peer.
 * Invariant: media/egress.py is the reference. For the same runs and lines the same bits leave, and whatever is
 * not plain success (a full socket, a path without offload, a cipher that is not ours) is left undone and handed
 * back by its place, for the reference to do.
 *
 *   with the GIL      runs.c: packets by pointer        targets.c: keys, address, shifts; roll.c: those that stay; reel.c: newcomers' packets
 *   without           send.c: for each target and run headers, AES-GCM (cipher.c), one sendmsg
 *   with the GIL      targets.c: counters of the lines; what is left
 *
 * The intake, inbox.c and opener.c, has its reference in media/intake.py.
 */
#define TEXTS
#include "text.h"
#include "inbox.h"
#include "job.h"
#include "opener.h"

#include <stddef.h>
#include <string.h>

TEXT_OF(_fanout_c)

struct Names names;

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
    for (Py_ssize_t i = 0; job->lines && i < job->target_count * job->tracks.count; i++)
        Py_XDECREF(job->lines[i].line);
    for (Py_ssize_t i = 0; job->targets && i < job->target_count; i++)
        Py_XDECREF((PyObject *)job->targets[i].cipher);
    PyMem_Free(job->lines);
    PyMem_Free(job->targets);
    PyMem_Free(job->packets);
    PyMem_Free(job->runs);
    PyMem_Free(job);
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
    targets = Py_IS_TYPE(given_targets, roll_type) ? Py_NewRef(given_targets) : PySequence_Tuple(given_targets);
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
    job->target_count = PyTuple_Check(targets) ? PyTuple_Size(targets) : roll_size(targets);
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
    PyObject *target, *reel, *result = NULL;
    Py_ssize_t begin, end;
    int fd, level, kind;
    if (!PyArg_ParseTuple(args, "iiiOO!nn", &fd, &level, &kind, &target, reel_type, &reel, &begin, &end))
        return NULL;
    PyObject *targets = Py_BuildValue("(O)", target);
    Job *job = targets ? new_job(fd, level, kind) : NULL;
    if (job) {
        job->target_count = 1;
        Py_INCREF(reel);    /* everything pointed at outlives the call */
        if (read_reel(job, reel, begin, end) == 0 && read_targets(job, targets) == 0)
            result = done(job);
        Py_DECREF(reel);
        dispose(job);
    }
    Py_XDECREF(targets);
    return result;
}

#define EACH_TEXT(DO) \
    DO(_fanout, c) DO(cipher, c) DO(cipher, h) DO(crypto, c) DO(crypto, h) DO(inbox, c) DO(inbox, h) DO(job, h) \
    DO(opener, c) DO(opener, h) DO(reel, c) DO(roll, c) DO(runs, c) DO(send, c) DO(targets, c) DO(text, h)
#define DECLARE(name, kind) \
    extern const char text_##name##_##kind[] __attribute__((visibility("hidden"))); \
    extern const char text_##name##_##kind##_end[] __attribute__((visibility("hidden")));
#define LIST(name, kind) {#name "." #kind, text_##name##_##kind, text_##name##_##kind##_end},
EACH_TEXT(DECLARE)

static PyObject *
sources(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    static const struct {
        const char *name, *from, *to;
    } texts[] = {EACH_TEXT(LIST)};
    PyObject *all = PyDict_New();
    for (size_t i = 0; all && i < sizeof texts / sizeof *texts; i++) {
        PyObject *text = PyBytes_FromStringAndSize(texts[i].from, texts[i].to - texts[i].from);
        if (!text || PyDict_SetItemString(all, texts[i].name, text) < 0)
            Py_CLEAR(all);
        Py_XDECREF(text);
    }
    return all;
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
     "use_crypto(new, free, init, update, final, ctrl, aes_128_gcm, aes_256_gcm, then init, update, final to decrypt):\n"
     "addresses of libcrypto's EVP."},
    {"fan", fan, METH_VARARGS,
     "fan(fd, pktinfo_level, pktinfo_type, targets, runs): (left, packets, octets, sends, failed).\n\n"
     "`left` holds (target, run, segment) from which on a target's runs are still to be sent."},
    {"hurry", hurry, METH_VARARGS,
     "hurry(fd, pktinfo_level, pktinfo_type, target, reel, begin, end): as fan, for one target and the packets between\n"
     "two places of a reel, regrouped."},
    {"sources", sources, METH_NOARGS, "sources(): the files that this was built from, by name."},
    {"knows_no_gso", tells_no_gso, METH_O,
     "knows_no_gso(errno): whether a send that fails so is left for the reference."},
    {NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_fanout", "The egress and intake hot paths in C.", -1, methods};

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
        {&names.press, "press"}, {&names.changes, "changes"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!*wanted[i].at && !(*wanted[i].at = PyUnicode_InternFromString(wanted[i].text)))
            return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    const struct {
        const char *name;
        PyObject *type;
    } types[] = {
        {"Cipher", (PyObject *)make_cipher_type()},
        {"Opener", (PyObject *)make_opener_type()},
        {"Inbox", make_inbox_type()},
        {"Reel", (PyObject *)make_reel_type()},
        {"Roll", (PyObject *)make_roll_type()},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!types[i].type || PyModule_AddObjectRef(module, types[i].name, types[i].type) < 0) {
            Py_DECREF(module);
            return NULL;
        }
    return module;
}
