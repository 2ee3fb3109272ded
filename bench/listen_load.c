#define _GNU_SOURCE
// Many idle HTTP event streams: opens them, holds them, and says how long an event takes to reach them all.
//
//   listen_load --port N [--connections 10000] [--path /mcp] [--header "Name: value"]… --body TEXT --match TEXT
//
// Each connection sends one POST and waits for an event; then all are held. Prints a line of JSON when every stream
// has had its first event (connections, errors, seconds). After that, for each line on standard input: waits until
// every stream has got bytes with --match in them since the line was read, and prints when that was, in seconds of
// CLOCK_MONOTONIC: first, last; and the bytes of all. Ends with its input.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kBuffer = 64 * 1024, kConnecting = 64, kTail = 128 };

struct stream {
  int fd;
  int seen;     // since the wave began
  size_t tail;  // bytes of `last`: a match may be cut in two
  char last[kTail];
};

static struct stream* streams;
static int count = 10000, epoll_fd, errors;
static uint64_t bytes;
static int reached;
static double first_at, last_at;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void arrived(struct stream* s) {
  if (s->seen) return;
  s->seen = 1;
  last_at = now();
  if (reached++ == 0) first_at = last_at;
}

// Returns 0 when the stream has ended.
static int take(struct stream* s, const char* match) {
  static char buffer[kTail + kBuffer];
  memcpy(buffer, s->last, s->tail);
  const ssize_t n = recv(s->fd, buffer + s->tail, kBuffer, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return 1;
  if (n <= 0) return 0;
  bytes += (uint64_t)n;
  const size_t have = s->tail + (size_t)n;
  if (memmem(buffer, have, match, strlen(match))) {
    arrived(s);
    s->tail = 0;  // what was matched is not matched again
    return 1;
  }
  s->tail = have < strlen(match) - 1 ? have : strlen(match) - 1;
  memcpy(s->last, buffer + have - s->tail, s->tail);
  return 1;
}

// Until `wanted` streams have seen `match`, or nothing comes for a while.
static void wait_for(int wanted, const char* match) {
  while (reached < wanted) {
    struct epoll_event ready[512];
    const int n = epoll_wait(epoll_fd, ready, 512, 30000);
    if (n == 0) {
      fprintf(stderr, "listen_load: %d of %d streams after thirty seconds of silence\n", reached, wanted);
      exit(1);
    }
    for (int i = 0; i < n; ++i) {
      struct stream* s = ready[i].data.ptr;
      if (take(s, match)) continue;
      epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
      ++errors;
      arrived(s);
    }
  }
}

// What came while nobody waited.
static void drain(const char* match) {
  struct epoll_event ready[512];
  for (int n; (n = epoll_wait(epoll_fd, ready, 512, 0)) > 0;) {
    for (int i = 0; i < n; ++i) {
      if (!take(ready[i].data.ptr, match))
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, ((struct stream*)ready[i].data.ptr)->fd, NULL);
    }
  }
}

static void open_stream(struct stream* s, int port, const char* request, size_t size) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s->fd < 0 || connect(s->fd, (struct sockaddr*)&address, sizeof address) != 0) {
    perror("listen_load: connect");
    exit(1);
  }
  if (send(s->fd, request, size, MSG_NOSIGNAL) != (ssize_t)size) {
    perror("listen_load: send");
    exit(1);
  }
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event);
}

int main(int argc, char** argv) {
  const char *path = "/mcp", *body = "", *match = "data:";
  char headers[2048] = "";
  int port = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (!strcmp(name, "--port"))
      port = atoi(value);
    else if (!strcmp(name, "--connections"))
      count = atoi(value);
    else if (!strcmp(name, "--path"))
      path = value;
    else if (!strcmp(name, "--body"))
      body = value;
    else if (!strcmp(name, "--match"))
      match = value;
    else if (!strcmp(name, "--header"))
      strcat(strcat(headers, value), "\r\n");
    else
      return fprintf(stderr, "listen_load: unknown option %s\n", name), 2;
  }
  if (strlen(match) > kTail) return fprintf(stderr, "listen_load: --match is too long\n"), 2;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  char* request;
  const size_t size = (size_t)asprintf(&request,
                                       "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%s"
                                       "Content-Length: %zu\r\n\r\n%s",
                                       path, headers, strlen(body), body);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  streams = calloc((size_t)count, sizeof *streams);
  const double start = now();
  for (int i = 0; i < count; ++i) {
    open_stream(&streams[i], port, request, size);
    if (i >= kConnecting) wait_for(i - kConnecting, "\ndata:");  // no more at a time than a listen queue holds
  }
  wait_for(count, "\ndata:");
  printf("{\"connections\":%d,\"errors\":%d,\"seconds\":%.3f}\n", count, errors, now() - start);
  fflush(stdout);
  char text[64];
  while (fgets(text, sizeof text, stdin)) {
    drain(match);
    bytes = 0;
    reached = 0;
    for (int i = 0; i < count; ++i) streams[i].seen = 0;
    printf("{\"ready\":true}\n");  // what is sent from now on counts
    fflush(stdout);
    wait_for(count, match);
    printf("{\"first\":%.6f,\"last\":%.6f,\"bytes\":%llu,\"errors\":%d}\n", first_at, last_at,
           (unsigned long long)bytes, errors);
    fflush(stdout);
  }
  return 0;
}
