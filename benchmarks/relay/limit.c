/* The least that a relay can do: encrypt each packet for each viewer, and hand the kernel one message for several.
 *
 * One AES-128-GCM context a viewer, packets of 1,180 bytes at 275 a second for each, paced as a relay's are: every
 * viewer one message, then sleep until the next is due. libcrypto is found at run time, so that it is the one the native egress uses.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { HEADER = 12, PAYLOAD = 1180, TAG = 16, SIZE = HEADER + PAYLOAD + TAG, GET_TAG = 0x10, RATE = 275 };

static void *(*new_context)(void);
static const void *(*aes_128_gcm)(void);
static int (*begin)(void *, const void *, void *, const unsigned char *, const unsigned char *);
static int (*update)(void *, unsigned char *, int *, const unsigned char *, int);
static int (*finish)(void *, unsigned char *, int *);
static int (*control)(void *, int, int, void *);

static int
find(void *library, const char *name, void *at)
{
    void *found = dlsym(library, name);
    memcpy(at, &found, sizeof found);
    return found != NULL;
}

static void
seal(void *context, uint64_t index, const uint8_t *payload, uint8_t *out)
{
    uint8_t nonce[12] = {0};
    int done;
    memcpy(nonce + 4, &index, sizeof index);
    memset(out, 0x80, HEADER);
    begin(context, NULL, NULL, NULL, nonce);
    update(context, NULL, &done, out, HEADER);
    update(context, out + HEADER, &done, payload, PAYLOAD);
    finish(context, out + HEADER + PAYLOAD, &done);
    control(context, GET_TAG, TAG, out + HEADER + PAYLOAD);
}

static int
send_all(int fd, const struct sockaddr_in *to, uint8_t *data, int segments)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } held = {0};
    struct iovec part = {data, (size_t)segments * SIZE};
    struct msghdr message = {.msg_name = (void *)to, .msg_namelen = sizeof *to, .msg_iov = &part, .msg_iovlen = 1};
    uint16_t size = SIZE;
    message.msg_control = &held;
    message.msg_controllen = sizeof held;
    held.align.cmsg_level = 17;    /* SOL_UDP, UDP_SEGMENT */
    held.align.cmsg_type = 103;
    held.align.cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(&held.align), &size, sizeof size);
    return sendmsg(fd, &message, 0) > 0;
}

static double
micros(struct timeval time)
{
    return (double)time.tv_sec * 1e6 + (double)time.tv_usec;
}

static double
now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* 0, and `out` has packets, user and system microseconds; 1: no such library or function; 2: the kernel refused. */
int
run(const char *libcrypto, double seconds, int segments, int viewers, const int *ports, double *out)
{
    void *library = dlopen(libcrypto, RTLD_LAZY);
    if (!library || !find(library, "EVP_CIPHER_CTX_new", &new_context) ||
        !find(library, "EVP_aes_128_gcm", &aes_128_gcm) || !find(library, "EVP_EncryptInit_ex", &begin) ||
        !find(library, "EVP_EncryptUpdate", &update) || !find(library, "EVP_EncryptFinal_ex", &finish) ||
        !find(library, "EVP_CIPHER_CTX_ctrl", &control))
        return 1;
    int buffer = 4 << 20, fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    void **contexts = calloc((size_t)viewers, sizeof *contexts);
    struct sockaddr_in *to = calloc((size_t)viewers, sizeof *to);
    static uint8_t payload[PAYLOAD], data[65536];
    for (int i = 0; i < viewers; i++) {
        unsigned char key[16] = {(unsigned char)i, (unsigned char)(i >> 8), 1};
        to[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)ports[i])};
        to[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        contexts[i] = new_context();
        begin(contexts[i], aes_128_gcm(), NULL, key, NULL);
    }
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    uint64_t index = 0;
    long long sent = 0;
    double began = now();
    for (long round = 0; now() - began < seconds; round++, index += (uint64_t)segments) {
        for (int i = 0; i < viewers; i++, sent += segments) {
            for (int n = 0; n < segments; n++)
                seal(contexts[i], index + (uint64_t)n, payload, data + n * SIZE);
            if (!send_all(fd, &to[i], data, segments))
                return 2;
        }
        double rest = began + (double)((round + 1) * segments) / RATE - now();
        if (rest > 0)
            nanosleep(&(struct timespec){0, (long)(rest * 1e9)}, NULL);
    }
    getrusage(RUSAGE_SELF, &after);
    out[0] = (double)sent;
    out[1] = micros(after.ru_utime) - micros(before.ru_utime);
    out[2] = micros(after.ru_stime) - micros(before.ru_stime);
    return 0;
}
