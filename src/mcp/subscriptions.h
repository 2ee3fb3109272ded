#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>

#include "mcp/calls.h"
#include "mcp/server.h"

namespace llm::mcp {

// The open `subscriptions/listen` requests of one connection (MCP 2026-07-28 "Subscriptions"). One loop.
class Subscriptions {
 public:
  Subscriptions(const Server& server, Calls& calls) : server_(server), calls_(calls) {}

  void listen(const json::object& params, const Caller& caller, ReplyTo to);
  void on_change(const Change& change);

  bool contains(const RequestId& id) const { return open_.contains(id.json); }
  std::size_t size() const { return open_.size(); }

  // The client ends one; nothing is sent for it any more.
  void cancel(const RequestId& id);
  void cancel_channel(Channel channel);
  // We end all: each gets the notification and the result that the revision asks for.
  void close();

 private:
  struct Filter {
    bool tools = false;
    bool prompts = false;
    bool resources = false;
    std::set<std::string, std::less<>> uris;
    std::set<std::string, std::less<>> tasks;
  };
  struct Open {
    ReplyTo to;
    Filter filter;
    std::string principal;
    Changes::Interest interest = {};  // in the URIs and the list
  };

  Filter agree(const json::object& wanted, const Caller& caller) const;
  void notify(const Open& listener, std::string_view method, std::string_view members);

  const Server& server_;
  Calls& calls_;
  std::map<std::string, Open> open_;  // by id
};

}  // namespace llm::mcp
