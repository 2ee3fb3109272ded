#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "models/digest.h"
#include "models/hub.h"
#include "models/manifest.h"
#include "models/progress.h"
#include "models/store.h"

namespace llm::models {

// What of a hub's repository is wanted.
enum class PullFormat {
  kAuto,        // one GGUF file; the whole repository if it has none and no file is named
  kGguf,        // one GGUF file
  kRepository,  // every file that vLLM needs
};
std::string_view to_string(PullFormat format);
std::optional<PullFormat> parse_pull_format(std::string_view text);

struct PullRequest {
  std::string source = {};                       // see pull_source.h
  std::optional<ModelName> name = std::nullopt;  // default: made from the repository's or file's name
  std::optional<Digest> digest = std::nullopt;   // refuse any other file
  bool replace = false;                          // let the name point to the new file even if it has another one now
  std::optional<json::object> settings = std::nullopt;
  PullFormat format = PullFormat::kAuto;
  bool pickles =
      false;          // of a repository also weights in Python's pickle format, which can run code when they are read
  bool code = false;  // of a repository also its Python files
  std::string creator = {};
  std::string notes = {};
  friend bool operator==(const PullRequest&, const PullRequest&) = default;
};

// From a source to a model in the store, if the settings let it in: resolve, download (or go on downloading), check
// digest and GGUF, put in place. A file that is already in the store under another name is not fetched again. What came
// complete but wrong (another digest, not a sound GGUF) is deleted; what came in part is kept for the next attempt.
// Blocks for as long as it takes; `cancelled` stops it within a second with kCancelled.
Result<Manifest> pull(ModelStore& store, const PullSettings& settings, const PullRequest& request,
                      const ProgressCallback& progress, const std::atomic<bool>& cancelled);

}  // namespace llm::models
