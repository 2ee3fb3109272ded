#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "dialects/provider_kind.h"
#include "json/json.h"

// How engines spell differently what the gateway says in the OpenAI API's words. Sans-IO: JSON in, JSON out; nothing
// here knows connections, models or callers. All functions may be called from any thread.
namespace llm::dialects {

enum class Call { kChat, kCompletion, kEmbedding, kRerank, kTokenize, kDetokenize };

// A request as the engine wants it.
struct Outgoing {
  std::string path;  // below the base URL, or, if it begins with "//", below the server's root (second slash kept)
  std::vector<std::pair<std::string, std::string>> headers;  // beside Content-Type; credentials included
  json::object body;
};

// What a request is made from besides its body.
struct OutgoingFacts {
  std::string_view api_key;     // empty: none
  std::string_view cache_salt;  // keeps tenants' prefix caches apart, where the engine knows it; empty: none
  // How long the engine is to keep the model after this request, in seconds, where a request can say so (LM Studio);
  // -1 for ever.
  std::optional<std::int64_t> keep_alive_s = std::nullopt;
};

// One streamed answer in the engine's words, translated event by event.
class StreamTranslator {
 public:
  virtual ~StreamTranslator() = default;
  // One event of the engine's stream (`name`: its "event:" field, empty if none). Appends payloads of the OpenAI API's
  // stream to `out`: chunks, `{"error":…}`, "[DONE]". kEngineFailed: no event of that API.
  virtual Result<void> on_event(std::string_view name, std::string_view data, std::vector<std::string>& out) = 0;
};

class Dialect {
 public:
  virtual ~Dialect() = default;

  // `body` is an OpenAI request with the engine's own model name in it and `stream` set. kUnsupported at the JSON
  // Pointer of what this engine cannot do; fields that only tune an answer and that it does not know are left out.
  virtual Result<Outgoing> request(Call call, json::object body, const OutgoingFacts& facts) const = 0;
  // Null: its streams are those of the OpenAI API already.
  virtual std::unique_ptr<StreamTranslator> stream(Call call) const = 0;
  // A whole answer in the OpenAI API's words. Same text back where nothing differs.
  virtual Result<std::string> answer(Call call, std::string body) const = 0;
  // What an error body with that HTTP status means; nullopt: what it means in the OpenAI API.
  virtual std::optional<Error> error(int status, std::string_view body) const = 0;
};

// The headers that say who asks, for every request to such a server; beside the key what its API insists on. `api_key`
// empty: none.
std::vector<std::pair<std::string, std::string>> credential_headers(ProviderKind kind, std::string_view api_key);

// The one instance for each kind.
const Dialect& dialect_of(ProviderKind kind);

}  // namespace llm::dialects
