#include "cli/commands/context.h"

namespace llm::cli {

Sources sources_of(const CommandContext& context) {
  Sources sources;
  if (!context.global.config.empty()) {
    sources.file = context.global.config;
  } else {
    sources.file = default_config_file(context.env);
  }
  sources.environment = config_environment();
  sources.flags = context.global.settings;
  return sources;
}

Result<Setup> load_setup(const CommandContext& context) {
  auto config = load_config(sources_of(context));
  if (!config) {
    config.error().code = ErrorCode::kInvalidArgument;
    return fail(std::move(config.error()));
  }
  auto installation = find_installation(config->settings, context.env, context.uid);
  if (!installation) {
    installation.error().code = ErrorCode::kInvalidArgument;
    return fail(std::move(installation.error()));
  }
  return Setup{std::move(*config), std::move(*installation)};
}

AttachSettings attach_settings(const CommandContext& context, const Installation& installation) {
  std::vector<std::string> shared;
  if (!context.global.config.empty()) {
    std::error_code error;
    const auto absolute = std::filesystem::absolute(context.global.config, error);
    shared.insert(shared.end(), {"--config", error ? context.global.config : absolute.string()});
  }
  for (const Flag& flag : context.global.settings) {
    shared.insert(shared.end(), {"--set", flag.path + "=" + flag.text});
  }
  return {.runtime_dir = installation.runtime_dir,
          .socket = installation.socket,
          .program = program_path(),
          .arguments = background_arguments(std::move(shared)),
          .log_file = installation.log_file};
}

}  // namespace llm::cli
