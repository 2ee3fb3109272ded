#include "mcp/prompt_methods.h"

#include <algorithm>
#include <expected>
#include <fmt/format.h>
#include <utility>

#include "base/strings.h"
#include "mcp/authorization.h"
#include "mcp/pages.h"

namespace llm::mcp {
namespace {

using Strings = std::map<std::string, std::string, std::less<>>;
using SharedPrompt = std::shared_ptr<const Prompt>;

constexpr std::size_t kMostCompletions = 100;  // MCP "Completion"

std::string write_entry(const Prompt& prompt, const Revision& revision) {
  json::object out{{"name", prompt.name}};
  if (revision.titles && !prompt.title.empty()) out["title"] = prompt.title;
  if (!prompt.description.empty()) out["description"] = prompt.description;
  if (revision.icons && !prompt.icons.empty()) out["icons"] = to_json(prompt.icons);
  if (prompt.arguments.empty()) return json::write(out);
  json::array arguments;
  for (const auto& argument : prompt.arguments) {
    json::object entry{{"name", argument.name}};
    if (revision.titles && !argument.title.empty()) entry["title"] = argument.title;
    if (!argument.description.empty()) entry["description"] = argument.description;
    entry["required"] = argument.required;
    arguments.push_back(std::move(entry));
  }
  out["arguments"] = std::move(arguments);
  return json::write(out);
}

// An object of strings; absent and null count as empty.
std::expected<Strings, Refusal> read_strings(const json::value* found, const std::string& pointer) {
  Strings out;
  if (found == nullptr || found->is_null()) return out;
  if (!found->is_object()) return std::unexpected(invalid_params("arguments must be an object of strings.", pointer));
  for (const auto& member : found->get_object()) {
    if (!member.value().is_string()) {
      return std::unexpected(
          invalid_params("an argument must be a string.", json::pointer_join(pointer, member.key())));
    }
    out.emplace(member.key(), member.value().get_string());
  }
  return out;
}

Refusal refusal_of(const Error& error) {
  const bool theirs = error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kNotFound;
  return {theirs ? kInvalidParams : kInternalError, to_string(error), {}};
}

std::expected<SharedPrompt, Refusal> find_prompt(const Server& server, std::string_view name, std::string_view pointer,
                                                 const access::Principal& caller) {
  const auto prompts = server.prompts().prompts();
  const auto found = std::ranges::find_if(*prompts, [&](const auto& one) { return one->name == name; });
  if (found != prompts->end()) {
    if (caller.may((*found)->permission)) return *found;
    return std::unexpected(not_permitted((*found)->permission));
  }
  std::vector<std::string> names;
  for (const auto& prompt : *prompts) {
    if (caller.may(prompt->permission)) names.push_back(prompt->name);
  }
  const auto close = nearest(name, names, 1);
  return std::unexpected(
      invalid_params(fmt::format("unknown prompt '{}'.{}", name.substr(0, 128),
                                 close.empty() ? std::string() : fmt::format(" Did you mean '{}'?", close.front())),
                     pointer));
}

std::string write_prompt_result(const Server& server, const Revision& revision, const PromptResult& result) {
  json::array messages;
  for (const auto& message : result.messages) {
    messages.push_back(json::object{{"role", message.role}, {"content", message.content}});
  }
  std::string out = revision.modern ? R"({"resultType":"complete",)" : "{";
  if (!result.description.empty()) {
    out.append(R"("description":)");
    json::append_quoted(out, result.description);
    out.push_back(',');
  }
  out.append(R"("messages":)").append(json::write(messages));
  if (revision.modern) out.append(server.meta_member());
  out.push_back('}');
  return out;
}

Task<Round> render(const Server* server, const Revision* revision, SharedPrompt prompt, Strings arguments,
                   Context context) {
  PromptCall call;
  static_cast<Context&>(call) = std::move(context);
  call.arguments = std::move(arguments);
  auto result = co_await prompt->handler(std::move(call));
  if (!result) co_return Round{.refusal = refusal_of(result.error())};
  if (result->input_required) co_return Round{.input_required = std::move(result->input_required)};
  co_return Round{.result = write_prompt_result(*server, *revision, *result)};
}

std::string write_completion(const Server& server, const Revision& revision, std::vector<std::string> values) {
  const std::size_t total = values.size();
  if (values.size() > kMostCompletions) values.resize(kMostCompletions);
  const json::array shown(values.begin(), values.end());
  std::string out = revision.modern ? R"({"resultType":"complete",)" : "{";
  out.append(fmt::format(R"("completion":{{"values":{},"total":{},"hasMore":{}}})", json::write(shown), total,
                         total > kMostCompletions));
  if (revision.modern) out.append(server.meta_member());
  out.push_back('}');
  return out;
}

Task<Round> run_completer(const Server* server, const Revision* revision, Completer completer,
                          CompletionRequest request, Context context) {
  static_cast<Context&>(request) = std::move(context);
  auto values = co_await completer(std::move(request));
  if (!values) co_return Round{.refusal = refusal_of(values.error())};
  co_return Round{.result = write_completion(*server, *revision, std::move(*values))};
}

// The completer of what `ref` and `argument` name; an empty one if nothing is known about that argument.
std::expected<Completer, Refusal> find_completer(const Server& server, const json::object& ref,
                                                 std::string_view argument, const access::Principal& caller) {
  const std::string_view type = json::string_or(ref, "type");
  if (type == "ref/prompt") {
    const auto prompt = find_prompt(server, json::string_or(ref, "name"), "/params/ref/name", caller);
    if (!prompt) return std::unexpected(prompt.error());
    for (const auto& one : (*prompt)->arguments) {
      if (one.name == argument) return one.complete;
    }
    return std::unexpected(invalid_params(fmt::format("the prompt has no argument '{}'.", argument.substr(0, 128)),
                                          "/params/argument/name"));
  }
  if (type == "ref/resource") {
    const std::string_view uri = json::string_or(ref, "uri");
    const auto resources = server.resources().resources();
    for (const auto& one : resources->templates) {
      if (one.info.uri_template != uri) continue;
      if (!caller.may(one.info.permission)) return std::unexpected(not_permitted(one.info.permission));
      const auto found = one.complete.find(argument);
      return found != one.complete.end() ? found->second : Completer();
    }
    const auto fixed = std::ranges::any_of(resources->fixed, [&](const auto& one) { return one.info.uri == uri; });
    if (fixed) return Completer();
    return std::unexpected(invalid_params("unknown resource template.", "/params/ref/uri"));
  }
  return std::unexpected(invalid_params("expected \"ref/prompt\" or \"ref/resource\".", "/params/ref/type"));
}

}  // namespace

void list_prompts(const Server& server, Calls& calls, const Origin& origin, const json::object& params,
                  const ReplyTo& to) {
  std::vector<std::string> entries;
  for (const auto& prompt : *server.prompts().prompts()) {
    if (origin.caller->principal.may(prompt->permission)) entries.push_back(write_entry(*prompt, *origin.revision));
  }
  const std::vector<std::string_view> views(entries.begin(), entries.end());
  const auto page = write_page(server, *origin.revision, params, "prompts", views);
  if (!page) return calls.refuse(to, page.error());
  calls.answer(to, *page);
}

void get_prompt(const Server& server, Calls& calls, Origin origin, const json::object& params, ReplyTo to) {
  const json::value* name = json::find(params, "name");
  if (name == nullptr || !name->is_string()) {
    return calls.refuse(to, invalid_params("the prompt's name must be given as a string.", "/params/name"));
  }
  auto prompt = find_prompt(server, name->get_string(), "/params/name", origin.caller->principal);
  if (!prompt) return calls.refuse(to, prompt.error());
  auto arguments = read_strings(json::find(params, "arguments"), "/params/arguments");
  if (!arguments) return calls.refuse(to, arguments.error());
  for (const auto& argument : (*prompt)->arguments) {
    if (!argument.required || arguments->contains(argument.name)) continue;
    return calls.refuse(
        to, invalid_params(fmt::format("the prompt needs the argument '{}'.", argument.name), "/params/arguments"));
  }
  if (const auto refusal = read_request_meta(params, origin)) return calls.refuse(to, *refusal);
  const Revision& revision = *origin.revision;
  auto binding = [prompt = *prompt, arguments = *arguments] {
    json::object given;
    for (const auto& [key, value] : arguments) given[key] = value;
    return fmt::format("prompts/get\n{}\n{}", prompt->name, json::write(given));
  };
  calls.start(std::move(to), std::move(origin), std::move(binding),
              [server = &server, revision = &revision, prompt = std::move(*prompt), arguments = std::move(*arguments)](
                  Context context) { return render(server, revision, prompt, arguments, std::move(context)); });
}

void complete(const Server& server, Calls& calls, Origin origin, const json::object& params, ReplyTo to) {
  const json::value* ref = json::find(params, "ref");
  if (ref == nullptr || !ref->is_object()) {
    return calls.refuse(to, invalid_params("a reference to a prompt or resource template is needed.", "/params/ref"));
  }
  const json::value* argument = json::find(params, "argument");
  const json::object* fields = argument != nullptr ? argument->if_object() : nullptr;
  const json::value* name = fields != nullptr ? json::find(*fields, "name") : nullptr;
  if (name == nullptr || !name->is_string()) {
    return calls.refuse(to, invalid_params("the argument's name must be given as a string.", "/params/argument/name"));
  }
  auto completer = find_completer(server, ref->get_object(), name->get_string(), origin.caller->principal);
  if (!completer) return calls.refuse(to, completer.error());
  const Revision& revision = *origin.revision;
  if (!*completer) return calls.answer(to, write_completion(server, revision, {}));

  CompletionRequest request;
  request.argument = name->get_string();
  request.value = json::string_or(*fields, "value");
  const json::value* context = json::find(params, "context");
  const json::object* chosen = context != nullptr ? context->if_object() : nullptr;
  if (chosen != nullptr) {
    auto strings = read_strings(json::find(*chosen, "arguments"), "/params/context/arguments");
    if (!strings) return calls.refuse(to, strings.error());
    request.chosen = std::move(*strings);
  }
  calls.start(
      std::move(to), std::move(origin), [] { return std::string(); },
      [server = &server, revision = &revision, completer = std::move(*completer), request = std::move(request)](
          Context inner) { return run_completer(server, revision, completer, request, std::move(inner)); });
}

}  // namespace llm::mcp
