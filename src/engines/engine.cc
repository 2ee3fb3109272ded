#include "engines/engine.h"

namespace llm {

const json::Table<engines::ExternalSettings>& json::Fields<engines::ExternalSettings>::table() {
  using S = engines::ExternalSettings;
  static const Table<S> table{
      "external engine",
      {
          field(
              "base_url", &S::base_url,
              {.description = "Base of its OpenAI API, such as http://127.0.0.1:8000/v1 or unix:/run/engine.sock:/v1.",
               .required = true,
               .min_length = 1}),
          field("api_key", &S::api_key, {.description = "Sent as a bearer token.", .secret = true}),
          field("api_key_env", &S::api_key_env,
                {.description = "Name of the environment variable that holds the key, instead of api_key."}),
          field("models", &S::models,
                {.description = "Models it serves, listed under their own names. Any model of it is reachable as "
                                "<engine>/<model>."}),
          field("health_path", &S::health_path, {.description = "Path under base_url that answers 200 when it is up."}),
          field("connect_timeout", &S::connect_timeout, {.description = "For one connection.", .minimum = 1}),
          field("request_timeout", &S::request_timeout,
                {.description = "Until the first byte of an answer; 0 none.", .minimum = 0}),
      }};
  return table;
}

namespace engines {

std::string_view to_string(EngineState state) {
  switch (state) {
    case EngineState::kStopped:
      return "stopped";
    case EngineState::kStarting:
      return "starting";
    case EngineState::kReady:
      return "ready";
    case EngineState::kStopping:
      return "stopping";
    case EngineState::kFailed:
      return "failed";
  }
  return "stopped";
}

}  // namespace engines
}  // namespace llm
