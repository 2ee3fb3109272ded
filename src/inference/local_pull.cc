// LocalModelApi::pull_model: a download on its own thread, its progress on the caller's loop.
#include <atomic>
#include <memory>

#include "async/task_group.h"
#include "async/watch.h"
#include "inference/describe.h"
#include "inference/local_model_api.h"
#include "inference/model_rights.h"
#include "json/fields.h"

namespace llm::inference {
namespace {

struct PullBody {
  std::string source;
  std::string name;
  std::string sha256;
  bool replace = false;
  bool stream = false;
};

}  // namespace
}  // namespace llm::inference

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
         field("stream", &R::stream, {.description = "Report progress."})}};
    return t;
  }
};

namespace llm::inference {
namespace {

constexpr std::chrono::milliseconds kBetweenEvents{100};

struct PullView {
  models::Progress progress;
  bool done = false;
};

// Shared by the caller's coroutine and the pool thread that works for it.
struct PullState {
  Watch<PullView> view;
  Watch<bool> done{false};  // changes once, after `view` said so
  std::atomic<bool> cancelled = false;
  Result<models::Manifest> result = fail(ErrorCode::kInternal, "the pull did not run");
};

Task<void> work(Backend& backend, models::PullRequest request, std::shared_ptr<PullState> state) {
  state->result = co_await backend.pull_waiters.run([&backend, request = std::move(request), state] {
    return backend.pulls.pull(
        request,
        [&state](const models::Progress& progress) {
          state->view.update([&](PullView& view) { view.progress = progress; });
        },
        state->cancelled);
  });
  state->view.update([](PullView& view) { view.done = true; });
  state->done.set(true);
}

}  // namespace

Task<Result<json::object>> LocalModelApi::pull_model(json::object request, EventSink sink, CancelToken cancel) {
  const std::string source(json::string_or(request, "source"));
  auto pulled = co_await pull(std::move(request), std::move(sink), std::move(cancel));
  audit("model.pull", pulled ? std::string(json::string_or(*pulled, "name")) : source, pulled);
  co_return pulled;
}

Task<Result<json::object>> LocalModelApi::pull(json::object request, EventSink sink, CancelToken cancel) {
  auto decoded = json::decode<PullBody>(request);
  if (!decoded) co_return fail(decoded.error());
  models::PullRequest pull{.source = decoded->source, .name = {}, .replace = decoded->replace, .settings = {}};
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
  const auto state = std::make_shared<PullState>();
  TaskGroup tasks(loop_.executor());
  tasks.spawn(work(backend_, std::move(pull), state));
  const auto registration = cancel.on_cancel([state] { state->cancelled = true; });
  const auto undone = state->done.get().version;
  std::uint64_t counted = 0;
  Result<void> told;  // an error: the caller wants no more
  while (true) {
    const auto [view, version] = state->view.get();
    if (view.progress.bytes_done > counted && view.progress.phase == models::Phase::kDownloading) {
      backend_.metrics.pulled(view.progress.bytes_done - counted);
      counted = view.progress.bytes_done;
    }
    if (view.done) break;
    if (sink && told) {
      told = co_await sink(json::object{{"status", to_string(view.progress.phase)},
                                        {"bytes_done", view.progress.bytes_done},
                                        {"bytes_total", view.progress.bytes_total}});
      if (!told) state->cancelled = true;
    }
    // Progress comes per MiB; a reader gets at most ten lines a second, and the end without delay. What changes during
    // the pause makes the second wait return at once.
    co_await state->done.changed(undone, {}, kBetweenEvents);
    co_await state->view.changed(version, {}, std::nullopt);
  }
  co_await tasks.join();
  if (!state->result) co_return fail(told ? state->result.error() : told.error());
  backend_.catalogue.invalidate();
  const auto& manifest = *state->result;
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
