#pragma once

#include <string_view>

#include "api/route_table.h"

namespace llm::api {

// What every answer tells browsers about itself: complete header lines, ready-made. Nothing here is a page, so nothing
// may be run, framed, sniffed or embedded. `store`: caches may keep it; what only somebody who is known gets, they must
// not. Over TLS also that it is always to be asked over TLS.
std::string_view security_fields(bool tls, bool store);

// May caches keep what this route answers? Not what needs a token, nor what hands one out. The routes of MCP say so
// themselves.
bool may_be_stored(const Route& route);

}  // namespace llm::api
