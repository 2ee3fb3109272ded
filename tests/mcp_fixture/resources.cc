#include <fmt/format.h>
#include <utility>

#include "fixture.h"

namespace llm::fixture {
namespace {

using mcp::ResourceContents;
using mcp::ResourceRead;

Task<Result<ResourceContents>> static_text(ResourceRead read) {
  co_return ResourceContents{
      .parts = {{std::move(read.uri), "text/plain", "This is the content of the static text resource."}}};
}

Task<Result<ResourceContents>> static_binary(ResourceRead read) {
  co_return ResourceContents{.parts = {{std::move(read.uri), "image/png", png(), true}}};
}

Task<Result<ResourceContents>> watched(ResourceRead read) {
  co_return ResourceContents{.parts = {{std::move(read.uri), "text/plain", "Watched resource content"}}};
}

Task<Result<ResourceContents>> by_id(ResourceRead read) {
  const std::string& id = read.variables.find("id")->second;
  const std::string text =
      json::write(json::object{{"id", id}, {"templateTest", true}, {"data", fmt::format("Data for ID: {}", id)}});
  co_return ResourceContents{.parts = {{std::move(read.uri), "application/json", text}}};
}

}  // namespace

void add_resources(mcp::Server& server) {
  auto& resources = server.resources();
  resources
      .add({.uri = "test://static-text", .name = "Static text", .description = "Text", .mime_type = "text/plain"},
           static_text)
      .value();
  resources
      .add({.uri = "test://static-binary", .name = "Static binary", .description = "PNG", .mime_type = "image/png"},
           static_binary)
      .value();
  resources
      .add({.uri = "test://watched-resource",
            .name = "Watched resource",
            .description = "Can be subscribed to",
            .mime_type = "text/plain"},
           watched)
      .value();
  resources
      .add(mcp::ResourceTemplate{.uri_template = "test://template/{id}/data",
                                 .name = "Template",
                                 .description = "Data by id",
                                 .mime_type = "application/json"},
           by_id)
      .value();
  resources.allow_subscriptions();
}

}  // namespace llm::fixture
