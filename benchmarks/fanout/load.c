/* Viewers that only read: thousands of WebSockets in one process and one thread, on an epoll, each with a histogram of
 * the age of what it was told.
 *
 * usage: load IP PORT PATHS HELLO FIRST RCVBUF
 *   PATHS  a file with a path a line; viewer n asks for line n, or for the last one if there are fewer
 *   HELLO  a file with what each viewer says once it is open, one text message; "-": nothing
 *   FIRST  1: a viewer is only open once its first frame is here (a snapshot, in which no stamp counts)
 *   RCVBUF bytes of the socket's receive buffer; 0: the system's
 *
 * Commands on stdin, one line each, each answered by one line:
 *   open N        open N more, 64 at a time             ->  open <all that are>
 *   wait N MS     until N stamps are here, or MS pass   ->  stamps <since mark>
 *   mark          forget stamps and histograms          ->  marked
 *   stall         read no more, from nobody             ->  stalled <how many>
 *   talk N MS X   say N texts a second for so long, each viewer in its turn; "%" in the text X becomes a stamp
 *                                                       ->  talked <how many>
 *   ages          of what came since mark               ->  ages <count> <p50> <p99> <most> <median of the viewers' p50>
 *                                                           <median of their p99> <worst p99>, in microseconds
 *   tally         ->  tally <open> <closed by the server> <stamps> <frames> <bytes> <own CPU, microseconds>
 *                         <code of the last close frame>
 *
 * A stamp is "@@" and sixteen digits: CLOCK_MONOTONIC in microseconds when the message was handed to the server. Of a
 * frame only the header and the stamps are read. Pings are answered, and so is the empty object that some servers send
 * in their place.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 60000, AT_ONCE = 64, EVENTS = 1024, BUFFER = 1 << 20, STEPS = 32, OCTAVES = 26, STAMP = 16 };
enum { PER_SOURCE = 20000, COMMAND = 512 }; /* a source address has some 28,000 ports */
enum { IDLE, ASKED, GREETED, OPEN, GONE };

struct viewer {
    int fd;
    uint8_t state;
    uint32_t kept;              /* bytes of a frame whose rest has not come */
    char *rest;
    uint32_t ages[OCTAVES * STEPS];
    uint32_t count;
};

static struct viewer *viewers;
static char **paths;
static int path_count, known, wanted, asking, opened, closed, stalled, ready_at_first, receive_buffer, last_code;
static char *hello;
static size_t hello_size;
static struct sockaddr_in server;
static uint64_t stamps, frames, bytes;
static int poll_fd;
static char buffer[BUFFER + 65536 * 4];

static uint64_t
now_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
}

static void
die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* -- ages ---------------------------------------------------------------------------------------------------------- */

/* 32 steps an octave: a step is 3 % wide. */
static int
step_of(uint64_t us)
{
    if (us < STEPS)
        return (int)us;
    int octave = 63 - __builtin_clzll(us) - 5;
    int at = (octave + 1) * STEPS + (int)((us >> octave) - STEPS);
    return at < OCTAVES * STEPS ? at : OCTAVES * STEPS - 1;
}

static double
middle_of(int at)
{
    int octave = at / STEPS - 1;
    if (octave < 0)
        return at;
    return ((double)(STEPS + at % STEPS) + 0.5) * (double)(1ull << octave);
}

/* Within the step by how many of it are below: the medians of two runs would else be equal or 3 % apart. */
static double
share_of(const uint32_t *ages, uint64_t count, double share)
{
    double target = share * (double)count, seen = 0;
    for (int at = 0; at < OCTAVES * STEPS; at++) {
        if (ages[at] && seen + ages[at] >= target) {
            double low = at ? (middle_of(at - 1) + middle_of(at)) / 2 : 0, high = (middle_of(at) + middle_of(at + 1)) / 2;
            return low + (high - low) * (target - seen) / ages[at];
        }
        seen += ages[at];
    }
    return 0;
}

static int
by_value(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static void
tell_ages(void)
{
    static uint32_t all[OCTAVES * STEPS];
    static double middles[MOST], lates[MOST];
    uint64_t count = 0;
    int some = 0, most = 0;
    memset(all, 0, sizeof all);
    for (int n = 0; n < known; n++) {
        struct viewer *one = &viewers[n];
        if (!one->count)
            continue;
        for (int at = 0; at < OCTAVES * STEPS; at++)
            all[at] += one->ages[at];
        count += one->count;
        middles[some] = share_of(one->ages, one->count, 0.5);
        lates[some++] = share_of(one->ages, one->count, 0.99);
    }
    for (int at = 0; at < OCTAVES * STEPS; at++)
        if (all[at])
            most = at;
    qsort(middles, (size_t)some, sizeof *middles, by_value);
    qsort(lates, (size_t)some, sizeof *lates, by_value);
    printf("ages %llu %.0f %.0f %.0f %.0f %.0f %.0f\n", (unsigned long long)count, share_of(all, count, 0.5),
           share_of(all, count, 0.99), middle_of(most), some ? middles[some / 2] : 0, some ? lates[some / 2] : 0,
           some ? lates[some - 1] : 0);
}

static void
mark(void)
{
    stamps = frames = bytes = 0;
    for (int n = 0; n < known; n++) {
        viewers[n].count = 0;
        memset(viewers[n].ages, 0, sizeof viewers[n].ages);
    }
    printf("marked\n");
}

/* -- frames -------------------------------------------------------------------------------------------------------- */

static void
say(struct viewer *one, int op, const char *data, size_t size)
{
    unsigned char out[16 + 65536] = {(unsigned char)(0x80 | op)};
    size_t at = 2;
    if (size < 126) {
        out[1] = (unsigned char)(0x80 | size);
    } else {
        out[1] = 0x80 | 126;
        out[at++] = (unsigned char)(size >> 8);
        out[at++] = (unsigned char)size;
    }
    at += 4; /* a mask of zeros */
    memcpy(out + at, data, size);
    if (send(one->fd, out, at + size, MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != EPIPE && errno != ECONNRESET)
        die("send");
}

static void
read_stamps(struct viewer *one, const char *data, size_t size, uint64_t at_us)
{
    const char *end = data + size, *found = data;
    while ((found = memmem(found, (size_t)(end - found), "@@", 2)) && found + 2 + STAMP <= end) {
        uint64_t us = 0;
        found += 2;
        for (int n = 0; n < STAMP; n++)
            us = us * 10 + (uint64_t)(found[n] - '0');
        found += STAMP;
        stamps++;
        one->count++;
        one->ages[step_of(at_us > us ? at_us - us : 0)]++;
    }
}

static void
gone(struct viewer *one)
{
    if (one->state == GONE)
        return;
    if (one->state != OPEN) {
        errno = 0;
        die("a viewer was refused");
    }
    close(one->fd);
    free(one->rest);
    one->rest = NULL;
    one->kept = 0;
    one->state = GONE;
    opened--;
    closed++;
}

static void
now_open(struct viewer *one)
{
    one->state = OPEN;
    asking--;
    opened++;
}

/* An empty object in a line of its own: what some servers send in place of a ping, also among other lines. */
static int
has_empty_object(const char *data, size_t size)
{
    for (const char *at = data; size >= 2; at++) {
        at = memmem(at, (size_t)(data + size - at), "{}", 2);
        if (!at)
            return 0;
        if ((at == data || at[-1] == '\n') && (at + 2 == data + size || at[2] == '\n'))
            return 1;
    }
    return 0;
}

static void
take(struct viewer *one, int op, const char *data, size_t size, uint64_t at_us)
{
    frames++;
    if (op == 8) {
        last_code = size > 1 ? (unsigned char)data[0] << 8 | (unsigned char)data[1] : 1005;
        say(one, 8, data, size < 2 ? 0 : 2);
    } else if (op == 9) {
        say(one, 10, data, size);
    } else {
        if (has_empty_object(data, size))
            say(one, 1, "{}", 2);
        if (one->state == GREETED)
            now_open(one);
        else
            read_stamps(one, data, size, at_us);
    }
}

/* How much of `data` is whole frames; they are read. */
static size_t
read_frames(struct viewer *one, const char *data, size_t size, uint64_t at_us)
{
    size_t at = 0;
    for (;;) {
        if (size - at < 2)
            return at;
        const unsigned char *head = (const unsigned char *)data + at;
        size_t start = 2, length = head[1] & 127;
        size_t more = length == 126 ? 2 : length == 127 ? 8 : 0;
        if (size - at < start + more)
            return at;
        if (more)
            length = 0;
        for (size_t n = 0; n < more; n++)
            length = length << 8 | head[start + n];
        start += more;
        if (size - at < start + length)
            return at;
        take(one, head[0] & 15, data + at + start, length, at_us);
        at += start + length;
    }
}

static size_t
read_head(struct viewer *one, char *data, size_t size)
{
    char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (strncmp(data, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "load: refused: %.*s\n", (int)(end - data), data);
        exit(1);
    }
    one->state = GREETED;
    if (hello)
        say(one, 1, hello, hello_size);
    if (!ready_at_first)
        now_open(one);
    return (size_t)(end + 4 - data);
}

static void
receive(struct viewer *one)
{
    if (one->kept)
        memcpy(buffer, one->rest, one->kept);
    ssize_t got = recv(one->fd, buffer + one->kept, BUFFER, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        gone(one);
        return;
    }
    bytes += (uint64_t)got;
    size_t size = one->kept + (size_t)got, at = 0;
    if (one->state == ASKED)
        at = read_head(one, buffer, size);
    if (one->state != ASKED)
        at += read_frames(one, buffer + at, size - at, now_us());
    if (one->state == GONE)
        return;
    one->kept = (uint32_t)(size - at);
    if (one->kept) {
        one->rest = realloc(one->rest, one->kept);
        memcpy(one->rest, buffer + at, one->kept);
    } else if (one->rest) {
        free(one->rest);
        one->rest = NULL;
    }
}

/* -- opening ------------------------------------------------------------------------------------------------------- */

static void
ask(int number)
{
    struct viewer *one = &viewers[number];
    struct sockaddr_in from = {.sin_family = AF_INET};
    char request[2048];
    int yes = 1;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number / PER_SOURCE));
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (one->fd < 0)
        die("socket (ulimit -n?)");
    setsockopt(one->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (receive_buffer)
        setsockopt(one->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (bind(one->fd, (struct sockaddr *)&from, sizeof from) || connect(one->fd, (struct sockaddr *)&server, sizeof server))
        die("connect");
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        paths[number < path_count ? number : path_count - 1], inet_ntoa(server.sin_addr),
                        ntohs(server.sin_port));
    if (send(one->fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        die("send");
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)number};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, one->fd, &event))
        die("epoll_ctl");
    one->state = ASKED;
    asking++;
}

/* -- commands ------------------------------------------------------------------------------------------------------ */

static uint64_t wait_for, wait_until, talk_from, talk_until, talk_rate, talked;
static int is_waiting, is_opening, is_talking;
static char talk_text[COMMAND];

static void
stall(void)
{
    for (int n = 0; n < known; n++)
        if (viewers[n].state == OPEN && !epoll_ctl(poll_fd, EPOLL_CTL_DEL, viewers[n].fd, NULL))
            stalled++;
    printf("stalled %d\n", stalled);
}

static void
talk(void)
{
    char text[COMMAND + STAMP + 2];
    uint64_t now = now_us();
    if (now > talk_until) {
        is_talking = 0;
        printf("talked %llu\n", (unsigned long long)talked);
        return;
    }
    for (; talked < (now - talk_from) * talk_rate / 1000000; talked++) {
        struct viewer *one = &viewers[talked % (uint64_t)known];
        const char *at = strchr(talk_text, '%');
        int size = snprintf(text, sizeof text, "%.*s@@%016llu%s", (int)(at - talk_text), talk_text,
                            (unsigned long long)now, at + 1);
        if (one->state == OPEN)
            say(one, 1, text, (size_t)size);
    }
}

static void
tally(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    long long us = (long long)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
    printf("tally %d %d %llu %llu %llu %lld %d\n", opened, closed, (unsigned long long)stamps, (unsigned long long)frames,
           (unsigned long long)bytes, us, last_code);
}

static void
obey(const char *line)
{
    unsigned long long number, ms;
    if (sscanf(line, "open %llu", &number) == 1) {
        wanted += (int)number;
        is_opening = 1;
        if (wanted > MOST)
            die("too many");
    } else if (sscanf(line, "wait %llu %llu", &number, &ms) == 2) {
        wait_for = number;
        wait_until = now_us() + ms * 1000;
        is_waiting = 1;
    } else if (sscanf(line, "talk %llu %llu %511[^\n]", &number, &ms, talk_text) == 3 && strchr(talk_text, '%')) {
        talk_rate = number;
        talk_from = now_us();
        talk_until = talk_from + ms * 1000;
        talked = 0;
        is_talking = 1;
    } else if (!strncmp(line, "mark", 4)) {
        mark();
    } else if (!strncmp(line, "stall", 5)) {
        stall();
    } else if (!strncmp(line, "ages", 4)) {
        tell_ages();
    } else if (!strncmp(line, "tally", 5)) {
        tally();
    }
}

static void
answer(void)
{
    if (is_opening && known == wanted && !asking) {
        is_opening = 0;
        printf("open %d\n", opened);
    }
    if (is_waiting && (stamps >= wait_for || now_us() > wait_until)) {
        is_waiting = 0;
        printf("stamps %llu\n", (unsigned long long)stamps);
    }
    fflush(stdout);
}

static char *
whole(const char *name, size_t *size)
{
    FILE *file = fopen(name, "r");
    if (!file)
        die(name);
    char *text = malloc(16 << 20);
    *size = fread(text, 1, (16 << 20) - 1, file);
    text[*size] = 0;
    fclose(file);
    return text;
}

static void
prepare(char **argv)
{
    struct rlimit files;
    size_t size;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    inet_aton(argv[1], &server.sin_addr);
    paths = malloc(MOST * sizeof *paths);
    for (char *line = strtok(whole(argv[3], &size), "\n"); line && path_count < MOST; line = strtok(NULL, "\n"))
        paths[path_count++] = line;
    if (strcmp(argv[4], "-"))
        hello = whole(argv[4], &hello_size);
    ready_at_first = atoi(argv[5]);
    receive_buffer = atoi(argv[6]);
    viewers = calloc(MOST, sizeof *viewers);
    poll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &event);
}

int
main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    char line[COMMAND];
    if (argc != 7)
        return 2;
    prepare(argv);
    for (;;) {
        while (known < wanted && asking < AT_ONCE)
            ask(known++);
        if (is_talking)
            talk();
        answer();
        int count = epoll_wait(poll_fd, events, EVENTS, is_talking ? 5 : is_waiting ? 20 : -1);
        for (int n = 0; n < count; n++) {
            if (events[n].data.u32 != UINT32_MAX) {
                receive(&viewers[events[n].data.u32]);
                continue;
            }
            ssize_t got = read(0, line, sizeof line - 1);
            if (got <= 0)
                return 0;
            line[got] = 0;
            obey(line);
        }
    }
}
