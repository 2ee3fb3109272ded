#include "cli/doctor.h"

#include <cstdlib>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/store.h"
#include "net/address.h"

namespace llm::cli {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Doctor : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "doctor.XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    dir_ = pattern;
    subject_.root = dir_ / "root";
    subject_.program_dir = dir_ / "bin";
    subject_.uid = ::getuid();
    subject_.config = LoadedConfig{};
    Installation& installation = subject_.installation;
    installation.config_dir = dir_ / "config";
    installation.data_dir = dir_ / "data";
    installation.cache_dir = dir_ / "cache";
    installation.runtime_dir = dir_ / "run";
    installation.models_dir = dir_ / "data/models";
    installation.socket = dir_ / "run/gateway.sock";
    installation.pid_file = dir_ / "run/gateway.pid";
    installation.state_file = dir_ / "run/gateway.json";
    subject_.run_program = [this](const std::vector<std::string>& argv) -> Result<std::string> {
      ran_.push_back(argv.front());
      return answer_;
    };
    subject_.gateway_status = [this] { return status_; };
  }
  void TearDown() override { fs::remove_all(dir_); }

  void make_engine() {
    write("bin/libexec/llm-mcp/llama-server", "");
    fs::permissions(dir_ / "bin/libexec/llm-mcp/llama-server", fs::perms::owner_all);
  }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((dir_ / path).parent_path());
    std::ofstream(dir_ / path) << text;
  }
  void make_directory(const std::string& path, mode_t mode) {
    fs::create_directories(dir_ / path);
    ASSERT_EQ(::chmod((dir_ / path).c_str(), mode), 0);
  }

  fs::path dir_;
  DoctorSubject subject_{.config = fail(ErrorCode::kInternal, ""), .run_program = {}, .gateway_status = {}};
  Result<std::string> answer_ = "version: 0.5.0-dev (build 1)\n";
  std::optional<Result<json::object>> status_;
  std::vector<std::string> ran_;
};

TEST_F(Doctor, EngineMissing) {
  const auto findings = check_engine(subject_);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].verdict, Verdict::kFail);
  EXPECT_THAT(findings[0].remedy, HasSubstr("scripts/build-llama"));
  EXPECT_TRUE(ran_.empty());
}

TEST_F(Doctor, EngineVersions) {
  make_engine();
  EXPECT_EQ(check_engine(subject_)[0].verdict, Verdict::kOk);
  answer_ = "version: 0.4.9\n";
  EXPECT_EQ(check_engine(subject_)[0].verdict, Verdict::kWarn);
  answer_ = "hello\n";
  EXPECT_EQ(check_engine(subject_)[0].verdict, Verdict::kWarn);
  answer_ = fail(ErrorCode::kEngineFailed, "exited with code 1");
  EXPECT_EQ(check_engine(subject_)[0].verdict, Verdict::kFail);
}

TEST_F(Doctor, EngineBesideTheProgramsFolder) {
  write("libexec/llm-mcp/llama-server", "");
  fs::permissions(dir_ / "libexec/llm-mcp/llama-server", fs::perms::owner_all);
  EXPECT_EQ(find_engine(subject_.program_dir, {}), dir_ / "libexec/llm-mcp/llama-server");
  Settings settings;
  settings.engines.llama_server = "/nowhere/llama-server";
  EXPECT_EQ(find_engine(subject_.program_dir, settings), "/nowhere/llama-server");
}

TEST_F(Doctor, Configuration) {
  EXPECT_EQ(check_configuration(subject_).verdict, Verdict::kOk);
  subject_.config->warnings.emplace_back("misspelt");
  EXPECT_EQ(check_configuration(subject_).verdict, Verdict::kWarn);
  subject_.config = fail(ErrorCode::kInvalidArgument, "llm-mcp.yaml:3:1: no");
  EXPECT_EQ(check_configuration(subject_).verdict, Verdict::kFail);
  EXPECT_THAT(check_configuration(subject_).message, HasSubstr("llm-mcp.yaml:3:1"));
}

TEST_F(Doctor, Gpus) {
  EXPECT_EQ(check_gpu(subject_).verdict, Verdict::kInfo);
  write("root/proc/driver/nvidia/gpus/0000:01/information", "Model: \t Big Card\nIRQ: 3\n");
  EXPECT_EQ(check_gpu(subject_).verdict, Verdict::kOk);
  EXPECT_THAT(check_gpu(subject_).message, HasSubstr("Big Card"));
  answer_ = fail(ErrorCode::kEngineFailed, "no driver");
  EXPECT_EQ(check_gpu(subject_).verdict, Verdict::kWarn);
}

TEST_F(Doctor, Directories) {
  make_directory("config", 0777);
  make_directory("data", 0755);
  make_directory("run", 0755);
  auto findings = check_directories(subject_);
  ASSERT_EQ(findings.size(), 4U);
  EXPECT_EQ(findings[0].verdict, Verdict::kWarn);
  EXPECT_EQ(findings[0].remedy, "chmod go-w " + (dir_ / "config").string());
  EXPECT_EQ(findings[1].verdict, Verdict::kOk);
  EXPECT_EQ(findings[2].verdict, Verdict::kFail);
  EXPECT_EQ(findings[2].remedy, "chmod 700 " + (dir_ / "run").string());
  make_directory("run", 0700);
  EXPECT_EQ(check_directories(subject_)[2].verdict, Verdict::kOk);
  subject_.uid = ::getuid() + 1;
  EXPECT_EQ(check_directories(subject_)[1].verdict, Verdict::kWarn);
  EXPECT_EQ(check_directories(subject_)[2].verdict, Verdict::kFail);
}

TEST_F(Doctor, MissingDirectoriesAreFine) {
  for (const Finding& finding : check_directories(subject_)) EXPECT_NE(finding.verdict, Verdict::kFail);
  EXPECT_FALSE(fs::exists(dir_ / "config"));
}

TEST_F(Doctor, RuntimeDirectoryMustNotBeALink) {
  make_directory("elsewhere", 0700);
  fs::create_directory_symlink(dir_ / "elsewhere", dir_ / "run");
  EXPECT_EQ(check_directories(subject_)[2].verdict, Verdict::kFail);
}

TEST_F(Doctor, NoModelsYet) {
  const auto findings = check_models(subject_);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].verdict, Verdict::kInfo);
  EXPECT_FALSE(fs::exists(subject_.installation.models_dir)) << "a check changes nothing";
}

TEST_F(Doctor, ModelFilesThatAreGoneOrCut) {
  ASSERT_TRUE(models::ModelStore::open({.root = subject_.installation.models_dir}));
  const models::Digest digest = models::sha256_of("12345");
  models::Manifest manifest;
  manifest.name = {"m", "latest"};
  manifest.digest = digest;
  manifest.size = 5;
  write("data/models/manifests/m/latest.json", json::write(models::to_json(manifest)));
  auto findings = check_models(subject_);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].verdict, Verdict::kFail) << findings[0].message;
  EXPECT_THAT(findings[0].message, HasSubstr("m:latest"));

  const std::string blob = "data/models/blobs/" + digest.file_name();
  write(blob, "123");
  EXPECT_THAT(check_models(subject_)[0].message, HasSubstr("has 3 bytes, it should have 5"));
  write(blob, "1234x");
  EXPECT_EQ(check_models(subject_)[0].verdict, Verdict::kOk);
  subject_.verify = true;
  EXPECT_EQ(check_models(subject_)[0].verdict, Verdict::kFail);
  write(blob, "12345");
  EXPECT_EQ(check_models(subject_)[0].verdict, Verdict::kOk);

  write("data/models/manifests/broken/latest.json", "{");
  EXPECT_EQ(check_models(subject_)[0].verdict, Verdict::kFail);
}

TEST_F(Doctor, EveryFileOfARepository) {
  ASSERT_TRUE(models::ModelStore::open({.root = subject_.installation.models_dir}));
  models::Manifest manifest;
  manifest.name = {"whole", "latest"};
  manifest.kind = models::ModelKind::kRepository;
  manifest.files = {{"a.json", models::sha256_of("aa"), 2}, {"b.json", models::sha256_of("bbb"), 3}};
  manifest.digest = models::files_digest(manifest.files);
  manifest.size = 5;
  write("data/models/manifests/whole/latest.json", json::write(models::to_json(manifest)));
  const auto place = [](const char* text) { return "data/models/blobs/" + models::sha256_of(text).file_name(); };
  write(place("aa"), "aa");
  EXPECT_EQ(check_models(subject_)[0].verdict, Verdict::kFail);
  write(place("bbb"), "bbb");
  subject_.verify = true;
  EXPECT_EQ(check_models(subject_)[0].verdict, Verdict::kOk) << check_models(subject_)[0].message;
  write(place("bbb"), "bbx");
  EXPECT_THAT(check_models(subject_)[0].message, HasSubstr("whole:latest"));
}

TEST_F(Doctor, Gateway) {
  EXPECT_EQ(check_gateway(subject_).verdict, Verdict::kInfo);
  status_ = json::object{{"version", kProductVersion}};
  EXPECT_EQ(check_gateway(subject_).verdict, Verdict::kOk);
  status_ = json::object{{"version", "0.0.1"}};
  EXPECT_EQ(check_gateway(subject_).verdict, Verdict::kWarn);
  status_ = fail(ErrorCode::kTimeout, "no answer");
  EXPECT_EQ(check_gateway(subject_).verdict, Verdict::kFail);
}

TEST_F(Doctor, Port) {
  auto fd = net::listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(fd);
  const auto port = net::local_port(*fd);
  subject_.config->settings.server.port = port;
  EXPECT_EQ(check_port(subject_).verdict, Verdict::kWarn);
  EXPECT_THAT(check_port(subject_).message, HasSubstr("in use"));
  write("run/gateway.json", "{\"port\":" + std::to_string(port) + "}");
  EXPECT_EQ(check_port(subject_).verdict, Verdict::kWarn) << "a file alone is no gateway";
  status_ = json::object{};
  EXPECT_EQ(check_port(subject_).verdict, Verdict::kOk);
  ::close(*fd);
  fs::remove(dir_ / "run/gateway.json");
  EXPECT_EQ(check_port(subject_).verdict, Verdict::kOk);
  subject_.config->settings.server.port = 0;
  EXPECT_EQ(check_port(subject_).verdict, Verdict::kOk);
}

TEST_F(Doctor, MemoryLimitAboveTheMachine) {
  subject_.config->settings.engines.memory_limit.bytes = 1ULL << 60;
  EXPECT_NE(check_memory(subject_).verdict, Verdict::kOk);
}

TEST_F(Doctor, JsonCountsVerdicts) {
  const auto document = to_json({{Verdict::kFail, "a", "m", "r"}, {Verdict::kOk, "b", "m", ""}});
  EXPECT_EQ(json::int_or(document, "fail"), 1);
  EXPECT_EQ(json::int_or(document, "ok"), 1);
  EXPECT_EQ(json::int_or(document, "warn"), 0);
  EXPECT_EQ(
      json::write(document.at("findings")),
      R"([{"verdict":"fail","subject":"a","message":"m","remedy":"r"},{"verdict":"ok","subject":"b","message":"m"}])");
}

TEST_F(Doctor, BrokenConfigurationDoesNotEndTheChecks) {
  subject_.config = fail(ErrorCode::kInvalidArgument, "no");
  EXPECT_GE(run_doctor(subject_).size(), 12U);
}

TEST(ProgramOutput, OutputStatusAndLimit) {
  EXPECT_EQ(program_output({"sh", "-c", "echo a; echo b >&2"}, std::chrono::seconds(60)), "a\nb\n");
  const auto failed = program_output({"sh", "-c", "echo why; exit 3"}, std::chrono::seconds(60));
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("code 3"));
  EXPECT_THAT(failed.error().message, HasSubstr("why"));
  const auto endless = program_output({"sleep", "1000"}, std::chrono::milliseconds(1));
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().code, ErrorCode::kEngineTimeout);
  const auto missing = program_output({"/nowhere/x"}, std::chrono::seconds(60));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace llm::cli
