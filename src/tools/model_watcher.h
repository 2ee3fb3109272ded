#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "async/loop.h"
#include "mcp/server.h"
#include "tools/model_api_source.h"

namespace llm::tools {

// Tells subscribers of llm:// resources about changes that did not come by this server: models that another program
// pulled or removed, engines that loaded, crashed or were unloaded. Asks the ModelApi once per interval, and only while
// a client subscribes to a resource (mcp::Changes::watchers). What tools change they announce themselves, at once.
//
// Lives on `loop`; outlived by the server and what the source needs.
class ModelWatcher {
 public:
  ModelWatcher(const mcp::Server& server, ModelApiSource source, Loop& loop,
               std::chrono::milliseconds interval = std::chrono::seconds(2));

  // Until `stop`.
  Task<void> run(CancelToken stop);
  // Compares with what the last look saw and announces what differs. The first one only remembers. An API that does not
  // answer changes nothing.
  Task<void> look();
  void forget() { seen_.reset(); }

 private:
  struct View {
    std::map<std::string, std::string> models;   // by name: what subscribers can see of it, but for the engine
    std::map<std::string, std::string> engines;  // by model: what it does
  };
  static View view(const json::object& models, const json::object& engines);
  void announce(const View& before, const View& now) const;
  // For new subscribers: what changed between their subscription and the next look is in no comparison.
  void announce_all(const View& now) const;
  void tell(const std::set<std::string>& uris) const;

  const mcp::Changes& changes_;
  ModelApiSource source_;
  Loop& loop_;
  std::chrono::milliseconds interval_;
  std::optional<View> seen_;
};

}  // namespace llm::tools
