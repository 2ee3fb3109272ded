#include "cli/doctor.h"

#include <array>
#include <fmt/format.h>
#include <iterator>
#include <sys/stat.h>

#include "async/child_process.h"
#include "async/loop.h"
#include "base/strings.h"

namespace llm::cli {
namespace {

void append(std::vector<Finding>& all, std::vector<Finding> more) {
  all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kInfo:
      return "info";
    case Verdict::kWarn:
      return "warn";
    case Verdict::kFail:
      return "fail";
  }
  return "";
}

Finding check_configuration(const DoctorSubject& subject) {
  if (!subject.config) {
    return {Verdict::kFail, "configuration", subject.config.error().message,
            "mend it there; `llm-mcp config reference` shows every setting"};
  }
  if (!subject.config->warnings.empty()) {
    return {Verdict::kWarn, "configuration", fmt::format("{}", fmt::join(subject.config->warnings, "; ")),
            "`llm-mcp config show` says where each value comes from"};
  }
  const std::size_t set = subject.config->sources.size();
  return {Verdict::kOk, "configuration", set == 0 ? "defaults" : fmt::format("loads; {} values are set", set), {}};
}

Finding check_gateway(const DoctorSubject& subject) {
  const auto status = subject.gateway_status();
  if (!status) return {Verdict::kInfo, "gateway", "none is running; one starts when it is needed", {}};
  if (!*status) {
    return {Verdict::kFail, "gateway",
            fmt::format("its socket {} accepts connections, but it does not answer: {}",
                        subject.installation.socket.string(), status->error().message),
            fmt::format("`llm-mcp stop` ends it; its log is {}", subject.installation.log_file.string())};
  }
  const std::string_view version = json::string_or(**status, "version");
  if (version != kProductVersion) {
    return {Verdict::kWarn, "gateway",
            fmt::format("version {} is running, this program is {}", version, kProductVersion),
            "`llm-mcp stop`; the next command starts the new one"};
  }
  return {Verdict::kOk, "gateway", fmt::format("running, version {}", version), {}};
}

std::vector<Finding> run_doctor(const DoctorSubject& subject) {
  std::vector<Finding> findings{check_configuration(subject)};
  append(findings, check_engine(subject));
  findings.push_back(check_memory(subject));
  findings.push_back(check_processors(subject));
  findings.push_back(check_gpu(subject));
  append(findings, check_directories(subject));
  append(findings, check_models(subject));
  findings.push_back(check_gateway(subject));
  findings.push_back(check_port(subject));
  return findings;
}

json::object to_json(const std::vector<Finding>& findings) {
  json::array list;
  std::array<std::int64_t, 4> counts{};
  for (const Finding& finding : findings) {
    ++counts.at(static_cast<std::size_t>(finding.verdict));
    json::object one{
        {"verdict", to_string(finding.verdict)}, {"subject", finding.subject}, {"message", finding.message}};
    if (!finding.remedy.empty()) one["remedy"] = finding.remedy;
    list.push_back(std::move(one));
  }
  json::object document{{"findings", std::move(list)}};
  for (const Verdict verdict : {Verdict::kOk, Verdict::kInfo, Verdict::kWarn, Verdict::kFail}) {
    document[to_string(verdict)] = counts.at(static_cast<std::size_t>(verdict));
  }
  return document;
}

Result<std::string> program_output(const std::vector<std::string>& argv, std::chrono::milliseconds limit) {
  constexpr std::size_t kMost = 64 * 1024;
  Loop loop("doctor");
  std::string output;
  std::optional<ExitStatus> status;
  const char* path = ::getenv("PATH");
  auto child = ChildProcess::start(
      loop.executor(),
      {.argv = argv, .env = {{"PATH", path ? path : "/usr/local/bin:/usr/bin:/bin"}}, .working_directory = {}},
      [&](std::string_view line) {
        if (output.size() < kMost) output.append(line).append("\n");
      },
      [&](ExitStatus ended) {
        status = ended;
        loop.stop();
      });
  if (!child) return fail(std::move(child.error()));
  Deadline deadline([&loop] { loop.stop(); });
  loop.wheel().arm(deadline, limit);
  loop.run();
  child->reset();
  if (!status) {
    return fail(ErrorCode::kEngineTimeout,
                fmt::format("{} did not end within {}", argv.front(), format_duration_ms(limit.count())));
  }
  if (!status->success()) {
    return fail(ErrorCode::kEngineFailed, fmt::format("{} {}: {}", argv.front(), status->text(), trim(output)));
  }
  return output;
}

}  // namespace llm::cli
