#include "tools/model_api_source.h"

#include "inference/local_model_api.h"

namespace llm::tools {

ModelApiSource same_model_api(inference::ModelApi& api) {
  // Shares nothing: the owner is whoever made `api`.
  return [&api](const mcp::Context&) { return std::shared_ptr<inference::ModelApi>(std::shared_ptr<void>(), &api); };
}

ModelApiSource local_model_apis(inference::Backend& backend) {
  return [&backend](const mcp::Context& call) -> std::shared_ptr<inference::ModelApi> {
    return std::make_shared<inference::LocalModelApi>(backend, *call.loop, call.caller->principal,
                                                      inference::new_request_id());
  };
}

}  // namespace llm::tools
