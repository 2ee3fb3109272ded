#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "inference/model_api.h"
#include "net/address.h"
#include "net/http_client.h"

namespace llm::client {

// For callers whose gateway may have to be started first.
struct RemoteHooks {
  // Awaited before every call; its failure is the call's. May be empty.
  std::function<Task<Result<void>>(CancelToken cancel)> before_call = {};
  // A sentence that is added to the message when the gateway goes away during a call: where its log is, say.
  std::string lost_hint = {};
};

// The ModelApi of a gateway that is reached over HTTP (docs/api.md, /api/v1 and /v1). Events come as they arrive;
// cancelling a call closes its connection, which ends the work in the gateway. Without a sink nothing is streamed.
//
// Errors of the gateway come back as they were made there: code, message, pointer, details, retry_after. What goes
// wrong on the way is kUnavailable (no connection, or one that broke during the call) or kTimeout (no answer to a
// question that takes no work).
//
// Belongs to the loop of its client, which must outlive it; calls may run side by side.
class RemoteModelApi final : public inference::ModelApi {
 public:
  // `api_key`: sent as a bearer token; empty: none.
  RemoteModelApi(net::HttpClient& http, net::Endpoint endpoint, std::string api_key = {}, RemoteHooks hooks = {});

  Task<Result<json::object>> generate(json::object request, inference::EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> embed(json::object request, inference::EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> rerank(json::object request, inference::EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> tokenize(json::object request, inference::EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> list_models() override;
  Task<Result<json::object>> model_info(std::string name) override;
  // The model must be named: there is no path for "the default one".
  Task<Result<json::object>> load_model(json::object request, inference::EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> unload_model(json::object request) override;
  Task<Result<json::object>> pull_model(json::object request, inference::EventSink sink, CancelToken cancel) override;
  Task<Result<json::object>> remove_model(std::string name) override;
  Task<Result<json::object>> engines() override;
  Task<Result<json::object>> engine_logs(std::string name) override;
  Task<Result<json::object>> status() override;
  Task<Result<json::object>> operate(std::string operation, json::object arguments, inference::EventSink sink,
                                     CancelToken cancel) override;

  // Any other call that starts no work: `target` with its query, `body` as JSON text or empty. An answer without a body
  // is an empty object.
  Task<Result<json::object>> request(std::string method, std::string target, std::string body);

 private:
  struct Call;
  Task<Result<json::object>> run(Call call);
  // POST of `body` with "stream" set as there is a sink.
  Call streaming(std::string target, json::object body, inference::EventSink sink, CancelToken cancel) const;
  Task<Result<json::object>> read_answer(net::ClientResponse& response, const Call& call) const;
  Task<Result<json::object>> read_document(net::ClientResponse& response) const;
  Task<Result<json::object>> read_events(net::ClientResponse& response, const Call& call) const;
  Task<Error> read_error(net::ClientResponse& response) const;
  Error on_the_way(const Error& error) const;

  net::HttpClient& http_;
  net::Endpoint endpoint_;
  std::string authorization_;
  RemoteHooks hooks_;
};

// The error in `{"error":{message, type, code, param, pointer, retry_after, …}}`; `http_status` decides where the code
// is not one of ours (0: unknown). Other members that are whole numbers or texts become details.
Error read_error_body(const json::object& document, int http_status);

// "/api/v1/models/<name>", or below another `root`, with everything but the unreserved characters of RFC 3986
// section 2.3 percent-encoded.
std::string model_path(std::string_view name, std::string_view root = "/api/v1/models/");

}  // namespace llm::client
