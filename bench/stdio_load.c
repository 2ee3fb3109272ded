#define _GNU_SOURCE
// A client of an MCP server over stdio, cheap enough to find the server's limits: replies are searched, not parsed.
//
//   stdio_load [--era legacy|modern] [--starts 5] [--warm-up 1000] [--sequential 2000] [--pipelined 100000]
//              [--window 64] [--server-core N] [--tool NAME | --method METHOD] [--arguments JSON] -- COMMAND...
//
// Starts COMMAND --starts times and takes the time to the reply to `initialize`; then, with one more process, calls the
// tool (or the method, without parameters) one at a time and with --window calls in flight: a call is written for each
// reply that was read, as many at a time as were read at a time. Prints one JSON object: first_ms (each start),
// rss_mib and pss_mib after initialize and tools/list, rss_after_mib at the end, microseconds of round trips (p50_us,
// p99_us, window_p50_us, window_p99_us), CPU microseconds of the server's threads per call (cpu_us in the window,
// sequential_cpu_us one at a time; children do not count), calls_per_second, reply_bytes (the longest reply), errors
// and the first of them.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kRead = 1 << 20, kMost = 1 << 22, kInPipe = 48 * 1024 };  // kInPipe: what a pipe takes without waiting

struct server {
  pid_t pid;
  int in, out;
  size_t begin, end;  // what is read and not yet handled
  int64_t started;
};

static char buffer[kMost + 1];
static char** command;
static int server_core = -1;
static int modern;
static size_t errors, longest;
static char first_error[200];

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char* what) {
  fprintf(stderr, "stdio_load: %s: %s: %s\n", command[0], what, errno ? strerror(errno) : "the server has ended");
  exit(1);
}

static struct server start(void) {
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) die("pipe");
  struct server s = {.started = now_ns()};
  s.pid = fork();
  if (s.pid < 0) die("fork");
  if (s.pid == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    dup2(open("/dev/null", O_WRONLY), 2);
    if (server_core >= 0) {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(server_core, &set);
      sched_setaffinity(0, sizeof set, &set);
    }
    execvp(command[0], command);
    _exit(127);
  }
  close(to[0]);
  close(from[1]);
  s.in = to[1];
  s.out = from[0];
  return s;
}

static void stop(struct server* s) {
  close(s->in);
  int status;
  if (waitpid(s->pid, &status, 0) < 0) die("wait");
  close(s->out);
}

static void put(struct server* s, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t n = write(s->in, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) die("write");
    bytes += n;
    size -= (size_t)n;
  }
}

// The next line, ended by a NUL; waits for it if `wait`. NULL: there is none.
static char* line(struct server* s, int wait) {
  for (size_t looked = s->begin;;) {
    char* feed = memchr(buffer + looked, '\n', s->end - looked);
    if (feed) {
      char* text = buffer + s->begin;
      *feed = 0;
      s->begin = (size_t)(feed + 1 - buffer);
      return text;
    }
    if (!wait) return NULL;
    if (s->begin > 0) {
      memmove(buffer, buffer + s->begin, s->end - s->begin);
      s->end -= s->begin;
      s->begin = 0;
    }
    looked = s->end;
    const size_t room = kMost - s->end;
    const ssize_t n = read(s->out, buffer + s->end, room < kRead ? room : kRead);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) die("read");
    s->end += (size_t)n;
  }
}

// Messages that are no replies are passed over. The id of the reply, or -1.
static int64_t reply_id(const char* text) {
  if (!strstr(text, "\"result\"") && !strstr(text, "\"error\"")) return -1;
  const char* id = strstr(text, "\"id\":");
  return id ? atoll(id + 5) : -1;
}

static void check(const char* text) {
  const size_t size = strlen(text);
  if (size > longest) longest = size;
  if (strstr(text, "\"result\"") && !strstr(text, "\"isError\":true")) return;
  if (errors++ == 0) {
    size_t at = 0;
    for (; *text && at + 2 < sizeof first_error; ++text)
      first_error[at++] = *text == '"' || *text == '\\' ? '\'' : *text;
  }
}

static void await(struct server* s, int64_t id) {
  for (;;) {
    const char* text = line(s, 1);
    if (reply_id(text) != id) continue;
    check(text);
    return;
  }
}

static void say(struct server* s, const char* text) {
  put(s, text, strlen(text));
}

static const char kMeta[] =
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientInfo\":"
    "{\"name\":\"bench\",\"version\":\"1\"},\"io.modelcontextprotocol/clientCapabilities\":{}}";

static void open_session(struct server* s) {
  if (modern) {
    char text[600];
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"server/discover\",\"params\":{%s}}\n",
             kMeta);
    say(s, text);
    return await(s, 0);
  }
  say(s,
      "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\","
      "\"capabilities\":{},\"clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}}}\n");
  await(s, 0);
  say(s, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
}

static void list_tools(struct server* s) {
  char text[600];
  snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"tools/list\",\"params\":{%s}}\n",
           modern ? kMeta : "");
  say(s, text);
  await(s, 0);
}

static double memory_mib(pid_t pid, const char* name) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
  FILE* file = fopen(path, "r");
  double kib = 0;
  while (file && fgets(text, sizeof text, file)) {
    if (strncmp(text, name, strlen(name)) == 0) kib = atof(text + strlen(name));
  }
  if (file) fclose(file);
  return kib / 1024;
}

// Nanoseconds that the scheduler counted for all threads of the process.
static int64_t cpu_ns(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR* tasks = opendir(path);
  int64_t total = 0;
  for (struct dirent* one; tasks && (one = readdir(tasks));) {
    char name[400];
    snprintf(name, sizeof name, "%s/%s/schedstat", path, one->d_name);
    FILE* file = one->d_name[0] == '.' ? NULL : fopen(name, "r");
    long long ns;
    if (file && fscanf(file, "%lld", &ns) == 1) total += ns;
    if (file) fclose(file);
  }
  if (tasks) closedir(tasks);
  return total;
}

static int compare(const void* a, const void* b) {
  const int64_t x = *(const int64_t*)a, y = *(const int64_t*)b;
  return x < y ? -1 : x > y;
}

static double percentile_us(int64_t* times, size_t count, double part) {
  return count == 0 ? 0 : (double)times[(size_t)((double)(count - 1) * part)] / 1000;
}

// The two sides of the call around its id.
static char before_id[64], after_id[8192];
static size_t after_size;

static size_t write_call(char* out, int64_t id) {
  const int n = sprintf(out, "%s%lld", before_id, (long long)id);
  memcpy(out + n, after_id, after_size);
  return (size_t)n + after_size;
}

static void sequential(struct server* s, size_t count, int64_t first_id, int64_t* times) {
  char call[9000];
  for (size_t i = 0; i < count; ++i) {
    const size_t size = write_call(call, first_id + (int64_t)i);
    const int64_t begin = now_ns();
    put(s, call, size);
    await(s, first_id + (int64_t)i);
    if (times) times[i] = now_ns() - begin;
  }
}

static double pipelined(struct server* s, size_t count, size_t window, int64_t first_id, int64_t* times) {
  static char calls[kInPipe + 9000];
  int64_t* begun = calloc(count, sizeof *begun);
  size_t sent = 0, answered = 0, room = window;
  const int64_t start_time = now_ns();
  while (answered < count) {
    size_t size = 0;
    const int64_t begin = now_ns();
    for (; room > 0 && sent < count; --room, ++sent) {
      size += write_call(calls + size, first_id + (int64_t)sent);
      begun[sent] = begin;
    }
    if (size > 0) put(s, calls, size);
    int64_t now = 0;
    for (char* text = line(s, 1); text; text = line(s, 0)) {
      const int64_t at = reply_id(text) - first_id;
      if (at < 0 || at >= (int64_t)sent) continue;
      check(text);
      if (!now) now = now_ns();
      times[answered++] = now - begun[at];
      ++room;
    }
  }
  free(begun);
  return (double)(now_ns() - start_time) / 1e9;
}

int main(int argc, char** argv) {
  const char *tool = NULL, *method = "tools/call", *tool_arguments = "{}";
  size_t starts = 5, warm_up = 1000, one_by_one = 2000, in_window = 100000, window = 64;
  int i = 1;
  for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (!strcmp(name, "--era"))
      modern = !strcmp(value, "modern");
    else if (!strcmp(name, "--starts"))
      starts = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--warm-up"))
      warm_up = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--sequential"))
      one_by_one = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--pipelined"))
      in_window = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--window"))
      window = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--server-core"))
      server_core = atoi(value);
    else if (!strcmp(name, "--tool"))
      tool = value;
    else if (!strcmp(name, "--method"))
      method = value;
    else if (!strcmp(name, "--arguments"))
      tool_arguments = value;
    else
      return fprintf(stderr, "stdio_load: unknown option %s\n", name), 2;
  }
  if (i + 1 >= argc) return fprintf(stderr, "stdio_load: which command?\n"), 2;
  command = argv + i + 1;
  signal(SIGPIPE, SIG_IGN);
  char called[4096] = "";
  if (tool)
    snprintf(called, sizeof called, "\"name\":\"%s\",\"arguments\":%s%s", tool, tool_arguments, modern ? "," : "");
  snprintf(before_id, sizeof before_id, "{\"jsonrpc\":\"2.0\",\"id\":");
  after_size = (size_t)snprintf(after_id, sizeof after_id, ",\"method\":\"%s\",\"params\":{%s%s}}\n", method, called,
                                modern ? kMeta : "");
  if (window * (after_size + sizeof before_id) > kInPipe)
    return fprintf(stderr, "stdio_load: the window is too wide\n"), 2;

  printf("{\"first_ms\":[");
  for (size_t n = 0; n < starts; ++n) {
    struct server s = start();
    open_session(&s);
    printf("%s%.3f", n ? "," : "", (double)(now_ns() - s.started) / 1e6);
    stop(&s);
  }
  struct server s = start();
  open_session(&s);
  list_tools(&s);
  const double rss = memory_mib(s.pid, "Rss:"), pss = memory_mib(s.pid, "Pss:");
  longest = 0;
  int64_t* times = calloc(one_by_one + in_window + 1, sizeof *times);
  sequential(&s, warm_up, 1, NULL);
  pipelined(&s, warm_up, window, 1000000, times);
  int64_t cpu = cpu_ns(s.pid);
  sequential(&s, one_by_one, 2000000, times);
  const double alone_us = (double)(cpu_ns(s.pid) - cpu) / 1000 / (double)(one_by_one ? one_by_one : 1);
  qsort(times, one_by_one, sizeof *times, compare);
  printf("],\"rss_mib\":%.2f,\"pss_mib\":%.2f,\"p50_us\":%.2f,\"p99_us\":%.2f,\"sequential_cpu_us\":%.3f", rss, pss,
         percentile_us(times, one_by_one, .5), percentile_us(times, one_by_one, .99), alone_us);
  cpu = cpu_ns(s.pid);
  const double seconds = pipelined(&s, in_window, window, 10000000, times);
  const double window_us = (double)(cpu_ns(s.pid) - cpu) / 1000 / (double)(in_window ? in_window : 1);
  qsort(times, in_window, sizeof *times, compare);
  printf(
      ",\"calls_per_second\":%.0f,\"cpu_us\":%.3f,\"window_p50_us\":%.2f,\"window_p99_us\":%.2f,\"rss_after_mib\":%.2f,"
      "\"reply_bytes\":%zu,\"errors\":%zu,\"first_error\":\"%s\"}\n",
      (double)in_window / seconds, window_us, percentile_us(times, in_window, .5), percentile_us(times, in_window, .99),
      memory_mib(s.pid, "Rss:"), longest, errors, first_error);
  stop(&s);
  return 0;
}
