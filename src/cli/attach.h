#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "async/cancel.h"
#include "async/task.h"
#include "base/error.h"
#include "net/address.h"
#include "net/http_client.h"

namespace llm::cli {

// How to reach the user's gateway, and how to start one.
struct AttachSettings {
  std::filesystem::path runtime_dir;          // private to the user; made if missing. Holds the start lock
  std::filesystem::path socket;               // of the gateway; empty: gateway.sock in runtime_dir
  std::filesystem::path program;              // what to start …
  std::vector<std::string> arguments;         // … and its arguments, see background_arguments()
  std::filesystem::path log_file;             // takes its standard error
  std::chrono::milliseconds timeout{30'000};  // for all of it

  net::Endpoint endpoint() const;
};

// Arguments of a gateway that serves in the background: "serve" with the settings that differ from one a person starts.
// It takes the port if it is free, else serves the Unix socket alone, and ends when nobody has used it for a while.
// `global`: flags of this invocation that it must share, such as --config; they win over ours.
std::vector<std::string> background_arguments(std::vector<std::string> global = {});

// The gateway's endpoint once it answers: of the one that runs, or of one that is started now, in a session of its own
// (DetachedProcess), so that it outlives us. Processes that call this at once start one gateway between them: whoever
// holds the start lock starts it, the others wait for it.
//
// Errors: kUnavailable with the gateway's last log lines if it ends while it starts or does not answer in time;
// kNotFound, kPermissionDenied, kIo for the program, the log or the runtime directory; kCancelled. Runs on one loop and
// does not block it but for the fork and a few file operations. `http` belongs to that loop and outlives the call.
Task<Result<net::Endpoint>> ensure_gateway(net::HttpClient& http, AttachSettings settings, CancelToken cancel = {});

// Does a gateway answer there (GET /livez)?
Task<bool> gateway_answers(net::HttpClient& http, net::Endpoint endpoint, CancelToken cancel = {});

}  // namespace llm::cli
