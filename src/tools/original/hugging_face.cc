// llm_huggingface: reads the hub that models.hub_endpoint names, and pulls from it.
#include <utility>

#include "models/pull_source.h"
#include "tools/original/arguments.h"
#include "tools/original/hub_query.h"
#include "tools/original/model_work.h"
#include "tools/original/original_tools.h"

namespace llm::tools::original {
namespace {

constexpr int kMost = 20;

// What a hub says of a model or data set in a list; the rest is left out.
constexpr std::string_view kMembers[] = {"id",           "author",       "downloads", "likes",   "lastModified",
                                         "pipeline_tag", "library_name", "gated",     "private", "tags"};

json::object summary(const json::object& entry) {
  json::object out;
  for (const std::string_view name : kMembers) {
    if (const json::value* value = json::find(entry, name)) out[name] = *value;
  }
  return out;
}

Task<Result<json::value>> ask(OriginalContext context, std::string path, CancelToken cancel) {
  if (!context.tools.hub) {
    co_return fail(ErrorCode::kUnsupported, "this server does not ask the hub", "/operation");
  }
  co_return co_await context.tools.hub(std::move(path), std::move(cancel));
}

Task<Result<Answer>> listed(OriginalContext context, std::string path, std::string what, CancelToken cancel) {
  auto answer = co_await ask(std::move(context), std::move(path), std::move(cancel));
  if (!answer) co_return fail(std::move(answer.error()));
  if (!answer->is_array())
    co_return fail(ErrorCode::kUnavailable, "the hub's answer is not the list that its API describes");
  json::array found;
  for (const json::value& entry : answer->get_array()) {
    if (entry.is_object()) found.push_back(summary(entry.get_object()));
  }
  co_return Answer{fmt::format("{} {}, the most downloaded first", found.size(), what), {{what, std::move(found)}}};
}

// Only GGUF models can run here, so no others are listed.
std::string list_path(std::string_view kind, const HuggingFaceArguments& arguments) {
  std::string path = fmt::format("/api/{}?sort=downloads&direction=-1&limit={}", kind, kMost);
  if (kind == "models") path += "&filter=gguf";
  if (arguments.query && !arguments.query->empty()) path += "&search=" + query_value(*arguments.query);
  if (arguments.author && !arguments.author->empty()) path += "&author=" + query_value(*arguments.author);
  return path;
}

Result<void> no_token(const HuggingFaceArguments& arguments) {
  if (!arguments.token || arguments.token->empty()) return {};
  return fail(ErrorCode::kInvalidArgument,
              "a token is a secret and does not belong into a call: put it into the configuration (models.hub_token, "
              "or the environment variable LLM_MCP_MODELS__HUB_TOKEN)",
              "/token");
}

Task<Result<Answer>> search_models(OriginalContext context, HuggingFaceArguments arguments, mcp::ToolCall call) {
  if (auto fits = no_token(arguments); !fits) co_return fail(fits.error());
  if (!arguments.query || arguments.query->empty()) {
    co_return fail(ErrorCode::kInvalidArgument, "search_models needs \"query\"", "/query");
  }
  co_return co_await listed(std::move(context), list_path("models", arguments), "models", call.cancel);
}

Task<Result<Answer>> list_models(OriginalContext context, HuggingFaceArguments arguments, mcp::ToolCall call) {
  if (auto fits = no_token(arguments); !fits) co_return fail(fits.error());
  co_return co_await listed(std::move(context), list_path("models", arguments), "models", call.cancel);
}

Task<Result<Answer>> list_user_repos(OriginalContext context, HuggingFaceArguments arguments, mcp::ToolCall call) {
  if (auto fits = no_token(arguments); !fits) co_return fail(fits.error());
  if (!arguments.author || arguments.author->empty()) {
    co_return fail(ErrorCode::kInvalidArgument, "list_user_repos needs \"author\"", "/author");
  }
  co_return co_await listed(std::move(context), list_path("models", arguments), "models", call.cancel);
}

Task<Result<Answer>> search_datasets(OriginalContext context, HuggingFaceArguments arguments, mcp::ToolCall call) {
  if (auto fits = no_token(arguments); !fits) co_return fail(fits.error());
  co_return co_await listed(std::move(context), list_path("datasets", arguments), "datasets", call.cancel);
}

struct Repository {
  models::HubSource source;
  std::string text;  // "owner/repo"
};

// model_id or repo_id, checked as the sources of pulls are.
Result<Repository> repository(const HuggingFaceArguments& arguments) {
  const bool by_model = arguments.model_id && !arguments.model_id->empty();
  std::string id = by_model ? *arguments.model_id : arguments.repo_id.value_or("");
  const std::string pointer = by_model || id.empty() ? "/model_id" : "/repo_id";
  if (id.starts_with("hf:")) id.erase(0, 3);
  auto source = models::parse_pull_source("hf:" + id);
  if (id.empty() || !source || !std::holds_alternative<models::HubSource>(*source)) {
    return fail(ErrorCode::kInvalidArgument, "expected owner/repo of a model on the hub", pointer);
  }
  Repository out{std::get<models::HubSource>(*source), {}};
  out.text = out.source.owner + "/" + out.source.repo;
  return out;
}

Task<Result<Answer>> get_model_info(OriginalContext context, HuggingFaceArguments arguments, mcp::ToolCall call) {
  if (auto fits = no_token(arguments); !fits) co_return fail(fits.error());
  auto repo = repository(arguments);
  if (!repo) co_return fail(std::move(repo.error()));
  auto answer =
      co_await ask(std::move(context),
                   fmt::format("/api/models/{}/revision/{}?blobs=true", repo->text, query_value(repo->source.revision)),
                   call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  const auto listing = models::parse_hub_listing(json::write(*answer));
  if (!listing) co_return fail(listing.error());
  json::object data = summary(answer->as_object());
  data["license"] = listing->license;
  json::array& files = data["gguf_files"].emplace_array();
  for (const models::HubFile& file : listing->files) {
    files.push_back(json::object{{"filename", file.path}, {"size", file.size}});
  }
  co_return Answer{fmt::format("{}: {} GGUF files", repo->text, listing->files.size()), std::move(data)};
}

Task<Result<Answer>> download_model(OriginalContext context, HuggingFaceArguments arguments, mcp::ToolCall call) {
  if (auto fits = no_token(arguments); !fits) co_return fail(fits.error());
  auto repo = repository(arguments);
  if (!repo) co_return fail(std::move(repo.error()));
  if (arguments.local_path && !arguments.local_path->empty()) {
    co_return fail(ErrorCode::kUnsupported, "models are kept in the gateway's own store; leave \"local_path\" out",
                   "/local_path");
  }
  std::string selector = repo->source.selector;
  if (arguments.filename && !arguments.filename->empty()) selector = *arguments.filename;
  std::string source = "hf:" + repo->text;
  if (!selector.empty()) source += ":" + selector;
  if (repo->source.revision != "main") source += "@" + repo->source.revision;
  auto answer = co_await pull(std::move(context), std::move(source), {}, std::move(call));
  if (!answer && answer.error().pointer == "/source") {
    Error error = std::move(answer.error());
    error.pointer = "/model_id";
    co_return fail(std::move(error));
  }
  co_return answer;
}

Task<Result<Answer>> whoami(OriginalContext context, HuggingFaceArguments arguments, mcp::ToolCall call) {
  if (auto fits = no_token(arguments); !fits) co_return fail(fits.error());
  auto answer = co_await ask(std::move(context), "/api/whoami-v2", call.cancel);
  if (!answer) co_return fail(std::move(answer.error()));
  const json::object* user = answer->if_object();
  const auto name = user != nullptr ? json::string_or(*user, "name") : std::string_view();
  co_return Answer{fmt::format("the configured token belongs to {}", name.empty() ? "nobody" : name), {{"name", name}}};
}

Task<Result<Answer>> log_in_or_out(OriginalContext, HuggingFaceArguments, mcp::ToolCall) {
  co_return fail(ErrorCode::kUnsupported,
                 "there is no session with the hub: its token is the setting models.hub_token (or the environment "
                 "variable LLM_MCP_MODELS__HUB_TOKEN)",
                 "/operation");
}

Task<Result<Answer>> only_reads(OriginalContext, HuggingFaceArguments, mcp::ToolCall) {
  co_return fail(ErrorCode::kUnsupported,
                 "the gateway only reads from the hub, and keeps models only; use the hub's own program for this",
                 "/operation");
}

using enum access::Permission;

constexpr Operation<HuggingFaceArguments> kOperations[] = {
    {"search_models", "GGUF models by words (query, author)", kModelsRead, search_models},
    {"list_models", "the most downloaded GGUF models (author, query)", kModelsRead, list_models},
    {"get_model_info", "one repository and its GGUF files (model_id)", kModelsRead, get_model_info},
    {"download_model", "install one here (model_id, filename)", kModelsWrite, download_model},
    {"list_user_repos", "models of a user or organisation (author)", kModelsRead, list_user_repos},
    {"search_datasets", "data sets by words (query, author)", kModelsRead, search_datasets},
    {"list_datasets", "the most downloaded data sets (author, query)", kModelsRead, search_datasets},
    {"whoami", "whose token the gateway has", kModelsWrite, whoami},
    {"login", "not possible here", kModelsWrite, log_in_or_out},
    {"logout", "not possible here", kModelsWrite, log_in_or_out},
    {"download_dataset", "not possible here", kModelsWrite, only_reads},
    {"upload_file", "not possible here", kModelsWrite, only_reads},
    {"create_repo", "not possible here", kModelsWrite, only_reads},
    {"delete_repo", "not possible here", kModelsWrite, only_reads},
};

}  // namespace

Result<void> add_hugging_face(mcp::Server& server, const ToolContext& context) {
  return add_portmanteau<HuggingFaceArguments>(
      server, context,
      {{.name = "llm_huggingface",
        .title = "Hugging Face hub",
        .description = "Find models on the hub and install them on this machine.",
        .hints = {.read_only = false, .destructive = false, .idempotent = true, .open_world = true},
        .picture = Picture::kDownload,
        .span = Span::kResumable},
       {"llm_huggingface_tool"}},
      kOperations);
}

}  // namespace llm::tools::original
