#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/permission.h"
#include "api/call.h"

namespace llm::api {

// A handler answers through the exchange, or returns the error that the pipeline turns into the answer.
using RouteHandler = std::function<Task<Result<void>>(Call&)>;

enum class Body { kNone, kJson };

// One row of the table of all routes (routes.cc).
struct Route {
  std::string_view method;   // GET also serves HEAD
  std::string_view pattern;  // "/api/v1/models/{name}/load": at most one {name}, which may hold (encoded) slashes
  access::Permission permission = access::Permission::kAdmin;
  Body body = Body::kNone;
  RouteHandler handler;
  std::string_view summary;
};

struct RouteMatch {
  const Route* route = nullptr;
  std::string name;
  std::string allow;  // no route, but the path is known: the methods it takes
};

// Finds the route of a decoded path. Patterns without {name} win over those with; longer endings over shorter.
class RouteTable {
 public:
  explicit RouteTable(std::vector<Route> routes);
  RouteMatch match(std::string_view method, std::string_view path) const;
  std::span<const Route> routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

// Percent-decodes a path (RFC 3986 section 2.1). kMalformed for a broken escape, an encoded control byte or NUL, and
// dot segments, which would name another place after normalisation.
Result<std::string> decode_path(std::string_view path);

}  // namespace llm::api
