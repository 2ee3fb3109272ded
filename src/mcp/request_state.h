#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/error.h"

namespace llm::mcp {

// Seals what a handler wants to remember between two rounds of a request into a text that travels through the client
// (MCP 2026-07-28 "requestState"): HMAC-SHA-256 over the state, its expiry, the principal and the request it belongs
// to. Whoever holds it can read it, but neither change it nor use it elsewhere. Const and thread-safe.
class RequestState {
 public:
  RequestState(std::string secret, std::chrono::seconds ttl);  // an empty secret: random

  // `request` says what the state belongs to: method, name and arguments.
  std::string seal(std::string_view state, std::string_view principal, std::string_view request) const;
  // kInvalidArgument for anything that `seal` did not make for these two, or that expired.
  Result<std::string> open(std::string_view sealed, std::string_view principal, std::string_view request) const;

 private:
  std::string sign(std::string_view payload, std::string_view principal, std::string_view request) const;
  std::string secret_;
  std::chrono::seconds ttl_;
};

}  // namespace llm::mcp
