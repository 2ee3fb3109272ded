#include "engines/vllm/plan.h"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <sstream>

#include "engines/vllm/document_text.h"

namespace llm::engines {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

VllmPlanInput input_of(const std::string& settings, std::string name = "big") {
  VllmPlanInput input{.name = std::move(name)};
  input.settings = json::decode<VllmSettings>(json::parse(settings).value()).value();
  const auto checked = check_vllm(input.settings);
  EXPECT_TRUE(checked) << checked.error().pointer << ": " << checked.error().message;
  input.known.version = version_of_image(input.settings.container.image);
  return input;
}

std::string hash_of(const VllmPlanInput& input) {
  return make_launch_plan(input).value().hash;
}

// What follows an option.
std::string after(const std::vector<std::string>& argv, std::string_view option) {
  const auto found = std::ranges::find(argv, option);
  return found == argv.end() || found + 1 == argv.end() ? "" : *(found + 1);
}

const char* const kOneCard = R"({"model":"Qwen/Qwen3-8B","max_model_len":32768,"tool_call_parser":"hermes",
    "hf_token":"hf_SECRET"})";
const char* const kEightCards = R"({"model":"Qwen/Qwen3-235B-A22B","tensor_parallel_size":8,"port":8100,
    "gpus":["0","1","2","3","4","5","6","7"],"sleep_mode":true,"api_key":"SECRET-key","dtype":"bfloat16",
    "speculative_config":{"method":"ngram","num_speculative_tokens":4},
    "lora_modules":[{"name":"sql","path":"/adapters/sql"}],"max_lora_rank":64,
    "environment":{"NOTE":"it's $HOME"},"pass_environment":["HTTPS_PROXY"],
    "extra_args":["--enforce-eager"],"container":{"mounts":["/srv/adapters:/adapters"],"model_cache":"/srv/hf"}})";
const char* const kTwoHosts = R"({"model":"deepseek-ai/DeepSeek-V3","tensor_parallel_size":8,
    "pipeline_parallel_size":2,"port":8100,"multi_node":{"hosts":["10.0.0.1","10.0.0.2"]}})";

struct Golden {
  std::string entry;
  const char* settings;
  PlanFormat format;
};
void PrintTo(const Golden& golden, std::ostream* out) {
  *out << golden.entry << "." << json::enum_name(golden.format);
}

// The whole texts of an entry, one file for each format. LLM_WRITE_PLANS=1 writes them anew, to be read by a person.
class GoldenPlan : public testing::TestWithParam<Golden> {};
TEST_P(GoldenPlan, IsTheText) {
  const auto& [entry, settings, format] = GetParam();
  const auto text = render_plan(input_of(settings), format);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_THAT(*text, Not(HasSubstr("SECRET")));
  const std::string path = fmt::format("{}/plans/{}.{}.txt", LLM_TESTDATA, entry, json::enum_name(format));
  if (std::getenv("LLM_WRITE_PLANS")) std::ofstream(path) << *text;
  std::ifstream file(path);
  std::ostringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(*text, golden.str()) << path;
}
std::vector<Golden> goldens() {
  std::vector<Golden> out;
  for (const auto& [format, name] : json::EnumNames<PlanFormat>::values) {
    out.push_back({"one_card", kOneCard, format});
    out.push_back({"eight_cards", kEightCards, format});
    out.push_back({"two_hosts", kTwoHosts, format});
  }
  return out;
}
INSTANTIATE_TEST_SUITE_P(All, GoldenPlan, testing::ValuesIn(goldens()));

TEST(LaunchPlan, AContainerListensOnLoopbackOnly) {
  const auto plan = make_launch_plan(input_of(kOneCard)).value();
  EXPECT_EQ(plan.engine, "big");
  EXPECT_EQ(plan.image, "vllm/vllm-openai:0.10.1");
  EXPECT_EQ(plan.argv[0], "--model");
  EXPECT_EQ(after(plan.argv, "--port"), "8000");
  const auto& host = plan.container.at("HostConfig").as_object();
  EXPECT_EQ(json::write(host.at("PortBindings")), R"({"8000/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]})");
  EXPECT_EQ(json::write(host.at("RestartPolicy")), R"({"Name":"no"})");
  EXPECT_EQ(json::write(host.at("DeviceRequests")), R"([{"Driver":"","Capabilities":[["gpu"]],"Count":1}])");
  EXPECT_EQ(host.at("ShmSize").as_uint64(), 16ULL << 30);
  EXPECT_EQ(plan.container.at("Labels").at(kHashLabel).as_string(), plan.hash);
  EXPECT_FALSE(plan.container.contains("Env"));
}

TEST(LaunchPlan, SecretsAreInTheEnvironmentAlone) {
  auto input = input_of(kEightCards);
  input.settings.hf_token = "hf_SECRET";
  input.api_key = input.settings.api_key;
  for (const auto runtime : {VllmRuntime::kContainer, VllmRuntime::kProcess}) {
    input.settings.runtime = runtime;
    const auto plan = make_launch_plan(input).value();
    EXPECT_EQ(plan.environment.at("HF_TOKEN"), "hf_SECRET");
    EXPECT_EQ(plan.environment.at("VLLM_API_KEY"), "SECRET-key");
    EXPECT_THAT(shell_line(plan.argv) + json::write(plan.container) + plan.hash, Not(HasSubstr("SECRET")));
  }
}

TEST(LaunchPlan, AProcess) {
  auto input = input_of(R"({"runtime":"process","model":"/models/qwen","served_name":"qwen","gpus":["2"],
                            "process":{"python":"/opt/vllm"}})");
  auto plan = make_launch_plan(input).value();
  EXPECT_THAT(plan.argv,
              ElementsAre("/opt/vllm/bin/vllm", "serve", "/models/qwen", "--served-model-name", "qwen",
                          "--gpu-memory-utilization", "0.9", "--enable-prompt-tokens-details", "--host", "127.0.0.1"))
      << "the launcher appends the port";
  EXPECT_EQ(plan.environment.at("CUDA_VISIBLE_DEVICES"), "2");
  EXPECT_EQ(plan.environment.at("HF_HUB_OFFLINE"), "1") << "the model is here";
  EXPECT_TRUE(plan.container.empty());
  input.settings.process.python = "/opt/vllm/bin/python3.12";
  input.settings.port = 8200;
  input.replica = 3;
  plan = make_launch_plan(input).value();
  EXPECT_EQ(plan.argv[0], "/opt/vllm/bin/vllm");
  EXPECT_EQ(after(plan.argv, "--port"), "8203");
  EXPECT_EQ(plan.engine, "big#3");
  input.settings.process = {.python = "", .program = "/usr/bin/vllm-nightly"};
  EXPECT_EQ(make_launch_plan(input)->argv[0], "/usr/bin/vllm-nightly");
}

TEST(LaunchPlan, WhatIsNotAskedForIsVllmsChoice) {
  const auto plan = make_launch_plan(input_of(R"({"model":"a/b"})")).value();
  EXPECT_THAT(plan.argv, ElementsAre("--model", "a/b", "--served-model-name", "big", "--gpu-memory-utilization", "0.9",
                                     "--enable-prompt-tokens-details", "--host", "0.0.0.0", "--port", "8000"));
  for (const auto* name : {"HF_TOKEN", "VLLM_API_KEY", "VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
                           "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES"}) {
    EXPECT_FALSE(plan.environment.contains(name)) << name;
  }
}

TEST(LaunchPlan, DangerousDoorsOpenOnlyWhereAskedFor) {
  auto plan = make_launch_plan(input_of(R"({"model":"a/b","sleep_mode":true})")).value();
  EXPECT_EQ(plan.environment.at("VLLM_SERVER_DEV_MODE"), "1");
  EXPECT_THAT(plan.argv, Contains("--enable-sleep-mode"));
  EXPECT_THAT(plan.argv, Not(Contains("--trust-remote-code")));
  plan = make_launch_plan(input_of(R"({"model":"a/b","enable_lora":true})")).value();
  EXPECT_EQ(plan.environment.at("VLLM_ALLOW_RUNTIME_LORA_UPDATING"), "True");
  EXPECT_THAT(plan.argv, Contains("--enable-lora"));
}

TEST(LaunchPlan, AFolderIsMountedReadOnly) {
  auto input = input_of(R"({"model":"store:qwen3:8b"})");
  const auto missing = make_launch_plan(input);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  input.model_folder = "/data/models/qwen3";
  const auto plan = make_launch_plan(input).value();
  EXPECT_EQ(after(plan.argv, "--model"), "/model");
  EXPECT_EQ(plan.environment.at("HF_HUB_OFFLINE"), "1");
  EXPECT_THAT(json::write(plan.container),
              HasSubstr(R"({"Type":"bind","Source":"/data/models/qwen3","Target":"/model","ReadOnly":true})"));
  // An adapter from the hub needs the hub.
  input.settings.lora_modules = {{"sql", "owner/sql"}};
  EXPECT_FALSE(make_launch_plan(input)->environment.contains("HF_HUB_OFFLINE"));
}

TEST(LaunchPlan, ReplicasShareOutTheGpus) {
  auto input = input_of(R"({"model":"a/b","tensor_parallel_size":2,"replicas":2,"gpus":["3","1","GPU-7","0"]})");
  const auto ids = [](const VllmPlanInput& one) {
    const auto plan = make_launch_plan(one).value();
    return json::write(plan.container.at("HostConfig").at("DeviceRequests").at(0).at("DeviceIDs"));
  };
  EXPECT_EQ(ids(input), R"(["3","1"])");
  input.replica = 1;
  EXPECT_EQ(ids(input), R"(["GPU-7","0"])");
  // What place() chose comes first, and by UUID.
  input.gpus = {4, 5};
  EXPECT_EQ(ids(input), R"(["4","5"])");
  input.gpu_uuids = {"GPU-4", "GPU-5"};
  EXPECT_EQ(ids(input), R"(["GPU-4","GPU-5"])");
  input.settings.runtime = VllmRuntime::kProcess;
  EXPECT_EQ(make_launch_plan(input)->environment.at("CUDA_VISIBLE_DEVICES"), "4,5");
}

TEST(LaunchPlan, WithoutGpusNoneAreAskedFor) {
  const auto plan = make_launch_plan(input_of(R"({"model":"a/b","container":{"gpus":false,"gpu_runtime":"nvidia"}})"));
  EXPECT_FALSE(plan->container.at("HostConfig").as_object().contains("DeviceRequests"));
  EXPECT_FALSE(plan->container.at("HostConfig").as_object().contains("Runtime"));
}

TEST(LaunchPlan, TheHashIsOfWhatIsWanted) {
  const auto base = input_of(kEightCards);
  const std::string hash = hash_of(base);
  EXPECT_EQ(hash.size(), 64U);
  EXPECT_EQ(hash_of(base), hash);
  // What differs from start to start does not count.
  auto same = base;
  same.gpus = {1, 2, 3, 4, 5, 6, 7, 0};
  same.gpu_uuids = {"GPU-a"};
  same.api_key = "made up";
  same.settings.priority = 7;
  same.settings.keep_alive = json::Duration{1000};
  same.settings.container.pull = false;
  EXPECT_EQ(hash_of(same), hash);
  // What changes the engine does.
  const std::vector<std::function<void(VllmPlanInput&)>> changes{
      [](auto& in) { in.settings.max_model_len = 1; },
      [](auto& in) { in.settings.api_key = "other"; },
      [](auto& in) { in.settings.hf_token = "other"; },
      [](auto& in) { in.settings.gpus[0] = "8"; },
      [](auto& in) { in.settings.container.image = "vllm/vllm-openai:v0.33.0"; },
      [](auto& in) { in.settings.environment["NOTE"] = "x"; },
      [](auto& in) { in.settings.port = 1; },
      [](auto& in) { in.replica = 1; },
      [](auto& in) { in.name = "other"; },
      [](auto& in) { in.model_folder = "/models/x"; },
      [](auto& in) { in.settings.stop_timeout = {1000}; },
      [](auto& in) { in.environment = [](const std::string&) { return std::optional<std::string>("proxy"); }; },
  };
  std::vector<std::string> seen{hash};
  for (const auto& change : changes) {
    auto changed = base;
    change(changed);
    EXPECT_THAT(seen, Not(Contains(hash_of(changed)))) << seen.size();
    seen.push_back(hash_of(changed));
  }
}

TEST(LaunchPlan, CanonicalHashIgnoresTheOrderOfMembers) {
  const auto hash = [](const char* text) { return canonical_hash(json::parse(text).value()); };
  EXPECT_EQ(hash(R"({"a":1,"b":[{"x":1,"y":2}]})"), hash(R"({"b":[{"y":2,"x":1}],"a":1})"));
  EXPECT_NE(hash(R"({"a":[1,2]})"), hash(R"({"a":[2,1]})"));
}

TEST(LaunchPlan, OptionsThatOnlySomeVersionsKnow) {
  auto input = input_of(R"({"model":"a/b","swap_space":"4GiB","stop_timeout":"20s"})");
  auto argv = make_launch_plan(input)->argv;
  EXPECT_EQ(after(argv, "--swap-space"), "4");
  EXPECT_THAT(argv, Not(Contains("--shutdown-timeout"))) << "0.10.1";
  input.known.version = "0.32.0";
  argv = make_launch_plan(input)->argv;
  EXPECT_THAT(argv, Not(Contains("--swap-space")));
  EXPECT_EQ(after(argv, "--shutdown-timeout"), "20");
  // What the engine itself lists counts more than its number.
  input.known.options = {"--swap-space"};
  argv = make_launch_plan(input)->argv;
  EXPECT_THAT(argv, Contains("--swap-space"));
  EXPECT_THAT(argv, Not(Contains("--shutdown-timeout")));
  input.known = {};
  EXPECT_THAT(make_launch_plan(input)->argv, Not(Contains("--shutdown-timeout")));
}

TEST(LaunchPlan, VersionsOfImages) {
  for (const auto& [image, version] :
       std::vector<std::pair<std::string, std::string>>{{"vllm/vllm-openai:0.10.1", "0.10.1"},
                                                        {"vllm/vllm-openai:v0.10.1.1", "0.10.1.1"},
                                                        {"registry:5000/vllm:v0.33.0-cu129", "0.33.0"},
                                                        {"registry:5000/vllm", ""},
                                                        {"vllm/vllm-openai:latest", ""},
                                                        {"vllm/vllm-openai:nightly-1", ""},
                                                        {"vllm/vllm-openai:v0.33.0@sha256:00", "0.33.0"},
                                                        {"vllm/vllm-openai@sha256:00", ""}}) {
    EXPECT_EQ(version_of_image(image), version) << image;
  }
  EXPECT_FALSE(features_of({.version = "0.10.1.1"}).nodes);
  EXPECT_TRUE(features_of({.version = "0.10.2"}).nodes);
  EXPECT_TRUE(features_of({.version = "1.0.0"}).shutdown_timeout);
}

TEST(LaunchPlan, ARemoteEngineHasNone) {
  const auto plan = make_launch_plan(input_of(R"({"runtime":"remote","base_url":"http://10.0.0.1:8000/v1"})"));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().pointer, "/runtime");
}

TEST(NodePlans, MpNumbersTheMachines) {
  auto input = input_of(R"({"model":"a/b","tensor_parallel_size":8,"pipeline_parallel_size":2,"port":8100,
      "multi_node":{"hosts":["10.0.0.1","10.0.0.2"],"backend":"mp"},"container":{"image":"vllm/vllm-openai:v0.33.0"}})");
  const auto nodes = make_node_plans(input).value();
  ASSERT_EQ(nodes.size(), 2U);
  const auto& head = nodes[0].plan;
  const auto& worker = nodes[1].plan;
  EXPECT_EQ(head.hash, hash_of(input));
  for (const auto* plan : {&head, &worker}) {
    EXPECT_EQ(after(plan->argv, "--nnodes"), "2");
    EXPECT_EQ(after(plan->argv, "--master-addr"), "10.0.0.1");
    EXPECT_EQ(after(plan->argv, "--master-port"), "29500");
    EXPECT_EQ(after(plan->argv, "--distributed-executor-backend"), "mp");
    EXPECT_EQ(plan->container.at("HostConfig").at("NetworkMode").as_string(), "host");
    EXPECT_EQ(json::write(plan->container.at("HostConfig").at("DeviceRequests").at(0).at("Count")), "8");
  }
  EXPECT_EQ(after(head.argv, "--node-rank"), "0");
  EXPECT_EQ(after(head.argv, "--host"), "127.0.0.1");
  EXPECT_EQ(after(head.argv, "--port"), "8100");
  EXPECT_EQ(after(worker.argv, "--node-rank"), "1");
  EXPECT_THAT(worker.argv, Contains("--headless"));
  EXPECT_THAT(worker.argv, Not(Contains("--port")));
  EXPECT_EQ(worker.environment.at("VLLM_HOST_IP"), "10.0.0.2");
  // 0.10.1 knows no such thing, and says so before anything starts.
  input.known.version = "0.10.1";
  const auto old = make_node_plans(input);
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().pointer, "/multi_node/backend");
}

TEST(NodePlans, WorkersThatAreStartedFromHere) {
  auto input = input_of(R"({"model":"a/b","tensor_parallel_size":2,"port":8100,
      "multi_node":{"hosts":["10.0.0.1","10.0.0.2"],"backend":"mp","docker_hosts":["unix:/run/second.sock"]},
      "container":{"image":"vllm/vllm-openai:v0.33.0"}})");
  const auto without = [&input] {
    auto alone = input;
    alone.settings.multi_node.docker_hosts.clear();
    return make_launch_plan(alone).value();
  }();
  EXPECT_THAT(without.workers, IsEmpty());
  input.gpus = {3};
  input.gpu_uuids = {"GPU-of-this-machine"};
  const auto plan = make_launch_plan(input).value();
  ASSERT_EQ(plan.workers.size(), 1U);
  const auto& worker = plan.workers[0];
  EXPECT_EQ(plan.hash, without.hash) << "who starts the workers is no part of what runs here";
  EXPECT_EQ(worker.engine, plan.engine + "@1");
  EXPECT_EQ(worker.docker_host, "unix:/run/second.sock");
  EXPECT_NE(worker.hash, plan.hash);
  EXPECT_EQ(after(worker.argv, "--node-rank"), "1");
  EXPECT_EQ(worker.environment.at("VLLM_HOST_IP"), "10.0.0.2");
  const auto& gpus = worker.container.at("HostConfig").at("DeviceRequests").at(0);
  EXPECT_EQ(json::write(gpus.at("Count")), "1") << "the GPUs chosen here are not those over there";
  auto other = input;
  other.settings.max_model_len = 512;
  EXPECT_NE(make_launch_plan(other)->workers.at(0).hash, worker.hash);
}

TEST(NodePlans, ProcessesJoinByRay) {
  auto input = input_of(R"({"runtime":"process","model":"a/b","tensor_parallel_size":2,
      "multi_node":{"hosts":["10.0.0.1","10.0.0.2"],"port":6379},"process":{"python":"/opt/vllm"}})");
  const auto nodes = make_node_plans(input).value();
  ASSERT_EQ(nodes[0].commands.size(), 2U);
  EXPECT_THAT(nodes[0].commands[0], ElementsAre("/opt/vllm/bin/ray", "start", "--head", "--node-ip-address=10.0.0.1",
                                                "--port=6379", "--include-dashboard=false", "--disable-usage-stats"));
  EXPECT_EQ(nodes[0].commands[1], nodes[0].plan.argv);
  EXPECT_EQ(nodes[0].plan.environment.at("RAY_ADDRESS"), "10.0.0.1:6379");
  ASSERT_EQ(nodes[1].commands.size(), 1U);
  EXPECT_THAT(nodes[1].commands[0], ElementsAre("/opt/vllm/bin/ray", "start", "--address=10.0.0.1:6379",
                                                "--node-ip-address=10.0.0.2", "--disable-usage-stats", "--block"));
}

TEST(NodePlans, OneMachineIsItsOwnHead) {
  const auto nodes = make_node_plans(input_of(kOneCard)).value();
  ASSERT_EQ(nodes.size(), 1U);
  EXPECT_THAT(nodes[0].host, IsEmpty());
  EXPECT_EQ(nodes[0].commands.size(), 1U);
}

TEST(RenderPlan, ANameThatKubernetesWouldClashWithIsNeverAServices) {
  for (const auto* name : {"vllm", "VLLM", "a_b.c", "-x-"}) {
    const auto text = render_plan(input_of(kOneCard, name), PlanFormat::kKubernetes).value();
    EXPECT_THAT(text, Not(HasSubstr("name: vllm\n"))) << name;
    EXPECT_THAT(text, HasSubstr("enableServiceLinks: false"));
  }
}

TEST(RenderPlan, ReplicasEachHaveTheirOwn) {
  const auto input = input_of(R"({"model":"a/b","replicas":2,"gpus":["0","1"],"port":8100})");
  const auto argv = render_plan(input, PlanFormat::kArgv).value();
  EXPECT_THAT(argv, HasSubstr("# replica 0\n"));
  EXPECT_THAT(argv, HasSubstr("127.0.0.1:8101:8000"));
  const auto compose = render_plan(input, PlanFormat::kCompose).value();
  EXPECT_THAT(compose, HasSubstr("\n  llm-mcp-big-1:\n"));
  EXPECT_EQ(json::parse(render_plan(input, PlanFormat::kDocker).value())->as_array().size(), 2U);
  EXPECT_THAT(render_plan(input, PlanFormat::kKubernetes).value(), HasSubstr("\n  replicas: 2\n"));
}

TEST(RenderPlan, ShellWordsAreQuoted) {
  EXPECT_EQ(shell_word("a-b=c"), "a-b=c");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("it's $x"), R"('it'\''s $x')");
}

TEST(RenderPlan, YamlQuotesWhatReadersWouldMistake) {
  const auto document = json::parse(R"({"a":"no","b":"1","c":"x y","d":"","e":[],"f":{},"g":"1e3","h":"/a.b-c_d",
                                        "on":true,"list":[{"k":1,"l":[2]},[3]],"k":null,"s":"a\"\n"})");
  EXPECT_EQ(block_yaml(document->as_object()),
            "a: \"no\"\nb: \"1\"\nc: \"x y\"\nd: \"\"\ne: []\nf: {}\ng: \"1e3\"\nh: /a.b-c_d\n\"on\": true\n"
            "list:\n  - k: 1\n    l:\n      - 2\n  - - 3\nk: null\ns: \"a\\\"\\n\"\n");
}

}  // namespace
}  // namespace llm::engines
