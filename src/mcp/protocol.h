#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace llm::mcp {

// Error codes on the wire: JSON-RPC 2.0 section 5.1, and MCP 2026-07-28 "Error codes".
inline constexpr int kParseError = -32700;
inline constexpr int kInvalidRequest = -32600;
inline constexpr int kMethodNotFound = -32601;
inline constexpr int kInvalidParams = -32602;
inline constexpr int kInternalError = -32603;
inline constexpr int kResourceNotFound = -32002;  // up to 2025-11-25; later kInvalidParams
inline constexpr int kHeaderMismatch = -32020;
inline constexpr int kMissingClientCapability = -32021;
inline constexpr int kUnsupportedProtocolVersion = -32022;

// Keys of `_meta` in the modern era (MCP 2026-07-28, RequestMetaObject and its siblings).
namespace meta {
inline constexpr std::string_view kProtocolVersion = "io.modelcontextprotocol/protocolVersion";
inline constexpr std::string_view kClientCapabilities = "io.modelcontextprotocol/clientCapabilities";
inline constexpr std::string_view kClientInfo = "io.modelcontextprotocol/clientInfo";
inline constexpr std::string_view kServerInfo = "io.modelcontextprotocol/serverInfo";
inline constexpr std::string_view kLogLevel = "io.modelcontextprotocol/logLevel";
inline constexpr std::string_view kInstance = "llm-mcp/instance";  // ours: which process answers
inline constexpr std::string_view kSubscriptionId = "io.modelcontextprotocol/subscriptionId";
}  // namespace meta

// MCP extension SEP-2663.
inline constexpr std::string_view kTasksExtension = "io.modelcontextprotocol/tasks";

// The longest message the TypeScript SDK reads from a pipe (STDIO_DEFAULT_MAX_BUFFER_SIZE); nobody gets a longer one,
// and none is accepted.
inline constexpr std::size_t kMaxMessageBytes = std::size_t{10} << 20;

// One dated revision of the protocol and what it knows. The revisions differ in far more than this; these are the
// differences that reach code shared by several of them.
struct Revision {
  std::size_t index;  // place in `revisions()`
  std::string_view version;
  bool modern;              // stateless: every request says its version, every result its type
  bool batches;             // JSON-RPC arrays are accepted
  bool annotations;         // tools carry hints
  bool titles;              // tools and implementations have a title
  bool structured_results;  // outputSchema, structuredContent
  bool any_structure;       // …whose root need not be an object
  bool websites;            // implementations have a description and a URL
  bool progress_messages;   // progress carries text
  bool icons;               // tools, resources, prompts and implementations have pictures
  bool resource_links;      // results may point at resources
  bool audio;               // results may hold sound
};

inline constexpr std::size_t kRevisionCount = 5;

// All supported revisions, newest first.
std::span<const Revision, kRevisionCount> revisions();
const Revision* find_revision(std::string_view version);  // nullptr if unknown
const Revision& modern_revision();                        // the one stateless revision
const Revision& latest_legacy_revision();                 // what an unknown version is answered with

}  // namespace llm::mcp
