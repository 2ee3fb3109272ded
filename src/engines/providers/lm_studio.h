#pragma once

#include <functional>
#include <string>

#include "engines/providers/provider_client.h"

// What LM Studio can do beside answering: its REST API, version 1 of LM Studio 0.4 and newer ("LM Studio REST API",
// /api/v1), of which the list also works with version 0. `client` must be of an LM Studio and live until the task ends.
namespace llm::engines::lm_studio {

// {models: [{name, size_bytes, type, parameters, quantisation, context_length, loaded, instances: [id]}]}
Task<Result<json::object>> list(const ProviderClient& client, CancelToken cancel);

// {instance, seconds}. `context` 0: as LM Studio is set up.
Task<Result<json::object>> load(const ProviderClient& client, std::string model, std::uint32_t context,
                                CancelToken cancel);
// All its instances, or the one whose id is given; {instances: [id]}. kNotFound: nothing of that name is loaded.
Task<Result<json::object>> unload(const ProviderClient& client, std::string model, CancelToken cancel);

using OnDownload = std::function<Task<Result<void>>(std::uint64_t bytes_done, std::uint64_t bytes_total)>;
// A name of LM Studio's catalogue, or the address of a repository of Hugging Face. LM Studio goes on with a download
// that nobody waits for any more.
Task<Result<void>> download(const ProviderClient& client, std::string model, OnDownload on_progress,
                            CancelToken cancel);

}  // namespace llm::engines::lm_studio
