#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engines/providers/provider_client.h"

// What an Ollama can do beside answering (its docs/api.md): its models on disk and in memory. `client` must be of an
// Ollama and live until the task ends. Errors as ProviderClient.
namespace llm::engines::ollama {

// {version, models: [{name, size_bytes, digest, modified, family, parameters, quantisation, loaded, memory_bytes,
// gpu_bytes, expires}]}, those in memory with what they take there.
Task<Result<json::object>> list(const ProviderClient& client, CancelToken cancel);

// How far a download is. Bytes of the layer that is under way.
struct PullProgress {
  std::string status;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;  // 0: unknown
};
using OnPull = std::function<Task<Result<void>>(PullProgress)>;  // null: nobody wants to know; an error ends the pull

// Until it is there. Ollama goes on with a pull that somebody else wants, too, and keeps what it has of one that ended.
Task<Result<void>> pull(const ProviderClient& client, std::string model, OnPull on_progress, CancelToken cancel);
Task<Result<void>> remove(const ProviderClient& client, std::string model, CancelToken cancel);
// Into memory, there to stay for `keep_alive` after the last request; nullopt: as Ollama is set up; never(): for ever.
Task<Result<void>> load(const ProviderClient& client, std::string model, std::optional<json::Duration> keep_alive,
                        CancelToken cancel);
// Out of memory, once it has answered what it is at.
Task<Result<void>> unload(const ProviderClient& client, std::string model, CancelToken cancel);

// Has every model leave its memory but those of `keep`, and waits until they have, at most ten seconds; the bytes that
// came free. For a gateway that needs the memory itself and may take it (`evict_others`).
Task<Result<std::uint64_t>> unload_idle(Loop& loop, net::HttpClient& client, ProviderSettings settings,
                                        std::vector<std::string> keep, CancelToken cancel);

}  // namespace llm::engines::ollama
