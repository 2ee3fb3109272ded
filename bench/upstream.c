#define _GNU_SOURCE
// A canned OpenAI engine: the fastest upstream one thread can be, so that what is in front of it shows.
//
//   upstream PORT          (0: any; the chosen one is the first line of standard output)
//
// GET  …                      a list of models, for health probes
// POST … without "stream"     a fixed chat completion of 1 KB
// POST … with "stream":true   "max_tokens" events of about 230 bytes, each a chunk of its own as llama-server sends them,
//                             then finish reason, usage and [DONE]. Model "paced": 10 ms apart, the first at once;
//                             any other model: as fast as the socket takes them.
// Loopback only, trusts its peer, one request at a time on each connection. After SIGUSR1 it polls instead of sleeping, so
// that nobody pays for waking it; after SIGUSR2 it sleeps again.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kMostConnections = 4096, kInput = 256 * 1024, kSlice = 16 * 1024, kPeriodUs = 10000 };

static const char kEvent[] =
    "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\" token\"}}],\"created\":1760000000,"
    "\"id\":\"chatcmpl-0123456789abcdefghijklmnopqrstuv\",\"model\":\"canned\",\"system_fingerprint\":\"b1-0000000\","
    "\"object\":\"chat.completion.chunk\"}\n\n";
static const char kFinish[] =
    "data: {\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,\"delta\":{}}],\"created\":1760000000,"
    "\"id\":\"chatcmpl-0123456789abcdefghijklmnopqrstuv\",\"model\":\"canned\",\"object\":\"chat.completion.chunk\"}\n\n";
static const char kUsage[] =
    "data: {\"choices\":[],\"created\":1760000000,\"id\":\"chatcmpl-0123456789abcdefghijklmnopqrstuv\","
    "\"model\":\"canned\",\"object\":\"chat.completion.chunk\",\"usage\":{\"completion_tokens\":64,\"prompt_tokens\":16,"
    "\"total_tokens\":80}}\n\n";
static const char kDone[] = "data: [DONE]\n\n";

struct connection {
  int fd;
  int paced;         // a paced stream is on its way
  int left;          // events still to send
  int burst;         // a stream without pauses is on its way
  int64_t due;       // of the next paced event, in microseconds
  size_t used;       // bytes in `input`
  size_t out_begin;  // unsent part of `out`
  size_t out_end;
  char input[kInput];
  char out[kSlice + 2048];
};

static struct connection* connections[kMostConnections];
static int paced_streams;
static volatile sig_atomic_t spinning;
static int epoll_fd;
static char whole[2048];
static size_t whole_size;
static char event_chunk[512];
static size_t event_size;

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void drop(struct connection* c) {
  if (c->paced) --paced_streams;
  connections[c->fd] = NULL;
  close(c->fd);
  free(c);
}

static void watch(struct connection* c, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = c->fd};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void put(struct connection* c, const char* bytes, size_t size) {
  memcpy(c->out + c->out_end, bytes, size);
  c->out_end += size;
}

static void put_chunk(struct connection* c, const char* bytes, size_t size) {
  c->out_end += (size_t)sprintf(c->out + c->out_end, "%zx\r\n", size);
  put(c, bytes, size);
  put(c, "\r\n", 2);
}

static void put_end(struct connection* c) {
  put_chunk(c, kFinish, sizeof kFinish - 1);
  put_chunk(c, kUsage, sizeof kUsage - 1);
  put_chunk(c, kDone, sizeof kDone - 1);
  put(c, "0\r\n\r\n", 5);
}

// Sends what is buffered and refills while a burst lasts. 0: the connection is gone.
static int flush(struct connection* c) {
  for (;;) {
    while (c->out_begin < c->out_end) {
      const ssize_t n = send(c->fd, c->out + c->out_begin, c->out_end - c->out_begin, MSG_NOSIGNAL);
      if (n < 0) {
        if (errno != EAGAIN) return drop(c), 0;
        watch(c, EPOLLIN | EPOLLOUT);
        return 1;
      }
      c->out_begin += (size_t)n;
    }
    c->out_begin = c->out_end = 0;
    if (!c->burst) break;
    while (c->left > 0 && c->out_end + event_size <= kSlice) {
      put(c, event_chunk, event_size);
      --c->left;
    }
    if (c->left == 0) {
      put_end(c);
      c->burst = 0;
    }
  }
  return 1;
}

static int answer(struct connection* c, const char* head, const char* body) {
  if (memcmp(head, "GET", 3) == 0) {
    static const char models[] = "{\"object\":\"list\",\"data\":[]}";
    c->out_end = (size_t)sprintf(c->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                 sizeof models - 1, models);
    return flush(c);
  }
  if (!strstr(body, "\"stream\":true")) {
    put(c, whole, whole_size);
    return flush(c);
  }
  static const char stream_head[] =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  const char* tokens = strstr(body, "\"max_tokens\":");
  c->left = tokens ? atoi(tokens + 13) : 16;
  put(c, stream_head, sizeof stream_head - 1);
  if (strstr(body, "\"model\":\"paced\"")) {
    put(c, event_chunk, event_size);
    --c->left;
    c->paced = 1;
    c->due = now_us() + kPeriodUs;
    ++paced_streams;
  } else {
    c->burst = 1;
  }
  return flush(c);
}

static void on_input(struct connection* c) {
  const ssize_t n = recv(c->fd, c->input + c->used, kInput - 1 - c->used, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return drop(c);
  c->used += (size_t)n;
  c->input[c->used] = 0;
  char* end = strstr(c->input, "\r\n\r\n");
  if (!end) return;
  *end = 0;
  const char* length = strcasestr(c->input, "\r\ncontent-length:");
  const size_t body = length ? strtoul(length + 17, NULL, 10) : 0;
  const size_t total = (size_t)(end + 4 - c->input) + body;
  if (c->used < total) {
    *end = '\r';
    return;
  }
  c->used = 0;
  answer(c, c->input, end + 4);
}

// Sends the paced events that are due; returns the milliseconds until the next, -1 for none.
static int pace(void) {
  if (paced_streams == 0) return -1;
  int64_t next = INT64_MAX;
  for (int fd = 0; fd < kMostConnections; ++fd) {
    struct connection* c = connections[fd];
    if (!c || !c->paced) continue;
    if (c->due <= now_us()) {
      c->due += kPeriodUs;
      if (c->left > 0) {
        put(c, event_chunk, event_size);
        --c->left;
      } else {
        put_end(c);
        c->paced = 0;
        --paced_streams;
      }
      const int paced = c->paced;
      if (!flush(c) || !paced) continue;
    }
    if (c->due < next) next = c->due;
  }
  if (next == INT64_MAX) return -1;
  const int64_t wait = next - now_us();
  return wait <= 0 ? 0 : (int)((wait + 999) / 1000);
}

static void accept_all(int listener) {
  for (;;) {
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (fd >= kMostConnections) {
      close(fd);
      continue;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection* c = calloc(1, sizeof *c);
    c->fd = fd;
    connections[fd] = c;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}

static void make_answers(void) {
  char body[1025];
  const int begin = sprintf(body, "{\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
  static const char tail[] =
      "\"}}],\"created\":1760000000,\"model\":\"canned\",\"object\":\"chat.completion\",\"usage\":{\"completion_tokens\":64,"
      "\"prompt_tokens\":16,\"total_tokens\":80},\"id\":\"chatcmpl-0123456789abcdefghijklmnopqrstuv\"}";
  for (size_t i = (size_t)begin; i < 1024 - (sizeof tail - 1); ++i) body[i] = "some words "[i % 11];
  memcpy(body + 1024 - (sizeof tail - 1), tail, sizeof tail);
  whole_size = (size_t)sprintf(whole, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n%s", body);
  event_size = (size_t)sprintf(event_chunk, "%zx\r\n%s\r\n", sizeof kEvent - 1, kEvent);
}

static void on_signal(int number) { spinning = number == SIGUSR1; }

int main(int argc, char** argv) {
  make_answers();
  signal(SIGUSR1, on_signal);
  signal(SIGUSR2, on_signal);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 1024) != 0) {
    perror("upstream");
    return 1;
  }
  getsockname(listener, (struct sockaddr*)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    struct epoll_event events[256];
    const int wait = pace();
    const int n = epoll_wait(epoll_fd, events, 256, spinning ? 0 : wait);
    if (n == 0 && spinning) sched_yield();
    for (int i = 0; i < n; ++i) {
      struct connection* c = events[i].data.fd == listener ? NULL : connections[events[i].data.fd];
      if (!c) {
        if (events[i].data.fd == listener) accept_all(listener);
        continue;
      }
      if (events[i].events & EPOLLOUT) {
        watch(c, EPOLLIN);
        if (!flush(c)) continue;
      }
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_input(c);
    }
  }
}
