#pragma once

#include "access/caps.h"
#include "base/error.h"
#include "inference/service.h"
#include "json/json.h"

// What stands between a client's request and an engine, whoever asks: the door calls both before anything is resolved,
// reserved or loaded. Pure functions of the body; any thread.
namespace llm::inference {

// Does the request ask for no more than its caller may have? kInvalidArgument with the JSON Pointer of what is too
// much, how much it is and what the cap is. What passes never makes an engine see a value above a cap, so a number
// that is none (a text, a fraction, a negative one) does not pass where a cap holds.
Result<void> check_caps(const json::object& body, Operation operation, const access::Caps& caps);

// kInvalidArgument, naming the field, for what would steer the server instead of the model: addresses and credentials
// of other servers, templates, paths, adapters, engine arguments and internals, files and addresses the engine would
// open itself. Looked for wherever an engine reads them, also in members that SDKs wrap around them (`extra_body`,
// `options`, …). Engines must not be trusted to ignore what they do not know.
Result<void> refuse_steering(const json::object& body);

}  // namespace llm::inference
