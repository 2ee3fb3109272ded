#include "engines/vllm/vllm_settings.h"

#include <gmock/gmock.h>

#include "engines/vllm/vllm_arguments.h"

namespace llm::engines {
namespace {

using testing::HasSubstr;

VllmSettings decoded(const std::string& text) {
  const auto out = json::decode<VllmSettings>(json::parse(text).value());
  EXPECT_TRUE(out) << text << ": " << (out ? "" : out.error().message);
  return out ? *out : VllmSettings{};
}

TEST(VllmSettings, DefaultsNeedAModelAlone) {
  const auto settings = decoded(R"({"model":"Qwen/Qwen3-8B"})");
  EXPECT_TRUE(check_vllm(settings));
  EXPECT_EQ(settings.container.image, "vllm/vllm-openai:0.10.1");
  EXPECT_EQ(check_vllm({}).error().message, "missing required key \"model\"");
}

TEST(VllmSettings, EverythingIsReadAndWrittenBack) {
  const std::string text = R"({
    "runtime": "process", "model": "/models/qwen", "served_name": "qwen",
    "tensor_parallel_size": 2, "pipeline_parallel_size": 2, "gpus": ["0", "1", "2", "3"], "gpu_count": 4,
    "dtype": "bfloat16", "quantization": "awq", "gpu_memory_utilization": 0.5, "max_model_len": 4096,
    "max_num_seqs": 64, "max_num_batched_tokens": 8192, "prefix_caching": "off", "chunked_prefill": "on",
    "kv_cache_dtype": "fp8", "swap_space": "4GiB", "cpu_offload": "2GiB",
    "speculative_config": {"method": "ngram"}, "enable_lora": true, "max_loras": 4, "max_lora_rank": 32,
    "lora_modules": [{"name": "sql", "path": "/adapters/sql"}], "tool_call_parser": "hermes",
    "reasoning_parser": "qwen3", "chat_template": "/templates/t.jinja", "trust_remote_code": true,
    "trusted_models": ["/models/qwen"], "sleep_mode": true, "idle_action": "sleep-2",
    "extra_args": ["--enforce-eager"], "environment": {"OMP_NUM_THREADS": "4"}, "pass_environment": ["HTTPS_PROXY"],
    "port": 8100, "keep_alive": "10m", "autostart": true, "pinned": true, "priority": 5,
    "process": {"python": "/opt/vllm"}})";
  const auto settings = decoded(text);
  EXPECT_TRUE(check_vllm(settings)) << check_vllm(settings).error().message;
  const auto written = json::encode(settings);
  EXPECT_EQ(json::write(json::encode(decoded(json::write(written)))), json::write(written));
  for (const auto& [key, value] : json::parse(text)->as_object()) {
    EXPECT_TRUE(written.contains(key)) << key;
  }
}

TEST(VllmSettings, SecretsAreNotShown) {
  auto settings = decoded(R"({"model":"a","hf_token":"hf_SECRET","api_key":"SECRET",
                              "container":{"registry_auth":"me:SECRET"}})");
  const auto shown = json::write(json::encode(settings, {.redact_secrets = true}));
  EXPECT_THAT(shown, testing::Not(HasSubstr("SECRET")));
}

TEST(VllmSettings, EachFieldIsDescribed) {
  for (const auto& row : json::reference<VllmSettings>()) EXPECT_GT(row.description.size(), 10U) << row.path;
}

TEST(VllmSettings, BoundsHaveAPlace) {
  for (const auto& [text, pointer] : std::vector<std::pair<std::string, std::string>>{
           {R"({"gpu_memory_utilization":0})", "/gpu_memory_utilization"},
           {R"({"gpu_memory_utilization":1.01})", "/gpu_memory_utilization"},
           {R"({"tensor_parallel_size":0})", "/tensor_parallel_size"},
           {R"({"replicas":65})", "/replicas"},
           {R"({"lora_modules":[{"name":"a"}]})", "/lora_modules/0/path"},
           {R"({"runtime":"docker"})", "/runtime"},
           {R"({"start_timeout":"10ms"})", "/start_timeout"},
           {R"({"container":{"shared_memory":"1MiB"}})", "/container/shared_memory"}}) {
    const auto bad = json::decode<VllmSettings>(json::parse(text).value());
    ASSERT_FALSE(bad) << text;
    EXPECT_EQ(bad.error().pointer, pointer);
  }
}

// What no field says alone: the settings, where the error points, and a part of what it says.
struct Refused {
  std::string settings;
  std::string pointer;
  std::string message;
};
class VllmCheck : public testing::TestWithParam<Refused> {};
TEST_P(VllmCheck, Refuses) {
  auto settings = decoded(GetParam().settings);
  if (settings.model.empty() && settings.runtime != VllmRuntime::kRemote) settings.model = "owner/model";
  const auto checked = check_vllm(settings);
  ASSERT_FALSE(checked) << GetParam().settings;
  EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(checked.error().pointer, GetParam().pointer) << checked.error().message;
  EXPECT_THAT(checked.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Models, VllmCheck,
                         testing::ValuesIn(std::vector<Refused>{
                             {R"({"model":"../etc"})", "/model", "OWNER/NAME"},
                             {R"({"model":"a/b/c"})", "/model", "OWNER/NAME"},
                             {R"({"model":"--host"})", "/model", "OWNER/NAME"},
                             {R"({"model":"/models/../etc"})", "/model", "absolute folder"},
                             {R"({"model":"store:"})", "/model", "store:NAME"},
                             {R"({"model":"/models/a","revision":"main"})", "/revision", "only a Hugging Face"},
                             {R"({"served_name":"--port"})", "/served_name", "no \"-\""},
                             {R"({"served_name":"a#1"})", "/served_name", "no \"#\""},
                             {R"({"dtype":"-x"})", "/dtype", "no \"-\""},
                             {R"({"chat_template":"a\nb"})", "/chat_template", "control"},
                             {R"({"trust_remote_code":true})", "/trust_remote_code", "trusted_models"},
                             {R"({"trust_remote_code":true,"trusted_models":["other/*","owner"]})",
                              "/trust_remote_code", "trusted_models"},
                             {R"({"max_model_len":4096,"max_num_batched_tokens":100,"chunked_prefill":"off"})",
                              "/max_num_batched_tokens", "at least max_model_len (4096)"},
                         }));

INSTANTIATE_TEST_SUITE_P(
    Gpus, VllmCheck,
    testing::ValuesIn(std::vector<Refused>{
        {R"({"tensor_parallel_size":2,"gpus":["0"]})", "/gpus", "needs 2 GPUs, got 1"},
        {R"({"gpus":["0","1"]})", "/gpus", "needs 1 GPUs, got 2"},
        {R"({"tensor_parallel_size":2,"pipeline_parallel_size":2,"data_parallel_size":2,"gpu_count":4})", "/gpu_count",
         "needs 8 GPUs, got 4"},
        {R"({"replicas":2,"gpus":["0"]})", "/gpus", "needs 2 GPUs for 2 replicas, got 1"},
        {R"({"tensor_parallel_size":2,"gpus":["0","0"]})", "/gpus/1", "twice"},
        {R"({"gpus":["all"]})", "/gpus/0", "expected an index"},
        {R"({"gpus":["GPU-1,GPU-2"]})", "/gpus/0", "expected an index"},
        {R"({"gpus":["0"],"container":{"gpus":false}})", "/gpus", "container.gpus"},
        {R"({"gpu_count":1,"container":{"gpus":false}})", "/gpu_count", "container.gpus"},
        {R"({"tensor_parallel_size":3,"port":8000,"multi_node":{"hosts":["a","b"]}})", "/multi_node/hosts", "evenly"},
        {R"({"tensor_parallel_size":2,"port":8000,"multi_node":{"hosts":["a","a"]}})", "/multi_node/hosts/1", "twice"},
        {R"({"tensor_parallel_size":2,"port":8000,"multi_node":{"hosts":["a","127.0.0.1"]}})", "/multi_node/hosts/1",
         "loopback"},
        {R"({"tensor_parallel_size":2,"port":8000,"multi_node":{"hosts":["a","b;reboot"]}})", "/multi_node/hosts/1",
         "host name"},
        {R"({"tensor_parallel_size":2,"multi_node":{"hosts":["a","b"]}})", "/port", "choose the port"},
        {R"({"tensor_parallel_size":2,"replicas":2,"port":80,"multi_node":{"hosts":["a","b"]}})", "/replicas", "entry"},
        {R"({"data_parallel_size":2,"port":80,"multi_node":{"hosts":["a","b"]}})", "/data_parallel_size", "copy"},
        {R"({"multi_node":{"backend":"mpi"}})", "/multi_node/backend", "ray or mp"},
        {R"({"multi_node":{"docker_hosts":["unix:/a"]}})", "/multi_node/docker_hosts", "the first: 0, got 1"},
        {R"({"tensor_parallel_size":2,"port":80,"multi_node":{"hosts":["a","b"],"docker_hosts":["tcp://10.0.0.2:2375"]}})",
         "/multi_node/docker_hosts/0", "another machine"},
        {R"({"runtime":"process","tensor_parallel_size":2,"multi_node":{"hosts":["a","b"],"docker_hosts":["unix:/a"]}})",
         "/multi_node/docker_hosts", "runtime: container"},
    }));

INSTANTIATE_TEST_SUITE_P(
    Adapters, VllmCheck,
    testing::ValuesIn(std::vector<Refused>{
        {R"({"lora_modules":[{"name":"a=b","path":"/x"}]})", "/lora_modules/0/name", "letters"},
        {R"({"lora_modules":[{"name":"a","path":"/x"},{"name":"a","path":"/y"}]})", "/lora_modules/1/name", "taken"},
        {R"({"served_name":"m","lora_modules":[{"name":"m","path":"/x"}]})", "/lora_modules/0/name", "taken"},
        {R"({"lora_modules":[{"name":"a","path":"x/../y"}]})", "/lora_modules/0/path", "absolute"},
        {R"({"lora_modules":[{"name":"a","path":"/x=y"}]})", "/lora_modules/0/path", "no \"=\""},
        {R"({"max_lora_rank":17})", "/max_lora_rank", "got 17"},
    }));

INSTANTIATE_TEST_SUITE_P(
    Life, VllmCheck,
    testing::ValuesIn(std::vector<Refused>{
        {R"({"idle_action":"sleep-1"})", "/idle_action", "sleep_mode"},
        {R"({"runtime":"remote","base_url":"http://a:1","sleep_mode":true})", "/sleep_mode", "remote"},
        {R"({"runtime":"remote"})", "", "base_url"},
        {R"({"runtime":"remote","base_url":"ftp://a"})", "/base_url", "expected a URL"},
        {R"({"runtime":"remote","base_url":"http://u:p@a/v1"})", "/base_url", ""},
        {R"({"runtime":"remote","base_url":"http://a/v1","replicas":2})", "/replicas", "entry"},
        {R"({"runtime":"remote","base_url":"http://a/v1","autostart":true})", "/autostart", "somebody else"},
        {R"({"runtime":"remote","base_url":"http://a/v1","keep_running":true})", "/keep_running", "containers"},
        {R"({"base_url":"http://a/v1"})", "/base_url", "remote"},
        {R"({"runtime":"process","keep_running":true})", "/keep_running", "containers"},
        {R"({"port":65535,"replicas":2})", "/port", "65535"},
        {R"({"api_key":"a b"})", "/api_key", "spaces"},
    }));

INSTANTIATE_TEST_SUITE_P(
    Places, VllmCheck,
    testing::ValuesIn(std::vector<Refused>{
        {R"({"container":{"image":"-v"}})", "/container/image", "image"},
        {R"({"container":{"image":"a b"}})", "/container/image", "image"},
        {R"({"container":{"docker_host":"tcp://a:2375"}})", "/container/docker_host", "unix:"},
        {R"({"container":{"registry_auth":"x"}})", "/container/registry_auth", "USER:PASSWORD"},
        {R"({"container":{"gpu_runtime":"a b"}})", "/container/gpu_runtime", "runtime"},
        {R"({"container":{"model_cache":"a/b"}})", "/container/model_cache", "volume"},
        {R"({"container":{"model_cache":"/"}})", "/container/model_cache", "volume"},
        {R"({"container":{"compile_cache":"../x"}})", "/container/compile_cache", "volume"},
        {R"({"container":{"mounts":["/a"]}})", "/container/mounts/0", "expected /host/path"},
        {R"({"container":{"mounts":["/a:b"]}})", "/container/mounts/0", "expected /host/path"},
        {R"({"container":{"mounts":["/a:/b:rx"]}})", "/container/mounts/0", "expected /host/path"},
        {R"({"container":{"mounts":["/a/../b:/b"]}})", "/container/mounts/0", "expected /host/path"},
        {R"({"container":{"mounts":["/:/b"]}})", "/container/mounts/0", "this machine"},
        {R"({"container":{"mounts":["/var/run/docker.sock:/b"]}})", "/container/mounts/0", "this machine"},
        {R"({"container":{"mounts":["/a:/"]}})", "/container/mounts/0", "root"},
        {R"({"container":{"mounts":["/a:/b","/c:/b:rw"]}})", "/container/mounts/1", "twice"},
        {R"({"runtime":"process","process":{"python":"venv"}})", "/process/python", "absolute"},
        {R"({"runtime":"process","process":{"program":"vllm"}})", "/process/program", "absolute"},
        {R"({"environment":{"VLLM_API_KEY":"x"}})", "/environment/VLLM_API_KEY", "api_key"},
        {R"({"environment":{"A-B":"x"}})", "/environment/A-B", "name"},
        {R"({"environment":{"VLLM_LOGGING_LEVEL":"ERROR"}})", "/environment/VLLM_LOGGING_LEVEL", "gateway itself"},
        {R"({"pass_environment":["HF_TOKEN"]})", "/pass_environment/0", "hf_token"},
        {R"({"pass_environment":["A"],"environment":{"A":"x"}})", "/pass_environment/0", "too"},
        {R"({"extra_args":["--port","1"]})", "/extra_args/0", "gateway itself"},
    }));

TEST(VllmSettings, WhatIsAllowed) {
  for (const auto& text : {
           R"({"model":"gpt2"})",
           R"({"model":"store:qwen3:8b"})",
           R"({"model":"owner/m","trust_remote_code":true,"trusted_models":["owner/*"]})",
           R"({"model":"owner/m","replicas":2,"tensor_parallel_size":2,"gpus":["3","1","0","2"]})",
           R"({"model":"owner/m","gpus":["GPU-8c1a","MIG-GPU-1/2/3"],"tensor_parallel_size":2})",
           R"({"model":"owner/m","tensor_parallel_size":8,"pipeline_parallel_size":2,"gpu_count":8,"port":8000,
               "multi_node":{"hosts":["10.0.0.1","10.0.0.2"]}})",
           R"({"runtime":"remote","base_url":"http://10.0.0.5:8000/v1"})",
           R"({"runtime":"remote","base_url":"unix:/run/vllm.sock:/v1"})",
           R"({"model":"a","container":{"image":"registry.local:5000/vllm@sha256:0123","model_cache":"hf","gpus":false,
               "mounts":["/adapters:/adapters","/out:/out:rw"]}})",
           R"({"model":"a","sleep_mode":true,"idle_action":"sleep-1","keep_running":true})",
       }) {
    const auto settings = decoded(text);
    const auto checked = check_vllm(settings);
    EXPECT_TRUE(checked) << text << ": " << checked.error().pointer << " " << checked.error().message;
  }
}

TEST(VllmArguments, ReservedOnesInAllSpellings) {
  for (const auto* arg : {"--host",
                          "--port=1",
                          "--api_key",
                          "--api-key=x",
                          "--max_model_len=5",
                          "--speculative-config.method",
                          "-tp",
                          "-tp=2",
                          "-t",
                          "-qawq",
                          "-q",
                          "--ssl-keyfile",
                          "--served-model",
                          "--tensor-parallel",
                          "--no-enable-lora",
                          "--",
                          "--config",
                          "--conf",
                          "-h",
                          "--trust-remote-code",
                          "--uds",
                          "--hea",
                          "--enable-log-requests"}) {
    const auto checked = check_vllm_args({"--enforce-eager", arg, "x"});
    ASSERT_FALSE(checked) << arg;
    EXPECT_EQ(checked.error().pointer, "/extra_args/1") << arg;
  }
  EXPECT_THAT(check_vllm_args({"--max-model-len", "5"}).error().message, HasSubstr("use the setting max_model_len"));
  EXPECT_EQ(check_vllm_args({"other-model"}).error().pointer, "/extra_args/0");
  EXPECT_EQ(check_vllm_args({"--seed", "a\nb"}).error().pointer, "/extra_args/1");
}

TEST(VllmArguments, EverythingElsePasses) {
  const std::vector<std::string> good{"--seed",
                                      "-1",
                                      "--config-format",
                                      "hf",
                                      "--model-impl",
                                      "vllm",
                                      "--quantization-config",
                                      "{}",
                                      "--tokenizer",
                                      "a/b",
                                      "--enable-lora-bias",
                                      "--enforce-eager",
                                      "-O3",
                                      "-cc.mode",
                                      "3",
                                      "--enable-eplb",
                                      "--hf-overrides",
                                      "{\"a\":\"--\"}",
                                      "--reasoning-parser-plugin",
                                      "/x.py",
                                      "--max-num-queued-reqs=5",
                                      "-ep",
                                      "--task",
                                      "embed"};
  const auto checked = check_vllm_args(good);
  EXPECT_TRUE(checked) << checked.error().pointer << checked.error().message;
}

}  // namespace
}  // namespace llm::engines
