#include <chrono>
#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/commands/exit_status.h"
#include "cli/commands/session.h"
#include "cli/completion.h"
#include "cli/doctor.h"
#include "cli/help_text.h"
#include "cli/text_table.h"

namespace llm::cli {
namespace {

std::string verdict_mark(Verdict verdict, const Terminal& terminal) {
  switch (verdict) {
    case Verdict::kOk:
      return terminal.styled(Style::kGreen, "ok  ");
    case Verdict::kInfo:
      return terminal.styled(Style::kDim, "info");
    case Verdict::kWarn:
      return terminal.styled(Style::kYellow, "warn");
    case Verdict::kFail:
      return terminal.styled(Style::kRed, "FAIL");
  }
  return {};
}

std::string findings_page(const std::vector<Finding>& findings, const Terminal& terminal) {
  std::size_t widest = 0;
  for (const Finding& finding : findings) widest = std::max(widest, display_width(finding.subject));
  std::string out;
  for (const Finding& finding : findings) {
    const bool shown = !terminal.quiet() || finding.verdict == Verdict::kWarn || finding.verdict == Verdict::kFail;
    if (!shown) continue;
    out += fmt::format("{}  {:<{}}  {}\n", verdict_mark(finding.verdict, terminal), finding.subject, widest,
                       printable(finding.message));
    if (!finding.remedy.empty()) out += fmt::format("{:>{}}{}\n", "-> ", widest + 11, printable(finding.remedy));
  }
  return out;
}

// With a broken configuration the checks go on with the defaults.
Result<DoctorSubject> doctor_subject(CommandContext& context, bool verify) {
  auto config = load_config(sources_of(context));
  auto installation = find_installation(config ? config->settings : Settings{}, context.env, context.uid);
  if (!installation) return fail(std::move(installation.error()));
  DoctorSubject subject{.program_dir = program_path().parent_path(),
                        .installation = std::move(*installation),
                        .config = std::move(config),
                        .uid = context.uid,
                        .verify = verify,
                        .run_program = {},
                        .gateway_status = {}};
  subject.run_program = [](const std::vector<std::string>& argv) {
    return program_output(argv, std::chrono::seconds(20));
  };
  return subject;
}

json::object redacted(const Settings& settings) {
  return json::encode(settings, {.redact_secrets = true});
}

}  // namespace

Result<int> run_command(CommandContext& context, const DoctorArguments& arguments) {
  auto subject = doctor_subject(context, arguments.verify);
  if (!subject) return fail(std::move(subject.error()));
  Setup setup{.config = {}, .installation = subject->installation};
  auto gateway = GatewaySession::attach(setup);
  std::optional<Result<json::object>> status;
  if (gateway) status = gateway->call([](inference::ModelApi& api, CancelToken) { return api.status(); });
  subject->gateway_status = [&status] { return status; };
  const auto findings = run_doctor(*subject);
  const json::object document = to_json(findings);
  if (context.terminal.json()) {
    context.terminal.result(document);
  } else {
    context.terminal.out(findings_page(findings, context.terminal));
  }
  return json::int_or(document, "fail") == 0 ? kExitSuccess : kExitFailure;
}

Result<int> run_command(CommandContext& context, const ConfigArguments& arguments) {
  Terminal& terminal = context.terminal;
  if (arguments.action == "reference") {
    terminal.out(config_reference());
    return kExitSuccess;
  }
  if (arguments.action == "schema") {
    terminal.result(config_schema());
    return kExitSuccess;
  }
  if (arguments.action == "path") {
    const auto sources = sources_of(context);
    auto directory = config_dir(context.env);
    if (!sources.file && !directory) return fail(std::move(directory.error()));
    const std::filesystem::path path = sources.file ? *sources.file : *directory / "llm-mcp.yaml";
    std::error_code error;
    const bool exists = std::filesystem::exists(path, error);
    if (terminal.json()) {
      terminal.result({{"path", path.string()}, {"exists", exists}});
    } else {
      terminal.line(path.string());
      if (!exists) terminal.note("(not there: the defaults are in force)");
    }
    return kExitSuccess;
  }
  auto setup = load_setup(context);
  if (!setup) return fail(std::move(setup.error()));
  for (const std::string& warning : setup->config.warnings) terminal.note("llm-mcp: " + warning);
  if (terminal.json()) {
    terminal.result(redacted(setup->config.settings));
  } else {
    terminal.out(config_show(setup->config));
  }
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const CompletionArguments& arguments) {
  auto script = completion_script(describe_arguments(), arguments.shell);
  if (!script) return fail(std::move(script.error()));
  context.terminal.out(*script);
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const VersionArguments&) {
  if (context.terminal.json()) {
    context.terminal.result({{"version", kProductVersion}, {"engine", kEngineRelease}});
  } else {
    context.terminal.line(fmt::format("llm-mcp {} (llama.cpp {})", kProductVersion, kEngineRelease));
  }
  return kExitSuccess;
}

Result<int> run_command(CommandContext& context, const HelpArguments& arguments) {
  context.terminal.out(help_page(describe_arguments(), arguments.command, context.terminal));
  return kExitSuccess;
}

}  // namespace llm::cli
