#include "tools/help_topics.h"

namespace llm::tools {
namespace {

constexpr std::string_view kOverview =
    R"(These tools run language models on the user's own machine. Nothing is sent elsewhere.

llm_chat         questions, instructions, summaries, extraction, vision; the usual choice
llm_generate     continue a text exactly as given (base models, code completion)
llm_embed        vectors of texts, for programs
llm_rerank       which of these texts answer a query best
llm_tokenize     how many tokens a text is
llm_list_models  what is installed; llm_model_info tells all about one
llm_load_model   load now instead of at the first call; llm_unload_model frees memory
llm_pull_model   download a model
llm_status       what is running, what failed, how much memory is left

You need not name a model: the configured default is taken, else one that is loaded, else the smallest that can do it.
Set max_tokens: a small machine writes a few tokens a second. Only what is installed and switched on is listed; the
topics of llm_help are overview, models, chat, structured_output, vectors, errors, resources.)";

constexpr std::string_view kModels =
    R"(llm_list_models names what is installed. `mode` says what for: generation (llm_chat, llm_generate), embedding
(llm_embed), rerank (llm_rerank). `state` ready means loaded; every other model is loaded by the first call that uses it.

To get one: llm_pull_model with source "hf:owner/repo:quantisation" (for example "hf:Qwen/Qwen3-4B-GGUF:Q4_K_M"),
"hf:owner/repo:file.gguf", or an https:// address of a GGUF file; on the command line `llm-mcp pull` does the same and
`llm-mcp import FILE` takes a file that is there already. Ask the user first: models are gigabytes. As a rule a
model needs memory a little above the size of its file; Q4_K_M is a good first choice, smaller quantisations lose
quality. A download that was cut goes on when it is asked for again.

Loaded models are unloaded when nobody uses them for a while (keep_alive) and when another model needs the memory.
llm_unload_model frees memory and deletes nothing; llm_remove_model (toolset admin) deletes the file.)";

constexpr std::string_view kChat =
    R"(llm_chat takes messages, the oldest first: {"messages":[{"role":"system","content":"Answer in one sentence."},
{"role":"user","content":"Why is the sky blue?"}],"max_tokens":200}. Nothing is remembered: send the whole conversation.

temperature 0 for facts, code and extraction; 0.7 to 1 for ideas. seed makes an answer repeatable.
Small models follow short, concrete instructions with one example far better than long ones. Give them one task a call.
images: base64 or data: URLs, for models that can see; addresses are not fetched.
tools: functions in the OpenAI form. They are not run: read tool_calls, run them, send each result as a message
{"role":"tool","tool_call_id":id,"content":text} behind the assistant message that holds the tool_calls.
finish_reason "length" means the answer was cut by max_tokens or by the context; ask for more or for less.
A call that is cancelled stops the model at once. With a progress token you get the text while it is written.)";

constexpr std::string_view kStructured =
    R"(To get JSON, give llm_chat (or llm_generate) json_schema: {"json_schema":{"type":"object","properties":{"name":
{"type":"string"},"year":{"type":"integer"}},"required":["name"],"additionalProperties":false}}. The model can then write
nothing that does not conform, unless max_tokens cuts it (finish_reason "length").

Say in the prompt what the members mean; the schema alone forces the form, not the sense. Keep schemas flat, mark as
required only what the text always tells, use enum for choices, and allow null or absence for what may be missing, or
the model has to invent it. temperature 0. response_format {"type":"json_object"} asks for some JSON object without a
schema.)";

constexpr std::string_view kVectors =
    R"(llm_embed needs a model of mode embedding, llm_rerank one of mode rerank; llm_list_models shows whether there is one.
Without `model` the right kind is chosen.

Compare vectors of the same model only, by cosine similarity. Many embedding models want a prefix such as "query: " or
"passage: "; their card says so (llm_model_info, or the resource llm://models/{name}). Texts longer than the model's
context are an error, not cut.
To find passages: embed them once, take the 20 to 50 nearest to the question, then let llm_rerank choose the best few.)";

constexpr std::string_view kErrors =
    R"(An error's text says what was wrong, with the JSON Pointer of the argument, and what to do. What they mean:

invalid_argument         an argument is wrong; correct it and call again
not_found                no such model (the nearest names are given), or none installed: see topic models
unsupported              this model cannot do that (embeddings, tools, images); choose another
context_length_exceeded  prompt and answer do not fit the model; shorten the text (llm_tokenize) or take a model with a
                         larger context_length. Nothing is ever cut silently
insufficient_memory      the model does not fit beside what is loaded; llm_unload_model another, or take a smaller one
overloaded               too many requests wait; try again after the time that is given
unavailable              still loading, restarting or stopping; try again
engine_failed            the engine crashed or refused; llm_status has the reason, llm://logs/{engine} its last lines
engine_timeout           the engine did not answer in time; llm_status shows whether it works
conflict                 the state does not allow it now, such as removing what another engine owns
already_exists           the name is taken by another file; pull under another name
disk_full, io_error      the machine's disk; tell the user
permission_denied        the caller may not do that; do not try again)";

constexpr std::string_view kResources =
    R"(Resources hold the same facts for clients that attach them to a conversation:

llm://models          what is installed (JSON)
llm://models/{name}   one model's card: facts, licence, parameters, settings, memory estimate, chat template
llm://engines         what is loaded and what it is doing
llm://status          the gateway and the machine in numbers
llm://logs/{engine}   the last lines that a model's engine wrote; neither prompts nor answers stand in them

{name} and {engine} are model names; a '/' in a name is written %2F. A client may subscribe to them and hears when a
model is loaded, unloaded, pulled or removed. Prompts: summarise, extract_to_json, translate, review_code,
compare_models.)";

}  // namespace

std::string_view help_text(HelpTopic topic) {
  switch (topic) {
    case HelpTopic::kOverview:
      return kOverview;
    case HelpTopic::kModels:
      return kModels;
    case HelpTopic::kChat:
      return kChat;
    case HelpTopic::kStructured:
      return kStructured;
    case HelpTopic::kVectors:
      return kVectors;
    case HelpTopic::kErrors:
      return kErrors;
    case HelpTopic::kResources:
      return kResources;
  }
  return kOverview;
}

}  // namespace llm::tools
