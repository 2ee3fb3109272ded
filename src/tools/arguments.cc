#include "tools/arguments.h"

namespace llm::tools {
namespace {

using S = SamplingArguments;

// A field of the common base in the table of T.
template <class T, class M>
json::Field<T> shared(std::string_view name, M S::* member, json::FieldOptions options) {
  return json::field<T, M>(name, member, options);
}

constexpr json::FieldOptions kModel{
    .description =
        "Model name or alias from llm_list_models. Leave out for the default: the configured "
        "one, else one that is loaded, else the smallest."};
constexpr json::FieldOptions kImages{
    .description = "Images the model should look at, as base64 or data: URLs; only for models with vision.",
    .max_items = 64};
constexpr json::FieldOptions kMaxTokens{
    .description =
        "Most tokens to generate. Default: until the model ends or its context is full. Set it: local models "
        "can be slow.",
    .minimum = 1,
    .maximum = 1'000'000'000};
constexpr json::FieldOptions kTemperature{
    .description = "Randomness: 0 always takes the likeliest token, 1 is lively. Default: the model's own.",
    .minimum = 0,
    .maximum = 100};
constexpr json::FieldOptions kTopP{
    .description = "Nucleus sampling: only the likeliest tokens that together have this probability.",
    .minimum = 0,
    .maximum = 1};
constexpr json::FieldOptions kTopK{
    .description = "Only the k likeliest tokens; 0 for all.", .minimum = 0, .maximum = 10'000'000};
constexpr json::FieldOptions kMinP{
    .description = "Drop tokens less likely than this share of the likeliest one.", .minimum = 0, .maximum = 1};
constexpr json::FieldOptions kRepeatPenalty{
    .description = "Above 1 makes repetition less likely.", .minimum = 0, .maximum = 100};
constexpr json::FieldOptions kFrequencyPenalty{
    .description = "Above 0 makes tokens less likely the more often they came.", .minimum = -2, .maximum = 2};
constexpr json::FieldOptions kPresencePenalty{
    .description = "Above 0 makes tokens less likely once they came.", .minimum = -2, .maximum = 2};
constexpr json::FieldOptions kStop{
    .description = "A text or list of texts at which generation ends; they are not part of the answer.",
    .max_items = 64};
constexpr json::FieldOptions kSeed{
    .description = "Makes the answer repeatable.", .minimum = 0, .maximum = 4294967295.0};
constexpr json::FieldOptions kJsonSchema{.description =
                                             "JSON Schema of the answer: the text will be JSON that conforms to it."};
constexpr json::FieldOptions kKeepAlive{
    .description =
        "How long the model stays loaded after this call: \"10m\", seconds, 0 to unload at once, -1 for ever.",
    .minimum = -1};

// What both turn into request members of the same name; json_schema has another name and form there.
template <class Arguments>
Result<json::object> encode_request(const Arguments& arguments) {
  json::object request = json::encode(arguments);
  if (json::value* schema = request.if_contains("json_schema")) {
    if (request.contains("response_format")) {
      return fail(ErrorCode::kInvalidArgument, "give json_schema or response_format, not both", "/response_format");
    }
    request["response_format"] = json::object{
        {"type", "json_schema"}, {"json_schema", json::object{{"name", "answer"}, {"schema", std::move(*schema)}}}};
    request.stable_erase("json_schema");
  }
  return request;
}

}  // namespace

Result<json::object> to_generate_request(const GenerateArguments& arguments) {
  return encode_request(arguments);
}
Result<json::object> to_generate_request(const ChatArguments& arguments) {
  auto request = encode_request(arguments);
  if (request) {
    request->erase("use_tools");
    request->erase("max_turns");
  }
  return request;
}
json::object to_tokenize_request(const TokenizeArguments& arguments) {
  json::object request{{"text", arguments.text}, {"tokens", arguments.include_tokens}};
  if (arguments.model) request["model"] = *arguments.model;
  return request;
}

}  // namespace llm::tools

namespace llm {

using namespace tools;  // NOLINT: the tables below are this file's subject

const json::Table<GenerateArguments>& json::Fields<GenerateArguments>::table() {
  using T = GenerateArguments;
  static const Table<T> table{
      "arguments",
      {
          field("prompt", &T::prompt,
                {.description = "The text to continue, exactly as the model should see it.", .required = true}),
          shared<T>("model", &S::model, kModel),
          shared<T>("max_tokens", &S::max_tokens, kMaxTokens),
          shared<T>("temperature", &S::temperature, kTemperature),
          shared<T>("top_p", &S::top_p, kTopP),
          shared<T>("top_k", &S::top_k, kTopK),
          shared<T>("min_p", &S::min_p, kMinP),
          shared<T>("repeat_penalty", &S::repeat_penalty, kRepeatPenalty),
          shared<T>("frequency_penalty", &S::frequency_penalty, kFrequencyPenalty),
          shared<T>("presence_penalty", &S::presence_penalty, kPresencePenalty),
          shared<T>("stop", &S::stop, kStop),
          shared<T>("seed", &S::seed, kSeed),
          shared<T>("json_schema", &S::json_schema, kJsonSchema),
          shared<T>("images", &S::images, kImages),
          shared<T>("keep_alive", &S::keep_alive, kKeepAlive),
      }};
  return table;
}

const json::Table<ChatMessage>& json::Fields<ChatMessage>::table() {
  using T = ChatMessage;
  static const Table<T> table{
      "message",
      {
          field("role", &T::role,
                {.description = "Who says it: system (instructions), user, assistant (earlier answers), tool (what a "
                                "function returned).",
                 .required = true}),
          field("content", &T::content,
                {.description = "What is said. Only an assistant message with tool_calls may do without."}),
          field(
              "tool_calls", &T::tool_calls,
              {.description = "On assistant messages: the calls the model asked for, as an earlier result gave them."}),
          field("tool_call_id", &T::tool_call_id, {.description = "On tool messages: the id of the call it answers."}),
      }};
  return table;
}

const json::Table<ChatArguments>& json::Fields<ChatArguments>::table() {
  using T = ChatArguments;
  static const Table<T> table{
      "arguments",
      {
          field("messages", &T::messages,
                {.description = "The conversation, oldest first; usually ends with a user message.",
                 .required = true,
                 .min_items = 1}),
          shared<T>("model", &S::model, kModel),
          shared<T>("max_tokens", &S::max_tokens, kMaxTokens),
          shared<T>("temperature", &S::temperature, kTemperature),
          shared<T>("top_p", &S::top_p, kTopP),
          shared<T>("top_k", &S::top_k, kTopK),
          shared<T>("min_p", &S::min_p, kMinP),
          shared<T>("repeat_penalty", &S::repeat_penalty, kRepeatPenalty),
          shared<T>("frequency_penalty", &S::frequency_penalty, kFrequencyPenalty),
          shared<T>("presence_penalty", &S::presence_penalty, kPresencePenalty),
          shared<T>("stop", &S::stop, kStop),
          shared<T>("seed", &S::seed, kSeed),
          shared<T>("json_schema", &S::json_schema, kJsonSchema),
          shared<T>("images", &S::images, kImages),
          field("tools", &T::tools,
                {.description = "Functions the model may ask to call, in the OpenAI form {\"type\":\"function\","
                                "\"function\":{name, description, parameters}}. They are not run: the result's "
                                "tool_calls say what to run.",
                 .max_items = 128}),
          field("tool_choice", &T::tool_choice,
                {.description = "May, must or must not the model call one? Default: auto."}),
          field("response_format", &T::response_format,
                {.description = "{\"type\":\"json_object\"} for any JSON object, or the OpenAI form {\"type\":"
                                "\"json_schema\",\"json_schema\":{\"schema\":{…}}}, for which json_schema is short."}),
          field("use_tools", &T::use_tools,
                {.description = "Tools of bridged servers that the model may run by itself before it answers: names "
                                "from tools/list, patterns such as \"files_*\", or \"*\" for all. The result's "
                                "tool_calls_made tells what it did. Not together with tools.",
                 .max_items = 128}),
          field("max_turns", &T::max_turns,
                {.description = "With use_tools: how often the model may be asked. Default: 8.",
                 .minimum = 1,
                 .maximum = 32}),
          shared<T>("keep_alive", &S::keep_alive, kKeepAlive),
      }};
  return table;
}

const json::Table<EmbedArguments>& json::Fields<EmbedArguments>::table() {
  using T = EmbedArguments;
  static const Table<T> table{
      "arguments",
      {
          field("input", &T::input,
                {.description = "A text, or a list of texts; each gets one vector.",
                 .required = true,
                 .min_items = 1,
                 .max_items = 2048}),
          field("model", &T::model,
                {.description = "An embedding model's name from llm_list_models. Leave out to have one chosen."}),
          field("dimensions", &T::dimensions,
                {.description = "Length of the vectors, for models that can shorten theirs.",
                 .minimum = 1,
                 .maximum = 65'536}),
      }};
  return table;
}

const json::Table<RerankArguments>& json::Fields<RerankArguments>::table() {
  using T = RerankArguments;
  static const Table<T> table{
      "arguments",
      {
          field("query", &T::query, {.description = "What the documents should be about.", .required = true}),
          field("documents", &T::documents,
                {.description = "Texts to rank, each shorter than the model's context.",
                 .required = true,
                 .min_items = 1,
                 .max_items = 2048}),
          field("top_n", &T::top_n, {.description = "Only the best n. Default: all.", .minimum = 1}),
          field("model", &T::model,
                {.description = "A reranking model's name from llm_list_models. Leave out to have one chosen."}),
      }};
  return table;
}

const json::Table<TokenizeArguments>& json::Fields<TokenizeArguments>::table() {
  using T = TokenizeArguments;
  static const Table<T> table{
      "arguments",
      {
          field("text", &T::text, {.description = "The text to count.", .required = true}),
          field("model", &T::model,
                {.description = "Whose tokens: each model splits text in its own way. Leave out for "
                                "the default model."}),
          field("include_tokens", &T::include_tokens, {.description = "Give the tokens' numbers, too."}),
      }};
  return table;
}

const json::Table<NoArguments>& json::Fields<NoArguments>::table() {
  static const Table<NoArguments> table{"arguments", {}};
  return table;
}

const json::Table<ModelInfoArguments>& json::Fields<ModelInfoArguments>::table() {
  using T = ModelInfoArguments;
  static const Table<T> table{
      "arguments",
      {
          field("model", &T::model, kModel),
          field("include_chat_template", &T::include_chat_template,
                {.description = "Add the model's chat template, a long text that is seldom needed."}),
      }};
  return table;
}

const json::Table<LoadArguments>& json::Fields<LoadArguments>::table() {
  using T = LoadArguments;
  static const Table<T> table{
      "arguments",
      {
          field("model", &T::model, kModel),
          field("keep_alive", &T::keep_alive,
                {.description = "How long it stays loaded without use: \"10m\", seconds, -1 for ever. Default: as "
                                "configured.",
                 .minimum = -1}),
      }};
  return table;
}

const json::Table<UnloadArguments>& json::Fields<UnloadArguments>::table() {
  using T = UnloadArguments;
  static const Table<T> table{
      "arguments",
      {
          field("model", &T::model,
                {.description = "Name or alias of a loaded model. May be left out when only one is loaded."}),
          field("force", &T::force, {.description = "Unload even while requests use it; they fail."}),
      }};
  return table;
}

const json::Table<PullArguments>& json::Fields<PullArguments>::table() {
  using T = PullArguments;
  static const Table<T> table{
      "arguments",
      {
          field("source", &T::source,
                {.description = "Where the model is: \"hf:owner/repo:quantisation-or-file\" on the hub, or an https:// "
                                "address of a GGUF file.",
                 .required = true,
                 .min_length = 1}),
          field("name", &T::name, {.description = "What to call it here. Default: made from the source."}),
          field("sha256", &T::sha256,
                {.description = "Expected SHA-256 of the file as 64 hex digits; another file is refused.",
                 .min_length = 64,
                 .max_length = 64}),
      }};
  return table;
}

const json::Table<RemoveArguments>& json::Fields<RemoveArguments>::table() {
  using T = RemoveArguments;
  static const Table<T> table{
      "arguments",
      {
          field("model", &T::model,
                {.description = "Name of the installed model to delete, as llm_list_models gives it.",
                 .required = true,
                 .min_length = 1}),
          field("confirm", &T::confirm,
                {.description = "Set it only after the user has agreed to delete this very model. Not needed where the "
                                "user is asked directly."}),
      }};
  return table;
}

const json::Table<HelpArguments>& json::Fields<HelpArguments>::table() {
  static const Table<HelpArguments> table{
      "arguments",
      {field("topic", &HelpArguments::topic, {.description = "What to explain. Default: overview, which names all."})}};
  return table;
}

}  // namespace llm
