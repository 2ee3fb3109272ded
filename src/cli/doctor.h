#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/paths.h"
#include "cli/config.h"
#include "cli/installation.h"
#include "json/json.h"

namespace llm::cli {

enum class Verdict { kOk, kInfo, kWarn, kFail };
std::string_view to_string(Verdict verdict);  // "ok", "info", "warn", "fail"

// One thing that was looked at.
struct Finding {
  Verdict verdict = Verdict::kOk;
  std::string subject;  // "engine", "memory": short, the same from run to run
  std::string message;
  std::string remedy;  // what to do about it; empty: nothing
};

// What the checks look at. Tests put a folder of their own in `root` and answers of their own in the functions.
struct DoctorSubject {
  std::filesystem::path root = "/";  // for /proc, /sys and /dev
  std::filesystem::path program_dir{};
  Installation installation{};
  Result<LoadedConfig> config;  // an error is a finding
  uid_t uid = 0;
  bool verify = false;  // hash every model file

  // Runs a program (argv) and gives its output; an error if it cannot be run, fails or takes too long.
  std::function<Result<std::string>(const std::vector<std::string>& argv)> run_program{};
  // The status of the gateway that runs (inference::ModelApi::status()); nullopt: none runs.
  std::function<std::optional<Result<json::object>>()> gateway_status{};
};

std::vector<Finding> run_doctor(const DoctorSubject& subject);

// Each check by itself, in the order in which they are run.
Finding check_configuration(const DoctorSubject& subject);
std::vector<Finding> check_engine(const DoctorSubject& subject);
Finding check_memory(const DoctorSubject& subject);
Finding check_processors(const DoctorSubject& subject);
Finding check_gpu(const DoctorSubject& subject);
std::vector<Finding> check_directories(const DoctorSubject& subject);
std::vector<Finding> check_models(const DoctorSubject& subject);
Finding check_gateway(const DoctorSubject& subject);
Finding check_port(const DoctorSubject& subject);

// {"findings": [{verdict, subject, message, remedy?}], "ok": n, "info": n, "warn": n, "fail": n}
json::object to_json(const std::vector<Finding>& findings);

// Runs a program and gives its output (stdout and stderr) once it has ended with status 0. kEngineTimeout after
// `limit`; blocks meanwhile.
Result<std::string> program_output(const std::vector<std::string>& argv, std::chrono::milliseconds limit);

}  // namespace llm::cli
