/* What is sent, and to whom, once the interpreter is not needed any more. */
#ifndef JOB_H
#define JOB_H

#include "cipher.h"

#pragma GCC visibility push(hidden)

enum {
    BLOCK = 20,         /* media.core.extensions.BLOCK_BYTES */
    MAX_SEGMENTS = 10,  /* media.core.runs.MAX_SEGMENTS */
    MAX_TRACKS = 16,    /* pairs of kind and codec in one call; a show has two or three */
};

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
    PyObject *codec;    /* borrowed from the packets, which somebody holds */
} Track;

typedef struct {
    Track each[MAX_TRACKS];
    int count;
} Tracks;

typedef struct {
    PyObject *line;     /* owned; NULL where the target takes no such track, or it is kept in a roll */
    Seat *seat;         /* where its numbers were; of the target's cipher */
    int64_t *numbers;   /* of a line in a roll */
    int is_taken;
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
    Tracks tracks;
    int has_blocks;
    Target *targets;
    Line *lines;
    Py_ssize_t target_count;
    int fd, pktinfo_level, pktinfo_kind;
    long long sent_packets, sent_octets, sends, failed;
    uint8_t buffer[BUFFER];
} Job;

/* What stands in Line.numbers of media/core/rewrite.py, each of 64 bits. */
enum { FIRST, SHIFT, TIMESTAMP_SHIFT, SSRC, PACKETS, OCTETS, NUMBERS };

/* Attributes that are asked for, interned. */
extern struct Names {
    PyObject *peer, *sender, *address, *is_closed, *uses_gso, *twin, *rtp_key, *rtp_salt, *lines, *payload_types,
        *numbers, *payload_bytes, *extensions, *press, *changes;
} names;

/* runs.c: -1 with an exception. */

/* Of media.core.runs.Run; `held` gets the tuples of packets, so that everything pointed at outlives the call. */
int read_runs(Job *job, PyObject *runs, PyObject *held);
/* Runs of the job's packets, of one track, as media.core.runs.regroup makes them. */
int regroup(Job *job, int count);
/* A media.core.history.Packet; its track is put to the others. */
int read_packet(Tracks *tracks, PyObject *item, Packet *packet);

/* targets.c: likewise. */

/* A tuple, or a Roll. */
int read_targets(Job *job, PyObject *targets);
int read_target(Job *job, PyObject *from, Target *target);
/* 1: to be served; 0: passed over, or left. */
int read_peer(PyObject *peer, Target *target);
int read_block(PyObject *line, Line *into);
/* A view of a line's numbers, for the caller to release. */
int hold_numbers(PyObject *line, Py_buffer *view);
/* What there is at `numbers` of a line now. */
void read_numbers(const int64_t *numbers, Line *line);
/* What left, back into the numbers of the lines. */
int count_lines(const Job *job);
/* -1 with an exception; a number outside 64 bits is one. */
int get_number(PyObject *of, PyObject *name, long long *out);

/* roll.c: likewise. */

extern PyTypeObject *roll_type;
PyTypeObject *make_roll_type(void);
Py_ssize_t roll_size(PyObject *roll);
int read_roll(Job *job, PyObject *roll);

/* reel.c: likewise. */

extern PyTypeObject *reel_type;
PyTypeObject *make_reel_type(void);
/* The packets between two places, and their runs, into a job. */
int read_reel(Job *job, PyObject *reel, Py_ssize_t begin, Py_ssize_t end);

/* send.c: without the interpreter. */

void fan_out(Job *job);
int knows_no_gso(int number);

#pragma GCC visibility pop

#ifdef TEXTS
TEXT_OF(job_h)
#endif
#endif
