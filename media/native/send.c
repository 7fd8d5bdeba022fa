/* The fan-out: for each target and run headers, AES-GCM, one sendmsg. */
#define _GNU_SOURCE
#include "job.h"
#include "text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

TEXT_OF(send_c)

enum {
    CAPTURE_AT = 4,     /* in a block: the head of the capture time, and behind that 8 bytes of NTP */
    VIDEO_HZ = 90000,
    GSO_LEVEL = 17,     /* SOL_UDP, and UDP_SEGMENT of linux/udp.h: older C libraries have no name for them */
    GSO_SEGMENT = 103,
};

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

int
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
        if (!line->is_taken || packet->sequence < line->first)
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
        if (line->is_taken && packet->sequence >= line->first) {
            line->packets++;
            line->octets += packet->size;
        }
    }
}

void
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
