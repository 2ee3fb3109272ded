#define _GNU_SOURCE
// A closed-loop HTTP/1.1 client: every connection sends its next request when the last answer is complete.
//
//   load (--port N | --unix PATH) [--connections 1] [--requests 1000] [--seconds 0] [--stagger-us 0]
//        [--spin 0] [--path /v1/chat/completions] [--header "Name: value"]… --body TEXT
//
// Ends after --requests answers, or after --seconds if that is given. --stagger-us lets connections begin that far apart.
// --spin 1 polls instead of sleeping, so that the server does not pay for waking this program.
// Prints one JSON object: requests, errors (a status other than 200, a cut connection), seconds, events (of event
// streams), microseconds to the whole answer (p50_us, p99_us) and to the first event or body byte (first_p50_us, …).
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { kBuffer = 64 * 1024, kHead = 8 * 1024 };

enum phase { kHeadPhase, kLength, kSize, kData, kDataEnd, kTrailer };

struct connection {
  int fd;
  int busy;
  enum phase phase;
  int status;
  int chunked;
  int64_t left;  // body or chunk bytes to come
  int64_t begin;
  int64_t first;
  int match;  // how much of kMark was seen
  size_t head_used;
  char head[kHead];
};

static const char kMark[] = "\ndata: ";  // the line feed before the first is taken for granted

static struct sockaddr_storage address;
static socklen_t address_size;
static char* request;
static size_t request_size;
static uint32_t* times;
static uint32_t* firsts;
static size_t capacity;
static size_t answers;
static size_t started;
static size_t wanted = 1000;
static size_t errors;
static uint64_t events;
static int64_t stop_at;
static int epoll_fd;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int more_wanted(void) { return stop_at ? now_ns() < stop_at : started < wanted; }

static void open_connection(struct connection* c) {
  c->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(c->fd, (struct sockaddr*)&address, address_size) != 0) {
    perror("load: connect");
    exit(1);
  }
  const int on = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void send_request(struct connection* c) {
  c->phase = kHeadPhase;
  c->head_used = 0;
  c->first = 0;
  c->match = 1;
  for (size_t sent = 0; sent < request_size;) {  // blocking: requests are small
    const ssize_t n = send(c->fd, request + sent, request_size - sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EPIPE || errno == ECONNRESET) return;  // on_input() meets the same and tries again
      perror("load: send");
      exit(1);
    }
    sent += (size_t)n;
  }
}

static void begin(struct connection* c) {
  if (!more_wanted()) return;
  ++started;
  c->busy = 1;
  c->begin = now_ns();
  send_request(c);
}

static void finish(struct connection* c) {
  const int64_t now = now_ns();
  c->busy = 0;
  if (c->status != 200) ++errors;
  if (answers == capacity) {
    capacity = capacity ? capacity * 2 : 65536;
    times = realloc(times, capacity * sizeof *times);
    firsts = realloc(firsts, capacity * sizeof *firsts);
  }
  times[answers] = (uint32_t)((now - c->begin) / 10);
  firsts[answers] = (uint32_t)(((c->first ? c->first : now) - c->begin) / 10);
  ++answers;
}

static void take_body(struct connection* c, const char* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] == kMark[c->match]) {
      if (++c->match < (int)sizeof kMark - 1) continue;
      c->match = 0;
      ++events;
      if (!c->first) c->first = now_ns();
    } else {
      c->match = bytes[i] == '\n';
    }
  }
}

// The head is complete in c->head. Returns 1 if the answer is complete as well.
static int read_head(struct connection* c) {
  c->status = atoi(c->head + 9);
  c->chunked = strcasestr(c->head, "transfer-encoding: chunked") != NULL;
  const char* length = strcasestr(c->head, "\r\ncontent-length:");
  c->left = length ? atoll(length + 17) : 0;
  c->phase = c->chunked ? kSize : kLength;
  return !c->chunked && c->left == 0;
}

// Returns 1 when the answer is complete.
static int take(struct connection* c, const char* bytes, size_t size) {
  size_t i = 0;
  while (i < size) {
    const char byte = bytes[i];
    switch (c->phase) {
      case kHeadPhase:
        if (c->head_used == kHead - 1) return c->status = 0, 1;
        c->head[c->head_used++] = byte;
        ++i;
        if (byte == '\n' && c->head_used > 3 && memcmp(c->head + c->head_used - 4, "\r\n\r\n", 4) == 0) {
          c->head[c->head_used] = 0;
          if (read_head(c)) return 1;
        }
        break;
      case kLength:
      case kData: {
        const size_t part = (int64_t)(size - i) < c->left ? size - i : (size_t)c->left;
        take_body(c, bytes + i, part);
        i += part;
        c->left -= (int64_t)part;
        if (c->left > 0) break;
        if (c->phase == kLength) return 1;
        c->phase = kDataEnd;
        break;
      }
      case kSize:
        ++i;
        if (byte == '\n') {
          c->phase = c->left > 0 ? kData : kTrailer;
        } else if (byte != '\r') {
          c->left = c->left * 16 + (byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
        }
        break;
      case kDataEnd:
        ++i;
        if (byte == '\n') c->phase = kSize;
        break;
      case kTrailer:
        ++i;
        if (byte == '\n') return 1;
        break;
    }
  }
  return 0;
}

static void on_input(struct connection* c) {
  static char buffer[kBuffer];
  const ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    close(c->fd);
    open_connection(c);
    // llama-server closes after each stream without saying so: a connection that ends before the first byte of an answer
    // was closed before it took the request.
    if (c->busy && c->phase == kHeadPhase && c->head_used == 0) return send_request(c);
    if (c->busy) {
      c->status = 0;
      finish(c);
    }
    begin(c);
    return;
  }
  if (!take(c, buffer, (size_t)n)) return;
  finish(c);
  begin(c);
}

static int compare(const void* a, const void* b) {
  const uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return x < y ? -1 : x > y;
}

static double percentile(const uint32_t* sorted, double part) {
  return answers == 0 ? 0 : sorted[(size_t)((double)(answers - 1) * part)] / 100.0;
}

int main(int argc, char** argv) {
  const char *path = "/v1/chat/completions", *body = "", *unix_path = NULL;
  char headers[2048] = "";
  int port = 0, connections = 1, stagger_us = 0, spin = 0;
  double seconds = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--unix")) unix_path = value;
    else if (!strcmp(name, "--connections")) connections = atoi(value);
    else if (!strcmp(name, "--requests")) wanted = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--seconds")) seconds = atof(value);
    else if (!strcmp(name, "--spin")) spin = atoi(value);
    else if (!strcmp(name, "--stagger-us")) stagger_us = atoi(value);
    else if (!strcmp(name, "--path")) path = value;
    else if (!strcmp(name, "--body")) body = value;
    else if (!strcmp(name, "--header")) strcat(strcat(headers, value), "\r\n");
    else return fprintf(stderr, "load: unknown option %s\n", name), 2;
  }
  if (unix_path) {
    struct sockaddr_un* local = (struct sockaddr_un*)&address;
    local->sun_family = AF_UNIX;
    snprintf(local->sun_path, sizeof local->sun_path, "%s", unix_path);
    address_size = sizeof *local;
  } else {
    struct sockaddr_in* tcp = (struct sockaddr_in*)&address;
    tcp->sin_family = AF_INET;
    tcp->sin_port = htons((uint16_t)port);
    tcp->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address_size = sizeof *tcp;
  }
  request_size = (size_t)asprintf(&request,
                                  "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%s"
                                  "Content-Length: %zu\r\n\r\n%s",
                                  path, headers, strlen(body), body);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct connection* all = calloc((size_t)connections, sizeof *all);
  for (int i = 0; i < connections; ++i) open_connection(&all[i]);
  const int64_t start = now_ns();
  if (seconds > 0) stop_at = start + (int64_t)(seconds * 1e9);
  int opened = 0;
  for (;;) {
    while (opened < connections && now_ns() - start >= (int64_t)opened * stagger_us * 1000) begin(&all[opened++]);
    int busy = opened < connections;
    for (int i = 0; i < opened && !busy; ++i) busy = all[i].busy;
    if (!busy) break;
    struct epoll_event ready[256];
    const int n = epoll_wait(epoll_fd, ready, 256, spin ? 0 : opened < connections ? 1 : 5000);
    if (n == 0 && spin) sched_yield();
    if (n == 0 && !spin && opened == connections) {
      fprintf(stderr, "load: nothing came for five seconds\n");
      return 1;
    }
    for (int i = 0; i < n; ++i) on_input(ready[i].data.ptr);
  }
  const double taken = (double)(now_ns() - start) / 1e9;
  qsort(times, answers, sizeof *times, compare);
  qsort(firsts, answers, sizeof *firsts, compare);
  printf("{\"requests\":%zu,\"errors\":%zu,\"seconds\":%.6f,\"events\":%llu,\"p50_us\":%.2f,\"p99_us\":%.2f,"
         "\"first_p50_us\":%.2f,\"first_p99_us\":%.2f}\n",
         answers, errors, taken, (unsigned long long)events, percentile(times, .5), percentile(times, .99),
         percentile(firsts, .5), percentile(firsts, .99));
  return 0;
}
