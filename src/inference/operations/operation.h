#pragma once

#include <span>
#include <string_view>

#include "access/permission.h"
#include "inference/local_model_api.h"
#include "inference/model_api.h"

// What operators do beside asking models: engines, providers, versions, adapters, GPUs, caches. Each operation is one
// row: REST routes, the remote ModelApi, the command line and the MCP tools are all made from the table.
namespace llm::inference {

struct OperationContext {
  Backend& backend;
  Loop& loop;
  access::Principal principal;
  std::string request_id;
  EventSink sink;  // null: nobody wants events
  CancelToken cancel;
};

// Arguments are one JSON object: the path's {…}, the query, the body. A handler decodes it by a field table of its own,
// so that wrong ones are errors with JSON Pointers.
using OperationHandler = Task<Result<json::object>> (*)(OperationContext context, json::object arguments);

struct OperationRow {
  std::string_view name;    // "engine.sleep"
  std::string_view method;  // of HTTP
  std::string_view path;    // "/api/v1/engines/{name}/sleep": at most one {name}, the argument "name"
  access::Permission permission;
  bool long_running = false;  // a client may have it streamed
  std::string_view summary;
  OperationHandler handler = nullptr;
};

// All of them: the families' tables one after the other.
std::span<const OperationRow> operations();
const OperationRow* find_operation(std::string_view name);

// The families (one .cc each).
std::span<const OperationRow> engine_operations();    // plan, start, stop, sleep, wake, adapters, metrics, GPUs
std::span<const OperationRow> provider_operations();  // list, discover, models, pull, load, unload, delete
std::span<const OperationRow> version_operations();   // versions, promote, rollback, split, export, import, gc
std::span<const OperationRow> router_operations();    // replicas, drain, cache

}  // namespace llm::inference
