#pragma once

#include <string>
#include <string_view>

#include "json/json.h"

namespace llm::inference {

// Appends `request` (an OpenAI-shaped body) as bytes that are equal for two requests exactly if their answers must be.
//
// Left out: what only says how the answer travels or who asks (stream, stream_options, user, metadata, model, …).
// In one spelling: the request's parameters, its messages and their content parts: members in order of their names,
// numbers by their value (1, 1.0 and 1e0 are one). Strings byte for byte: é has two spellings in Unicode, which are two
// prompts.
// As they were written: everything that a chat template or a grammar may put before the model as JSON (tools,
// response_format, chat_template_kwargs, … and members that we do not know). There the order of members and 1.0 instead
// of 1 are another prompt.
void append_canonical(std::string& out, const json::object& request);
// The same for a single text, so that texts in a row cannot run into each other.
void append_canonical(std::string& out, std::string_view text);

// Whether the request's fields leave nothing to chance: temperature 0, or top_k 1, one choice, and no sampler that
// draws all the same. A missing temperature is the engine's, and that is not 0.
bool may_repeat(const json::object& request);

}  // namespace llm::inference
