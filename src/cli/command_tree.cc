// What can be typed: every command with its options, and where they go.
#include "cli/command_tree.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "base/strings.h"
#include "cli/help_text.h"

namespace llm::cli {
namespace {

// The place of the first "=" that is not inside quotes: names of models may be quoted and hold one.
std::size_t find_assignment(std::string_view text) {
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '"') quoted = !quoted;
    if (text[at] == '=' && !quoted) return at;
  }
  return std::string_view::npos;
}

}  // namespace

class CommandTree::Definition {
 public:
  Definition() : app_("Local language models for MCP, OpenAI and REST clients", "llm-mcp") {
    app_.set_help_flag("-h,--help", "Show the manual of the program or of the command");
    app_.require_subcommand(0, 1);
    define_global();
    define_serving();
    define_models();
    define_versions();
    define_running();
    define_providers();
    define_engine();
    define_clients();
    define_keys();
    define_tenants();
    define_records();
    define_setup();
  }

  CLI::App& app() { return app_; }
  Parsed& parsed() { return parsed_; }

 private:
  CLI::App& command(std::string_view name) {
    CLI::App* sub = app_.add_subcommand(std::string(name), std::string(find_command_help(name)->summary));
    sub->fallthrough();
    return *sub;
  }

  template <class T>
  static CLI::Option* value(CLI::App& app, std::string name, T& target, std::string type, std::string description) {
    return app.add_option(std::move(name), target, std::move(description))->type_name(std::move(type));
  }
  static CLI::Option* required(CLI::Option* option) { return option->required(); }

  // A number that is read by our own rules, so that the message can say what is allowed.
  template <class T>
  static void number(CLI::App& app, const std::string& name, std::optional<T>& target, T least, T most,
                     std::string description) {
    const auto read = [name, &target, least, most](const std::string& text) {
      std::optional<T> parsed;
      if constexpr (std::is_integral_v<T>) {
        parsed = parse_number<T>(text);
      } else {
        T read_value{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read_value);
        if (error == std::errc{} && end == text.data() + text.size()) parsed = read_value;
      }
      if (!parsed || !(*parsed >= least && *parsed <= most)) {
        throw CLI::ValidationError(name, fmt::format("expected a number from {} to {}, got \"{}\"", least, most, text));
      }
      target = parsed;
    };
    app.add_option_function<std::string>(name, read, std::move(description))->type_name("N");
  }

  template <class T>
  static CLI::Option* choice(CLI::App& app, const std::string& name, T& target, const std::string& choices,
                             std::string description) {
    const auto check = [choices](const std::string& text) -> std::string {
      const auto known = split(choices, '|');
      if (std::ranges::find(known, text) != known.end()) return {};
      return fmt::format("expected one of {}, got \"{}\"", fmt::join(known, ", "), text);
    };
    return app.add_option(name, target, std::move(description))
        ->type_name(choices)
        ->check(CLI::Validator(std::function<std::string(std::string&)>(check), ""));
  }

  // A flag that sets one setting.
  void setting(CLI::App& app, const std::string& name, std::string path, std::string type, std::string description) {
    const auto add = [this, name, path](const std::string& text) {
      parsed_.global.settings.push_back({name, path, text});
    };
    app.add_option_function<std::string>(name, add, std::move(description))->type_name(std::move(type));
  }

  void define_global() {
    auto& global = parsed_.global;
    value(app_, "--config", global.config, "FILE", "Read this configuration file instead of the default one");
    const auto add = [&global](const std::vector<std::string>& texts) {
      for (const std::string& text : texts) {
        const std::size_t equals = find_assignment(text);
        if (equals == 0 || equals == std::string::npos) {
          throw CLI::ValidationError("--set", fmt::format("expected KEY=VALUE, got \"{}\"; for example "
                                                          "--set server.port=8080",
                                                          text));
        }
        std::string key = text.substr(0, equals);
        std::string name = "--set " + key;
        global.settings.push_back({std::move(name), std::move(key), text.substr(equals + 1)});
      }
    };
    app_.add_option_function<std::vector<std::string>>("--set", add,
                                                       "Set any setting, for example server.port=8080; repeatable")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app_.add_flag("--json", global.json, "Print the result as JSON: one document, or one a line for streams");
    app_.add_flag("-q,--quiet", global.quiet, "No progress, no remarks: only results and errors");
    app_.add_flag("--no-color", global.no_color, "No colours");
    app_.add_flag("--version", parsed_.version, "Print the version");
  }

  void define_serving() {
    CLI::App& serve = command("serve");
    setting(serve, "--host", "server.host", "ADDRESS", "Listen on this address (server.host)");
    setting(serve, "--port", "server.port", "PORT", "Listen on this port; 0: any free one (server.port)");
    setting(serve, "--idle-exit", "server.idle_exit", "TIME",
            "End after this long without requests and engines; -1: never (server.idle_exit)");
    setting(serve, "--log-level", "observe.log_level", "trace|debug|info|warn|error",
            "How much is logged (observe.log_level)");
    setting(serve, "--log-format", "observe.log_format", "auto|json|text", "How it is logged (observe.log_format)");
    choice(serve, "--tcp", parsed_.tcp, "required|optional|off",
           "What happens without the TCP address: an error, only the Unix socket, or never ask for it");
    command("stdio").add_flag("--standalone", parsed_.stdio.standalone, "Run models in this process's own gateway");
  }

  void define_models() {
    CLI::App& pull = command("pull");
    required(value(pull, "SOURCE", parsed_.pull.source, "SOURCE", "hf:OWNER/REPO[:FILE][@REVISION] or https://..."));
    value(pull, "--name", parsed_.pull.name, "NAME", "Name in the store; default: made from the source");
    pull.add_flag("--replace", parsed_.pull.replace,
                  "Let the name point to the new file even if it has another one now");
    choice(pull, "--format", parsed_.pull.format, "auto|gguf|repository",
           "One GGUF file, or all that vLLM needs; auto: the repository if it has no GGUF file");
    value(pull, "--notes", parsed_.pull.notes, "TEXT", "What is to be known about this version");
    pull.add_flag("--pickles", parsed_.pull.pickles,
                  "Of a repository without safetensors also weights in Python's pickle format, which can run code");
    pull.add_flag("--code", parsed_.pull.code, "Of a repository also its Python files");

    auto& import = parsed_.import;
    CLI::App& add = command("import");
    required(value(add, "FILE", import.file, "FILE", "A GGUF file, or the folder of an export"));
    value(add, "--name", import.name, "NAME", "Name in the store; default: made from the file's name");
    value(add, "--sha256", import.sha256, "HEX", "Refuse any other file");
    add.add_flag("--if-missing", import.if_missing, "Do nothing if the name is taken, without looking at the file");
    add.add_flag("--replace", import.replace, "Let the name point to this file even if it has another one now");
    auto* hardlink =
        add.add_flag("--hardlink", import.hardlink, "Share the file instead of copying it; it must not change");
    add.add_flag("--move", import.move, "Take the file away from where it is")->excludes(hardlink);

    command("list").alias("ls");
    CLI::App& show = command("show");
    show.alias("info");
    required(value(show, "MODEL", parsed_.show.model, "MODEL", "Name, alias or version"));
    CLI::App& remove = command("rm");
    required(value(remove, "MODEL", parsed_.remove.models, "MODEL", "Names or aliases"));
    remove.add_flag("-y,--yes", parsed_.remove.yes, "Do not ask");
  }

  void define_versions() {
    auto& alias = parsed_.alias;
    CLI::App& names = command("alias");
    value(names, "NAME", alias.name, "NAME", "list, set, rm; or at once the alias");
    value(names, "MODEL", alias.models, "MODEL",
          "set: the alias, then models it stands for, each with =WEIGHT if they are several; rm: the alias");
    list(names, "--shadow", alias.shadow, "MODEL=SHARE", "set: this one gets copies of the requests; repeatable");
    names.add_flag("--remove", alias.remove, "Forget the alias NAME");
    required(value(command("versions"), "MODEL", parsed_.versions.model, "MODEL", "Name or alias"));
    CLI::App& promote = command("promote");
    required(value(promote, "FROM", parsed_.promote.from, "MODEL", "A version (NAME@sha256:...), a model or an alias"));
    value(promote, "TO", parsed_.promote.to, "MODEL", "What stands for it from now on; default: the name it is of");
    required(value(command("rollback"), "NAME", parsed_.rollback.name, "MODEL", "A model or an alias"));
    CLI::App& out = command("export");
    required(value(out, "MODEL", parsed_.export_model.model, "MODEL", "Name, alias or version"));
    required(value(out, "DIRECTORY", parsed_.export_model.directory, "DIRECTORY", "A new or empty folder"));
    CLI::App& gc = command("gc");
    gc.add_flag("--dry-run", parsed_.gc.dry_run, "Only say what would go");
    gc.add_flag("--versions", parsed_.gc.versions, "Also old versions that no name, alias or history leads to");
    gc.add_flag("--partial", parsed_.gc.partial, "Also downloads and imports that were cut");
  }

  void define_running() {
    auto& chat = parsed_.chat;
    CLI::App& talk = command("chat");
    required(value(talk, "MODEL", chat.model, "MODEL", "Name or alias"));
    value(talk, "PROMPT", chat.prompt, "PROMPT", "What to say; words are joined by spaces, \"-\" is standard input");
    value(talk, "--system", chat.system, "TEXT", "The system message");
    number<std::int64_t>(talk, "--max-tokens", chat.max_tokens, 1, 1'000'000'000, "Longest answer, in tokens");
    number<double>(talk, "--temperature", chat.temperature, 0, 5,
                   "0: always the likeliest token; higher: more variety");
    number<std::int64_t>(talk, "--seed", chat.seed, -1, 4'294'967'295, "Repeatable choices; -1: others each time");
    talk.add_flag("--raw", chat.raw, "Continue the prompt as it is, without the model's chat template");

    command("ps");
    CLI::App& load = command("load");
    required(value(load, "MODEL", parsed_.load.model, "MODEL", "Name or alias"));
    value(load, "--keep-alive", parsed_.load.keep_alive, "TIME",
          "Unload after this long without requests, for example 30m; -1: never");
    CLI::App& unload = command("unload");
    required(value(unload, "MODEL", parsed_.unload.model, "MODEL", "Name or alias"));
    unload.add_flag("--force", parsed_.unload.force, "End requests that are running");
    command("status");
    command("stop");
  }

  void define_providers() {
    auto& providers = parsed_.providers;
    CLI::App& app = command("providers");
    required(
        choice(app, "ACTION", providers.action, "list|health|discover|models|pull|load|unload|delete", "What to do"));
    value(app, "NAME", providers.name, "NAME", "A provider of the configuration, or its kind");
    value(app, "MODEL", providers.model, "MODEL", "A model, as the provider calls it");
    list(app, "--port", providers.ports, "PORT", "discover: one more port to ask; repeatable");
    value(app, "--keep-alive", providers.keep_alive, "TIME", "load: how long it stays after a request; -1: for ever");
    number<std::int64_t>(app, "--context", providers.context, 1, 100'000'000, "load: tokens of context (LM Studio)");
    app.add_flag("-y,--yes", providers.yes, "delete: do not ask");
  }

  void define_engine() {
    auto& engine = parsed_.engine;
    CLI::App& app = command("engine");
    required(choice(app, "ACTION", engine.action, "list|plan|start|stop|sleep|wake|logs|adapters|metrics|info|gpus",
                    "What to do"));
    value(app, "NAME", engine.name, "NAME", "An entry of engines.vllm, or a model");
    choice(app, "--format", engine.format, "argv|docker|compose|kubernetes", "plan: how it is written; default argv");
    number<std::int64_t>(app, "--level", engine.level, 1, 2, "sleep: 1 keeps the weights in host memory, 2 drops them");
    value(app, "--keep-alive", engine.keep_alive, "TIME", "start: how long it stays without requests; -1: never ends");
    value(app, "--load", engine.load, "NAME=PATH", "adapters: load this LoRA adapter");
    value(app, "--unload", engine.unload, "NAME", "adapters: take this one out");
    app.add_flag("--force", engine.force, "stop: end requests that are running");
  }

  void define_clients() {
    auto& install = parsed_.install;
    CLI::App& add = command("install");
    value(add, "CLIENT", install.client, "CLIENT", "The client to set up; --list shows them");
    add.add_flag("--list", install.list, "Show the clients: whether they are here, whether they are set up");
    value(add, "--name", install.name, "NAME", "What the client calls this server");
    value(add, "--config-file", install.config_file, "FILE", "The client's configuration, if it is not the usual one");
    add.add_flag("--print", install.print, "Print what belongs into the configuration, and write nothing");
    add.add_flag("--dry-run", install.dry_run, "Say what would be done, and write nothing");
    value(add, "--arg", install.arguments, "ARGUMENT",
          "One more argument for llm-mcp stdio, for example --arg=--standalone; repeatable")
        ->allow_extra_args(false);
    value(add, "--env", install.environment, "NAME=VALUE", "An environment variable for llm-mcp; repeatable")
        ->allow_extra_args(false);

    auto& uninstall = parsed_.uninstall;
    CLI::App& remove = command("uninstall");
    required(value(remove, "CLIENT", uninstall.client, "CLIENT", "The client"));
    value(remove, "--name", uninstall.name, "NAME", "What the client calls this server");
    value(remove, "--config-file", uninstall.config_file, "FILE",
          "The client's configuration, if it is not the usual one");
    remove.add_flag("--dry-run", uninstall.dry_run, "Say what would be done, and write nothing");
  }

  static CLI::Option* list(CLI::App& app, std::string name, std::vector<std::string>& target, std::string type,
                           std::string description) {
    return value(app, std::move(name), target, std::move(type), std::move(description))->allow_extra_args(false);
  }

  void define_keys() {
    auto& keys = parsed_.keys;
    CLI::App& app = command("keys");
    required(choice(app, "ACTION", keys.action, "create|list|show|update|rotate|revoke", "What to do"));
    value(app, "KEY", keys.id, "KEY", "The key's id, the part between the underscores");
    value(app, "--name", keys.name, "NAME", "What people call the key");
    value(app, "--role", keys.role, "ROLE", "admin, operator, user, viewer or a role of your own");
    value(app, "--project", keys.project, "PROJECT", "The project it belongs to");
    value(app, "--user", keys.user, "USER", "The user it belongs to; it ends with the user");
    list(app, "--scope", keys.scopes, "PERMISSION", "Only this of what the role allows; repeatable");
    list(app, "--model", keys.models, "PATTERN", "Only models like this, for example 'qwen3*'; repeatable");
    list(app, "--address", keys.addresses, "NETWORK", "Only from there, for example 10.0.0.0/8; repeatable");
    value(app, "--expires", keys.expires, "TIME", "90d, or a time such as 2027-01-31T00:00:00Z");
    value(app, "--limits", keys.limits, "JSON", "Limits of its own, for example '{\"requests\": {\"count\": 60}}'");
    choice(app, "--priority", keys.priority, "interactive|batch", "Who waits for whom when engines are full");
    number<double>(app, "--weight", keys.weight, 0.001, 1000, "Its share of busy engines within its project");
    value(app, "--overlap", keys.overlap, "TIME", "rotate: how long the old secret goes on working; default 24h");
    app.add_flag("--all", keys.all, "list: revoked keys, too");
    app.add_flag("--force", keys.force, "revoke: even the last key that may administer");
  }

  void define_tenants() {
    auto& projects = parsed_.projects;
    CLI::App& project = command("projects");
    required(choice(project, "ACTION", projects.action, "create|list|show|update|disable|enable", "What to do"));
    value(project, "PROJECT", projects.id, "PROJECT", "Its id: lower-case letters, digits and dashes");
    value(project, "--name", projects.name, "NAME", "What people call it");
    number<double>(project, "--weight", projects.weight, 0.001, 1000, "Its share of busy engines");
    value(project, "--limits", projects.limits, "JSON", "Limits of all its keys together");
    choice(project, "--audit-prompts", projects.audit_prompts, "on|off", "Prompts and answers go into the audit trail");
    choice(project, "--locality", projects.locality, "any|local_only", "Where its requests may be answered");

    auto& users = parsed_.users;
    CLI::App& user = command("users");
    required(choice(user, "ACTION", users.action, "create|list|show|update|disable|enable", "What to do"));
    value(user, "USER", users.id, "USER", "The user's id; to create one: the name");
    value(user, "--name", users.name, "NAME", "What people call the user");
    choice(user, "--kind", users.user_kind, "user|service_account", "A person or a program");
    value(user, "--role", users.role, "ROLE", "The role that the user's keys have at most");
    value(user, "--project", users.project, "PROJECT", "The project the user belongs to");

    auto& roles = parsed_.roles;
    CLI::App& role = command("roles");
    required(choice(role, "ACTION", roles.action, "create|list|show|update|remove", "What to do"));
    value(role, "ROLE", roles.id, "ROLE", "The role's name");
    list(role, "--rule", roles.rules, "RULE", "generate,models:read=qwen3*: permissions on models; repeatable");
    value(role, "--description", roles.description, "TEXT", "What it is for");
  }

  void define_records() {
    auto& usage = parsed_.usage;
    CLI::App& used = command("usage");
    value(used, "--from", usage.from, "DAY", "First day (UTC), for example 2026-11-01; default: this month's first");
    value(used, "--to", usage.to, "DAY", "Last day; default: today");
    list(used, "--by", usage.by, "COLUMNS", "day, project, key, model: what is told apart");
    value(used, "--project", usage.project, "PROJECT", "Only of this project");
    value(used, "--key", usage.key, "KEY", "Only of this key");
    value(used, "--model", usage.model, "MODEL", "Only of this model");
    used.add_flag("--csv", usage.csv, "Print CSV");

    auto& audit = parsed_.audit;
    CLI::App& trail = command("audit");
    required(choice(trail, "ACTION", audit.action, "verify|list", "What to do"));
    value(trail, "DIRECTORY", audit.directory, "DIRECTORY", "verify: a copy of the audit files, without the database");
    value(trail, "--from", audit.from, "TIME", "list: not before this time");
    value(trail, "--to", audit.to, "TIME", "list: not after this time");
    value(trail, "--principal", audit.principal, "PRINCIPAL", "list: of this one, for example key:abc");
    value(trail, "--action", audit.what, "PREFIX", "list: actions that begin so, for example key.");
    number<std::int64_t>(trail, "--limit", audit.limit, 1, 10'000, "list: at most so many; default 100");
  }

  void define_setup() {
    command("doctor").add_flag("--verify", parsed_.doctor.verify, "Read every model file and compare its digest");
    required(choice(command("config"), "ACTION", parsed_.config.action, "show|reference|schema|path", "What to print"));
    required(choice(command("completion"), "SHELL", parsed_.completion.shell, "bash|zsh|fish", "For this shell"));
    command("version");
    value(command("help"), "COMMAND", parsed_.help.command, "COMMAND", "A command; without it, the program");
  }

  Parsed parsed_;
  CLI::App app_;
};

CommandTree::CommandTree() : definition_(std::make_unique<Definition>()) {}
CommandTree::~CommandTree() = default;
CLI::App& CommandTree::app() {
  return definition_->app();
}
Parsed& CommandTree::parsed() {
  return definition_->parsed();
}

}  // namespace llm::cli
