#include "cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/help_text.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

using ::testing::HasSubstr;

Result<Invocation> parse(const std::vector<std::string>& words) {
  return parse_arguments(words);
}

std::string error_of(const std::vector<std::string>& words) {
  const auto parsed = parse(words);
  if (parsed) return "(no error)";
  EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
  return parsed.error().message;
}

template <class T>
T command_of(const std::vector<std::string>& words) {
  auto parsed = parse(words);
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message);
  if (!parsed || !std::holds_alternative<T>(parsed->command)) {
    ADD_FAILURE() << "another command";
    return {};
  }
  return std::get<T>(parsed->command);
}

TEST(Arguments, EveryCommandHasHelpAndEveryHelpACommand) {
  const CommandSpec program = describe_arguments();
  for (const CommandSpec& command : program.commands) {
    const CommandHelp* help = find_command_help(command.name);
    ASSERT_TRUE(help) << command.name;
    EXPECT_EQ(command.summary, help->summary);
    for (const ArgumentSpec& argument : command.arguments) EXPECT_FALSE(argument.description.empty()) << command.name;
  }
  EXPECT_EQ(program.commands.size(), command_help().size());
}

TEST(Arguments, GlobalFlagsStandBeforeAndAfterTheCommand) {
  for (const auto& words : {std::vector<std::string>{"--json", "-q", "--config", "x.yaml", "list"},
                            std::vector<std::string>{"ls", "--config", "x.yaml", "--quiet", "--json"}}) {
    const auto parsed = parse(words);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_TRUE(std::holds_alternative<ListArguments>(parsed->command));
    EXPECT_TRUE(parsed->global.json);
    EXPECT_TRUE(parsed->global.quiet);
    EXPECT_FALSE(parsed->global.no_color);
    EXPECT_EQ(parsed->global.config, "x.yaml");
  }
}

TEST(Arguments, FlagsOfServeAndSetBecomeSettings) {
  const auto parsed = parse({"serve", "--port", "0", "--idle-exit", "-1", "--tcp", "optional", "--set",
                             "models.settings.\"a=b\".context=5", "--set=observe.metrics=false"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(std::get<ServeArguments>(parsed->command).tcp, TcpListen::kOptional);
  std::vector<std::string> got;
  for (const Flag& flag : parsed->global.settings) got.push_back(flag.name + "|" + flag.path + "|" + flag.text);
  EXPECT_THAT(got,
              ::testing::UnorderedElementsAre("--port|server.port|0", "--idle-exit|server.idle_exit|-1",
                                              "--set models.settings.\"a=b\".context|models.settings.\"a=b\".context|5",
                                              "--set observe.metrics|observe.metrics|false"));
  EXPECT_EQ(std::get<ServeArguments>(parse({"serve"})->command).tcp, TcpListen::kRequired);
  EXPECT_THAT(error_of({"serve", "--set", "server.port"}), HasSubstr("expected KEY=VALUE, got \"server.port\""));
  EXPECT_THAT(error_of({"serve", "--set", "=1"}), HasSubstr("expected KEY=VALUE"));
}

TEST(Arguments, Chat) {
  const auto chat = command_of<ChatArguments>({"chat", "m", "list", "of", "rivers", "--temperature", "0",
                                               "--max-tokens", "7", "--seed", "-1", "--system", "s", "--raw"});
  EXPECT_EQ(chat.model, "m");
  EXPECT_EQ(chat.prompt, (std::vector<std::string>{"list", "of", "rivers"}));
  EXPECT_EQ(chat.temperature, 0.0);
  EXPECT_EQ(chat.max_tokens, 7);
  EXPECT_EQ(chat.seed, -1);
  EXPECT_EQ(chat.system, "s");
  EXPECT_TRUE(chat.raw);
  EXPECT_EQ(command_of<ChatArguments>({"chat", "m", "a", "-"}).prompt, (std::vector<std::string>{"a", "-"}));
  EXPECT_EQ(command_of<ChatArguments>({"chat", "m", "--", "--help", "me"}).prompt,
            (std::vector<std::string>{"--help", "me"}));
  EXPECT_THAT(error_of({"chat", "m", "--temperature", "hot"}),
              HasSubstr("--temperature: expected a number from 0 to 5, got \"hot\""));
  EXPECT_THAT(error_of({"chat", "m", "--temperature", "nan"}), HasSubstr("expected a number"));
  EXPECT_THAT(error_of({"chat", "m", "--max-tokens", "0"}), HasSubstr("from 1 to"));
  EXPECT_THAT(error_of({"chat", "m", "--max-tokens", "1.5"}), HasSubstr("from 1 to"));
}

TEST(Arguments, OtherCommands) {
  const auto import = command_of<ImportArguments>({"import", "f.gguf", "--name", "n", "--if-missing", "--move"});
  EXPECT_EQ(import.file, "f.gguf");
  EXPECT_EQ(import.name, "n");
  EXPECT_TRUE(import.if_missing);
  EXPECT_TRUE(import.move);
  EXPECT_FALSE(import.hardlink);
  EXPECT_EQ(command_of<RemoveArguments>({"rm", "a", "b", "-y"}).models, (std::vector<std::string>{"a", "b"}));
  const auto alias = command_of<AliasArguments>({"alias", "--remove", "x"});
  EXPECT_TRUE(alias.remove);
  EXPECT_EQ(alias.name, "x");
  const auto split =
      command_of<AliasArguments>({"alias", "set", "prod", "a=95", "b@sha256:0123456789ab=5", "--shadow", "c=10%"});
  EXPECT_EQ(split.name, "set");
  EXPECT_EQ(split.models, (std::vector<std::string>{"prod", "a=95", "b@sha256:0123456789ab=5"}));
  EXPECT_EQ(split.shadow, (std::vector<std::string>{"c=10%"}));
  EXPECT_EQ(command_of<PromoteArguments>({"promote", "a", "b"}).to, "b");
  EXPECT_EQ(command_of<VersionsArguments>({"versions", "a"}).model, "a");
  EXPECT_EQ(command_of<RollbackArguments>({"rollback", "a"}).name, "a");
  EXPECT_EQ(command_of<ExportArguments>({"export", "a", "out"}).directory, "out");
  EXPECT_TRUE(command_of<GcArguments>({"gc", "--dry-run"}).dry_run);
  EXPECT_EQ(command_of<PullArguments>({"pull", "hf:o/r", "--format", "repository"}).format, "repository");
  EXPECT_EQ(command_of<LoadArguments>({"load", "m", "--keep-alive", "-1"}).keep_alive, "-1");
  EXPECT_EQ(command_of<ConfigArguments>({"config", "schema"}).action, "schema");
  EXPECT_TRUE(command_of<StdioArguments>({"stdio", "--standalone"}).standalone);
  EXPECT_TRUE(command_of<DoctorArguments>({"doctor", "--verify"}).verify);
}

TEST(Arguments, InstallAndUninstall) {
  const auto install =
      command_of<InstallArguments>({"install", "zed", "--arg=--standalone", "--arg", "x", "--env", "A=1", "--env=B=2",
                                    "--name", "n", "--config-file", "f", "--print"});
  EXPECT_EQ(install.client, "zed");
  EXPECT_EQ(install.arguments, (std::vector<std::string>{"--standalone", "x"}));
  EXPECT_EQ(install.environment, (std::vector<std::string>{"A=1", "B=2"}));
  EXPECT_EQ(install.name, "n");
  EXPECT_EQ(install.config_file, "f");
  EXPECT_TRUE(install.print);
  EXPECT_TRUE(command_of<InstallArguments>({"install", "--list"}).list);
  EXPECT_EQ(command_of<InstallArguments>({"install", "zed"}).name, "local-llm");
  EXPECT_TRUE(command_of<UninstallArguments>({"uninstall", "zed", "--dry-run"}).dry_run);
  EXPECT_THAT(error_of({"uninstall"}), HasSubstr("uninstall: CLIENT is missing"));
}

TEST(Arguments, Access) {
  const auto key =
      command_of<AccessArguments>({"keys", "create", "--name", "ci", "--role", "user", "--model", "qwen3*", "--model",
                                   "e5", "--scope", "generate", "--expires", "90d", "--weight", "2"});
  EXPECT_EQ(key.kind, "keys");
  EXPECT_EQ(key.action, "create");
  EXPECT_EQ(key.name, "ci");
  EXPECT_THAT(key.models, ::testing::ElementsAre("qwen3*", "e5"));
  EXPECT_THAT(key.scopes, ::testing::ElementsAre("generate"));
  EXPECT_EQ(key.expires, "90d");
  EXPECT_EQ(key.weight, 2);
  const auto revoked = command_of<AccessArguments>({"keys", "revoke", "abc", "--force"});
  EXPECT_EQ(revoked.id, "abc");
  EXPECT_TRUE(revoked.force);
  EXPECT_EQ(command_of<AccessArguments>({"users", "disable", "ada"}).kind, "users");
  EXPECT_EQ(command_of<AccessArguments>({"projects", "enable", "search"}).kind, "projects");
  EXPECT_THAT(command_of<AccessArguments>({"roles", "create", "r", "--rule", "generate=a*,b"}).rules,
              ::testing::ElementsAre("generate=a*,b"));
  EXPECT_THAT(command_of<UsageArguments>({"usage", "--by", "key", "--by", "day"}).by,
              ::testing::ElementsAre("key", "day"));
  EXPECT_EQ(command_of<AuditArguments>({"audit", "verify", "/backup"}).directory, "/backup");
  EXPECT_THAT(error_of({"keys"}), HasSubstr("keys: ACTION is missing"));
  EXPECT_THAT(error_of({"keys", "rotat"}), HasSubstr("rotate"));
  EXPECT_THAT(error_of({"audit", "erase"}), HasSubstr("verify, list"));
}

TEST(Arguments, HelpAndVersion) {
  EXPECT_EQ(command_of<HelpArguments>({}).command, "");
  EXPECT_EQ(command_of<HelpArguments>({"--help"}).command, "");
  EXPECT_EQ(command_of<HelpArguments>({"chat", "--help"}).command, "chat");
  EXPECT_EQ(command_of<HelpArguments>({"ls", "-h"}).command, "list");
  EXPECT_EQ(command_of<HelpArguments>({"help", "pull"}).command, "pull");
  EXPECT_THAT(error_of({"help", "pul"}), HasSubstr("did you mean pull"));
  command_of<VersionArguments>({"--version"});
  command_of<VersionArguments>({"version", "--json"});
}

TEST(Arguments, MistakesAreNamedWithWhatWasMeant) {
  EXPECT_THAT(error_of({"shwo", "x"}), HasSubstr("unknown command \"shwo\"; did you mean show?"));
  EXPECT_THAT(error_of({"zzzzzzz"}), HasSubstr("llm-mcp --help lists them"));
  EXPECT_THAT(error_of({"pull", "--nmae", "x", "hf:a/b"}),
              HasSubstr("pull: unknown option --nmae; did you mean --name"));
  EXPECT_THAT(error_of({"list", "--jsn"}), HasSubstr("did you mean --json"));
  EXPECT_THAT(error_of({"--jsn", "list"}), HasSubstr("did you mean --json"));
  EXPECT_THAT(error_of({"chat", "m", "--qqqqqqqq"}), HasSubstr("unknown option --qqqqqqqq"));
  EXPECT_THAT(error_of({"show"}), HasSubstr("show: MODEL is missing"));
  EXPECT_THAT(error_of({"show", "a", "b"}), HasSubstr("show: unexpected argument \"b\""));
  EXPECT_THAT(error_of({"import", "f", "--name"}), HasSubstr("--name: a value is missing"));
  EXPECT_THAT(error_of({"completion", "tcsh"}), HasSubstr("expected one of bash, zsh, fish, got \"tcsh\""));
  EXPECT_THAT(error_of({"serve", "--tcp", "maybe"}), HasSubstr("expected one of required, optional, off"));
  EXPECT_THAT(error_of({"import", "f", "--move", "--hardlink"}), HasSubstr("--move"));
}

Terminal plain_terminal(std::size_t width) {
  TerminalSettings settings;
  settings.width = width;
  return Terminal(settings, [](std::string_view) {}, [](std::string_view) {});
}

TEST(HelpPage, ProgramNamesEveryCommandFilesAndStatuses) {
  const CommandSpec program = describe_arguments();
  const std::string page = help_page(program, "", plain_terminal(80));
  for (const CommandSpec& command : program.commands) EXPECT_THAT(page, HasSubstr("    " + command.name));
  for (const char* text :
       {"USAGE", "EXAMPLES", "ENVIRONMENT", "FILES", "EXIT STATUS", "gateway.sock", "130", "--config"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
  EXPECT_EQ(page.find('\x1b'), std::string::npos);
}

TEST(HelpPage, CommandPagesFitTheTerminal) {
  const CommandSpec program = describe_arguments();
  for (const CommandSpec& command : program.commands) {
    const std::string page = help_page(program, command.name, plain_terminal(80));
    EXPECT_THAT(page, HasSubstr("llm-mcp " + command.name));
    const std::size_t examples = page.find("EXAMPLES");
    std::string_view rest = std::string_view(page).substr(0, examples);
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      EXPECT_LE(display_width(rest.substr(0, end)), 80U) << rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  EXPECT_THAT(help_page(program, "chat", plain_terminal(80)), HasSubstr("llm-mcp chat [options] MODEL [PROMPT...]"));
  EXPECT_THAT(help_page(program, "ls", plain_terminal(80)), HasSubstr("Also called ls."));
}

}  // namespace
}  // namespace llm::cli
