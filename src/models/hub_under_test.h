#pragma once
// For the tests of this layer only: a stand-in of a model hub.

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <signal.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "json/json.h"
#include "models/http_get.h"
#include "models/test_support.h"

namespace llm::models::testing {

// tests/hub_standin.py as a child process; it ends when our end of its standard input closes.
class HubStandin {
 public:
  explicit HubStandin(const std::filesystem::path& root) {
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) std::abort();
    const std::string script = std::string(LLM_TESTDATA) + "/../../../tests/hub_standin.py";
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::execlp("python3", "python3", script.c_str(), root.c_str(), "--exit-with-parent", nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    alive_.reset(in[1]);
    std::string line;
    char c = 0;
    while (::read(out[0], &c, 1) == 1 && c != '\n') line += c;
    ::close(out[0]);
    const auto ports = json::parse(line);
    if (ports) {
      port_ = json::int_or(ports->get_object(), "port");
      cdn_port_ = json::int_or(ports->get_object(), "cdn_port");
    }
  }
  ~HubStandin() {
    alive_.reset();
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  HubStandin(const HubStandin&) = delete;
  HubStandin& operator=(const HubStandin&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::string cdn_url() const { return "http://127.0.0.1:" + std::to_string(cdn_port_); }
  std::int64_t port() const { return port_; }
  json::value control(const std::string& command) const {
    HttpGet request;
    request.url = url() + "/_" + command;
    const auto answer = http_get_text(request, 1 << 20, never());
    return answer ? *json::parse(answer->body) : json::value();
  }
  void set(const std::string& options) const { control("set?" + options); }
  // Requests for file contents: the range asked for by each.
  std::vector<std::string> ranges() const {
    std::vector<std::string> all;
    for (const auto& entry : control("log").get_array()) {
      const auto path = json::string_or(entry.get_object(), "path");
      if (path.starts_with("/storage/") || path.starts_with("/files/")) {
        all.emplace_back(json::string_or(entry.get_object(), "range"));
      }
    }
    return all;
  }

 private:
  pid_t child_ = -1;
  UniqueFd alive_;
  std::int64_t port_ = 0;
  std::int64_t cdn_port_ = 0;
};

}  // namespace llm::models::testing
