// LocalModelApi::pull_model: a download on its own thread, its progress on the caller's loop.
#include <atomic>
#include <memory>

#include "inference/describe.h"
#include "inference/local_model_api.h"
#include "inference/model_rights.h"
#include "inference/watched_work.h"
#include "json/fields.h"

namespace llm::inference {
namespace {

struct PullBody {
  std::string source;
  std::string name;
  std::string sha256;
  bool replace = false;
  models::PullFormat format = models::PullFormat::kAuto;
  bool pickles = false;
  bool code = false;
  std::string notes;
  bool stream = false;
};

}  // namespace
}  // namespace llm::inference

template <>
struct llm::json::EnumNames<llm::models::PullFormat> {
  static constexpr std::array<std::pair<models::PullFormat, std::string_view>, 3> values{
      {{models::PullFormat::kAuto, "auto"},
       {models::PullFormat::kGguf, "gguf"},
       {models::PullFormat::kRepository, "repository"}}};
};

template <>
struct llm::json::Fields<llm::inference::PullBody> {
  static const Table<inference::PullBody>& table() {
    using R = inference::PullBody;
    static const Table<R> t{
        "pull request",
        {field("source", &R::source,
               {.description = "https://… address of a GGUF file, or hf:owner/repo[:file-or-quantisation][@revision].",
                .required = true,
                .min_length = 1,
                .max_length = 4096}),
         field("name", &R::name, {.description = "Name of the model. Default: made from the file's name."}),
         field("sha256", &R::sha256, {.description = "SHA-256 of the file as 64 hex digits; another file is refused."}),
         field("replace", &R::replace, {.description = "Let the name point to the new file if it has another one."}),
         field("format", &R::format,
               {.description = "What of a repository is fetched: one GGUF file, or every file that vLLM needs. auto: "
                               "the repository if it has no GGUF file."}),
         field("pickles", &R::pickles,
               {.description = "Of a repository without safetensors also weights in Python's pickle format, which can "
                               "run code when they are read."}),
         field("code", &R::code, {.description = "Of a repository also its Python files."}),
         field("notes", &R::notes, {.description = "What is to be known about this version.", .max_length = 16'384}),
         field("stream", &R::stream, {.description = "Report progress."})}};
    return t;
  }
};

namespace llm::inference {

Task<Result<json::object>> LocalModelApi::pull_model(json::object request, EventSink sink, CancelToken cancel) {
  const std::string source(json::string_or(request, "source"));
  auto pulled = co_await pull(std::move(request), std::move(sink), std::move(cancel));
  audit("model.pull", pulled ? std::string(json::string_or(*pulled, "name")) : source, pulled);
  co_return pulled;
}

Task<Result<json::object>> LocalModelApi::pull(json::object request, EventSink sink, CancelToken cancel) {
  auto decoded = json::decode<PullBody>(request);
  if (!decoded) co_return fail(decoded.error());
  models::PullRequest pull{.source = decoded->source,
                           .replace = decoded->replace,
                           .format = decoded->format,
                           .pickles = decoded->pickles,
                           .code = decoded->code,
                           .creator = principal_.id,
                           .notes = decoded->notes};
  if (!decoded->name.empty()) {
    auto name = models::parse_model_name(decoded->name);
    if (!name) co_return fail(std::move(name.error()).at("/name"));
    pull.name = std::move(*name);
  }
  // Without a name one is made of the file's: only who may all models leaves that open.
  const std::string wanted = decoded->name.empty() ? "*" : decoded->name;
  if (auto may = check_model_right(principal_, access::Permission::kModelsWrite, wanted, {}); !may) {
    co_return fail(std::move(may.error()).at("/name"));
  }
  if (!decoded->sha256.empty()) {
    auto digest = models::Digest::parse_hex(decoded->sha256);
    if (!digest) co_return fail(std::move(digest.error()).at("/sha256"));
    pull.digest = *digest;
  }
  const auto result = std::make_shared<Result<models::Manifest>>(fail(ErrorCode::kInternal, "the pull did not run"));
  std::uint64_t counted = 0;
  const auto told = co_await watch_work(
      loop_, backend_.pull_waiters, std::move(sink), std::move(cancel),
      [this, result, pull = std::move(pull)](const models::ProgressCallback& progress,
                                             const std::atomic<bool>& cancelled) {
        *result = backend_.pulls.pull(pull, progress, cancelled);
      },
      [this, &counted](const models::Progress& now) {
        if (now.phase != models::Phase::kDownloading || now.bytes_done <= counted) return;
        backend_.metrics.pulled(now.bytes_done - counted);
        counted = now.bytes_done;
      });
  if (!*result) co_return fail(told ? result->error() : told.error());
  backend_.catalogue.invalidate();
  const auto& manifest = **result;
  backend_.log.info(
      "model pulled",
      {{"model", models::to_string(manifest.name)}, {"source", manifest.source}, {"bytes", manifest.size}});
  auto snapshot = co_await backend_.catalogue.list(true);
  if (!snapshot) co_return fail(snapshot.error());
  const auto entry = (*snapshot)->by_name.find(models::to_string(manifest.name));
  if (entry == (*snapshot)->by_name.end())
    co_return fail(ErrorCode::kNotFound, "the model was removed while it was pulled");
  co_return model_summary(*entry->second, backend_.supervisor.report(), **snapshot);
}

}  // namespace llm::inference
