#pragma once

#include <functional>
#include <string>

#include "async/cancel.h"
#include "async/task.h"
#include "base/error.h"
#include "json/json.h"

namespace llm::inference {

// Hears what happens while a call runs. Called on the caller's loop; an error returned by it ends the call.
//   {"status":"loading","model":…,"phase":…,"progress":0.4}        the model is being loaded (fraction 0..1)
//   {"text":"…","tokens":7}                                        generate: the next piece; tokens so far
//   {"status":"downloading","bytes_done":…,"bytes_total":…}        pull, import (bytes_total 0: unknown)
using EventSink = std::function<Task<Result<void>>(json::object event)>;

// Everything a person or program can ask of the gateway, independent of the protocol it comes by. REST, WebSocket, the
// MCP tools and the command line are written against this; one implementation works in the process, one over HTTP.
// Requests and answers have the JSON shapes of the REST API (docs/api.md), each declared once by its field table. All
// calls validate their request; errors carry JSON Pointers into it. Cancel ends the work, not only the waiting.
class ModelApi {
 public:
  virtual ~ModelApi() = default;

  // GenerateRequest (inference/generate.h) -> {id, model, text, finish_reason, usage, timings, logprobs?, tool_calls?}.
  // With a sink the text also comes piece by piece.
  virtual Task<Result<json::object>> generate(json::object request, EventSink sink, CancelToken cancel) = 0;
  // OpenAI shapes: {model, input, …} -> {object, model, data: [{embedding, index}], usage}.
  virtual Task<Result<json::object>> embed(json::object request, EventSink sink, CancelToken cancel) = 0;
  // {model, query, documents, top_n?} -> {model, results: [{index, relevance_score}], usage}.
  virtual Task<Result<json::object>> rerank(json::object request, EventSink sink, CancelToken cancel) = 0;
  // {model, text, tokens?} -> {model, count, tokens?: [id]}
  virtual Task<Result<json::object>> tokenize(json::object request, EventSink sink, CancelToken cancel) = 0;

  // -> {models: [ModelSummary], aliases: {…}, default: name or null}; default: what a request to generate without a
  // model gets; a summary: {name, version, digest, size, source,
  // license, created, architecture, parameters, quantisation, context_length, mode, state, aliases, external}
  virtual Task<Result<json::object>> list_models() = 0;
  // -> a ModelSummary and {chat_template, settings, estimate{…}, engine{…}}
  virtual Task<Result<json::object>> model_info(std::string name) = 0;
  // -> {model, state, seconds, context, slots, memory_bytes}
  virtual Task<Result<json::object>> load_model(json::object request, EventSink sink, CancelToken cancel) = 0;
  // {model, force?} -> {model, state}
  virtual Task<Result<json::object>> unload_model(json::object request) = 0;
  // {source, name?, sha256?} -> a ModelSummary
  virtual Task<Result<json::object>> pull_model(json::object request, EventSink sink, CancelToken cancel) = 0;
  // {model} -> {model, removed: true}
  virtual Task<Result<json::object>> remove_model(std::string name) = 0;
  // -> {engines: [{model, state, progress, phase, error?, pid, context, slots, in_flight, memory_bytes,
  //     memory_estimate_bytes, restarts, keep_alive_s, idle_s, endpoint}]}
  virtual Task<Result<json::object>> engines() = 0;
  // The last lines that the engine of a model wrote, oldest first: {model, lines: ["…"]}. Neither prompts nor answers
  // stand in them. kNotFound: no such engine was wanted lately.
  virtual Task<Result<json::object>> engine_logs(std::string name) = 0;
  // -> {status, version, uptime_s, models, engines_ready, requests_in_flight, memory{total, available}, cpu{cores,
  //     threads}, gpus: […]}
  virtual Task<Result<json::object>> status() = 0;
  // Everything else that operators do, by its name in the table of operations (inference/operations/operation.h), such
  // as "engine.sleep". kNotFound: no such operation.
  virtual Task<Result<json::object>> operate(std::string operation, json::object arguments, EventSink sink,
                                             CancelToken cancel) = 0;
};

}  // namespace llm::inference
