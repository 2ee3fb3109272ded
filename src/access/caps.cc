#include "access/caps.h"

namespace llm {

using access::Caps;
using json::field;

const json::Table<Caps>& json::Fields<Caps>::table() {
  static const json::Table<Caps> table{
      "caps",
      {
          field("max_choices", &Caps::max_choices, {.description = "Largest `n` of one request; 0: no cap."}),
          field("max_best_of", &Caps::max_best_of, {.description = "Largest `best_of` of one request; 0: no cap."}),
          field("max_prompts", &Caps::max_prompts, {.description = "Prompts or inputs of one request; 0: no cap."}),
          field("max_stops", &Caps::max_stops, {.description = "Stop sequences of one request; 0: no cap."}),
          field("max_logprobs", &Caps::max_logprobs,
                {.description = "Alternatives reported for each token; 0: no cap."}),
          field("max_tokens", &Caps::max_tokens,
                {.description = "Tokens of one answer; 0: as many as the model's context holds."}),
          field("max_messages", &Caps::max_messages, {.description = "Messages of one request; 0: no cap."}),
          field("max_images", &Caps::max_images, {.description = "Images of one request; 0: no cap."}),
          field("max_tools", &Caps::max_tools, {.description = "Tools described in one request; 0: no cap."}),
          field("max_schema_depth", &Caps::max_schema_depth,
                {.description = "Nesting of a JSON Schema in a request; 0: no cap."}),
          field("max_schema_bytes", &Caps::max_schema_bytes,
                {.description = "Bytes of a JSON Schema in a request; 0: no cap."}),
          field("local_only", &Caps::local_only,
                {.description = "true: requests are answered on this machine or refused; no provider elsewhere gets "
                                "them."}),
      }};
  return table;
}

}  // namespace llm
