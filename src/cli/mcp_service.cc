#include "cli/mcp_service.h"

#include <utility>

#include "base/random.h"
#include "tools/icons.h"
#include "tools/register.h"

namespace llm::cli {
namespace {

mcp::ServerInfo server_info(std::string instance) {
  return {.name = "llm-mcp",
          .version = LLM_MCP_VERSION,
          .title = "Local LLM MCP",
          .description = "Language models that run on this machine",
          .website = {},
          .instructions =
              "These tools run language models on the user's own machine, or on engines that its owner has set up. Use "
              "llm_chat for questions and instructions, llm_generate to continue raw text, llm_embed for vectors. "
              "Models are loaded on first use, which can take a minute; llm_list_models tells which there are and "
              "which are ready, llm_status what is going on, llm_help how it all works. Set max_tokens: small machines "
              "write a few tokens a second.",
          .icons = {},
          .instance = std::move(instance)};
}

}  // namespace

McpService::McpService(const McpSettings& settings, Loop& home, const std::filesystem::path& tasks_dir,
                       std::string instance, observe::Log& log, McpAccess access)
    : home_(home),
      server_(server_info(std::move(instance)),
              {.page_size = settings.page_size, .state_secret = std::move(access.state_secret)}),
      tasks_(server_,
             {.directory = tasks_dir,
              .principal_now = std::move(access.principal_now),
              .on_problem = [&log](const Error& error) { log.warn("mcp task", {{"problem", to_string(error)}}); }}),
      background_(home.executor()) {}

Result<std::unique_ptr<McpService>> McpService::build(const McpSettings& settings, tools::ModelApiSource source,
                                                      tools::HubQuery hub, Loop& home,
                                                      const std::filesystem::path& tasks_dir, const EnvLookup& env,
                                                      observe::Log& log, McpAccess access) {
  tools::BridgeMap bridges = settings.bridges;
  if (const auto urls = env("MCP_BRIDGE_URLS")) {
    if (auto added = tools::add_bridge_urls(bridges, *urls); !added) return fail(added.error());
  }
  const std::string instance = random_id();
  std::unique_ptr<McpService> service(new McpService(settings, home, tasks_dir, instance, log, std::move(access)));
  mcp::Server& server = service->server_;
  server.set_tasks(&service->tasks_);
  // Only bridges change the list of tools; models come and go as resources.
  server.announce_changes(!bridges.empty(), false, true);
  auto registered = tools::register_everything(
      server, {.api = source,
               .settings = {.toolsets = settings.toolsets,
                            .progress_interval = std::chrono::milliseconds(settings.progress_interval.ms),
                            .task_after = std::chrono::milliseconds(settings.task_after.ms)},
               .hub = std::move(hub)});
  if (!registered) return fail(registered.error());
  service->watcher_ = std::make_unique<tools::ModelWatcher>(server, std::move(source), home);
  if (!bridges.empty()) {
    service->bridges_ = std::make_unique<tools::Bridges>(
        home, bridges,
        tools::BridgeOptions{.version = LLM_MCP_VERSION,
                             .instance = instance,
                             .task_after = std::chrono::milliseconds(settings.task_after.ms)},
        env, server.tools(), log);
  }
  return service;
}

void McpService::start() {
  home_.post([this] {
    if (bridges_) bridges_->start();
    background_.spawn(watcher_->run(stopping_.token()));
    background_.spawn(tasks_.recover(home_));
  });
}

Task<void> McpService::stop() {
  stopping_.cancel();
  if (bridges_) co_await bridges_->stop();
  co_await tasks_.stop();
  co_await background_.join();
}

}  // namespace llm::cli
