#pragma once

#include <cstdint>

#include "json/fields.h"

namespace llm::access {

// Caps on what one request may ask for: no engine ever sees a value above them. Zero: no cap. A role may have its own.
struct Caps {
  std::uint32_t max_choices = 16;  // `n`
  std::uint32_t max_best_of = 16;
  std::uint32_t max_prompts = 256;  // prompts or inputs of one request
  std::uint32_t max_stops = 16;
  std::uint32_t max_logprobs = 20;
  std::uint32_t max_tokens = 0;  // of one answer; 0: what the context holds
  std::uint32_t max_messages = 4096;
  std::uint32_t max_images = 16;
  std::uint32_t max_tools = 256;
  std::uint32_t max_schema_depth = 32;
  json::ByteSize max_schema_bytes{64 << 10};
  bool local_only = false;  // what is asked never leaves the machine
  friend bool operator==(const Caps&, const Caps&) = default;
};

}  // namespace llm::access

template <>
struct llm::json::Fields<llm::access::Caps> {
  static const Table<access::Caps>& table();
};
