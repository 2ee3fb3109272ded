#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "json/schema_validator.h"
#include "mcp/changes.h"
#include "mcp/header_parameters.h"
#include "mcp/prompt.h"
#include "mcp/protocol.h"
#include "mcp/resource.h"
#include "mcp/tool.h"

// What a server offers: tools, resources, prompts. Filled at start-up and changed at any time, from any thread: each
// registry publishes an immutable state, which requests hold while they need it, and announces what changed.
namespace llm::mcp {

// A tool as it is called: with its schemas compiled.
struct RegisteredTool {
  Tool tool;
  std::string group;
  json::Schema input;
  std::optional<json::Schema> output;
  std::vector<HeaderParameter> headers;
  std::array<std::string, kRevisionCount> listings;  // its entry in tools/list, as each revision spells it
};

struct ToolSet {
  std::vector<std::shared_ptr<const RegisteredTool>> tools;                           // in the order of tools/list
  std::map<std::string, std::shared_ptr<const RegisteredTool>, std::less<>> by_name;  // aliases included
  std::array<std::string, kRevisionCount> listings;  // the array of tools/list if everything is shown
  std::vector<std::string> names() const;
};

class ToolRegistry {
 public:
  explicit ToolRegistry(const Changes* changes = nullptr);
  // kInvalidArgument: name, schema or handler unusable. kAlreadyExists: the name is taken.
  Result<void> add(Tool tool);
  // Makes `tools` all there is of `group` (a bridge's tools), behind the others. Nothing changes on an error.
  Result<void> replace(std::string_view group, std::vector<Tool> tools);
  std::shared_ptr<const ToolSet> tools() const;

 private:
  // The caller holds the lock.
  Result<void> publish(std::vector<std::shared_ptr<const RegisteredTool>> tools);
  void announce() const;

  const Changes* changes_;
  mutable std::mutex mutex_;
  std::shared_ptr<const ToolSet> state_;  // shared with the requests that use it
};

struct RegisteredTemplate {
  ResourceTemplate info;
  ResourceReader read;
  std::map<std::string, Completer, std::less<>> complete;  // by variable
};

struct ResourceSet {
  struct Fixed {
    Resource info;
    ResourceReader read;
  };
  // Resources that come and go, found when asked for; what they list must be readable by a template.
  using Lister = std::function<Task<Result<std::vector<Resource>>>(Context)>;

  std::vector<Fixed> fixed;
  std::vector<RegisteredTemplate> templates;
  struct Listed {
    access::Permission permission;
    Lister list;
  };
  std::vector<Listed> listers;
  bool subscribable = false;  // may some of them change?
};

class ResourceRegistry {
 public:
  explicit ResourceRegistry(const Changes* changes = nullptr);
  Result<void> add(Resource resource, ResourceReader reader);
  Result<void> add(ResourceTemplate resource, ResourceReader reader,
                   std::map<std::string, Completer, std::less<>> complete = {});
  void add_lister(access::Permission permission, ResourceSet::Lister lister);
  // Announces resources/subscribe; whoever changes one calls Changes::announce.
  void allow_subscriptions();
  std::shared_ptr<const ResourceSet> resources() const;

 private:
  template <class Change>
  void publish(Change change);  // applies `change` to a copy of the state

  const Changes* changes_;
  mutable std::mutex mutex_;
  std::shared_ptr<const ResourceSet> state_;  // shared with the requests that use it
};

// Does `uri` fit the template? Then its variables, percent-decoded.
std::optional<UriVariables> match_template(std::string_view uri_template, std::string_view uri);

// What a URI names: a resource, or what a template stands for. `read` null: nothing. Valid as long as the set is.
struct FoundResource {
  const ResourceReader* read = nullptr;
  access::Permission permission = access::Permission::kAdmin;
  UriVariables variables = {};
  const ResourceTemplate* from = nullptr;  // null: it has its own entry

  // May this caller be told when it changes?
  bool watchable_by(const access::Principal& caller) const;
};
FoundResource find_resource(const ResourceSet& resources, std::string_view uri);

using PromptSet = std::vector<std::shared_ptr<const Prompt>>;  // in the order of prompts/list

class PromptRegistry {
 public:
  explicit PromptRegistry(const Changes* changes = nullptr);
  Result<void> add(Prompt prompt);
  std::shared_ptr<const PromptSet> prompts() const;

 private:
  const Changes* changes_;
  mutable std::mutex mutex_;
  std::shared_ptr<const PromptSet> state_;  // shared with the requests that use it
};

}  // namespace llm::mcp
