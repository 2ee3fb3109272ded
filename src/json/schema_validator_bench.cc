// CPU time of checking the arguments of a tool call, and of compiling its schema.
#include <benchmark/benchmark.h>
#include <string_view>

#include "json/schema_validator.h"

namespace {

using namespace llm::json;

constexpr std::string_view kTool = R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["prompt"],
  "additionalProperties": false,
  "properties": {
    "prompt": {"type": "string", "minLength": 1, "description": "What to complete."},
    "model": {"type": "string", "maxLength": 200},
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": 100000},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "format": {"enum": ["text", "json", "markdown"]},
    "stop": {"type": "array", "items": {"type": "string"}, "maxItems": 4}
  }
})";
constexpr std::string_view kArguments =
    R"({"prompt":"Tell me a story about a gateway.","model":"small","max_tokens":256,"temperature":0.7,)"
    R"("format":"json","stop":["\n\n"]})";
constexpr std::string_view kWrong =
    R"({"promt":"Tell me a story about a gateway.","model":"small","max_tokens":0,"temperature":0.7,)"
    R"("format":"xml","stop":["\n\n"]})";
constexpr std::string_view kUnion = R"({
  "type": "object",
  "properties": {"content": {"type": "array", "items": {"oneOf": [
    {"type": "object", "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
     "required": ["type", "text"], "unevaluatedProperties": false},
    {"type": "object", "properties": {"type": {"const": "image"}, "url": {"type": "string"}},
     "required": ["type", "url"], "unevaluatedProperties": false}]}}}
})";
constexpr std::string_view kContent =
    R"({"content":[{"type":"text","text":"Look:"},{"type":"image","url":"https://example.com/a.png"}]})";

void validate(benchmark::State& state, std::string_view schema_text, std::string_view document_text) {
  const auto schema = Schema::compile(parse(schema_text).value()).value();
  const value document = parse(document_text).value();
  for (auto _ : state) benchmark::DoNotOptimize(schema.validate(document).size());
}

void parse_beside(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(parse(kArguments));
}

void compile(benchmark::State& state) {
  const value schema = parse(kTool).value();
  for (auto _ : state) benchmark::DoNotOptimize(Schema::compile(schema));
}

BENCHMARK_CAPTURE(validate, tool, kTool, kArguments);
BENCHMARK_CAPTURE(validate, tool_with_errors, kTool, kWrong);
BENCHMARK_CAPTURE(validate, union_of_objects, kUnion, kContent);
BENCHMARK_CAPTURE(validate, pattern, R"({"pattern":"^[a-z0-9_-]{1,64}$"})", R"("get_current_weather")");
BENCHMARK(parse_beside);
BENCHMARK(compile);

}  // namespace
