#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "models/digest.h"
#include "models/pull_source.h"

namespace llm::models {

struct PullSettings {
  std::string hub_endpoint = "https://huggingface.co";  // a Hugging Face Hub or a mirror with its API
  std::string hub_token = {};                           // sent to the endpoint's origin only; empty: none
  int connect_timeout_ms = 15'000;
  int stall_timeout_s = 30;
  int retries = 6;         // attempts in a row that bring nothing new before giving up
  int backoff_ms = 1'000;  // before the second attempt; doubles, at most 30 s
  int parallel = 4;        // files of one repository at a time
  // Patterns ('*': any characters) of what may be pulled: "hf:my-org/*", "https://models.example.org/*". Empty:
  // anything.
  std::vector<std::string> allowed_sources = {};
};

// Everything needed to fetch one file.
struct DownloadPlan {
  std::string url;
  std::string token;
  std::string label;           // for the manifest: where it comes from, without secrets
  std::string file_name;       // for messages
  std::string suggested_name;  // a model name, if the user gives none
  std::string license;
  std::string revision;               // the hub's commit
  std::optional<std::uint64_t> size;  // bytes, where known beforehand
  std::optional<Digest> digest;
  bool gguf = true;  // give up as soon as the first bytes say that it is something else
};

struct HubFile {
  std::string path;  // within the repository
  std::uint64_t size = 0;
  std::optional<Digest> digest;  // of LFS files, which all large ones are
  std::string git_id = {};       // of the others, where the hub says it: Git's own hash (SHA-1), 40 hex digits
};

struct HubListing {
  std::string commit;          // 40 hex digits, or empty
  std::string license;         // "apache-2.0"; of one that the hub has no word for its own name and address
  std::vector<HubFile> files;  // the GGUF files only
};

// The answer of GET {endpoint}/api/models/{repo}/revision/{rev}?blobs=true (Hub API, "model info").
Result<HubListing> parse_hub_listing(std::string_view text);

// One file by exact name (with or without its folder), by quantisation (case-insensitive, as a whole word of the file's
// name), or, without selector: Q4_K_M, Q4_0, Q8_0, the only one, the smallest. Several candidates or none are errors
// that list what there is; split files (-00001-of-00003) are refused with kUnsupported.
Result<HubFile> choose_hub_file(const HubListing& listing, std::string_view selector, std::string_view repo);

// The settings as the functions below want them: the endpoint without a slash at its end. kInvalidArgument: no address
// that may be used.
Result<PullSettings> checked_settings(PullSettings settings);

// Asks the hub what a repository holds at a revision. Errors tell apart: no such repository, no such revision, a gated
// or private one (how to get access), a refused token, an unreachable hub.
Result<HubListing> fetch_hub_listing(const PullSettings& settings, const HubSource& source,
                                     const std::atomic<bool>& cancelled);
// The download of one GGUF file of a repository.
Result<DownloadPlan> plan_hub_file(const PullSettings& settings, const HubSource& source, const HubListing& listing);
// The download of one of its files whatever it is.
DownloadPlan plan_repository_file(const PullSettings& settings, const HubSource& source, std::string_view commit,
                                  const HubFile& file);

// kPermissionDenied unless one of the patterns fits the source, as "hf:owner/repo" or in full, or there are none.
Result<void> check_allowed(const PullSettings& settings, const PullSource& source);

// A GET for the hub: with its token only if the address is at the hub's own origin.
struct HttpGet;
HttpGet hub_request(const PullSettings& settings, std::string url);

// The download of a file at an address.
DownloadPlan plan_url_file(const PullSettings& settings, const UrlSource& source);

// The error of an answer other than 2xx, for the listing and the download alike. 5xx, 408 and 429 are kUnavailable or
// kRateLimited: worth another attempt.
struct HttpHead;
Error hub_error(const HttpHead& head, std::string_view what, bool had_token);

}  // namespace llm::models
