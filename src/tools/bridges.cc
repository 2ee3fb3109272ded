#include <array>
#include <fmt/format.h>
#include <fstream>
#include <utility>

#include "base/strings.h"
#include "mcp/client/http_link.h"
#include "mcp/client/stdio_link.h"
#include "tools/bridge.h"

namespace llm::tools {
namespace {

// What a program gets of our environment without asking: where things are and how to write, no secrets.
constexpr std::array<const char*, 13> kPassed{
    "PATH",   "HOME",     "USER",   "LOGNAME", "SHELL",           "TERM",          "LANG",
    "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ",      "XDG_CONFIG_HOME", "XDG_CACHE_HOME"};
// Tells a program of ours, which may be another llm-mcp, that it is bridged.
constexpr const char* kBridgedMark = "LLM_MCP_BRIDGED";
constexpr std::streamsize kMaxTokenBytes = 64 * 1024;

std::vector<std::pair<std::string, std::string>> environment_of(const BridgeSettings& settings, const EnvLookup& env) {
  std::map<std::string, std::string> out;
  for (const char* name : kPassed) {
    if (auto value = env(name)) out[name] = std::move(*value);
  }
  for (const std::string& name : settings.pass_env) {
    if (auto value = env(name)) out[name] = std::move(*value);
  }
  for (const auto& [name, value] : settings.env) out[name] = value;
  out[kBridgedMark] = "1";
  return {out.begin(), out.end()};
}

Result<std::string> read_token(const BridgeSettings& settings, const EnvLookup& env, const std::string& label) {
  if (!settings.token_env.empty()) {
    auto token = env(settings.token_env);
    if (token && !token->empty()) return std::move(*token);
    return fail(ErrorCode::kUnauthenticated,
                fmt::format("{}: the environment variable {} with its token is not set", label, settings.token_env));
  }
  if (settings.token_file.empty()) return std::string();
  std::ifstream file(expand_home(settings.token_file, env), std::ios::binary);
  std::string text(static_cast<std::size_t>(kMaxTokenBytes), '\0');
  file.read(text.data(), kMaxTokenBytes);
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  if (!text.empty()) return text;
  return fail(ErrorCode::kUnauthenticated,
              fmt::format("{}: the file {} holds no token that can be read", label, settings.token_file));
}

Result<std::unique_ptr<mcp::Link>> make_program(Loop& loop, const std::string& label, const BridgeSettings& settings,
                                                const EnvLookup& env, observe::Log& log) {
  mcp::ProgramSettings program{.label = label,
                               .argv = {expand_home(settings.command, env).string()},
                               .env = environment_of(settings, env),
                               .working_directory = expand_home(settings.cwd, env).string()};
  program.argv.insert(program.argv.end(), settings.args.begin(), settings.args.end());
  return std::make_unique<mcp::StdioLink>(loop, std::move(program), log);
}

Result<std::unique_ptr<mcp::Link>> make_http(Loop& loop, net::HttpClient& client, const std::string& label,
                                             const BridgeSettings& settings, const EnvLookup& env) {
  auto address = mcp::parse_http_address(settings.url);
  if (!address) return fail(std::move(address.error()));
  auto token = read_token(settings, env, label);
  if (!token) return fail(std::move(token.error()));
  return std::make_unique<mcp::HttpLink>(
      loop, client,
      mcp::HttpLinkSettings{.label = label,
                            .address = std::move(*address),
                            .headers = {settings.headers.begin(), settings.headers.end()},
                            .token = std::move(*token)});
}

}  // namespace

Bridges::Bridges(Loop& loop, const BridgeMap& bridges, BridgeOptions options, EnvLookup env,
                 mcp::ToolRegistry& registry, observe::Log& log)
    : loop_(loop), env_(std::move(env)), log_(log) {
  options.client.version = options.version;
  http_ = std::make_unique<net::HttpClient>(loop_, net::ClientSettings{.idle_per_endpoint = 16});
  for (const auto& [name, settings] : bridges) {
    if (!settings.enabled) continue;
    const std::string label = fmt::format("bridge '{}'", name);
    auto maker = [this, label, settings]() -> Result<std::unique_ptr<mcp::Link>> {
      if (!settings.url.empty()) return make_http(loop_, *http_, label, settings, env_);
      return make_program(loop_, label, settings, env_, log_);
    };
    bridges_.push_back(std::make_shared<Bridge>(loop_, name, settings, options, std::move(maker), registry, log_));
  }
}

Bridges::~Bridges() = default;

void Bridges::start() {
  if (bridges_.empty()) return;
  if (env_(kBridgedMark)) {
    log_.info("bridges are left out: this process is itself somebody's bridge", {{"bridges", bridges_.size()}});
    return;
  }
  for (const auto& bridge : bridges_) bridge->start();
}

Task<void> Bridges::stop() {
  TaskGroup group(loop_.executor());
  for (const auto& bridge : bridges_) group.spawn(bridge->stop());
  co_await group.join();
}

std::vector<BridgeStatus> Bridges::status() const {
  std::vector<BridgeStatus> out;
  out.reserve(bridges_.size());
  for (const auto& bridge : bridges_) out.push_back(bridge->status());
  return out;
}

}  // namespace llm::tools
