// refuse_steering(): fields that would steer the server instead of the model.
#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

#include "inference/guards.h"

namespace llm::inference {
namespace {

enum class Why : std::uint8_t { kServer, kCredential, kRouting, kTemplate, kFile, kEngine, kSalt };

std::string_view reason(Why why) {
  switch (why) {
    case Why::kServer:
      return "where requests go and what is told of them is set in the configuration of the gateway";
    case Why::kCredential:
      return "credentials of upstream servers are set in the configuration of the gateway";
    case Why::kRouting:
      return "which model serves a request is chosen by its \"model\" and the configuration of the gateway";
    case Why::kTemplate:
      return "templates and parsers belong to the model";
    case Why::kFile:
      return "files, adapters and code of an engine are set in the configuration of the gateway";
    case Why::kEngine:
      return "it is an internal of the engine";
    case Why::kSalt:
      return "the gateway sets it, so that projects cannot see each other's cache";
  }
  return {};
}

// `everywhere`: also among the caller's own labels (`metadata`), where words such as "template" mean nothing.
struct Refused {
  std::string_view name;  // lower case, without '_' and '-': "baseUrl" is "base_url" to somebody
  Why why;
  bool everywhere = false;
};

// Sorted by name.
constexpr auto kRefused = std::to_array<Refused>({
    {"adapterid", Why::kFile},
    {"adapterpath", Why::kFile},
    {"adapters", Why::kFile},
    {"adaptersource", Why::kFile},
    {"apibase", Why::kServer, true},
    {"apihost", Why::kServer, true},
    {"apikey", Why::kCredential, true},
    {"apikeys", Why::kCredential, true},
    {"apitoken", Why::kCredential, true},
    {"apitype", Why::kServer},
    {"apiurl", Why::kServer, true},
    {"apiversion", Why::kServer},
    {"authorization", Why::kCredential, true},
    {"awsaccesskeyid", Why::kCredential, true},
    {"awsregionname", Why::kServer},
    {"awssecretaccesskey", Why::kCredential, true},
    {"awssessiontoken", Why::kCredential, true},
    {"azureadtoken", Why::kCredential, true},
    {"azureendpoint", Why::kServer, true},
    {"baseurl", Why::kServer, true},
    {"bootstraphost", Why::kServer, true},
    {"bootstrapport", Why::kServer, true},
    {"bootstraproom", Why::kEngine},
    {"cachesalt", Why::kSalt},
    {"callback", Why::kServer},
    {"callbacks", Why::kServer},
    {"callbackurl", Why::kServer, true},
    {"chatformat", Why::kTemplate},
    {"chatparser", Why::kTemplate},
    {"chattemplate", Why::kTemplate, true},
    {"chattemplatefile", Why::kTemplate, true},
    {"customchattemplate", Why::kTemplate, true},
    {"customllmprovider", Why::kRouting},
    {"customlogitprocessor", Why::kFile, true},
    {"customparams", Why::kFile},
    {"dataparallelrank", Why::kEngine},
    {"defaultheaders", Why::kServer},
    {"disaggregatedparams", Why::kServer},
    {"draftmodel", Why::kFile},
    {"endpointurl", Why::kServer, true},
    {"engineargs", Why::kEngine, true},
    {"enginekwargs", Why::kEngine, true},
    {"extraargs", Why::kEngine, true},
    {"extraheaders", Why::kServer, true},
    {"extrakey", Why::kSalt},
    {"failurecallback", Why::kServer},
    {"fallbacks", Why::kRouting},
    {"generationprompt", Why::kTemplate},
    {"gpulayers", Why::kEngine},
    {"gpumemoryutilization", Why::kEngine},
    {"grammarlazy", Why::kTemplate},
    {"grammartriggers", Why::kTemplate},
    {"grammartype", Why::kTemplate},
    {"guideddecodingbackend", Why::kEngine},
    {"headers", Why::kServer},
    {"hftoken", Why::kCredential, true},
    {"httpproxy", Why::kServer, true},
    {"httpsproxy", Why::kServer, true},
    {"idslot", Why::kEngine},
    {"imagedata", Why::kFile},
    {"inputembeds", Why::kFile},
    {"kvtransferparams", Why::kServer, true},
    {"litellmparams", Why::kServer, true},
    {"logitsprocessors", Why::kFile, true},
    {"lora", Why::kFile},
    {"loraname", Why::kFile},
    {"lorapath", Why::kFile, true},
    {"lorarequest", Why::kFile, true},
    {"loras", Why::kFile},
    {"lowvram", Why::kEngine},
    {"maingpu", Why::kEngine},
    {"maxmodellen", Why::kEngine},
    {"mediaiokwargs", Why::kEngine},
    {"messagedelimiters", Why::kTemplate},
    {"mmprocessorkwargs", Why::kEngine},
    {"mmproj", Why::kFile},
    {"modeldir", Why::kFile},
    {"modelfile", Why::kFile, true},
    {"modelkwargs", Why::kEngine},
    {"modellist", Why::kRouting},
    {"modelpath", Why::kFile, true},
    {"models", Why::kRouting},
    {"nctx", Why::kEngine},
    {"ngpulayers", Why::kEngine},
    {"nthreads", Why::kEngine},
    {"numa", Why::kEngine},
    {"numbatch", Why::kEngine},
    {"numctx", Why::kEngine},
    {"numgpu", Why::kEngine},
    {"numthread", Why::kEngine},
    {"numthreads", Why::kEngine},
    {"parsetoolcalls", Why::kTemplate},
    {"preservedtokens", Why::kTemplate},
    {"priority", Why::kRouting},
    {"promptembeds", Why::kFile},
    {"prompttemplate", Why::kTemplate},
    {"proxies", Why::kServer},
    {"proxy", Why::kServer},
    {"remotehost", Why::kServer, true},
    {"remoteport", Why::kServer, true},
    {"requestid", Why::kEngine},
    {"responsefields", Why::kEngine},
    {"rid", Why::kEngine},
    {"routeddprank", Why::kEngine},
    {"serverargs", Why::kEngine, true},
    {"serverurl", Why::kServer, true},
    {"sessionparams", Why::kEngine},
    {"slotid", Why::kEngine},
    {"speculativeconfig", Why::kEngine},
    {"successcallback", Why::kServer},
    {"template", Why::kTemplate},
    {"tensorparallelsize", Why::kEngine},
    {"tokenizer", Why::kFile},
    {"tokenizerpath", Why::kFile, true},
    {"trustremotecode", Why::kFile, true},
    {"usemlock", Why::kEngine},
    {"usemmap", Why::kEngine},
    {"userconfig", Why::kServer, true},
    {"vertexcredentials", Why::kCredential, true},
    {"vllmxargs", Why::kEngine},
    {"webhook", Why::kServer},
    {"webhookurl", Why::kServer, true},
});
static_assert(std::ranges::is_sorted(kRefused, {}, &Refused::name));

constexpr std::size_t kLongestName = 32;
static_assert(std::ranges::all_of(kRefused, [](const Refused& row) { return row.name.size() <= kLongestName; }));

// The row of this member's name; null: nobody minds it.
const Refused* refused_name(std::string_view name) {
  std::array<char, kLongestName> squashed;
  std::size_t size = 0;
  for (const char c : name) {
    if (c == '_' || c == '-') continue;
    if (size == squashed.size()) return nullptr;
    squashed[size++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  const std::string_view text(squashed.data(), size);
  const auto row = std::ranges::lower_bound(kRefused, text, {}, &Refused::name);
  return row != kRefused.end() && row->name == text ? &*row : nullptr;
}

std::unexpected<Error> refuse(std::string_view name, std::string_view why, std::string pointer) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not taken from requests: {}", name, why),
              std::move(pointer));
}

std::string_view key_of(const json::object::value_type& member) {
  return {member.key().data(), member.key().size()};
}

// What the client says to the model: any word may stand there, only addresses may not.
bool is_speech(std::string_view name) {
  static constexpr std::array<std::string_view, 7> kSpeech{"content", "documents", "input", "messages",
                                                           "prompt",  "query",     "texts"};
  return std::ranges::find(kSpeech, name) != kSpeech.end();
}

// Schemas and grammars of the client's own making, and numbers by token: any word may stand there.
bool is_free(std::string_view name) {
  static constexpr std::array<std::string_view, 12> kFree{
      "ebnf",        "format",       "function_call", "grammar",    "guided_choice",   "guided_grammar",
      "guided_json", "guided_regex", "json_schema",   "logit_bias", "response_format", "structural_tag"};
  return std::ranges::find(kFree, name) != kFree.end();
}

// Variables of chat templates that models document. Everything else is a way into the template.
Result<void> check_template_arguments(const json::value& value, const std::string& pointer) {
  static constexpr std::array<std::string_view, 10> kKnown{
      "add_vision_id",     "clear_thinking",   "date_string", "enable_thinking", "model_identity",
      "preserve_thinking", "reasoning_effort", "thinking",    "thinking_budget", "thinking_mode"};
  static constexpr std::size_t kLongestValue = 256;
  if (value.is_null()) return {};
  if (!value.is_object()) return fail(ErrorCode::kInvalidArgument, "expected an object", pointer);
  for (const auto& member : value.get_object()) {
    const auto name = key_of(member);
    const auto& given = member.value();
    if (std::ranges::find(kKnown, name) == kKnown.end()) {
      return refuse(name, reason(Why::kTemplate), json::pointer_join(pointer, name));
    }
    const bool plain = given.is_null() || given.is_bool() || given.is_number() ||
                       (given.is_string() && given.get_string().size() <= kLongestValue);
    if (!plain) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("expected true, false, a number or a text of at most {} bytes", kLongestValue),
                  json::pointer_join(pointer, name));
    }
  }
  return {};
}

// Would an engine open what this member of a content part names?
bool opens(std::string_view name, std::string_view text, bool document) {
  if (text.empty() || text.starts_with("data:")) return false;
  if (name.ends_with("_url")) return true;
  if (document) return false;                              // a document says where it comes from
  if (name == "data") return text.find(':') != text.npos;  // Base64 has none
  static constexpr std::array<std::string_view, 7> kNames{"audio", "file", "image", "path", "uri", "url", "video"};
  return std::ranges::find(kNames, name) != kNames.end();
}

// Addresses in what is said: an engine would open them from inside the network, on a stranger's behalf. `document`:
// directly in a document to rank or to answer from.
Result<void> check_media(const json::value& value, const std::string& pointer, bool document) {
  if (value.is_array()) {
    const auto& list = value.get_array();
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (!list[i].is_structured()) continue;
      if (auto fine = check_media(list[i], fmt::format("{}/{}", pointer, i), document); !fine) return fine;
    }
    return {};
  }
  if (!value.is_object()) return {};
  for (const auto& member : value.get_object()) {
    const auto name = key_of(member);
    const auto& given = member.value();
    if (given.is_structured()) {
      // What an assistant called and cited is only text to an engine.
      if (name == "tool_calls" || name == "annotations") continue;
      if (auto fine = check_media(given, json::pointer_join(pointer, name), false); !fine) return fine;
    } else if (given.is_string() && opens(name, given.get_string(), document)) {
      return fail(ErrorCode::kInvalidArgument, "media are taken as data: URLs only; nothing is fetched from addresses",
                  json::pointer_join(pointer, name));
    }
  }
  return {};
}

struct Range {
  std::string_view name;
  std::int64_t low;
};

// Integers that llama-server takes without looking, and up to what fits its type.
constexpr auto kIntegers = std::to_array<Range>({{"n_cache_reuse", 0},
                                                 {"n_discard", 0},
                                                 {"n_indent", 0},
                                                 {"n_keep", -1},
                                                 {"sse_ping_interval", -1},
                                                 {"t_max_predict_ms", -1},
                                                 {"t_max_prompt_ms", -1}});
constexpr std::int64_t kMostInteger = 2'147'483'647;

Result<void> check_integer(std::string_view name, const json::value& value, const std::string& pointer) {
  const auto row = std::ranges::find(kIntegers, name, &Range::name);
  if (row == kIntegers.end() || value.is_null()) return {};
  const double number = value.is_number() ? value.to_number<double>() : std::nan("");
  if (number >= static_cast<double>(row->low) && number <= static_cast<double>(kMostInteger) &&
      number == std::trunc(number)) {
    return {};
  }
  return fail(ErrorCode::kInvalidArgument, fmt::format("expected an integer between {} and {}", row->low, kMostInteger),
              json::pointer_join(pointer, name));
}

Result<void> check_tools(const json::value& tools, const std::string& pointer);

// `labels`: below `metadata`.
Result<void> check_object(const json::object& object, const std::string& pointer, bool labels);

Result<void> check_value(const json::value& value, const std::string& pointer, bool labels) {
  if (value.is_object()) return check_object(value.get_object(), pointer, labels);
  if (!value.is_array()) return {};
  const auto& list = value.get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_structured()) continue;
    if (auto fine = check_value(list[i], fmt::format("{}/{}", pointer, i), labels); !fine) return fine;
  }
  return {};
}

Result<void> check_object(const json::object& object, const std::string& pointer, bool labels) {
  for (const auto& member : object) {
    const auto name = key_of(member);
    const auto& value = member.value();
    if (value.is_null()) continue;
    if (const auto* row = refused_name(name); row && (row->everywhere || !labels)) {
      return refuse(name, reason(row->why), json::pointer_join(pointer, name));
    }
    if (labels) {
      if (auto fine = check_value(value, json::pointer_join(pointer, name), true); !fine) return fine;
      continue;
    }
    if (name.starts_with("speculative.")) {
      return refuse(name, reason(Why::kEngine), json::pointer_join(pointer, name));
    }
    if (!value.is_structured() && name != "chat_template_kwargs") {
      if (auto fine = check_integer(name, value, pointer); !fine) return fine;
      continue;
    }
    const std::string below = json::pointer_join(pointer, name);
    Result<void> fine;
    if (name == "chat_template_kwargs") {
      fine = check_template_arguments(value, below);
    } else if (name == "tools" || name == "functions") {
      fine = check_tools(value, below);
    } else if (is_speech(name)) {
      fine = check_media(value, below, name == "documents");
    } else if (!is_free(name)) {
      fine = check_value(value, below, name == "metadata");
    }
    if (!fine) return fine;
  }
  return {};
}

// Tools that a server would run itself name it ("server_url"); what describes a function is the client's own.
Result<void> check_tools(const json::value& tools, const std::string& pointer) {
  if (!tools.is_array()) return check_value(tools, pointer, false);
  const auto& list = tools.get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_object()) continue;
    for (const auto& member : list[i].get_object()) {
      const auto name = key_of(member);
      if (name == "function" || name == "parameters" || name == "input_schema") continue;
      const std::string below = fmt::format("{}/{}", pointer, i);
      if (const auto* row = refused_name(name)) {
        return refuse(name, reason(row->why), json::pointer_join(below, name));
      }
      if (auto fine = check_value(member.value(), json::pointer_join(below, name), false); !fine) return fine;
    }
  }
  return {};
}

}  // namespace

Result<void> refuse_steering(const json::object& body) {
  return check_object(body, "", false);
}

}  // namespace llm::inference
